"""The do-not-call list: millions of numbers, and the record of who put them there or took them off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.states import LeadState
from campaigns.store.database import Database
from campaigns.store.events import Event, record
from campaigns.store.schema import leads, suppression_log, suppressions

#: Numbers of one transaction: others write between two of them.
_TURN = 10_000
_WAITING = f"l.state IN ('{LeadState.PENDING}', '{LeadState.HELD}')"
#: What is listed for good stays so; a later expiry replaces an earlier one.
_STRONGER = (
    " ON CONFLICT (phone) DO UPDATE SET source = excluded.source, reason = excluded.reason,"
    " expires_at = excluded.expires_at WHERE suppressions.expires_at IS NOT NULL"
    " AND (excluded.expires_at IS NULL OR excluded.expires_at > suppressions.expires_at)"
)


@dataclass(frozen=True, slots=True)
class Suppression:
    """expires_at: None = for good."""

    phone: str
    source: str
    reason: str
    added_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class SuppressionEvent:
    """One entry of the record. phone: None for a whole list of `numbers`. data_of: the day a list's data is of."""

    at: datetime
    action: str
    phone: str | None
    source: str
    reason: str
    by: str
    file: str | None
    sha256: str | None
    numbers: int
    data_of: datetime | None


class SuppressionRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def suppress(
        self,
        phones: Iterable[str],
        source: str,
        reason: str,
        now: datetime,
        *,
        expires_at: datetime | None = None,
        by: str = "",
    ) -> int:
        """Put numbers on the list; queued leads of theirs end as suppressed. Returns how many are new.

        A number that is listed for good stays listed for good.
        """
        numbers = sorted({int(phone) for phone in phones})
        expires = None if expires_at is None else to_ms(expires_at)
        added = 0
        for start in range(0, len(numbers), _TURN):
            with self._db.write() as connection:
                fresh = _add(
                    self._db, connection, numbers[start : start + _TURN], source, reason, to_ms(now), expires
                )
                added += len(fresh)
                if fresh:
                    connection.execute(
                        sa.insert(suppression_log),
                        [_logged(to_ms(now), "added", f"+{phone}", source, reason, by) for phone in fresh],
                    )
        return added

    def load(
        self, numbers: Sequence[int], source: str, reason: str, now: datetime, expires_at: datetime | None
    ) -> int:
        """One part of a whole list, sorted, in one short transaction; the list is logged by `record_list`."""
        expires = None if expires_at is None else to_ms(expires_at)
        with self._db.write() as connection:
            return len(_add(self._db, connection, numbers, source, reason, to_ms(now), expires))

    def record_list(
        self,
        file: str,
        sha256: str,
        numbers: int,
        source: str,
        reason: str,
        by: str,
        now: datetime,
        data_of: datetime | None,
    ) -> None:
        values = _logged(to_ms(now), "imported", None, source, reason, by) | {
            "file": file,
            "sha256": sha256,
            "numbers": numbers,
            "data_of": None if data_of is None else to_ms(data_of),
        }
        with self._db.write() as connection:
            connection.execute(sa.insert(suppression_log).values(values))

    def remove(self, phone: str, reason: str, by: str, now: datetime) -> Suppression | None:
        """Take a number off the list, for a reason that is kept. None: it was not on it. Its leads stay as they are."""
        with self._db.write() as connection:
            gone = connection.execute(
                sa.delete(suppressions).where(suppressions.c.phone == phone).returning(suppressions)
            ).first()
            if gone is None:
                return None
            connection.execute(
                sa.insert(suppression_log).values(
                    _logged(to_ms(now), "removed", phone, gone.source, reason, by)
                )
            )
        return _suppression(gone)

    def expire(self, now: datetime) -> int:
        """Take off what has expired; returns how many."""
        due = suppressions.c.expires_at <= to_ms(now)
        with self._db.read() as connection:
            if connection.execute(sa.select(suppressions.c.phone).where(due).limit(1)).first() is None:
                return 0
        gone = 0
        while True:
            batch = sa.select(suppressions.c.phone).where(due).limit(_TURN)
            with self._db.write() as connection:
                rows = connection.execute(
                    sa.delete(suppressions)
                    .where(suppressions.c.phone.in_(batch))
                    .returning(suppressions.c.phone, suppressions.c.source)
                ).all()
                if rows:
                    connection.execute(
                        sa.insert(suppression_log),
                        [
                            _logged(to_ms(now), "expired", row.phone, row.source, "its time was over", "")
                            for row in rows
                        ],
                    )
            gone += len(rows)
            if len(rows) < _TURN:
                return gone

    def find(self, phone: str) -> Suppression | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(suppressions).where(suppressions.c.phone == phone)).first()
        return _suppression(row) if row else None

    def history(self, phone: str | None = None, action: str | None = None) -> list[SuppressionEvent]:
        """What the record says of a number, or of all lists and numbers; oldest first."""
        query = sa.select(suppression_log).order_by(suppression_log.c.id)
        if phone is not None:
            query = query.where(suppression_log.c.phone == phone)
        if action is not None:
            query = query.where(suppression_log.c.action == action)
        with self._db.read() as connection:
            return [
                SuppressionEvent(
                    from_ms(row.at),
                    row.action,
                    row.phone,
                    row.source,
                    row.reason,
                    row.by_whom,
                    row.file,
                    row.sha256,
                    row.numbers,
                    None if row.data_of is None else from_ms(row.data_of),
                )
                for row in connection.execute(query)
            ]

    def counts(self) -> dict[str, int]:
        """Listed numbers by source."""
        query = sa.select(suppressions.c.source, sa.func.count()).group_by(suppressions.c.source)
        with self._db.read() as connection:
            return dict(connection.execute(query.order_by(suppressions.c.source)).all())

    def listed(self, source: str | None = None) -> Iterator[Suppression]:
        """Every listed number, ascending."""
        query = sa.select(suppressions).order_by(suppressions.c.phone)
        if source is not None:
            query = query.where(suppressions.c.source == source)
        with self._db.read() as connection:
            for row in connection.execution_options(yield_per=10_000).execute(query):
                yield _suppression(row)


