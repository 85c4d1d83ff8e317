"""The append-only record of every transition, written in the transaction that makes it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from campaigns.store.schema import events


@dataclass(frozen=True, slots=True)
class Event:
    """One change of state. `at` is business time in milliseconds."""

    subject: str
    campaign_id: str
    from_state: str | None
    to_state: str
    at: int
    lead_id: int | None = None
    attempt_id: str | None = None
    detail: str | None = None


def real_ms() -> int:
    """Real time in milliseconds since the Unix epoch: leases, time-outs, poll turns."""
    return int(time.time() * 1000)


#: No lease lasts longer than this (real milliseconds): one that ends later was given before the clock was set back.
LONGEST_LEASE_MS = 600_000


def is_over(lease: sa.ColumnElement[int | None], now: int) -> sa.ColumnElement[bool]:
    """Whether a lease (a column of real milliseconds) has run out."""
    return sa.or_(lease < now, lease > now + LONGEST_LEASE_MS)


def record(connection: sa.Connection, happened: Sequence[Event]) -> None:
    """Append events in the order given."""
    if not happened:
        return
    stamp = real_ms()
    connection.execute(
        sa.insert(events),
        [
            {
                "at": event.at,
                "at_real": stamp,
                "campaign_id": event.campaign_id,
                "lead_id": event.lead_id,
                "attempt_id": event.attempt_id,
                "subject": event.subject,
                "from_state": event.from_state,
                "to_state": event.to_state,
                "detail": event.detail,
            }
            for event in happened
        ],
    )
