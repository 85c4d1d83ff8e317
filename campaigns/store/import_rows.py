"""What an import writes: the file, its leads, its rejects; and the do-not-call list it is checked against."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from campaigns.domain.clock import to_ms
from campaigns.domain.entities import NewLead
from campaigns.domain.states import LeadState
from campaigns.store.database import Database
from campaigns.store.events import Event, record
from campaigns.store.schema import files, leads, rejects, suppressions

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class ImportedFile:
    id: int
    name: str
    sha256: str
    header: tuple[str, ...]
    counts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that did not become a lead. `column` and `value` name the cell at fault."""

    line: int
    code: str
    message: str
    column: str
    value: str
    cells: tuple[str, ...]


class ImportWriter:
    """Writes one file inside one transaction: all of it lands, or none."""

    def __init__(
        self, database: Database, connection: sa.Connection, campaign_id: str, now: datetime
    ) -> None:
        self._db = database
        self._connection = connection
        self._campaign_id = campaign_id
        self._now = to_ms(now)
        self._segments: set[tuple[str, int]] = set()
        self.file_id = 0

    def begin(self, name: str, sha256: str, size_bytes: int, header: Sequence[str], imported_by: str) -> None:
        made = self._connection.execute(
            sa.insert(files).values(
                campaign_id=self._campaign_id,
                name=name,
                sha256=sha256,
                size_bytes=size_bytes,
                header=json.dumps(list(header)),
                counts="{}",
                imported_by=imported_by,
                imported_at=self._now,
            )
        )
        key = made.inserted_primary_key
        self.file_id = int(key[0]) if key else 0

    def known_phones(self, phones: Sequence[str]) -> set[str]:
        """Which of the numbers the campaign already has."""
        return self._matching(leads.c.phone, phones, leads.c.campaign_id == self._campaign_id)

    def suppressed_phones(self, phones: Sequence[str]) -> set[str]:
        """Which of the numbers are on a do-not-call list."""
        return self._matching(suppressions.c.phone, phones)

    def _matching(
        self, column: sa.Column[str], phones: Sequence[str], *where: sa.ColumnElement[bool]
    ) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(phones), _CHUNK):
            query = sa.select(column).where(column.in_(phones[start : start + _CHUNK]), *where)
            found.update(self._connection.execute(query).scalars())
        return found

    def add_leads(self, rows: Sequence[NewLead]) -> None:
        if not rows:
            return
        self._connection.execute(
            sa.insert(leads),
            [
                {
                    "campaign_id": self._campaign_id,
                    "file_id": self.file_id,
                    "line": row.line,
                    "phone": row.phone,
                    "state": row.state,
                    "zones": row.zones,
                    "zone_source": row.zone_source,
                    "priority": row.priority,
                    "next_attempt_at": to_ms(row.next_attempt_at),
                    "hold_code": row.hold[0] if row.hold else None,
                    "hold_remedy": row.hold[1] if row.hold else None,
                    "external_id": row.external_id,
                    "agent_id": row.agent_id,
                    "agent_version": row.agent_version,
                    "extension": row.extension,
                    "consent": row.consent,
                    "ignore_e164": row.ignore_e164,
                    "variables": json.dumps(row.variables, ensure_ascii=False),
                    "metadata": json.dumps(row.metadata, ensure_ascii=False),
                    "sip_headers": json.dumps(row.sip_headers, ensure_ascii=False),
                    "cells": json.dumps(list(row.cells), ensure_ascii=False),
                }
                for row in rows
            ],
        )
        fresh = {(row.zones, row.priority) for row in rows} - self._segments
        for zones, priority in sorted(fresh):
            self._db.add_segment(self._connection, self._campaign_id, zones, priority)
        self._segments |= fresh

    def add_rejects(self, rows: Sequence[Reject]) -> None:
        if rows:
            self._connection.execute(
                sa.insert(rejects),
                [
                    {
                        "campaign_id": self._campaign_id,
                        "file_id": self.file_id,
                        "line": row.line,
                        "code": row.code,
                        "message": row.message,
                        "column_name": row.column,
                        "value": row.value,
                        "cells": json.dumps(list(row.cells), ensure_ascii=False),
                    }
                    for row in rows
                ],
            )

    def finish(self, counts: Mapping[str, object]) -> None:
        self._connection.execute(
            sa.update(files).where(files.c.id == self.file_id).values(counts=json.dumps(counts))
        )


class ImportRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    @contextmanager
    def writer(self, campaign_id: str, now: datetime) -> Iterator[ImportWriter]:
        with self._db.write() as connection:
            yield ImportWriter(self._db, connection, campaign_id, now)

    def files(self, campaign_id: str) -> list[ImportedFile]:
        """Files of a campaign in the order they were imported."""
        query = sa.select(files).where(files.c.campaign_id == campaign_id).order_by(files.c.id)
        with self._db.read() as connection:
            return [
                ImportedFile(
                    row.id, row.name, row.sha256, tuple(json.loads(row.header)), json.loads(row.counts)
                )
                for row in connection.execute(query)
            ]

    def rejects(self, campaign_id: str, file_id: int | None = None) -> Iterator[Reject]:
        query = sa.select(rejects).where(rejects.c.campaign_id == campaign_id).order_by(rejects.c.id)
        if file_id is not None:
            query = query.where(rejects.c.file_id == file_id)
        with self._db.read() as connection:
            for row in connection.execute(query):
                yield Reject(
                    row.line, row.code, row.message, row.column_name, row.value, tuple(json.loads(row.cells))
                )

    def suppress(self, phones: Iterable[str], source: str, reason: str, now: datetime) -> int:
        """Put numbers on the do-not-call list; queued leads of theirs end as suppressed. Returns how many are new."""
        added = 0
        with self._db.write() as connection:
            for phone in phones:
                added += suppress_in(self._db, connection, phone, source, reason, to_ms(now))
        return added


def suppress_in(
    database: Database, connection: sa.Connection, phone: str, source: str, reason: str, now: int
) -> int:
    """One number, inside a transaction: listed, and every waiting lead of it in every campaign suppressed."""
    added = connection.execute(
        database.insert_ignore(suppressions)
        .values(phone=phone, source=source, reason=reason, added_at=now)
        .returning(suppressions.c.phone)
    ).first()
    waiting = connection.execute(
        sa.select(leads.c.id, leads.c.campaign_id, leads.c.state)
        .where(leads.c.phone == phone, leads.c.state.in_((LeadState.PENDING, LeadState.HELD)))
        .order_by(leads.c.id)
        .with_for_update()  # a claim on PostgreSQL must not take one in between
    ).all()
    if waiting:
        connection.execute(
            sa.update(leads)
            .where(leads.c.id.in_([row.id for row in waiting]))
            .values(state=LeadState.SUPPRESSED, hold_code=None, hold_remedy=None)
        )
        record(
            connection,
            [
                Event("lead", row.campaign_id, row.state, LeadState.SUPPRESSED, now, row.id, detail=source)
                for row in waiting
            ],
        )
    return int(added is not None)
