"""The report of a campaign: how many were tried, reached and won over, when they answer, and what that costs.

Attempts are read in chunks and summed up with pandas; of each only a few numbers are kept, so that a million of them
fit into the memory of a small machine.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from campaigns.domain.clock import from_ms
from campaigns.domain.entities import Campaign
from campaigns.services.report import Status, iso, status
from campaigns.services.variants import VariantResult, comparison, variant_results
from campaigns.store import CALL_COLUMNS, Store

_CHUNK = 50_000
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
#: Clocks are changed at whole quarters of an hour, so that the offset is looked up once for each of them.
_QUARTER_MS = 900_000
#: 1970-01-01 was a Thursday; Monday is 0.
_EPOCH_WEEKDAY = 3
#: What shares of the calls are shown by.
_SHARED = ("agent_id", "from_number", "file_id")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Share:
    """What the calls of one agent, number or file came to. Rates are shares of 1, None without a call."""

    key: str
    calls: int
    contacts: int
    successes: int
    cost_cents: float
    talk_seconds: float

    def document(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "calls": self.calls,
            "contacts": self.contacts,
            "contact_rate": _rate(self.contacts, self.calls),
            "successes": self.successes,
            "cost_cents": round(self.cost_cents, 4),
            "cost_per_contact_cents": _rate(self.cost_cents, self.contacts),
            "talk_seconds": round(self.talk_seconds, 1),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of leads are of leads, everything else of settled calls.

    attempts_per_lead: number of charged attempts -> leads. attempts_to_contact: which call of a lead was the first that
    somebody took -> leads. local: (weekday, hour) at the callee -> (calls, contacts). daily: UTC day -> (calls,
    contacts, cents). slot_use: busy slot-seconds over available ones from the first to the last dial; slot_use_busy
    over the time only in which a call was in progress. variants: where several agents called.
    """

    status: Status
    calls: int
    contacts: int
    talk_seconds: float
    attempts_per_lead: dict[int, int]
    attempts_to_contact: dict[int, int]
    local: dict[tuple[int, int], tuple[int, int]]
    without_zone: int
    daily: dict[str, tuple[int, int, float]]
    by_agent: list[Share]
    by_number: list[Share]
    by_file: list[Share]
    variants: list[VariantResult]
    slot_use: float | None
    slot_use_busy: float | None
    first_dial: datetime | None
    last_dial: datetime | None

    @property
    def leads(self) -> int:
        return sum(self.status.leads.values())

    @property
    def penetration(self) -> float | None:
        """Share of the leads that were dialed at least once."""
        return _rate(self.status.tally.dialed, self.leads)

    @property
    def contact_rate(self) -> float | None:
        """Leads with whom somebody spoke, of those dialed."""
        return _rate(self.status.tally.contacted, self.status.tally.dialed)

    @property
    def success_rate(self) -> float | None:
        """Leads of whom the agent judged a call a success, of those dialed."""
        return _rate(self.status.tally.succeeded, self.status.tally.dialed)

    @property
    def cost_per_contact(self) -> float | None:
        """Cents of all calls for each lead with whom somebody spoke."""
        return _rate(self.status.cost_cents, self.status.tally.contacted)

    def document(self) -> dict[str, Any]:
        tally = self.status.tally
        hours = [
            {"weekday": WEEKDAYS[day], "hour": hour, "calls": calls, "contacts": contacts,
             "answer_rate": _rate(contacts, calls)}
            for (day, hour), (calls, contacts) in sorted(self.local.items())
        ]  # fmt: skip
        return self.status.document() | {
            "calls": self.calls,
            "dialed_leads": tally.dialed,
            "contacted_leads": tally.contacted,
            "succeeded_leads": tally.succeeded,
            "penetration": self.penetration,
            "contact_rate": self.contact_rate,
            "success_rate": self.success_rate,
            "answer_rate": _rate(self.contacts, self.calls),
            "cost_per_contact_cents": self.cost_per_contact,
            "cost_per_call_cents": _rate(self.status.cost_cents, self.calls),
            "talk_seconds": round(self.talk_seconds, 1),
            "attempts_per_lead": {str(tries): leads for tries, leads in self.attempts_per_lead.items()},
            "attempts_to_contact": {str(tries): leads for tries, leads in self.attempts_to_contact.items()},
            "by_local_time": hours,
            "calls_without_zone": self.without_zone,
            "by_day": [
                {"day": day, "calls": calls, "contacts": contacts, "cost_cents": round(cents, 4)}
                for day, (calls, contacts, cents) in sorted(self.daily.items())
            ],
            "by_agent": [share.document() for share in self.by_agent],
            "by_number": [share.document() for share in self.by_number],
            "by_file": [share.document() for share in self.by_file],
            "variants": [variant.document() for variant in self.variants],
            "comparison": comparison(self.variants),
            "first_dial": None if self.first_dial is None else iso(self.first_dial),
            "last_dial": None if self.last_dial is None else iso(self.last_dial),
            "slot_use": _rounded(self.slot_use),
            "slot_use_busy": _rounded(self.slot_use_busy),
        }


