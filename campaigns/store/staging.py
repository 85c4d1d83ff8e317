"""SQLite has one writer: a file's rows wait beside the database, and move in (`arrival`) once all of them are there.

Until the decision, one transaction that enters the file, nothing of it is in the database. From then on all of it is.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from campaigns.store.database import Database, StoreError
from campaigns.store.schema import files

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: What a lead is when its row says nothing else; a staged row leaves out what is so.
DEFAULTS: Mapping[str, object] = {
    "priority": 5,
    "state": "pending",
    "zone_source": "number",
    "hold_code": None,
    "hold_remedy": None,
    "external_id": "",
    "agent_id": "",
    "agent_version": "",
    "extension": "",
    "consent": "",
    "zip": "",
    "state_given": "",
    "ignore_e164": 0,
    "metadata": "{}",
    "sip_headers": "{}",
}
#: What a plain lead may say.
TEXTS = ("external_id", "agent_id", "agent_version", "consent", "zip", "state_given")
ALWAYS = ("line", "phone", "zones", "jurisdictions", "next_attempt_at")
LEAD_COLUMNS = (*ALWAYS, *DEFAULTS)
REJECT_COLUMNS = ("line", "code", "message", "column_name", "value", "cells")
BLOCK_COLUMNS = ("first_line", "rows")
#: A held lead whose row came again, mended: what it becomes.
MEND_COLUMNS = ("lead_id", *LEAD_COLUMNS)
#: Most leads of most lists are pending, due at once, and say little: their line is in their key, their place a number.
#: A lead that says more has its key here too, and nothing else: so all of them move in one order.
PLAIN_COLUMNS = ("phone", "place", "priority", *TEXTS)
PLACE_COLUMNS = ("zones", "jurisdictions", "zone_source")
#: In the order in which they move: whoever finds a lead finds its row too.
TABLES = {
    "file_rows": BLOCK_COLUMNS,
    "rejects": REJECT_COLUMNS,
    "plain": PLAIN_COLUMNS,
    "mends": MEND_COLUMNS,
}
#: Leads move area code by area code, by line within each: numbers in no order would each change a page of their own in
#: the index that keeps them unique, which was four fifths of what a move cost. Seven digits follow an area code.
_AREA = 10_000_000
_AREA_BITS = 32
#: The half of a moving key that is the line.
LINE = 2**_AREA_BITS - 1
#: KiB of pages of a stage that are kept at hand: one for each area code, and more.
_STAGE_PAGES = 4_096
#: Values of one INSERT. Between two of them the staging thread has to wait for Python's lock.
_TOGETHER = 8_000
#: Batches that may wait for the staging thread; more would only take memory.
_AHEAD = 4


T = TypeVar("T", int, "npt.NDArray[np.int64]")


class Busy(StoreError):
    """Another import has the campaign."""


class Stage:
    """The rows of one file before they are in the database, in a file of their own that nobody else writes."""

    def __init__(self, path: Path) -> None:
        self._rows = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._rows.execute("PRAGMA journal_mode=OFF")
        self._rows.execute("PRAGMA synchronous=OFF")
        self._rows.execute(f"PRAGMA cache_size=-{_STAGE_PAGES}")
        for table, columns in (*TABLES.items(), ("places", PLACE_COLUMNS), ("leads", LEAD_COLUMNS)):
            # Rows move in the order of this key.
            declared = ["key INTEGER PRIMARY KEY", *map(_declared, columns)]
            self._rows.execute(f"CREATE TABLE {table} ({', '.join(declared)})")
        self._rows.execute("BEGIN")
        # Statements of many rows let go of Python's lock while they run, so that reading goes on beside them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="staging")
        self._waiting: list[Future[None]] = []

    def add(self, table: str, columns: Sequence[str], values: Callable[[], list[Any]]) -> None:
        """Append rows, in the order of the calls. values: of all of them, one after the other; asked for in the staging
        thread."""
        self._waiting.append(self._thread.submit(self._insert, table, tuple(columns), values))
        while len(self._waiting) > _AHEAD:
            self._waiting.pop(0).result()

    def _insert(self, table: str, columns: tuple[str, ...], values: Callable[[], list[Any]]) -> None:
        found, width = values(), len(columns)
        one = f"({', '.join('?' * width)})"
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
        many = head + ", ".join([one] * (_TOGETHER // width))
        step = _TOGETHER // width * width
        whole = len(found) - len(found) % step
        for start in range(0, whole, step):
            self._rows.execute(many, found[start : start + step])
        # Not as a statement of its own for every count: the connection keeps them, a megabyte each.
        self._rows.executemany(head + one, [found[at : at + width] for at in range(whole, len(found), width)])

    def close(self, path: Path | None = None) -> None:
        """Wait for what was added. `path`: make sure that it is on disk."""
        try:
            for one in self._waiting:
                one.result()
            if path is not None:
                self._rows.execute("COMMIT")
        finally:
            self._waiting.clear()
            self._thread.shutdown()
            self._rows.close()
        if path is not None:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def in_a_row(rows: Iterable[Sequence[Any]]) -> list[Any]:
    """The values of rows, one after the other."""
    return list(chain.from_iterable(rows))


def in_moving_order(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Leads behind the key of the order they move in. Rows begin with line and phone (E.164 without the plus)."""
    return sorted((moving_key(row[0], row[1]), *row) for row in rows)


def moving_key(line: T, phone: T) -> T:
    """Of numbers, or of arrays of them. Its lower half is the line."""
    return (phone // _AREA << _AREA_BITS) | line


def _declared(column: str) -> str:
    return f"{column} DEFAULT {literal(DEFAULTS[column])}" if column in DEFAULTS else column


def literal(value: object) -> str:
    return "NULL" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


@contextmanager
def claimed_path(database: Database, campaign_id: str) -> Iterator[Path]:
    """The path of a campaign's stage, ours until the end, then gone. Raises Busy while another import has it.

    The lock dies with its process; what that left behind is found by `leftovers`.
    """
    path = _beside(database, campaign_id)
    with held(path) as mine:
        if not mine:
            raise Busy("another import into this campaign is going on", "wait until it has ended")
        try:
            yield path
        finally:
            if not _wanted(database, path):
                path.unlink(missing_ok=True)


def _beside(database: Database, campaign_id: str) -> Path:
    name = database.url.database
    if not name or name == ":memory:" or name.startswith("file:"):
        return Path(tempfile.gettempdir()) / f"campaigns-{os.getpid()}-{id(database):x}-import-{campaign_id}"
    return Path(f"{name}-import-{campaign_id}")


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether the file at `path`, made if need be, is locked by us now."""
    while True:
        with path.open("ab") as file:
            if not _locked(file):
                yield False
                return
            try:
                same = os.fstat(file.fileno()).st_ino == path.stat().st_ino
            except FileNotFoundError:
                same = False
            if same:  # not one that its former owner has just removed
                yield True
                return


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wanted(database: Database, path: Path) -> bool:
    """Whether rows of a file that was entered are still in there."""
    with database.read() as connection:
        query = sa.select(files.c.id).where(files.c.staged == path.name)
        return connection.execute(query).first() is not None
