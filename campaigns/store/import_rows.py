"""What an import writes: a file, its leads, its rows as they were, its rejects. All of a file, or nothing of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from campaigns.domain.cells import csv_line
from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import NewLead
from campaigns.domain.pacing import Segment
from campaigns.store import arrival, staging
from campaigns.store.database import Database
from campaigns.store.import_sinks import Copy, File, Nowhere, PlainLeads, Rows, Sink, Staged, enter
from campaigns.store.schema import files, rejects
from campaigns.store.suppression_rows import SuppressionRows

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A file that was imported.

    mapping: FIELD -> the column it was read from. format: encoding, delimiter and region. moving: it is entered, and
    not all of its rows are there yet.
    """

    id: int
    name: str
    sha256: str
    size_bytes: int
    header: tuple[str, ...]
    mapping: Mapping[str, str]
    format: Mapping[str, str]
    counts: Mapping[str, object]
    imported_by: str
    imported_at: datetime
    moving: bool


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
    """Writes one file. `begin` first, `finish` last; leaving the `with` block of `ImportRows.writer` makes it so."""

    def __init__(self, database: Database, campaign_id: str, now: datetime, sink: Sink, file: File) -> None:
        self._db = database
        self._campaign_id = campaign_id
        self._now = to_ms(now)
        self._sink = sink
        self.file = file
        #: 0 until the file is in.
        self.file_id = 0

    def begin(
        self,
        name: str,
        sha256: str,
        size_bytes: int,
        header: Sequence[str],
        imported_by: str,
        *,
        variables: Sequence[int] | None = None,
        mapping: Mapping[str, str] | None = None,
        format: Mapping[str, str] | None = None,
    ) -> None:
        """variables: positions of the columns that are dynamic variables; all of them where it is not said."""
        positions = list(range(len(header)) if variables is None else variables)
        self.file.values |= {
            "campaign_id": self._campaign_id,
            "name": name,
            "sha256": sha256,
            "size_bytes": size_bytes,
            "header": json.dumps(list(header)),
            "variables": json.dumps(positions),
            "mapping": json.dumps(dict(mapping or {})),
            "format": json.dumps(dict(format or {})),
            "counts": "{}",
            "imported_by": imported_by,
            "imported_at": self._now,
        }

    def known(self, phones: Sequence[int]) -> tuple[list[int], dict[int, int]]:
        """Which of the numbers the campaign has; and of those the held ones that a mended row frees, with their leads.

        Numbers are E.164 without the plus here, as in the database.
        """
        rows = self._db.matching(
            "SELECT l.phone, CASE WHEN {mendable} THEN l.id END FROM {numbers} JOIN leads l ON l.phone = {number}"
            " AND l.campaign_id = {0}".replace("{mendable}", arrival.MENDABLE),
            phones,
            self._campaign_id,
        )
        return [phone for phone, _ in rows], {phone: lead for phone, lead in rows if lead is not None}

    def suppressed(self, phones: Sequence[int]) -> list[int]:
        """Which of the numbers are on a do-not-call list."""
        rows = self._db.matching(
            "SELECT s.phone FROM {numbers} JOIN suppressions s ON s.phone = {number}", phones
        )
        return [phone for (phone,) in rows]

    def add_plain(self, leads: PlainLeads) -> None:
        """Leads that say little, in the order of the file; their rows are added apart."""
        if len(leads.lines):
            self.file.segments |= leads.segments()
            self._sink.plain(leads)

    def add_rows(self, lines: Sequence[int], rows: Rows, delimiter: str) -> None:
        """The rows that became leads, in the order of the file."""
        if lines:
            self._sink.rows(lines, rows, delimiter)

    def add_leads(self, rows: Sequence[NewLead], with_rows: bool = True) -> None:
        """Leads with whatever they have, in the order of the file, and their rows unless those are added apart."""
        if not rows:
            return
        rows = sorted(rows, key=lambda row: row.line)
        self.file.segments |= {_segment(row) for row in rows}
        self._sink.leads(*lead_tuples(rows))
        if with_rows:
            written = [csv_line(row.cells, ",") for row in rows]
            self.add_rows(
                [row.line for row in rows], lambda start, stop: b"\n".join(written[start:stop]), ","
            )

    def mend(self, rows: Sequence[tuple[int, NewLead]]) -> None:
        """Held leads of the campaign (id, what it becomes); their rows are added apart."""
        if rows:
            _, found = lead_tuples([row for _, row in rows])
            self.file.segments |= {_segment(row) for _, row in rows}
            self._sink.mends([(lead, *values) for (lead, _), values in zip(rows, found, strict=True)])

    def add_rejects(self, rows: Sequence[Reject]) -> None:
        if rows:
            self._sink.rejects(
                [
                    (
                        r.line,
                        r.code,
                        r.message,
                        r.column,
                        r.value,
                        json.dumps(list(r.cells), ensure_ascii=False),
                    )
                    for r in rows
                ]
            )

    def finish(self, counts: Mapping[str, object]) -> None:
        self.file.values["counts"] = json.dumps(dict(counts))


