"""Lists of leads, attempts and events for people: filtered, sorted, page by page. Nothing here changes a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.states import AttemptState, LeadState
from campaigns.store.database import Database
from campaigns.store.schema import attempts, campaigns, events, files, in_state, is_open, leads

_FETCHED = 500

#: Name of an order -> its column. All are ended by the row's own order, so that pages never overlap.
LEAD_ORDERS: Mapping[str, sa.ColumnElement[Any]] = {
    "line": leads.c.line,
    "phone": leads.c.phone,
    "state": leads.c.state,
    "outcome": leads.c.outcome,
    "attempts": leads.c.attempts,
    "priority": leads.c.priority,
    "next": leads.c.next_attempt_at,
    "last": leads.c.last_attempt_at,
}
ATTEMPT_ORDERS: Mapping[str, sa.ColumnElement[Any]] = {
    "time": attempts.c.claimed_at,
    "phone": attempts.c.phone,
    "state": attempts.c.state,
    "outcome": attempts.c.outcome,
    "duration": attempts.c.duration_ms,
    "cost": attempts.c.cost_cents,
}


@dataclass(frozen=True, slots=True)
class Page:
    """order: a name of LEAD_ORDERS or ATTEMPT_ORDERS, with `-` before it from the greatest. limit None: all."""

    order: str
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class LiveCall:
    """An attempt that holds a line. since: the business instant at which its state began."""

    campaign_id: str
    campaign: str
    attempt_id: str
    phone: str
    agent_id: str
    state: AttemptState
    since: datetime


class ListingRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def leads(
        self,
        campaign_id: str,
        page: Page,
        *,
        state: str | None = None,
        outcome: str | None = None,
        hold_code: str | None = None,
        phone: str | None = None,
        file: str | None = None,
        zone: str | None = None,
        least_attempts: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Leads with the name of their `file` and the id of their last call (`call_id`)."""
        last_call = (
            sa.select(attempts.c.call_id)
            .where(attempts.c.lead_id == leads.c.id, attempts.c.call_id.is_not(None))
            .order_by(attempts.c.dialing_at.desc())
            .limit(1)
            .scalar_subquery()
        )
        names = ("id", "line", "phone", "state", "zones", "zone_source", "priority", "attempts", "outcome",
                 "next_attempt_at", "last_attempt_at", "contacted", "succeeded", "hold_code", "hold_remedy",
                 "external_id")  # fmt: skip
        query = (
            sa.select(
                *(leads.c[name] for name in names), files.c.name.label("file"), last_call.label("call_id")
            )
            .join(files, files.c.id == leads.c.file_id)
            .where(leads.c.campaign_id == campaign_id)
        )
        if state is not None:
            query = query.where(in_state(LeadState(state)))
        wanted = {leads.c.outcome: outcome, leads.c.hold_code: hold_code,
                  leads.c.phone: phone, files.c.name: file}  # fmt: skip
        query = query.where(*(column == value for column, value in wanted.items() if value is not None))
        if zone is not None:
            # Whole names: `|` stands between the zones of a lead.
            query = query.where(("|" + leads.c.zones + "|").contains(f"|{zone}|", autoescape=True))
        if least_attempts is not None:
            query = query.where(leads.c.attempts >= least_attempts)
        yield from self._page(query, page, LEAD_ORDERS, (leads.c.file_id, leads.c.line, leads.c.id))

    def attempts(
        self,
        campaign_id: str,
        page: Page,
        *,
        state: str | None = None,
        outcome: str | None = None,
        phone: str | None = None,
        agent: str | None = None,
        from_number: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Attempts with the line of their lead (`lead_line`)."""
        left_out = {"summary", "transcript", "analysis", "recording_url"}
        query = (
            sa.select(*(c for c in attempts.c if c.name not in left_out), leads.c.line.label("lead_line"))
            .join(leads, leads.c.id == attempts.c.lead_id)
            .where(attempts.c.campaign_id == campaign_id)
        )
        wanted = {attempts.c.state: state, attempts.c.outcome: outcome, attempts.c.phone: phone,
                  attempts.c.agent_id: agent, attempts.c.from_number: from_number}  # fmt: skip
        query = query.where(*(column == value for column, value in wanted.items() if value is not None))
        yield from self._page(query, page, ATTEMPT_ORDERS, (attempts.c.claimed_at, attempts.c.id))

    def call_of(self, attempt_id: str) -> dict[str, Any]:
        """Everything of one attempt, transcript included. Raises KeyError when there is none."""
        with self._db.read() as connection:
            row = connection.execute(sa.select(attempts).where(attempts.c.id == attempt_id)).first()
        if row is None:
            raise KeyError(attempt_id)
        return dict(row._mapping)

    def _page(
        self,
        query: sa.Select[Any],
        page: Page,
        orders: Mapping[str, sa.ColumnElement[Any]],
        own: tuple[sa.ColumnElement[Any], ...],
    ) -> Iterator[dict[str, Any]]:
        name = page.order.removeprefix("-")
        column = orders[name]
        backwards = page.order.startswith("-")
        first = column.desc() if backwards else column.asc()
        # By line means in the order of the files, then of their lines.
        chosen = () if name == "line" and not backwards else (first.nulls_last(),)
        query = query.order_by(*chosen, *own).limit(page.limit).offset(page.offset)
        with self._db.read() as connection:
            rows = connection.execution_options(yield_per=_FETCHED).execute(query)
            for row in rows:
                yield dict(row._mapping)

    def events(self, campaign_id: str, limit: int) -> list[dict[str, Any]]:
        """The campaign's latest events, oldest first."""
        query = (
            sa.select(events)
            .where(events.c.campaign_id == campaign_id)
            .order_by(events.c.id.desc())
            .limit(limit)
        )
        with self._db.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)][::-1]

    def events_after(self, campaign_id: str, event_id: int, limit: int) -> list[dict[str, Any]]:
        """The campaign's events with a greater id, oldest first."""
        query = (
            sa.select(events)
            .where(events.c.campaign_id == campaign_id, events.c.id > event_id)
            .order_by(events.c.id)
            .limit(limit)
        )
        with self._db.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def live_calls(self) -> list[LiveCall]:
        """What holds a line at this moment, the oldest first."""
        query = (
            sa.select(attempts, campaigns.c.name.label("campaign"))
            .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
            .where(is_open(), attempts.c.state != sa.literal_column("'ended'"))
            .order_by(attempts.c.claimed_at, attempts.c.id)
        )
        with self._db.read() as connection:
            return [
                LiveCall(
                    row.campaign_id, row.campaign, row.id, row.phone, row.agent_id, AttemptState(row.state),
                    from_ms(row.placed_at or row.dialing_at or row.claimed_at),
                )
                for row in connection.execute(query)
            ]  # fmt: skip

    def last_from_number(self, campaign_id: str, phone: str) -> str | None:
        """What the campaign called a number from last; attempts that were not placed do not count."""
        query = (
            sa.select(attempts.c.from_number)
            .join(leads, leads.c.id == attempts.c.lead_id)
            .where(
                leads.c.phone == phone,
                leads.c.campaign_id == campaign_id,
                attempts.c.state != AttemptState.NOT_PLACED,
            )
            .order_by(attempts.c.claimed_at.desc())
            .limit(1)
        )
        with self._db.read() as connection:
            return connection.execute(query).scalar()

    def dials_since(self, campaign_ids: list[str], since: datetime) -> dict[str, int]:
        """Attempts claimed since then and sent, by campaign; those without any are left out."""
        query = (
            sa.select(attempts.c.campaign_id, sa.func.count())
            .where(
                attempts.c.campaign_id.in_(campaign_ids),
                attempts.c.claimed_at >= to_ms(since),
                attempts.c.dialing_at.is_not(None),
            )
            .group_by(attempts.c.campaign_id)
        )
        with self._db.read() as connection:
            return dict(connection.execute(query).all())
