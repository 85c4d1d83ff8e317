"""Too few lines for a list over four zones, on a virtual clock: the window that closes soonest first, or file order?

Real store, real claims, real rules; nobody is dialed, a call is a claim that ends after its minutes. One day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from campaigns.domain.entities import NewLead
from campaigns.domain.pacing import Group
from campaigns.domain.states import LeadState
from campaigns.retell import RetellClient
from campaigns.services import dispatch
from campaigns.store import Store
from tests.benchmarks import cycle, stage
from tests.benchmarks.figure import Figure, at_least, say

#: Each zone's part of the list, as of the country's people: Eastern, Central, Mountain, Pacific.
_ZONES = (
    ("America/New_York", "US-NY", 47),
    ("America/Chicago", "US-TN", 29),
    ("America/Denver", "US-CO", 7),
    ("America/Los_Angeles", "US-CA", 17),
)
#: A Tuesday, 18:00 in New York: the list was launched late, as lists are.
_START = datetime(2026, 12, 1, 23, 0, tzinfo=UTC)
_CALL = timedelta(minutes=3)


@dataclass
class _Virtual:
    at: datetime = _START
    speed: float = 1.0

    def now(self) -> datetime:
        return self.at


def east_first(quick: bool) -> Figure:
    leads, lines = (600, 5) if quick else (4_000, 32)
    say(f"east_first: {leads:,} leads, {lines} lines, one evening, in two orders")
    tried = {}
    for name in ("soonest_closing", "file_order"):
        with stage.folder() as where:
            tried[name] = _evening(where / "east.db", leads, lines, in_file_order=name == "file_order")
    gain = round(tried["soonest_closing"] / tried["file_order"] - 1, 4)
    return Figure(
        "east_first",
        gain,
        "more leads tried before their windows close, share",
        [at_least("gain", gain, 0.15)],
        {"what": "leads tried in file order", "tried": tried["file_order"]},
        {"tried": tried["soonest_closing"], "leads": leads, "lines": lines, "starts_at": _START.isoformat()},
    )


def _evening(path: Path, count: int, lines: int, in_file_order: bool) -> int:
    """How many leads were tried before the last window of the day closed."""
    store, clock = Store.open(f"sqlite:///{path}"), _Virtual()
    context = replace(cycle.context(store, RetellClient(stage.KEY, "http://127.0.0.1:9")), clock=clock)
    try:
        campaign = cycle.campaign(store, "east", clock.now(), profile="us-sales")
        _fill(store, campaign.id, count)
        store.campaigns.launch(campaign.id, clock.now())
        tried = 0
        ends = _START + timedelta(hours=14)
        while clock.at < ends:
            plans = [
                replace(plan, room=lines, ranked=_file_order(plan.ranked) if in_file_order else plan.ranked)
                for plan in dispatch.claim_plans(context, store.campaigns.listed(context.workspace))
            ]
            tried += len(store.claims.claim(context.workspace, lines, 0, plans, clock.at, 60_000).attempt_ids)
            with store.database.write() as connection:  # the calls are over, their lines free
                connection.exec_driver_sql(
                    "UPDATE attempts SET state = 'not_placed', refusal = 'bench' WHERE state = 'claimed'"
                )
            clock.at += _CALL
        return tried
    finally:
        context.retell.close()
        store.close()


def _file_order(ranked: Sequence[Sequence[Group]]) -> list[list[Group]]:
    """Whoever is open, the oldest row first: what a loop over a file does."""
    return [[group for groups in ranked for group in groups]]


def _fill(store: Store, campaign_id: str, count: int) -> None:
    """A list whose rows are shuffled over the zones; the place in the file is the lead's age."""
    deck = [(zone, place) for zone, place, share in _ZONES for _ in range(share)]
    rows = [_lead(n, *deck[n * 37 % len(deck)]) for n in range(count)]
    with store.imports.writer(campaign_id, _START) as writer:
        writer.begin("east.csv", "0" * 64, 0, ["phone_number"], "bench")
        writer.add_leads(rows)
        writer.finish({"accepted": count})


def _lead(n: int, zone: str, place: str) -> NewLead:
    return NewLead(
        line=n + 2, phone=f"+1{2_000_000_000 + n}", zones=zone, zone_source="number", jurisdictions=place, priority=5,
        next_attempt_at=_START - timedelta(days=1) + timedelta(seconds=n), state=LeadState.PENDING, hold=None,
        external_id="", agent_id="", agent_version="", extension="", consent="", zip="", state_given="",
        ignore_e164=False,
        metadata={}, sip_headers={}, cells=(),
    )  # fmt: skip
