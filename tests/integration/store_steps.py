"""Short words for what the store's tests do over and over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from campaigns.domain.caller_ids import Caller
from campaigns.domain.caps import Cap, released_at
from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import (
    Allowed,
    Callee,
    CallResult,
    CampaignOptions,
    Evidence,
    LeadOutcome,
    NewLead,
    OpenCall,
    Refused,
)
from campaigns.domain.pacing import Group, Segment
from campaigns.domain.retry import LeadDecision, Reached, RetryAt
from campaigns.domain.split import Variant
from campaigns.domain.states import AttemptState, LeadState
from campaigns.store import Claimed, ClaimPlan, Gate, Store
from campaigns.store.schema import EVIDENCE_GUARDS, attempts, events, evidence, leads, metadata

NOW = datetime(2026, 3, 10, 15, 0, tzinfo=UTC)
CLOSES = NOW + timedelta(hours=5)
WORKSPACE = "acme"
LEASE_MS = 60_000
EAST, WEST = "America/New_York", "America/Los_Angeles"


#: How the guards of the evidence are taken away: no part of the program can.
_UNGUARDED = {
    "sqlite": [f"DROP TRIGGER evidence_no_{what}" for what in ("update", "delete", "replace")],
    "postgresql": ["DROP FUNCTION evidence_is_final CASCADE"],
}


def empty(connection: sa.Connection) -> None:
    """Delete every row."""
    kept = connection.execute(sa.select(sa.func.count()).select_from(evidence)).scalar()
    for drop in _UNGUARDED[connection.dialect.name] if kept else ():
        connection.exec_driver_sql(drop)
    for table in reversed(metadata.sorted_tables):
        connection.execute(sa.delete(table))
    for guard in EVIDENCE_GUARDS[connection.dialect.name] if kept else ():
        connection.exec_driver_sql(guard)


def phone(number: int) -> str:
    return f"+1212555{number:04}"


def new_lead(line: int, number: str, **changes: Any) -> NewLead:
    values: dict[str, Any] = {
        "line": line, "phone": number, "zones": EAST, "zone_source": "number", "jurisdictions": "US-NY", "priority": 5,
        "next_attempt_at": NOW, "state": LeadState.PENDING, "hold": None, "external_id": "", "agent_id": "",
        "agent_version": "", "extension": "", "consent": "", "zip": "", "state_given": "", "ignore_e164": False,
        "metadata": {}, "sip_headers": {}, "cells": (number,),
    }  # fmt: skip
    return NewLead(**values | changes)


def group(zones: str, priority: int = 5, closes: datetime = CLOSES, places: str = "US-NY") -> Group:
    return Group(Segment(zones, places, priority), closes)


def gate(cap: Cap | None = None) -> Gate:
    """A gate that knows of no window: do-not-call, and one cap where given."""

    def ask(_: Callee, now: datetime, dialed_ms: Sequence[int], suppressed: bool) -> Allowed | Refused:
        if suppressed:
            return Refused("suppressed", None, "listed")
        free_at = released_at([cap] if cap else [], dialed_ms, to_ms(now))
        return Allowed(CLOSES) if free_at is None else Refused("over_cap", from_ms(free_at), "too often")

    return ask


#: What a dial of the store's tests leaves as its evidence.
EVIDENCE = Evidence(
    at=NOW, local_times={EAST: "2026-03-10T11:00:00-04:00"}, callee=Callee((EAST,), ("US-NY",)),
    zone_source="number", profile="us-sales", rules_version="r1", tzdata_version="2026.6", window_until=CLOSES,
    caps=[{"calls": 3, "hours": 24, "used": 0}], dnc_checked_at=NOW, consent="",
)  # fmt: skip


def plan(campaign_id: str, *ranked: Sequence[Group], **changes: Any) -> ClaimPlan:
    """A claim plan; without groups, one for leads of the East with the ordinary priority."""
    values: dict[str, Any] = {
        "weight": 1.0, "cap": None, "room": 1000, "callers": (Caller("+15550100"),), "number_cap": None,
        "agents": (Variant("agent"),), "agent_version": "", "gate": gate(),
    }  # fmt: skip
    groups = ranked or ([group(EAST, 0)], [group(EAST, 5)])
    return ClaimPlan(campaign_id=campaign_id, ranked=groups, **values | changes)


class Steps:
    """Moves rows through the store's own methods, and looks at what they left."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # -- moving ----------------------------------------------------------------------------------------------

    def draft(self, name: str = "spring", workspace: str = WORKSPACE, **options: Any) -> str:
        made = self.store.campaigns.create(name, workspace, CampaignOptions(**options), NOW)
        assert made is not None
        return made.id

    def campaign(
        self, name: str = "spring", *numbers: str, workspace: str = WORKSPACE, **options: Any
    ) -> str:
        """A running campaign with a lead for each number."""
        campaign_id = self.draft(name, workspace, **options)
        self.load(campaign_id, *numbers)
        assert self.store.campaigns.launch(campaign_id, NOW)
        return campaign_id

    def load(self, campaign_id: str, *numbers: str, **changes: Any) -> None:
        if numbers:
            self.load_leads(campaign_id, [new_lead(n, x, **changes) for n, x in enumerate(numbers, start=2)])

    def load_leads(self, campaign_id: str, rows: Sequence[NewLead]) -> None:
        with self.store.imports.writer(campaign_id, NOW) as writer:
            writer.begin("list.csv", "0" * 64, 100, ["phone", "name"], "test", variables=[1])
            writer.add_leads(rows)
            writer.finish({"accepted": len(rows)})

    def claim(
        self, *plans: ClaimPlan, ceiling: int = 100, foreign: int = 0, now: datetime = NOW, lease_ms: int = LEASE_MS
    ) -> Claimed:  # fmt: skip
        return self.store.claims.claim(WORKSPACE, ceiling, foreign, plans, now, lease_ms)

    def attempt(self, campaign_id: str, to: AttemptState = AttemptState.CLAIMED, now: datetime = NOW) -> str:
        """Claim the campaign's next lead and bring its attempt to a state by a way that leads there."""
        rows = self.store.attempts
        [attempt_id] = self.claim(plan(campaign_id), ceiling=self.held_slots() + 1, now=now).attempt_ids
        if to is AttemptState.CLAIMED:
            return attempt_id
        self.dial(attempt_id, now)
        if to is AttemptState.NOT_PLACED:
            assert rows.give_back(attempt_id, AttemptState.DIALING, "refused", 422, now, now)
        elif to in (AttemptState.AMBIGUOUS, AttemptState.UNRESOLVED):
            assert rows.doubt(attempt_id, "timed out", now, 1000)
            if to is AttemptState.UNRESOLVED:
                assert rows.give_up(attempt_id, AttemptState.AMBIGUOUS, "not found", "resolve it", now)
        elif to is not AttemptState.DIALING:
            assert rows.place(attempt_id, AttemptState.DIALING, f"call_{attempt_id}", now)
            if to is not AttemptState.PLACED:
                self.end(attempt_id, now=now)
            if to is AttemptState.SETTLED:
                assert self.settle(attempt_id, Reached(), "human", now=now)
        assert self.attempt_row(attempt_id)["state"] == to
        return attempt_id

    def dial(self, attempt_id: str, now: datetime = NOW, lease_ms: int = LEASE_MS) -> None:
        order = self.store.attempts.dial_order(attempt_id)
        assert order is not None
        assert self.store.attempts.begin_dial(order, EVIDENCE, now, lease_ms)

    def end(self, attempt_id: str, result: CallResult | None = None, now: datetime = NOW) -> bool:
        found = self.attempt_row(attempt_id)
        call = OpenCall(
            attempt_id, found["campaign_id"], found["lead_id"], found["call_id"] or "", AttemptState.PLACED, NOW, None
        )  # fmt: skip
        ended = [(call, result or CallResult(disconnection_reason="user_hangup"))]
        return self.store.results.end(ended, now) == [attempt_id]

    def settle(
        self, attempt_id: str, decision: LeadDecision, outcome: str = "no_answer", charged: bool = True,
        now: datetime = NOW,
    ) -> bool:  # fmt: skip
        return self.store.results.settle(
            attempt_id, CallResult(), LeadOutcome(decision, outcome, charged), now
        )

    def finish(self, attempt_id: str, now: datetime = NOW, rest: tuple[str, datetime] | None = None) -> None:
        """Dial a claimed attempt and let nobody answer; the lead is due again at once."""
        self.dial(attempt_id, now)
        assert self.store.attempts.place(attempt_id, AttemptState.DIALING, f"call_{attempt_id}", now)
        assert self.end(attempt_id, now=now)
        outcome = LeadOutcome(RetryAt(now), "no_answer", True)
        assert self.store.results.settle(attempt_id, CallResult(), outcome, now, rest=rest)

    # -- looking ---------------------------------------------------------------------------------------------

    def rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self.store.database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def attempt_row(self, attempt_id: str) -> dict[str, Any]:
        [row] = self.rows(sa.select(attempts).where(attempts.c.id == attempt_id))
        return row

    def lead_row(self, number: str, campaign_id: str | None = None) -> dict[str, Any]:
        query = sa.select(leads).where(leads.c.phone == number)
        if campaign_id is not None:
            query = query.where(leads.c.campaign_id == campaign_id)
        [row] = self.rows(query)
        return row

    def lead_of(self, attempt_id: str) -> dict[str, Any]:
        [row] = self.rows(sa.select(leads).where(leads.c.id == self.attempt_row(attempt_id)["lead_id"]))
        return row

    def dialed_numbers(self, attempt_ids: Sequence[str]) -> list[str]:
        return [self.attempt_row(attempt_id)["phone"] for attempt_id in attempt_ids]

    def held_slots(self) -> int:
        return len(self.store.attempts.holding_ids(WORKSPACE))

    def happened(self, subject: str | None = None) -> list[tuple[str, str | None, str]]:
        """(subject, from, to) of every event so far, oldest first."""
        query = sa.select(events).order_by(events.c.id)
        if subject is not None:
            query = query.where(events.c.subject == subject)
        return [(row["subject"], row["from_state"], row["to_state"]) for row in self.rows(query)]

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table: two equal answers mean that nothing changed in between."""
        with self.store.database.read() as connection:
            return {
                table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
                for table in metadata.sorted_tables
            }

    def execute(self, sql: str, values: Mapping[str, Any] | None = None) -> None:
        """SQL past all the checks of the code, in a transaction of its own."""
        with self.store.database.write() as connection:
            connection.execute(sa.text(sql), dict(values or {}))
