"""The guarded moves of attempts and leads: one UPDATE that says whether it won, and its event, in one transaction."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from campaigns.domain.clock import to_ms
from campaigns.domain.states import (
    ATTEMPT_TRANSITIONS,
    LEAD_TRANSITIONS,
    AttemptState,
    CampaignState,
    LeadState,
)
from campaigns.store.events import Event, record
from campaigns.store.schema import attempts, campaigns, leads, suppressions


@lru_cache(maxsize=64)
def _move_statement(columns: tuple[str, ...]) -> ReturningUpdate[tuple[str, int]]:
    """The guarded UPDATE that sets these columns; built once for each set of them."""
    return (
        sa.update(attempts)
        .where(attempts.c.id == sa.bindparam("attempt"), attempts.c.state == sa.bindparam("source"))
        .values({name: sa.bindparam(f"to_{name}") for name in columns})
        .returning(attempts.c.campaign_id, attempts.c.lead_id)
    )


def move_attempt(
    connection: sa.Connection,
    attempt_id: str,
    source: AttemptState,
    to: AttemptState,
    now: datetime,
    *conditions: sa.ColumnElement[bool],
    detail: str | None = None,
    **columns: object,
) -> bool:
    if to not in ATTEMPT_TRANSITIONS[source]:
        raise AssertionError(f"no transition from {source} to {to}")
    values = {"state": to, **columns}
    statement = _move_statement(tuple(values))
    if conditions:
        statement = statement.where(*conditions)
    bound = {f"to_{name}": value for name, value in values.items()}
    moved = connection.execute(statement, {"attempt": attempt_id, "source": source, **bound}).first()
    if moved is None:
        return False
    record(
        connection,
        [Event("attempt", moved.campaign_id, source, to, to_ms(now), moved.lead_id, attempt_id, detail)],
    )
    return True


def tell_of_attempt(
    connection: sa.Connection,
    campaign_id: str,
    lead_id: int,
    attempt_id: str,
    state: AttemptState,
    what: str,
    now: datetime,
) -> None:
    """An event of an attempt that changes no state."""
    record(connection, [Event("attempt", campaign_id, state, state, to_ms(now), lead_id, attempt_id, what)])


def return_lead(
    connection: sa.Connection,
    attempt_id: str,
    next_attempt_at: datetime,
    now: datetime,
    hold: tuple[str, str] | None,
    was: LeadState = LeadState.IN_FLIGHT,
) -> None:
    row = connection.execute(
        sa.select(attempts.c.lead_id, attempts.c.campaign_id, attempts.c.phone, campaigns.c.state)
        .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
        .where(attempts.c.id == attempt_id)
        .with_for_update(read=True, of=campaigns)
    ).one()
    values: dict[str, object]
    if hold:
        values = {"state": LeadState.HELD, "hold_code": hold[0], "hold_remedy": hold[1]}
    else:
        values = waiting_again(connection, row.phone, row.state, next_attempt_at)
        if next_attempt_at <= now:
            # At once: it keeps its place, also where the machine's clock is wrong just now.
            values.pop("next_attempt_at", None)
    detail = hold[0] if hold else None
    move_lead(connection, row.lead_id, row.campaign_id, values, now, attempt_id, detail, was)


def waiting_again(
    connection: sa.Connection, phone: str, campaign_state: str, at: datetime
) -> dict[str, object]:
    """Columns of a lead that would wait again: unless its campaign or its number is out of the game by now."""
    if connection.execute(sa.select(suppressions.c.phone).where(suppressions.c.phone == phone)).first():
        return {"state": LeadState.SUPPRESSED}
    if campaign_state == CampaignState.CANCELLED:
        return {"state": LeadState.CANCELLED}
    return {"state": LeadState.PENDING, "next_attempt_at": to_ms(at)}


def move_lead(
    connection: sa.Connection,
    lead_id: int,
    campaign_id: str,
    values: dict[str, object],
    now: datetime,
    attempt_id: str,
    detail: str | None,
    was: LeadState = LeadState.IN_FLIGHT,
) -> None:
    to = LeadState(str(values["state"]))
    if to is not was and to not in LEAD_TRANSITIONS[was]:
        raise AssertionError(f"no transition from {was} to {to}")
    holds = {} if to is LeadState.HELD else {"hold_code": None, "hold_remedy": None}
    moved = connection.execute(
        sa.update(leads).where(leads.c.id == lead_id, leads.c.state == was).values(**values, **holds)
    )
    if moved.rowcount != 1:
        raise AssertionError(f"lead {lead_id} was not {was} while its attempt was open")
    record(
        connection,
        [
            Event("lead", campaign_id, was, to, to_ms(now), lead_id, attempt_id, detail),
        ],
    )