def report(
    store: Store, campaign: Campaign, now: datetime, progress: Callable[[int], None] = lambda calls: None
) -> Report:
    """Read the campaign's calls once and sum them up. progress: called with the calls read so far."""
    current = status(store, campaign, now)
    sums = _Sums()
    with _without_collections():
        for rows in store.reports.call_chunks(campaign.id, _CHUNK):
            columns = zip(CALL_COLUMNS, zip(*rows, strict=True), strict=True)
            sums.add(pd.DataFrame({name: _column(name, values) for name, values in columns}))
            progress(sums.calls)
    files = {file.id: file.name for file in store.imports.files(campaign.id)}
    starts, ends = sums.joined("placed_at"), sums.joined("ended_at")
    dials = sums.joined("dialing_at")
    last = int(dials.max()) if len(dials) else None
    whole, busy = slot_use(starts, ends, current.ceiling, last) if last is not None else (None, None)
    by_agent = sums.shares("agent_id", agent_named)
    return Report(
        status=current,
        calls=sums.calls,
        contacts=int(sums.total(1)),
        talk_seconds=sums.total(4) / 1000,
        attempts_per_lead=store.reports.attempts_per_lead(campaign.id),
        attempts_to_contact=_first_contacts(sums.joined("lead_id"), dials, sums.joined("contact") > 0),
        local={key: (int(v[0]), int(v[1])) for key, v in sums.local.items()},
        without_zone=sums.without_zone,
        daily={
            f"{from_ms(day * _DAY_MS):%Y-%m-%d}": (int(v[0]), int(v[1]), v[2])
            for day, v in sums.daily.items()
        },
        by_agent=by_agent,
        by_number=sums.shares("from_number", str),
        by_file=sums.shares("file_id", lambda key: files.get(key, str(key))),
        variants=variant_results(
            [agent_named(agent) for agent in sums.agents],
            {share.key: share.cost_cents for share in by_agent},
            sums.joined("agent"),
            sums.joined("lead_id"),
            sums.joined("contact"),
            sums.joined("successful"),
        ),
        slot_use=whole,
        slot_use_busy=busy,
        first_dial=from_ms(int(dials.min())) if len(dials) else None,
        last_dial=None if last is None else from_ms(last),
    )


def agent_named(agent_id: str) -> str:
    return agent_id or "the number's agent"


