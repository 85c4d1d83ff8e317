"""Commands that run until they are stopped: worker, beat, simulator."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.runtime import open_retell, open_store
from campaigns.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("worker")(worker)
    app.command("beat")(beat)
    app.command("simulator")(simulator)


def _celery(app: str, *arguments: str) -> None:
    """Become Celery: its own signal handling, no process of ours in between."""
    settings = load_settings()
    if not settings.redis_url:
        raise UsageError(
            "workers of their own need a message server",
            "set CAMPAIGNS_REDIS_URL, as redis://localhost:6379/0; `campaigns run` brings its own",
        )
    open_retell(settings).close()
    open_store(settings).close()
    os.execvp(sys.executable, [sys.executable, "-m", "celery", "-A", app, *arguments])


def worker(
    dials: Annotated[bool, typer.Option("--dial/--no-dial", help="Take dials.")] = True,
    control: Annotated[
        bool, typer.Option("--control/--no-control", help="Take pacing, results, upkeep.")
    ] = True,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Calls dialed at the same time, 32 at most.")
    ] = None,
) -> None:
    """A Celery worker. For more throughput start more of them, not more threads.

    Example: campaigns worker --no-control
    """
    from workers.queues import CONTROL_QUEUES, CONTROL_THREADS, DIAL_QUEUES, DIAL_THREADS

    if not (dials or control):
        raise UsageError("a worker must take something", "leave out one of --no-dial and --no-control")
    if threads is not None and not 1 <= threads <= DIAL_THREADS:
        raise UsageError(f"--threads must be 1 to {DIAL_THREADS}", "start more workers instead")
    queues = (DIAL_QUEUES if dials else ()) + (CONTROL_QUEUES if control else ())
    count = threads or (DIAL_THREADS if dials else CONTROL_THREADS)
    _celery(
        "workers.app",
        "worker",
        "-Q",
        ",".join(queues),
        "-c",
        str(count),
        "--without-gossip",
        "--without-mingle",
    )


def beat() -> None:
    """Celery beat: the tick that makes sure that nothing ever stops. Two at once do no harm.

    Example: campaigns beat
    """
    _celery("workers.beat", "beat", "--pidfile", "")


def simulator(
    port: Annotated[
        int, typer.Option("--port", metavar="P", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8123,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", help="Lines of the account.")
    ] = 20,
    cps: Annotated[int, typer.Option("--cps", metavar="N", help="Calls per second; 0 = no limit.")] = 0,
    speed: Annotated[float, typer.Option("--speed", metavar="X", help="Divides every duration.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Of outcomes and faults.")] = 0,
    faults: Annotated[str, typer.Option("--faults", metavar="SPEC", help="As drop_after=5%,lag=3s.")] = "",
) -> None:
    """A stand-in for Retell's API on this machine (`python -m campaigns.simulator --help` has every setting).

    Example: campaigns simulator --port 8123 --concurrency 20
    """
    from campaigns.simulator.config import SimulatorConfig
    from campaigns.simulator.server import serve

    def announce(url: str) -> None:
        sys.stdout.write(f"simulator listening on {url}\n")
        sys.stdout.flush()

    try:
        config = SimulatorConfig(concurrency=concurrency, cps=cps, speed=speed, seed=seed, faults=faults)
        serve(config, port=port, clock=load_settings().clock(), ready=announce)
    except ValueError as error:
        raise UsageError(str(error), "see `campaigns simulator --help`") from None
    except OSError as error:
        raise CampaignsError(
            f"the simulator cannot listen on port {port}: {error.strerror}", "choose another --port, or 0"
        ) from None
