"""Taking a campaign out of sight, and out of the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.states import FINAL_CAMPAIGN, AttemptState
from campaigns.store.database import Database
from campaigns.store.events import Event, record
from campaigns.store.schema import EVIDENCE_GUARDS, attempts, campaigns, evidence, is_open, metadata
from campaigns.store.tallies import attempt_tallies, lead_tallies

#: Rows that go in one transaction: a dialer waits no longer than that takes.
_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Remains:
    """What a campaign has left in the books. open: attempts that may be calls. unresolved: nobody can say."""

    dialed: int
    last_dial: datetime | None
    open: int
    unresolved: int


class RemovalRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def archive(self, campaign_id: str, now: datetime) -> bool:
        """Mark a finished campaign as archived. False: it is not finished, or is archived already."""
        return self._mark(campaign_id, to_ms(now), campaigns.c.archived_at.is_(None))

    def unarchive(self, campaign_id: str) -> bool:
        """Bring it back. False: it is not archived."""
        return self._mark(campaign_id, None, campaigns.c.archived_at.is_not(None))

    def _mark(self, campaign_id: str, at: int | None, was: sa.ColumnElement[bool]) -> bool:
        with self._db.write() as connection:
            marked = connection.execute(
                sa.update(campaigns)
                .where(campaigns.c.id == campaign_id, campaigns.c.state.in_(list(FINAL_CAMPAIGN)), was)
                .values(archived_at=at)
            )
        return marked.rowcount == 1

    def remains(self, campaign_id: str) -> Remains:
        of_it = attempts.c.campaign_id == campaign_id
        dialed = sa.select(sa.func.count(), sa.func.max(attempts.c.dialing_at)).where(
            of_it, attempts.c.dialing_at.is_not(None)
        )
        still_open = sa.select(sa.func.count()).where(of_it, is_open())
        unresolved = sa.select(sa.func.count()).where(of_it, attempts.c.state == AttemptState.UNRESOLVED)
        with self._db.read() as connection:
            count, last = connection.execute(dialed).one()
            return Remains(
                int(count),
                None if last is None else from_ms(last),
                int(connection.execute(still_open).scalar() or 0),
                int(connection.execute(unresolved).scalar() or 0),
            )

    def delete(
        self, campaign_id: str, why: str, now: datetime, progress: Callable[[int], None] = lambda rows: None
    ) -> int:
        """Remove the campaign with everything of it, in small transactions; what is left is one event that says so.

        Broken off half way, it is simply done again. Do-not-call requests stay, they belong to the number. The caller
        has made sure that nothing of it is open. Returns how many rows went.
        """
        gone = 0
        of_it = {"campaign": campaign_id}
        tallied = (lead_tallies, attempt_tallies)  # last: each deleted row is counted down in them
        by_age = [table for table in reversed(metadata.sorted_tables) if table not in tallied]
        for table in (*by_age, *tallied):
            condition = _belongs(table)
            if condition is None or table is campaigns:
                continue
            place = "rowid" if self._db.is_sqlite else "ctid"
            statement = sa.text(
                f"DELETE FROM {table.name} WHERE {place} IN"
                f" (SELECT {place} FROM {table.name} WHERE {condition} LIMIT {_CHUNK})"
            )
            while True:
                with self._db.write() as connection, self._unguarded(connection, table):
                    removed = connection.execute(statement, of_it).rowcount
                gone += removed
                progress(gone)
                if removed < _CHUNK:
                    break
        with self._db.write() as connection:
            connection.execute(sa.delete(campaigns).where(campaigns.c.id == campaign_id))
            record(connection, [Event("campaign", campaign_id, None, "deleted", to_ms(now), detail=why)])
        return gone

    @contextmanager
    def _unguarded(self, connection: sa.Connection, table: sa.Table) -> Iterator[None]:
        """Evidence is kept by triggers that let nobody delete it: lifted in this transaction, for nobody else."""
        if table is not evidence:
            yield
        elif self._db.is_sqlite:
            [guard] = [sql for sql in EVIDENCE_GUARDS["sqlite"] if " evidence_no_delete " in sql]
            connection.exec_driver_sql("DROP TRIGGER evidence_no_delete")
            yield
            connection.exec_driver_sql(guard)
        else:
            connection.exec_driver_sql("ALTER TABLE evidence DISABLE TRIGGER evidence_no_change")
            yield
            connection.exec_driver_sql("ALTER TABLE evidence ENABLE TRIGGER evidence_no_change")


def _belongs(table: sa.Table) -> str | None:
    """SQL of what makes a row one of the campaign's; None for a table that has nothing of campaigns."""
    if "campaign_id" in table.c:
        return "campaign_id = :campaign"
    if "file_id" in table.c:
        return "file_id IN (SELECT id FROM files WHERE campaign_id = :campaign)"
    return None
