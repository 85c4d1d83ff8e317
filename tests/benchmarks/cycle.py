"""What one guarded dial costs this processor, above a bare POST: in process, one thread, block by block."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from campaigns.domain.clock import SystemClock
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.states import CampaignState
from campaigns.retell import RetellClient
from campaigns.services import dial as dialing
from campaigns.services import dispatch
from campaigns.services.context import Context
from campaigns.services.imports import import_file
from campaigns.store import Store
from tests.benchmarks import stage
from tests.benchmarks.figure import Figure, at_least, at_most, percentile, say

WORKSPACE = "retell"
#: Names of the parts of a dial, in their order.
PARTS = ("read the row", "commit dialing", "POST", "commit placed")


class NoLimit:
    """A limiter that is never asked: the campaigns here have no calls per second."""

    def reserve(self, key: str, per_second: float, patience: float) -> tuple[bool, float]:
        return True, 0.0


def campaign(store: Store, name: str, now: datetime, profile: str = "none") -> Campaign:
    """A draft that nothing but the limits, and the rules of its profile, holds back."""
    options = CampaignOptions(from_numbers=(stage.FROM,), profile=profile, retry="none")
    store.workspaces.ensure(WORKSPACE)
    made = store.campaigns.create(name, WORKSPACE, options, now)
    if made is None:
        raise stage.BenchError(f"there is a campaign {name} already")
    return made


def context(store: Store, retell: RetellClient) -> Context:
    return Context(store=store, retell=retell, clock=SystemClock(), limiter=NoLimit(), workspace=WORKSPACE)


@dataclass
class Bench:
    """Claimed attempts, and both ways to dial."""

    context: Context
    bare: httpx.Client
    posted: int = 0

    def claim(self, count: int) -> list[str]:
        """So many attempts, ready to be dialed."""
        store, now = self.context.store, self.context.clock.now()
        running = store.campaigns.listed(WORKSPACE, (CampaignState.RUNNING,))
        plans = [replace(plan, room=count) for plan in dispatch.claim_plans(self.context, running)]
        open_now = len(store.attempts.holding_ids(WORKSPACE))
        claimed = store.claims.claim(WORKSPACE, open_now + count, 0, plans, now, 600_000).attempt_ids
        if len(claimed) != count:
            raise stage.BenchError(f"{len(claimed)} of {count} leads were claimed")
        return claimed

    def guarded(self, attempt_ids: list[str]) -> None:
        for attempt_id in attempt_ids:
            result = dialing.dial(self.context, attempt_id)
            if result.dialed is not dialing.Dialed.PLACED:
                raise stage.BenchError(f"a dial ended as {result.dialed}")

    def bare_posts(self, count: int) -> None:
        for body in bodies(self.posted, count):
            self.bare.post("/v2/create-phone-call", json=body).raise_for_status().json()
        self.posted += count


def bodies(first: int, count: int) -> Iterator[dict[str, Any]]:
    """What the runner sends for one of these leads, without an idempotency key to be remembered."""
    for n in range(first, first + count):
        yield {
            "from_number": stage.FROM,
            "to_number": f"+1415555{n % 10_000:04}",
            "metadata": {"attempt_id": f"{n:032x}", "lead_id": str(n), "campaign_id": "0123456789ab"},
            "retell_llm_dynamic_variables": {
                "first_name": f"First{n}",
                "last_name": f"Last{n}",
                "company": f"Company {n % 997}",
                "city": "Springfield",
                "interest": "solar quote",
            },
        }


@contextmanager
def bench(where: Path, url: str, leads: int) -> Iterator[Bench]:
    """A launched campaign of so many leads in a database of its own, and a simulator at `url`."""
    listed = stage.lead_list(where / "cycle.csv", leads)
    store = Store.open(f"sqlite:///{where / 'cycle.db'}")
    limits = httpx.Limits(keepalive_expiry=30)
    headers = {"Authorization": f"Bearer {stage.KEY}"}
    try:
        now = SystemClock().now()
        made = campaign(store, "cycle", now)
        import_file(store, made, listed, now, "bench")
        store.campaigns.launch(made.id, now)
        with (
            RetellClient(stage.KEY, url) as retell,
            httpx.Client(base_url=url, headers=headers, trust_env=False, limits=limits, timeout=30) as bare,
        ):
            yield Bench(context(store, retell), bare)
    finally:
        store.close()


def dial_cycle_cpu(quick: bool) -> Figure:
    rounds, block = (5, 20) if quick else (30, 50)
    warm_up = block
    leads = rounds * block + warm_up
    with stage.folder() as where, stage.simulator(where, *_fast(3 * leads)) as simulator:
        with bench(where, simulator.url, leads + block) as made:
            say(f"dial_cycle_cpu: {rounds} rounds of {block} guarded dials and {block} bare POSTs")
            made.guarded(made.claim(warm_up))
            made.bare_posts(warm_up)
            guarded: list[float] = []
            bare: list[float] = []
            wall: list[float] = []
            for _ in range(rounds):
                ids = made.claim(block)
                ours = _cost(lambda ids=ids: made.guarded(ids))  # type: ignore[misc]
                theirs = _cost(lambda: made.bare_posts(block))
                guarded.append(ours[0] * 1000 / block)
                bare.append(theirs[0] * 1000 / block)
                wall.append(ours[1] * 1000 / block)
            parts = breakdown(made, block)
        ledger = simulator.ledger()
    extra = [a - b for a, b in zip(guarded, bare, strict=True)]
    value = round(statistics.median(extra), 3)
    expected = leads + block + warm_up + rounds * block
    return Figure(
        "dial_cycle_cpu",
        value,
        "CPU ms per guarded dial above a bare httpx POST, median of the rounds",
        [
            at_most("value", value, 6.0),
            at_most("attempts_rung_twice", ledger["attempts_rung_twice"], 0),
            at_least("rings", ledger["rings"], expected),
        ],
        {"what": "one httpx client, one thread", "cpu_ms_per_post": round(statistics.median(bare), 3)},
        {
            "guarded_cpu_ms": round(statistics.median(guarded), 3),
            "guarded_wall_ms": round(statistics.median(wall), 3),
            "p10_ms": round(percentile(extra, 0.1), 3),
            "p90_ms": round(percentile(extra, 0.9), 3),
            "parts": parts,
            "rounds": rounds,
            "dials_per_round": block,
            "rings": ledger["rings"],
            "expected_rings": expected,
            "refusals": ledger["refusals"],
            "attempts_rung_twice": ledger["attempts_rung_twice"],
        },
    )


def breakdown(made: Bench, dials: int) -> dict[str, dict[str, float]]:
    """CPU and wall milliseconds of each part of a guarded dial, by timing the calls that it is made of."""
    ids = made.claim(dials)
    spent: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    attempts: Any = made.context.store.attempts
    retell: Any = made.context.retell
    timed = (
        (attempts, "dial_order"),
        (attempts, "begin_dial"),
        (retell, "create_phone_call"),
        (attempts, "place"),
    )
    for (owner, method), part in zip(timed, PARTS, strict=True):
        setattr(owner, method, _timed(getattr(owner, method), spent[part]))
    try:
        total = _cost(lambda: made.guarded(ids))
    finally:
        for owner, method in timed:
            delattr(owner, method)
    rest = [whole - sum(part[n] for part in spent.values()) for n, whole in enumerate(total)]
    found = {**spent, "gate, request and verdict": rest}
    return {
        part: {"cpu_ms": round(cpu * 1000 / dials, 3), "wall_ms": round(wall * 1000 / dials, 3)}
        for part, (cpu, wall) in found.items()
    }


def _timed(call: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            spent[0] += time.process_time() - cpu
            spent[1] += time.perf_counter() - wall

    return wrapped


def _cost(work: Callable[[], None]) -> tuple[float, float]:
    """CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def _fast(concurrency: int) -> list[str]:
    return ["--concurrency", str(concurrency), "--mean-call", "20"]