def _segment(row: NewLead) -> Segment:
    return Segment(row.zones, row.jurisdictions, row.priority)


def lead_tuples(rows: Sequence[NewLead]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """(columns, one tuple per lead)"""
    return staging.LEAD_COLUMNS, [
        (
            row.line,
            int(row.phone),
            row.zones,
            row.jurisdictions,
            to_ms(row.next_attempt_at),
            row.priority,
            row.state.value,
            row.zone_source,
            row.hold[0] if row.hold else None,
            row.hold[1] if row.hold else None,
            row.external_id,
            row.agent_id,
            row.agent_version,
            row.extension,
            row.consent,
            row.zip,
            row.state_given,
            row.ignore_e164,
            json.dumps(row.metadata, ensure_ascii=False),
            json.dumps(row.sip_headers, ensure_ascii=False),
        )
        for row in rows
    ]


class ImportRows:
    def __init__(self, database: Database, suppressions: SuppressionRows) -> None:
        self._db = database
        #: Puts numbers on the do-not-call list: `SuppressionRows.suppress`.
        self.suppress = suppressions.suppress

    @contextmanager
    def writer(
        self, campaign_id: str, now: datetime, moving: Progress = lambda done, of: None
    ) -> Iterator[ImportWriter]:
        """A file on its way into a campaign: whole when the block ends, without a trace when it raises.

        On SQLite other writers are let in all the time. moving: called with (rows that are in, rows of the file) while
        the rows move in; from its first call on the file is entered, and stays. Raises `staging.Busy` while another
        import has the campaign.
        """
        file = File({})
        if not self._db.is_sqlite:
            with self._db.write() as connection:
                sink = Copy(connection, campaign_id, file)
                writer = ImportWriter(self._db, campaign_id, now, sink, file)
                yield writer
                writer.file_id = sink.finish(self._db)
            return
        arrival.leftovers(self._db)
        with staging.claimed_path(self._db, campaign_id) as path:
            stage = staging.Stage(path)
            writer = ImportWriter(self._db, campaign_id, now, Staged(stage), file)
            try:
                yield writer
            except BaseException:
                stage.close()
                raise
            stage.close(path)
            with self._db.write() as connection:
                writer.file_id = enter(self._db, connection, file, staged=path.name)
            arrival.move(self._db, writer.file_id, path, moving)

    def rehearsal(self, campaign_id: str, now: datetime) -> ImportWriter:
        """A writer that can be asked, and writes nothing."""
        return ImportWriter(self._db, campaign_id, now, Nowhere(), File({}))

    def resume(self) -> tuple[list[str], list[str]]:
        """What killed importers left: (names of files that are whole now, campaign ids whose file came to nothing)."""
        finished, dropped = arrival.leftovers(self._db)
        return [name for _, name in finished], dropped

    def files(self, campaign_id: str) -> list[ImportedFile]:
        """Files of a campaign in the order they were imported."""
        query = sa.select(files).where(files.c.campaign_id == campaign_id).order_by(files.c.id)
        with self._db.read() as connection:
            return [
                ImportedFile(
                    row.id,
                    row.name,
                    row.sha256,
                    row.size_bytes,
                    tuple(json.loads(row.header)),
                    json.loads(row.mapping),
                    json.loads(row.format),
                    json.loads(row.counts),
                    row.imported_by,
                    from_ms(row.imported_at),
                    row.staged is not None,
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
