"""How the lines are shared: the real pacer and the real claims, on a virtual clock, with calls that only take time.

The dial and the results are left out on purpose: who gets a line is decided in the claim, and three days of calls fit
into minutes.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from campaigns.compliance import rules_for
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Callee, CampaignOptions
from campaigns.domain.fairness import jain
from campaigns.retell import RetellClient
from campaigns.services import dispatch
from campaigns.services.context import Context
from campaigns.services.imports import import_file
from campaigns.store import Store
from tests.benchmarks import stage
from tests.benchmarks.cycle import WORKSPACE, NoLimit
from tests.benchmarks.figure import Figure, at_least, say

#: Monday, 10:00 in New York.
START = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)
ZONE = "America/New_York"
CALLEE = Callee((ZONE,), ("US-NY",))
_SEED = 7


class Clock:
    """Business time that is moved by hand."""

    speed = 1.0

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True, slots=True)
class Entrant:
    """A campaign that wants lines."""

    name: str
    leads: int
    weight: float = 1.0
    windows: tuple[str, ...] = ("daily 09:00-20:00",)


@dataclass
class Outcome:
    """together: line-seconds of each while all had callable leads. busy, open_time: while anybody had.

    finished: when each had its last call ended; first: its first line.
    """

    together: dict[str, float] = field(default_factory=dict)
    together_seconds: float = 0.0
    busy: float = 0.0
    available: float = 0.0
    calls: int = 0
    first: dict[str, datetime] = field(default_factory=dict)
    finished: dict[str, datetime] = field(default_factory=dict)

    @property
    def utilisation(self) -> float:
        return self.busy / self.available if self.available else 0.0


def share(
    where: Path,
    entrants: Sequence[Entrant],
    lines: int,
    span: timedelta,
    *,
    mean_call: float = 60.0,
    step: float = 5.0,
) -> Outcome:
    """Let the campaigns share the lines for so long. The clock moves in steps, and stops when all is called."""
    clock, chance = Clock(), random.Random(_SEED)
    outcome = Outcome()
    with (
        closing(Store.open(f"sqlite:///{where / 'fairness.db'}")) as store,
        closing(RetellClient(stage.KEY, "http://127.0.0.1:9")) as retell,  # nobody is asked
    ):
        store.workspaces.ensure(WORKSPACE)
        context = Context(store=store, retell=retell, clock=clock, limiter=NoLimit(), workspace=WORKSPACE)
        ids = {
            _launch(store, where, entrant, clock.now(), offset): entrant
            for offset, entrant in _offset(entrants)
        }
        rules = {entrant.name: rules_for("none", entrant.windows) for entrant in entrants}
        left = {entrant.name: entrant.leads for entrant in entrants}
        own = dict.fromkeys(left, 0)
        ends: list[tuple[datetime, str, str]] = []
        seen = 0.0
        while clock.at < START + span and (any(left.values()) or ends):
            now = clock.at
            over = []
            while ends and ends[0][0] <= now:
                _, attempt, name = heapq.heappop(ends)
                own[name] -= 1
                over.append(attempt)
                outcome.finished[name] = now
            _end(store, over, now)
            if time.monotonic() - seen > 3:
                store.workspaces.observe(WORKSPACE, lines, 0, 0)
                seen = time.monotonic()
            for attempt, campaign_id in _claimed(store, dispatch.pace(context).attempt_ids):
                name = ids[campaign_id].name
                left[name] -= 1
                own[name] += 1
                outcome.calls += 1
                outcome.first.setdefault(name, now)
                seconds = mean_call * chance.uniform(0.5, 1.5)
                heapq.heappush(ends, (now + timedelta(seconds=seconds), attempt, name))
            calling = [name for name, count in left.items() if count and rules[name].until(CALLEE, now)]
            if calling:
                outcome.busy += step * sum(own.values())
                outcome.available += step * lines
            if len(calling) == len(entrants):
                outcome.together_seconds += step
                for name, count in own.items():
                    outcome.together[name] = outcome.together.get(name, 0.0) + step * count
            idle = not calling and not ends
            clock.at += timedelta(minutes=15) if idle else timedelta(seconds=step)
    return outcome


def _offset(entrants: Sequence[Entrant]) -> list[tuple[int, Entrant]]:
    """Each with the number of its first lead: no number is in two campaigns."""
    offset, found = 0, []
    for entrant in entrants:
        found.append((offset, entrant))
        offset += entrant.leads
    return found


def _launch(store: Store, where: Path, entrant: Entrant, now: datetime, offset: int) -> str:
    options = CampaignOptions(
        from_numbers=(stage.FROM,), profile="none", retry="none", windows=entrant.windows, weight=entrant.weight,
        timezone=ZONE,
    )  # fmt: skip
    made = store.campaigns.create(entrant.name, WORKSPACE, options, now)
    if made is None:
        raise stage.BenchError(f"there is a campaign {entrant.name} already")
    path = where / f"{entrant.name}.csv"
    numbers = (f"+1212{2_000_000 + n}" for n in range(offset, offset + entrant.leads))
    path.write_text("phone_number,timezone\n" + "".join(f"{number},{ZONE}\n" for number in numbers))
    summary = import_file(store, made, path, now, "bench")
    if summary.accepted != entrant.leads:
        raise stage.BenchError(f"{summary.accepted} of {entrant.leads} leads were imported")
    if not store.campaigns.launch(made.id, now):
        raise stage.BenchError(f"{entrant.name} was not launched")
    return made.id


def _claimed(store: Store, attempt_ids: Sequence[str]) -> list[tuple[str, str]]:
    if not attempt_ids:
        return []
    with store.database.read() as connection:
        query = sa.text("SELECT id, campaign_id FROM attempts WHERE id IN :ids").bindparams(
            sa.bindparam("ids", expanding=True)
        )
        return [(row.id, row.campaign_id) for row in connection.execute(query, {"ids": list(attempt_ids)})]


def _end(store: Store, attempt_ids: Sequence[str], now: datetime) -> None:
    """As if these calls had been made, answered and settled."""
    if not attempt_ids:
        return
    with store.database.write() as connection:
        for statement in (
            "UPDATE attempts SET state = 'settled', outcome = 'human', call_id = id, dialing_at = claimed_at,"
            " settled_at = :now WHERE id IN :ids",
            "UPDATE leads SET state = 'reached', attempts = 1 WHERE id IN"
            " (SELECT lead_id FROM attempts WHERE id IN :ids AND claimed_at <= :now)",
        ):
            bound = sa.text(statement).bindparams(sa.bindparam("ids", expanding=True))
            connection.execute(bound, {"ids": list(attempt_ids), "now": to_ms(now)})


_WINDOWS = (
    ("daily 09:00-20:00",),
    ("daily 10:00-18:00",),
    ("daily 09:00-12:00", "daily 14:00-20:00"),
    ("daily 09:30-19:30",),
    ("daily 10:00-17:00", "daily 18:00-19:00"),
)
_WEIGHTS = (1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 5.0, 5.0, 7.0)


def ten(leads: int) -> list[Entrant]:
    """Ten campaigns of different weights and windows, with so many leads in all, each by its weight."""
    whole = sum(_WEIGHTS)
    return [
        Entrant(f"c{n}", round(leads * weight / whole), weight, _WINDOWS[n % len(_WINDOWS)])
        for n, weight in enumerate(_WEIGHTS)
    ]


def fairness(quick: bool) -> Figure:
    leads, lines, step, mean = (450, 6, 20.0, 120.0) if quick else (30_000, 20, 5.0, 75.0)
    span = timedelta(days=3)
    entrants = ten(leads)
    with stage.folder() as where:
        say(f"fairness: {leads:,} leads in {len(entrants)} campaigns on {lines} lines")
        shared = share(where, entrants, lines, span, step=step, mean_call=mean)
    with stage.folder() as where:
        say("fairness: the same leads in one campaign")
        alone = share(
            where,
            [Entrant("all", sum(one.leads for one in entrants))],
            lines,
            span,
            step=step,
            mean_call=mean,
        )
    by_weight = {
        one.name: round(shared.together[one.name] / one.weight / shared.together_seconds, 4)
        for one in entrants
    }
    index = round(jain(list(by_weight.values())), 5)
    ratio = round(shared.utilisation / alone.utilisation, 4)
    return Figure(
        "fairness",
        index,
        "Jain's index of line-seconds over weight, while all have callable leads",
        [at_least("value", index, 0.98), at_least("utilisation_ratio", ratio, 0.98)],
        {
            "what": "one campaign with all the leads",
            "utilisation": round(alone.utilisation, 4),
            "calls": alone.calls,
        },
        {
            "utilisation": round(shared.utilisation, 4),
            "utilisation_ratio": ratio,
            "lines_over_weight": by_weight,
            "weights": list(_WEIGHTS),
            "hours_together": round(shared.together_seconds / 3600, 2),
            "calls": shared.calls,
            "lines": lines,
            "mean_call_seconds": mean,
        },
    )