@contextmanager
def _without_collections() -> Iterator[None]:
    """Millions of tuples make the garbage collector look again and again for cycles that are not there."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@dataclass
class _Sums:
    """What is kept of the calls read so far."""

    calls: int = 0
    without_zone: int = 0
    local: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    daily: dict[int, list[float]] = field(default_factory=dict)
    #: (agent, number, file) -> calls, contacts, successes, cents, milliseconds of talk
    groups: dict[tuple[Any, ...], list[float]] = field(default_factory=dict)
    kept: dict[str, list[Any]] = field(default_factory=dict)
    #: Agent -> its position among those seen, which is what is kept of each call.
    agents: dict[str, int] = field(default_factory=dict)

    def add(self, calls: pd.DataFrame) -> None:
        self.calls += len(calls)
        sums = ["contact", "successful", "cost_cents", "duration_ms"]
        _merge(self.groups, _counts(calls.groupby(list(_SHARED), sort=False, observed=True), sums))
        quarters = (calls["dialing_at"] // _QUARTER_MS).rename("quarter")
        times = _counts(
            calls.groupby(["zones", quarters], sort=False, observed=True), ["contact", "cost_cents"]
        ).reset_index()
        days = times["quarter"] * _QUARTER_MS // _DAY_MS
        _merge(self.daily, times.groupby(days, sort=False)[["calls", "contact", "cost_cents"]].sum())
        self._by_local_time(times)
        for name in ("lead_id", "dialing_at", "placed_at", "ended_at", "contact"):
            self.kept.setdefault(name, []).append(calls[name].to_numpy())
        named = calls["agent_id"].cat
        positions = [self.agents.setdefault(agent, len(self.agents)) for agent in named.categories]
        self.kept.setdefault("agent", []).append(np.array(positions, dtype=np.int32)[named.codes])
        won = (calls["successful"] > 0).to_numpy(dtype=np.int8)
        self.kept.setdefault("successful", []).append(won)

    def _by_local_time(self, times: pd.DataFrame) -> None:
        known = times[times["zones"] != ""]
        self.without_zone += int(times["calls"].sum() - known["calls"].sum())
        for zones, its in known.groupby("zones", sort=False, observed=True):
            instants = its["quarter"].to_numpy() * _QUARTER_MS
            # Where several are possible, the first of them: the hours differ by one or two at most.
            local = instants + _offsets(instants, str(zones).split("|")[0])
            slot = ((local // _DAY_MS + _EPOCH_WEEKDAY) % 7) * 24 + local // _HOUR_MS % 24
            counts = its.groupby(slot, sort=False)[["calls", "contact"]].sum()
            _merge(self.local, counts, lambda key: (int(key) // 24, int(key) % 24))

    def total(self, position: int) -> float:
        """Of all calls, what stands at that place of `groups`."""
        return sum(sums[position] for sums in self.groups.values())

    def shares(self, name: str, named: Callable[[Any], str]) -> list[Share]:
        """Most calls first."""
        added: dict[Any, list[float]] = {}
        for keys, sums in self.groups.items():
            _add(added, keys[_SHARED.index(name)], sums)
        found = [
            Share(named(key), int(calls), int(contacts), int(successes), cost, talk / 1000)
            for key, (calls, contacts, successes, cost, talk) in added.items()
        ]
        return sorted(found, key=lambda share: (-share.calls, share.key))

    def joined(self, name: str) -> Any:
        parts = self.kept.get(name, [])
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _column(name: str, values: tuple[Any, ...]) -> Any:
    """Numbers as numbers; names as categories, which are compared as numbers."""
    if name in ("zones", "agent_id", "from_number"):
        return pd.Categorical(values)
    return np.array(values, dtype=np.float64 if name in ("duration_ms", "cost_cents") else np.int64)


def _counts(grouped: Any, summed: list[str]) -> pd.DataFrame:
    """Of each group how many calls it has, and the sums of these columns."""
    counts: pd.DataFrame = grouped[summed].sum()
    counts.insert(0, "calls", grouped.size())
    return counts


def _merge(
    into: dict[Any, list[float]], counts: pd.DataFrame, key_of: Callable[[Any], Any] = lambda key: key
) -> None:
    for key, *values in counts.itertuples(name=None):
        _add(into, key_of(key), values)


def _add(into: dict[Any, list[float]], key: Any, values: Sequence[float]) -> None:
    sums = into.setdefault(key, [0.0] * len(values))
    for position, value in enumerate(values):
        sums[position] += float(value)


def _offsets(instants: Any, zone: str) -> Any:
    """Milliseconds to add to each instant to read it off a clock of the zone."""
    quarters, where = np.unique(instants // _QUARTER_MS, return_inverse=True)
    own = ZoneInfo(zone)
    offsets = [
        int((from_ms(int(quarter) * _QUARTER_MS).astimezone(own).utcoffset() or _NONE).total_seconds() * 1000)
        for quarter in quarters
    ]
    return np.array(offsets, dtype=np.int64)[where]


_NONE = from_ms(0) - from_ms(0)


def _first_contacts(leads: Any, dials: Any, contact: Any) -> dict[int, int]:
    """Which call of a lead was the first that somebody took -> how many leads."""
    if not len(leads):
        return {}
    order = np.lexsort((dials, leads))
    ordered, taken = leads[order], contact[order]
    position = np.arange(len(ordered))
    begins = np.r_[True, ordered[1:] != ordered[:-1]]
    ordinal = position - np.maximum.accumulate(np.where(begins, position, 0)) + 1
    _, first = np.unique(ordered[taken], return_index=True)
    numbers, leads_of = np.unique(ordinal[taken][first], return_counts=True)
    return {int(number): int(count) for number, count in zip(numbers, leads_of, strict=True)}


def slot_use(starts: Any, ends: Any, slots: int, last_dial: int) -> tuple[float | None, float | None]:
    """Busy slot-seconds over available ones, from the first to the last dial: (of all time, of busy time).

    starts, ends: arrays of milliseconds, one call each.
    """
    if not len(starts) or slots <= 0:
        return None, None
    order = np.argsort(starts, kind="stable")
    begin, end = starts[order], np.minimum(ends[order], last_dial)
    used = float(np.maximum(end - begin, 0).sum())
    until = np.maximum.accumulate(np.maximum(end, begin))
    before = np.r_[begin[0], until[:-1]]
    covered = float(np.maximum(end - np.maximum(begin, before), 0).sum())
    span = float(last_dial - begin[0])
    return used / (slots * span) if span > 0 else None, used / (slots * covered) if covered > 0 else None


def _rate(part: float, whole: float) -> float | None:
    return _rounded(part / whole) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
