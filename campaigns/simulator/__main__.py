"""`python -m campaigns.simulator`: a stand-in for Retell's API on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from campaigns.domain.clock import parse_clock
from campaigns.simulator import faults
from campaigns.simulator.config import (
    DEFAULT_AGENTS,
    DEFAULT_NUMBERS,
    NUMBER_TYPES,
    Agent,
    Number,
    SimulatorConfig,
)
from campaigns.simulator.server import DEFAULT_PORT, serve


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Exit code 0, or 1 if it cannot listen; wrong arguments exit with 2."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        clock = parse_clock(os.environ.get("CAMPAIGNS_CLOCK", ""))
        config = _config(options)
        serve(config, host=options.host, port=options.port, clock=clock, ready=_announce)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        sys.stderr.write(f"the simulator cannot listen on {options.host}:{options.port}: {error}\n")
        return 1
    return 0


def _announce(url: str) -> None:
    sys.stdout.write(f"simulator listening on {url}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    default = SimulatorConfig()
    parser = argparse.ArgumentParser(
        prog="python -m campaigns.simulator",
        description="A stand-in for Retell's API. Business time follows CAMPAIGNS_CLOCK.",
        epilog="Faults:\n" + (faults.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; other than loopback only with --api-key")
    add("--port", type=int, default=DEFAULT_PORT, help=f"0 for a free one (default {DEFAULT_PORT})")
    add(
        "--concurrency",
        type=int,
        default=default.concurrency,
        help="limit of concurrent calls (default %(default)s)",
    )
    add("--burst", action="store_true", help="burst mode on")
    add("--reserved-inbound", type=int, default=0, help="slots outbound calls never get")
    add("--foreign", type=int, default=0, help="concurrent calls of somebody else in the org")
    add("--cps", type=int, default=0, help="calls per real second; 0 is no limit")
    add(
        "--overflow",
        choices=("429", "error"),
        default="429",
        help="how a call over the concurrency limit is refused",
    )
    add("--seed", type=int, default=0, help="of outcomes and faults")
    add(
        "--speed",
        type=float,
        default=1.0,
        help="divides every duration (leave it 1 with a scaled CAMPAIGNS_CLOCK)",
    )
    add("--outcomes", default="", metavar="MIX", help="as human=40,dial_busy=10,voicemail_reached=50")
    add("--mean-call", type=float, metavar="SECONDS", help="every call is answered and lasts about so long")
    add(
        "--analysis-delay",
        default="2-6",
        metavar="LOW-HIGH",
        help="seconds from end to analysis (default 2-6)",
    )
    add(
        "--unconnected-end-timestamp",
        action="store_true",
        help="calls that never connected have an end_timestamp",
    )
    add(
        "--listing-lag",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="real seconds until a list shows a new call",
    )
    add("--hide-registered", action="store_true", help="lists do not show calls that still ring")
    add("--ignore-idempotency", action="store_true", help="do not know idempotency keys")
    add("--accept-any", action="store_true", help="accept any from_number and agent")
    add(
        "--batch-bad-task",
        choices=("refuse", "skip"),
        default="refuse",
        help="what a bad task does to its batch",
    )
    add("--faults", default="", metavar="SPEC", help="see below")
    add(
        "--number",
        action="append",
        metavar="NUMBER[:TYPE]",
        help=f"of the account; TYPE: {', '.join(NUMBER_TYPES)}",
    )
    add("--agent", action="append", metavar="ID", help="of the account")
    add("--api-key", help="the only key accepted (default: any)")
    add("--webhook-url", help="where webhooks are sent (default: nowhere)")
    add(
        "--ledger",
        type=Path,
        metavar="FILE",
        help="append what happens to FILE, and read it when starting again",
    )
    return parser


def _config(options: argparse.Namespace) -> SimulatorConfig:
    low, _, high = options.analysis_delay.partition("-")
    agents = tuple(Agent(agent_id, agent_id) for agent_id in options.agent or ()) or DEFAULT_AGENTS
    numbers = tuple(_number(text, agents[0].agent_id) for text in options.number or ()) or DEFAULT_NUMBERS
    if options.agent and not options.number:
        numbers = tuple(Number(n.number, n.type, agents[0].agent_id, n.nickname) for n in numbers)
    return SimulatorConfig(
        concurrency=options.concurrency,
        burst=options.burst,
        reserved_inbound=options.reserved_inbound,
        foreign=options.foreign,
        cps=options.cps,
        overflow=options.overflow,
        seed=options.seed,
        speed=options.speed,
        outcomes=options.outcomes,
        mean_call=options.mean_call,
        analysis_delay=(float(low), float(high or low)),
        unconnected_end_timestamp=options.unconnected_end_timestamp,
        listing_lag=options.listing_lag,
        list_registered=not options.hide_registered,
        ignore_idempotency=options.ignore_idempotency,
        accept_any=options.accept_any,
        batch_bad_task=options.batch_bad_task,
        faults=options.faults,
        numbers=numbers,
        agents=agents,
        api_key=options.api_key,
        webhook_url=options.webhook_url,
        ledger=options.ledger,
    )


def _number(text: str, agent_id: str) -> Number:
    number, _, kind = text.partition(":")
    return Number(number, kind or "retell-twilio", agent_id)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
