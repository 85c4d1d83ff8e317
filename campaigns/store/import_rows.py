"""What an import writes: a file, its leads, its rows as they were, its rejects. All of a file, or nothing of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import NewLead
from campaigns.domain.pacing import Segment
from campaigns.store import staging
from campaigns.store.database import Database
from campaigns.store.events import real_ms
from campaigns.store.row_blocks import ROWS, pack
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


@dataclass(slots=True)
class _File:
    values: dict[str, Any]
    segments: set[Segment] = field(default_factory=set)


class _Sink(Protocol):
    """Where the rows of a file go until all of them are there."""

    def leads(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None: ...
    def mends(self, rows: Sequence[Sequence[object]]) -> None: ...
    def rows(self, lines: Sequence[int], cells: Sequence[Sequence[str]]) -> None: ...
    def rejects(self, rows: Sequence[Sequence[object]]) -> None: ...


class ImportWriter:
    """Writes one file. `begin` first, `finish` last; leaving the `with` block of `ImportRows.writer` makes it so."""

    def __init__(self, database: Database, campaign_id: str, now: datetime, sink: _Sink) -> None:
        self._db = database
        self._campaign_id = campaign_id
        self._now = to_ms(now)
        self._sink = sink
        self.file: _File | None = None
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
        self.file = _File(
            {
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
        )

    def known(self, phones: Sequence[int]) -> tuple[list[int], dict[int, int]]:
        """Which of the numbers the campaign has; and of those the held ones that a mended row frees, with their leads.

        Numbers are E.164 without the plus here, as in the database.
        """
        rows = self._db.matching(
            "SELECT l.phone, CASE WHEN {mendable} THEN l.id END FROM {numbers} JOIN leads l ON l.phone = {number}"
            " AND l.campaign_id = {0}".replace("{mendable}", staging.MENDABLE),
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

    def add_columns(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], segments: set[Segment]
    ) -> None:
        """Leads as plain tuples of `columns`, which are `staging.ALWAYS` and whatever is not as usual.

        segments: those among them.
        """
        assert self.file is not None
        if rows:
            self.file.segments |= segments
            self._sink.leads(columns, rows)

    def add_rows(self, lines: Sequence[int], cells: Sequence[Sequence[str]]) -> None:
        """The cells of rows that became leads, in the order of the file."""
        if lines:
            self._sink.rows(lines, cells)

    def add_leads(self, rows: Sequence[NewLead], with_rows: bool = True) -> None:
        """Leads with whatever they have, in the order of the file, and their cells unless those are added apart."""
        rows = sorted(rows, key=lambda row: row.line)
        columns, found = lead_tuples(rows)
        self.add_columns(columns, found, {_segment(row) for row in rows})
        if with_rows:
            self.add_rows([row.line for row in rows], [list(row.cells) for row in rows])

    def mend(self, rows: Sequence[tuple[int, NewLead]]) -> None:
        """Held leads of the campaign (id, what it becomes); their cells are added apart."""
        assert self.file is not None
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
        assert self.file is not None
        self.file.values["counts"] = json.dumps(dict(counts))


def _segment(row: NewLead) -> Segment:
    return Segment(row.zones, row.jurisdictions, row.priority)


def lead_tuples(rows: Sequence[NewLead]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """(columns, one tuple per lead) as `ImportWriter.add_columns` takes them."""
    return staging.LEAD_COLUMNS, [
        (
            row.line,
            int(row.phone),
            row.zones,
            row.jurisdictions,
            row.priority,
            to_ms(row.next_attempt_at),
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
        if not self._db.is_sqlite:
            with self._db.write() as connection:
                writer = ImportWriter(self._db, campaign_id, now, sink := _Copy(connection, campaign_id))
                sink.writer = writer
                yield writer
                sink.finish(self._db)
            return
        staging.leftovers(self._db)
        with staging.claimed_path(self._db, campaign_id) as path:
            stage = staging.Stage(path)
            writer = ImportWriter(self._db, campaign_id, now, _Staged(stage))
            try:
                yield writer
            except BaseException:
                stage.close()
                raise
            stage.close(path)
            assert writer.file is not None
            with self._db.write() as connection:
                writer.file_id = _enter(self._db, connection, writer.file, staged=path.name)
            staging.move(self._db, writer.file_id, path, moving)

    def rehearsal(self, campaign_id: str, now: datetime) -> ImportWriter:
        """A writer that can be asked, and writes nothing."""
        return ImportWriter(self._db, campaign_id, now, _Nowhere())

    def resume(self) -> tuple[list[str], list[str]]:
        """What killed importers left: (names of files that are whole now, campaign ids whose file came to nothing)."""
        finished, dropped = staging.leftovers(self._db)
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


def _enter(database: Database, connection: sa.Connection, file: _File, staged: str | None) -> int:
    made = connection.execute(sa.insert(files).values(**file.values, staged=staged))
    for segment in sorted(file.segments):
        database.add_segment(connection, file.values["campaign_id"], segment)
    key = made.inserted_primary_key
    return int(key[0]) if key else 0


def _blocks(lines: Sequence[int], cells: Sequence[Sequence[str]]) -> list[tuple[int, bytes]]:
    return [
        (lines[at], pack(lines[at : at + ROWS], cells[at : at + ROWS])) for at in range(0, len(lines), ROWS)
    ]


class _Nowhere:
    """What a rehearsal does with rows."""

    def leads(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        return

    def mends(self, rows: Sequence[Sequence[object]]) -> None:
        return

    def rows(self, lines: Sequence[int], cells: Sequence[Sequence[str]]) -> None:
        return

    def rejects(self, rows: Sequence[Sequence[object]]) -> None:
        return


class _Staged:
    """SQLite: beside the database."""

    def __init__(self, stage: staging.Stage) -> None:
        self._stage = stage

    def leads(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        assert tuple(columns[:2]) == ("line", "phone")
        self._stage.add("leads", ("key", *columns), lambda: staging.in_moving_order(rows))

    def mends(self, rows: Sequence[Sequence[object]]) -> None:
        self._stage.add("mends", staging.MEND_COLUMNS, lambda: rows)

    def rows(self, lines: Sequence[int], cells: Sequence[Sequence[str]]) -> None:
        self._stage.add("file_rows", staging.BLOCK_COLUMNS, lambda: _blocks(lines, cells))

    def rejects(self, rows: Sequence[Sequence[object]]) -> None:
        self._stage.add("rejects", staging.REJECT_COLUMNS, lambda: rows)


class _Copy:
    """PostgreSQL: into the tables, in one transaction that keeps nobody from claiming."""

    def __init__(self, connection: sa.Connection, campaign_id: str) -> None:
        lock = sa.text("SELECT pg_try_advisory_xact_lock(727002, hashtext(:campaign))")
        if not connection.execute(lock, {"campaign": campaign_id}).scalar():
            raise staging.Busy("another import into this campaign is going on", "wait until it has ended")
        self._connection = connection
        self.writer: ImportWriter | None = None
        self._mends: list[Sequence[object]] = []

    def _into(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        driver: Any = self._connection.connection.driver_connection
        names = ", ".join(columns)
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def _ours(self) -> tuple[str, int]:
        """The campaign and the file, which is entered with the first of its rows."""
        assert self.writer is not None
        assert self.writer.file is not None
        file = self.writer.file
        if not self.writer.file_id:
            made = self._connection.execute(sa.insert(files).values(**file.values))
            key = made.inserted_primary_key
            self.writer.file_id = int(key[0]) if key else 0
        return file.values["campaign_id"], self.writer.file_id

    def leads(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        ours = self._ours()
        others = {name: value for name, value in staging.DEFAULTS.items() if name not in columns}
        # PostgreSQL takes no number for a truth value.
        rest = tuple(bool(value) if name == "ignore_e164" else value for name, value in others.items())
        self._into(
            "leads", ["campaign_id", "file_id", *columns, *others], [(*ours, *row, *rest) for row in rows]
        )

    def mends(self, rows: Sequence[Sequence[object]]) -> None:
        self._mends.extend(rows)

    def rows(self, lines: Sequence[int], cells: Sequence[Sequence[str]]) -> None:
        _, file_id = self._ours()
        names = ["file_id", *staging.BLOCK_COLUMNS]
        self._into("file_rows", names, [(file_id, *block) for block in _blocks(lines, cells)])

    def rejects(self, rows: Sequence[Sequence[object]]) -> None:
        ours = self._ours()
        self._into(
            "rejects",
            ["campaign_id", "file_id", *staging.REJECT_COLUMNS],
            [(*ours, *row) for row in rows],
        )

    def finish(self, database: Database) -> None:
        campaign_id, file_id = self._ours()
        assert self.writer is not None
        assert self.writer.file is not None
        file = self.writer.file
        for row in self._mends:
            self._mend(campaign_id, file_id, dict(zip(staging.MEND_COLUMNS, row, strict=True)))
        self._connection.execute(
            sa.update(files).where(files.c.id == file_id).values(counts=file.values["counts"])
        )
        for segment in sorted(file.segments):
            database.add_segment(self._connection, campaign_id, segment)

    def _mend(self, campaign_id: str, file_id: int, values: dict[str, object]) -> None:
        lead = values.pop("lead_id")
        del values["phone"]
        changes = ", ".join(f"{name} = :{name}" for name in values)
        won = self._connection.execute(
            sa.text(
                f"UPDATE leads l SET file_id = :file_id, {changes} WHERE l.id = :lead AND {staging.MENDABLE}"
                " RETURNING l.id"
            ),
            {**values, "file_id": file_id, "lead": lead},
        ).first()
        if won is not None:
            self._connection.execute(
                sa.text(
                    "INSERT INTO events (at, at_real, campaign_id, lead_id, subject, from_state, to_state, detail)"
                    " VALUES (:at, :real, :campaign, :lead, 'lead', 'held', :state, 'mended by a later file')"
                ),
                {
                    "at": values["next_attempt_at"],
                    "real": real_ms(),
                    "campaign": campaign_id,
                    "lead": lead,
                    "state": values["state"],
                },
            )
