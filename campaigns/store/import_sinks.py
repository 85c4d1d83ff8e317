"""Where the rows of a file go until all of them are there: beside the database on SQLite, into it on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa

from campaigns.domain.pacing import Segment
from campaigns.store import arrival, staging
from campaigns.store.database import Database
from campaigns.store.events import real_ms
from campaigns.store.row_blocks import ROWS, pack
from campaigns.store.schema import files

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


#: Rows as CSV, from the one to before the other, as `domain.cells.csv_line` writes them; without the last line break.
Rows = Callable[[int, int], bytes]


@dataclass(slots=True)
class File:
    values: dict[str, Any]
    segments: set[Segment] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class PlainLeads:
    """Leads that are pending and due at once, by columns: most of nearly every list.

    phones: E.164 without the plus. place: of each, its position in `places`: zones, jurisdictions, their source.
    priorities: None = the usual. texts: of `staging.TEXTS` those that the file has.
    """

    lines: npt.NDArray[np.int64]
    phones: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    places: Sequence[tuple[str, str, str]]
    priorities: npt.NDArray[np.int64] | None
    texts: Mapping[str, npt.NDArray[np.object_]]

    def segments(self) -> set[Segment]:
        if self.priorities is None:
            pairs = {(place, int(str(staging.DEFAULTS["priority"]))) for place in set(self.place.tolist())}
        else:
            pairs = set(zip(self.place.tolist(), self.priorities.tolist(), strict=True))
        return {Segment(self.places[place][0], self.places[place][1], priority) for place, priority in pairs}


class Sink(Protocol):
    """Where the rows of a file go until all of them are there."""

    def leads(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None: ...
    def mends(self, rows: Sequence[Sequence[object]]) -> None: ...
    def plain(self, leads: PlainLeads) -> None: ...
    def rows(self, lines: Sequence[int], rows: Rows, delimiter: str) -> None: ...
    def rejects(self, rows: Sequence[Sequence[object]]) -> None: ...


def enter(database: Database, connection: sa.Connection, file: File, staged: str | None) -> int:
    made = connection.execute(sa.insert(files).values(**file.values, staged=staged))
    database.add_segments(connection, file.values["campaign_id"], file.segments)
    key = made.inserted_primary_key
    return int(key[0]) if key else 0


def _blocks(lines: Sequence[int], rows: Rows, delimiter: str) -> list[tuple[int, bytes]]:
    return [
        (lines[at], pack(lines[at : at + ROWS], rows(at, min(at + ROWS, len(lines))), delimiter))
        for at in range(0, len(lines), ROWS)
    ]


class Nowhere:
    """What a rehearsal does with rows."""

    def leads(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        return

    def mends(self, rows: Sequence[Sequence[object]]) -> None:
        return

    def plain(self, leads: PlainLeads) -> None:
        return

    def rows(self, lines: Sequence[int], rows: Rows, delimiter: str) -> None:
        return

    def rejects(self, rows: Sequence[Sequence[object]]) -> None:
        return


class Staged:
    """SQLite: beside the database."""

    def __init__(self, stage: staging.Stage) -> None:
        self._stage = stage
        self._places: dict[tuple[str, str, str], int] = {}

    def leads(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        assert tuple(columns[:2]) == ("line", "phone")
        ordered = staging.in_moving_order(rows)
        self._stage.add("leads", ("key", *columns), lambda: staging.in_a_row(ordered))
        self._stage.add("plain", ("key",), lambda: [row[0] for row in ordered])

    def mends(self, rows: Sequence[Sequence[object]]) -> None:
        self._stage.add("mends", staging.MEND_COLUMNS, lambda: staging.in_a_row(rows))

    def plain(self, leads: PlainLeads) -> None:
        fresh = dict.fromkeys(place for place in leads.places if place not in self._places)
        if fresh:
            rows = [(at, *place) for at, place in enumerate(fresh, start=len(self._places))]
            self._places.update((place, row[0]) for place, row in zip(fresh, rows, strict=True))
            self._stage.add("places", ("key", *staging.PLACE_COLUMNS), lambda: staging.in_a_row(rows))
        columns = ["key", "phone", "place", *leads.texts]
        if leads.priorities is not None:
            columns.append("priority")
        self._stage.add("plain", columns, lambda: self._plain_values(leads))

    def _plain_values(self, leads: PlainLeads) -> list[object]:
        import numpy as np

        keys = staging.moving_key(leads.lines, leads.phones)
        order = np.argsort(keys)
        place = np.array([self._places[place] for place in leads.places], np.int64)[leads.place]
        found = [keys, leads.phones, place, *leads.texts.values()]
        if leads.priorities is not None:
            found.append(leads.priorities)
        # Without a tuple for each lead it takes a quarter of the time.
        values: list[object] = [None] * (len(found) * len(order))
        for at, column in enumerate(found):
            values[at :: len(found)] = column[order].tolist()
        return values

    def rows(self, lines: Sequence[int], rows: Rows, delimiter: str) -> None:
        self._stage.add(
            "file_rows", staging.BLOCK_COLUMNS, lambda: staging.in_a_row(_blocks(lines, rows, delimiter))
        )

    def rejects(self, rows: Sequence[Sequence[object]]) -> None:
        self._stage.add("rejects", staging.REJECT_COLUMNS, lambda: staging.in_a_row(rows))


class Copy:
    """PostgreSQL: into the tables, in one transaction that keeps nobody from claiming."""

    def __init__(self, connection: sa.Connection, campaign_id: str, file: File) -> None:
        lock = sa.text("SELECT pg_try_advisory_xact_lock(727002, hashtext(:campaign))")
        if not connection.execute(lock, {"campaign": campaign_id}).scalar():
            raise staging.Busy("another import into this campaign is going on", "wait until it has ended")
        self._connection = connection
        self._file = file
        self.file_id = 0
        self._mends: list[Sequence[object]] = []

    def _into(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        driver: Any = self._connection.connection.driver_connection
        names = ", ".join(columns)
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def _ours(self) -> tuple[str, int]:
        """The campaign and the file, which is entered with the first of its rows."""
        if not self.file_id:
            made = self._connection.execute(sa.insert(files).values(**self._file.values))
            key = made.inserted_primary_key
            self.file_id = int(key[0]) if key else 0
        return self._file.values["campaign_id"], self.file_id

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

    def plain(self, leads: PlainLeads) -> None:
        places = [leads.places[at] for at in leads.place.tolist()]
        given = {"priority": leads.priorities} if leads.priorities is not None else {}
        columns = {"line": leads.lines, "phone": leads.phones, **given, **leads.texts}
        due = self._file.values["imported_at"]
        found = zip(places, zip(*(column.tolist() for column in columns.values()), strict=True), strict=True)
        self.leads(
            (*staging.PLACE_COLUMNS, "next_attempt_at", *columns),
            [(*place, due, *row) for place, row in found],
        )

    def rows(self, lines: Sequence[int], rows: Rows, delimiter: str) -> None:
        _, file_id = self._ours()
        names = ["file_id", *staging.BLOCK_COLUMNS]
        self._into("file_rows", names, [(file_id, *block) for block in _blocks(lines, rows, delimiter)])

    def rejects(self, rows: Sequence[Sequence[object]]) -> None:
        ours = self._ours()
        self._into(
            "rejects",
            ["campaign_id", "file_id", *staging.REJECT_COLUMNS],
            [(*ours, *row) for row in rows],
        )

    def finish(self, database: Database) -> int:
        """The id of the file, which is whole now."""
        campaign_id, file_id = self._ours()
        file = self._file
        for row in self._mends:
            self._mend(campaign_id, file_id, dict(zip(staging.MEND_COLUMNS, row, strict=True)))
        self._connection.execute(
            sa.update(files).where(files.c.id == file_id).values(counts=file.values["counts"])
        )
        database.add_segments(self._connection, campaign_id, file.segments)
        return file_id

    def _mend(self, campaign_id: str, file_id: int, values: dict[str, object]) -> None:
        lead = values.pop("lead_id")
        del values["phone"]
        changes = ", ".join(f"{name} = :{name}" for name in values)
        won = self._connection.execute(
            sa.text(
                f"UPDATE leads l SET file_id = :file_id, {changes} WHERE l.id = :lead AND {arrival.MENDABLE}"
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