def _add(
    database: Database,
    connection: sa.Connection,
    numbers: Sequence[int],
    source: str,
    reason: str,
    now: int,
    expires_at: int | None,
) -> list[int]:
    """Inside a transaction: listed, and every waiting lead of theirs in every campaign suppressed. Returns the new."""
    listed = {
        phone
        for (phone,) in database.matching_in(
            connection, "SELECT s.phone FROM {numbers} JOIN suppressions s ON s.phone = {number}", numbers
        )
    }
    database.matching_in(
        connection,
        "INSERT INTO suppressions (phone, source, reason, added_at, expires_at)"
        # SQLite must not take ON CONFLICT for the condition of a join.
        " SELECT {number}, {0}, {1}, {2}, {3} FROM {numbers} WHERE true" + _STRONGER,
        numbers,
        source,
        reason,
        now,
        expires_at,
    )
    # A claim on PostgreSQL must not take one in between.
    lock = "" if database.is_sqlite else " ORDER BY l.id FOR UPDATE OF l"
    waiting = database.matching_in(
        connection,
        "SELECT l.id, l.campaign_id, l.state FROM {numbers} JOIN leads l ON l.phone = {number}"
        f" WHERE {_WAITING}{lock}",
        numbers,
    )
    if waiting:
        connection.execute(
            sa.update(leads)
            .where(leads.c.id == sa.bindparam("lead"))
            .values(state=LeadState.SUPPRESSED, hold_code=None, hold_remedy=None),
            [{"lead": lead} for lead, _, _ in waiting],
        )
        record(
            connection,
            [
                Event("lead", campaign_id, state, LeadState.SUPPRESSED, now, lead, detail=source)
                for lead, campaign_id, state in sorted(waiting)
            ],
        )
    return [number for number in numbers if number not in listed]


def suppress_in(
    database: Database, connection: sa.Connection, phone: str, source: str, reason: str, now: int
) -> int:
    """One number, for good, inside a transaction; 1 if it is new on the list."""
    fresh = _add(database, connection, [int(phone)], source, reason, now, None)
    if fresh:
        connection.execute(
            sa.insert(suppression_log).values(_logged(now, "added", phone, source, reason, ""))
        )
    return len(fresh)


def _logged(at: int, action: str, phone: str | None, source: str, reason: str, by: str) -> dict[str, object]:
    return {
        "at": at,
        "action": action,
        "phone": phone,
        "source": source,
        "reason": reason,
        "by_whom": by,
    }


def _suppression(row: sa.Row[tuple[object, ...]]) -> Suppression:
    expires = row.expires_at
    return Suppression(
        row.phone,
        row.source,
        row.reason,
        from_ms(row.added_at),
        None if expires is None else from_ms(expires),
    )
