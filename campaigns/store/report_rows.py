"""Reading for people: counts, lists and exports. Nothing here changes a row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import Callee
from campaigns.domain.outcomes import CONTACTS
from campaigns.domain.states import AttemptState, LeadState
from campaigns.store.database import Database
from campaigns.store.row_blocks import unpack, variables_of
from campaigns.store.schema import (
    attempts,
    campaigns,
    events,
    file_rows,
    files,
    in_state,
    is_open,
    leads,
    rejects,
    segments,
)

_BLOCK = (
    sa.select(file_rows.c.rows)
    .where(file_rows.c.file_id == sa.bindparam("file"), file_rows.c.first_line <= sa.bindparam("line"))
    .order_by(file_rows.c.first_line.desc())
    .limit(1)
)


#: Of a settled call; what is not known is 0. contact, successful: 1 or 0. Times in business ms; zones and file_id are
#: those of its lead.
CALL_COLUMNS = ("lead_id", "file_id", "zones", "agent_id", "from_number", "dialing_at", "placed_at", "ended_at",
                "contact", "duration_ms", "cost_cents", "successful")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Waiting:
    """Pending leads that are alike, due in the same step of time (0: now). used: attempts they had, together."""

    callee: Callee
    steps: int
    leads: int
    used: int


class ReportRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def lead_counts(self, campaign_id: str) -> dict[str, int]:
        """Leads by state, every state named, counted from the rows."""
        return self._counts(leads, campaign_id, [state.value for state in LeadState])

    def attempt_counts(self, campaign_id: str) -> dict[str, int]:
        """Attempts by state, every state named, counted from the rows."""
        return self._counts(attempts, campaign_id, [state.value for state in AttemptState])

    def leads_up_to(self, campaign_id: str, enough: int) -> int:
        """How many leads the campaign has, counted no further than `enough`."""
        some = sa.select(leads.c.id).where(leads.c.campaign_id == campaign_id).limit(enough).subquery()
        with self._db.read() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(some)).scalar() or 0)

    def _counts(self, table: sa.Table, campaign_id: str, states: list[str]) -> dict[str, int]:
        query = (
            sa.select(table.c.state, sa.func.count())
            .where(table.c.campaign_id == campaign_id)
            .group_by(table.c.state)
        )
        with self._db.read() as connection:
            found: dict[str, int] = dict(connection.execute(query).all())
        return {state: found.get(state, 0) for state in states}

    def rejected_rows(self, campaign_id: str) -> int:
        """Rows of the campaign's files that did not become a lead, duplicates included."""
        query = sa.select(sa.func.count()).where(rejects.c.campaign_id == campaign_id)
        with self._db.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def call_chunks(self, campaign_id: str, size: int) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The campaign's settled calls in no order, so many at a time: tuples of CALL_COLUMNS."""
        taken = sa.case((attempts.c.outcome.in_([str(outcome) for outcome in CONTACTS]), 1), else_=0)
        own: dict[str, sa.ColumnElement[Any]] = {
            "contact": taken, "zones": leads.c.zones, "file_id": leads.c.file_id,
            "successful": sa.case((attempts.c.successful, 1), else_=0),
            **{
                name: sa.func.coalesce(attempts.c[name], 0)
                for name in ("placed_at", "ended_at", "duration_ms", "cost_cents")
            },
        }  # fmt: skip
        query = (
            sa.select(*(own[name] if name in own else attempts.c[name] for name in CALL_COLUMNS))
            .join(leads, leads.c.id == attempts.c.lead_id)
            .where(attempts.c.campaign_id == campaign_id, attempts.c.state == AttemptState.SETTLED)
        )
        with self._db.read() as connection:
            if not self._db.is_sqlite:
                for rows in connection.execution_options(yield_per=size).execute(query).partitions(size):
                    yield [tuple(row) for row in rows]
                return
            # SQLite's own tuples: rows of SQLAlchemy would take half as long again.
            cursor: Any = connection.execute(query).cursor
            while found := cursor.fetchmany(size):
                yield found

    def seconds_per_call(self, campaign_id: str, latest: int = 300) -> tuple[float, int]:
        """(business seconds for which a call held its line, on average over the latest ones; how many they are)."""
        recent = (
            sa.select((attempts.c.ended_at - attempts.c.claimed_at).label("held"))
            .where(attempts.c.campaign_id == campaign_id, attempts.c.ended_at.is_not(None))
            .order_by(attempts.c.claimed_at.desc())
            .limit(latest)
            .subquery()
        )
        query = sa.select(sa.func.coalesce(sa.func.avg(recent.c.held), 0), sa.func.count(recent.c.held))
        with self._db.read() as connection:
            held, calls = connection.execute(query).one()
        return float(held) / 1000, int(calls)

    def attempts_per_lead(self, campaign_id: str) -> dict[int, int]:
        """How many leads used how many (charged) attempts, untried ones left out."""
        query = (
            sa.select(leads.c.attempts, sa.func.count())
            .where(leads.c.campaign_id == campaign_id, leads.c.attempts > 0)
            .group_by(leads.c.attempts)
            .order_by(leads.c.attempts)
        )
        with self._db.read() as connection:
            return dict(connection.execute(query).all())

    def earliest_pending(self, campaign_id: str) -> list[tuple[Callee, datetime]]:
        """(callee, earliest next attempt) of the pending leads, one for those that are alike.

        One probe of an index per segment, flat in the size of the list.
        """
        earliest = (
            sa.select(sa.func.min(leads.c.next_attempt_at))
            .where(
                leads.c.campaign_id == segments.c.campaign_id,
                leads.c.zones == segments.c.zones,
                leads.c.jurisdictions == segments.c.jurisdictions,
                leads.c.priority == segments.c.priority,
                in_state(LeadState.PENDING),
            )
            .scalar_subquery()
        )
        query = sa.select(segments.c.zones, segments.c.jurisdictions, earliest.label("at")).where(
            segments.c.campaign_id == campaign_id
        )
        found: dict[Callee, int] = {}
        with self._db.read() as connection:
            for zones, jurisdictions, at in connection.execute(query):
                if at is not None:
                    callee = Callee.of(zones, jurisdictions)
                    found[callee] = min(at, found.get(callee, at))
        return [(callee, from_ms(at)) for callee, at in found.items()]

    def pending_groups(self, campaign_id: str) -> list[tuple[Callee, datetime, int]]:
        """(callee, earliest next attempt, how many) of the pending leads, one for those that are alike."""
        query = (
            sa.select(
                leads.c.zones, leads.c.jurisdictions, sa.func.min(leads.c.next_attempt_at), sa.func.count()
            )
            .where(leads.c.campaign_id == campaign_id, in_state(LeadState.PENDING))
            .group_by(leads.c.zones, leads.c.jurisdictions)
        )
        with self._db.read() as connection:
            return [
                (Callee.of(zones, jurisdictions), from_ms(at), count)
                for zones, jurisdictions, at, count in connection.execute(query)
            ]

    def waiting(self, campaign_id: str, now: datetime, step_ms: int) -> list[Waiting]:
        """The pending leads in groups: what a forecast starts from. Reads each of them once."""
        at = to_ms(now)
        late = sa.case((leads.c.next_attempt_at <= at, 0), else_=(leads.c.next_attempt_at - at) / step_ms + 1)
        steps = sa.cast(sa.func.floor(late) if not self._db.is_sqlite else late, sa.BigInteger).label("steps")
        query = (
            sa.select(
                leads.c.zones, leads.c.jurisdictions, steps, sa.func.count(), sa.func.sum(leads.c.attempts)
            )
            .where(leads.c.campaign_id == campaign_id, in_state(LeadState.PENDING))
            .group_by(leads.c.zones, leads.c.jurisdictions, steps)
        )
        with self._db.read() as connection:
            return [
                Waiting(Callee.of(zones, jurisdictions), int(late), int(count), int(used))
                for zones, jurisdictions, late, count, used in connection.execute(query)
            ]

    def leads_of_number(self, phone: str, campaign_id: str | None = None) -> list[dict[str, Any]]:
        """The leads of a number, of one campaign where given, the newest campaign first."""
        query = (
            sa.select(leads)
            .join(campaigns, campaigns.c.id == leads.c.campaign_id)
            .where(leads.c.phone == phone)
            .order_by(campaigns.c.created_at.desc(), leads.c.id)
        )
        if campaign_id is not None:
            query = query.where(leads.c.campaign_id == campaign_id)
        with self._db.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def open_attempt_of(self, workspace: str, phone: str) -> tuple[str, str, str] | None:
        """(attempt, campaign's name, state) of the one attempt on a number that is open."""
        query = (
            sa.select(attempts.c.id, campaigns.c.name, attempts.c.state)
            .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
            .where(attempts.c.workspace == workspace, attempts.c.phone == phone, is_open())
        )
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row.id, row.name, row.state)

    def held(self, campaign_id: str) -> list[tuple[str, str, int]]:
        """(code, remedy, leads) of what waits for a person."""
        query = (
            sa.select(leads.c.hold_code, leads.c.hold_remedy, sa.func.count())
            .where(leads.c.campaign_id == campaign_id, in_state(LeadState.HELD))
            .group_by(leads.c.hold_code, leads.c.hold_remedy)
            .order_by(leads.c.hold_code)
        )
        with self._db.read() as connection:
            return [(code, remedy, count) for code, remedy, count in connection.execute(query)]

    def leads(self, campaign_id: str, state: str | None = None) -> Iterator[dict[str, Any]]:
        """Leads in file order, each with its latest attempt that has a call (`attempt` None where there is none).

        cells, variables: the row as the file had it, and what of it is told to the agent.
        """
        latest = (
            sa.select(
                attempts.c.lead_id,
                sa.func.max(attempts.c.dialing_at).label("dialing_at"),
            )
            .where(attempts.c.campaign_id == campaign_id, attempts.c.call_id.is_not(None))
            .group_by(attempts.c.lead_id)
            .subquery()
        )
        last = attempts.alias("last")
        query = (
            sa.select(
                leads,
                files.c.header,
                files.c.variables,
                *(column.label(f"last_{column.name}") for column in last.c),
            )
            .select_from(
                leads.join(files, files.c.id == leads.c.file_id)
                .outerjoin(latest, latest.c.lead_id == leads.c.id)
                .outerjoin(
                    last,
                    sa.and_(
                        last.c.lead_id == leads.c.id,
                        last.c.dialing_at == latest.c.dialing_at,
                        last.c.call_id.is_not(None),
                    ),
                )
            )
            .where(leads.c.campaign_id == campaign_id)
            .order_by(leads.c.file_id, leads.c.line, leads.c.id)
        )
        if state is not None:
            query = query.where(in_state(LeadState(state)))
        with self._db.read() as connection:
            block: Mapping[int, list[str]] = {}
            block_of = None
            for row in connection.execute(query):
                values = dict(row._mapping)
                if block_of != row.file_id or row.line not in block:
                    found = connection.execute(_BLOCK, {"file": row.file_id, "line": row.line}).scalar()
                    block, block_of = unpack(found) if found else {}, row.file_id
                values["cells"] = block.get(row.line, [])
                values["variables"] = variables_of(values.pop("header"), row.variables, values["cells"])
                values["last_analysis"] = (
                    json.loads(values["last_analysis"]) if values["last_analysis"] else {}
                )
                yield values

    def call(self, call_id: str) -> dict[str, Any] | None:
        """Whose call it is: attempt, state, outcome, line of the lead, campaign's name, workspace. None: not ours."""
        query = (
            sa.select(
                attempts.c.id.label("attempt"),
                attempts.c.state,
                attempts.c.outcome,
                attempts.c.workspace,
                leads.c.line,
                campaigns.c.name.label("campaign"),
            )
            .join(leads, leads.c.id == attempts.c.lead_id)
            .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
            .where(attempts.c.call_id == call_id)
        )
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else dict(row._mapping)

    def analysis_fields(self, campaign_id: str) -> list[str]:
        """Names of the fields that the analyses of a campaign's calls extracted, sorted."""
        query = sa.select(attempts.c.analysis).where(
            attempts.c.campaign_id == campaign_id, attempts.c.analysis.is_not(None)
        )
        names: set[str] = set()
        with self._db.read() as connection:
            for text in connection.execute(query).scalars():
                names.update(json.loads(text))
        return sorted(names)

    def latest_business_ms(self) -> int | None:
        """The latest instant that any event carries: where a simulated clock goes on."""
        latest = sa.select(events.c.at).order_by(events.c.id.desc()).limit(1000).subquery()
        with self._db.read() as connection:
            return connection.execute(sa.select(sa.func.max(latest.c.at))).scalar()
