"""SQLite has one writer: a file's rows wait beside the database, and move in by short turns once all of them are there.

Until the decision, one transaction that enters the file, nothing of it is in the database. From then on all of it is:
whoever finds a file that has not moved in to the end (its importer was killed) finishes it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from campaigns.store.database import Database, StoreError
from campaigns.store.schema import files
from campaigns.store.tallies import new_leads_counted_at_once

#: What a lead is when its row says nothing else; a staged row leaves out what is so.
DEFAULTS: Mapping[str, object] = {
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
ALWAYS = ("line", "phone", "zones", "jurisdictions", "priority", "next_attempt_at")
LEAD_COLUMNS = (*ALWAYS, *DEFAULTS)
REJECT_COLUMNS = ("line", "code", "message", "column_name", "value", "cells")
BLOCK_COLUMNS = ("first_line", "rows")
#: A held lead whose row came again, mended: what it becomes.
MEND_COLUMNS = ("lead_id", *LEAD_COLUMNS)
#: In the order in which they move: whoever finds a lead finds its row too.
_TABLES = {
    "file_rows": BLOCK_COLUMNS,
    "rejects": REJECT_COLUMNS,
    "leads": LEAD_COLUMNS,
    "mends": MEND_COLUMNS,
}
#: Only a lead that is still held, and was never dialed, becomes what its mended row says.
MENDABLE = "l.state = 'held' AND l.attempts = 0 AND l.hold_code <> 'unresolved_attempt'"

_KEEP_FIRST = " ON CONFLICT (phone, campaign_id) DO NOTHING"

#: Leads move area code by area code, by line within each: numbers in no order would each change a page of their own in
#: the index that keeps them unique, which was four fifths of what a move cost. Seven digits follow an area code.
_AREA = 10_000_000
_AREA_BITS = 32
#: KiB of pages of a stage that are kept at hand: one for each area code, and more.
_STAGE_PAGES = 4_096
#: Seconds that a turn should hold the write lock; a claim may have to wait for one.
_TURN = 0.25
_FEWEST, _MOST = 500, 20_000
#: A block of rows is as much work as so many leads.
_BLOCK = 64
#: KiB of pages that a turn may change before it has to write some of them twice.
_PAGES = 32_768
#: Pages of the write-ahead log from which on a turn waits until all of it is folded back.
_LONGEST_LOG = 16_384
#: Rows of one INSERT: beyond it nothing is gained.
_TOGETHER = 200
#: Batches that may wait for the staging thread; more would only take memory.
_AHEAD = 4


class Busy(StoreError):
    """Another import has the campaign."""


class Stage:
    """The rows of one file before they are in the database, in a file of their own that nobody else writes."""

    def __init__(self, path: Path) -> None:
        self._rows = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._rows.execute("PRAGMA journal_mode=OFF")
        self._rows.execute("PRAGMA synchronous=OFF")
        self._rows.execute(f"PRAGMA cache_size=-{_STAGE_PAGES}")
        for table, columns in _TABLES.items():
            # Rows move in the order of this key.
            declared = ["key INTEGER PRIMARY KEY", *map(_declared, columns)]
            self._rows.execute(f"CREATE TABLE {table} ({', '.join(declared)})")
        self._rows.execute("BEGIN")
        # Statements of many rows let go of Python's lock while they run, so that reading goes on beside them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="staging")
        self._waiting: list[Future[None]] = []

    def add(self, table: str, columns: Sequence[str], rows: Callable[[], Sequence[Sequence[object]]]) -> None:
        """Append rows, in the order of the calls. `rows` is asked for them in the staging thread."""
        self._waiting.append(self._thread.submit(self._insert, table, tuple(columns), rows))
        while len(self._waiting) > _AHEAD:
            self._waiting.pop(0).result()

    def _insert(
        self, table: str, columns: tuple[str, ...], rows: Callable[[], Sequence[Sequence[object]]]
    ) -> None:
        found = rows()
        one = f"({', '.join('?' * len(columns))})"
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
        whole = len(found) - len(found) % _TOGETHER
        many = head + ", ".join([one] * _TOGETHER)
        for start in range(0, whole, _TOGETHER):
            self._rows.execute(many, list(chain.from_iterable(found[start : start + _TOGETHER])))
        self._rows.executemany(head + one, found[whole:])

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


def in_moving_order(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Leads behind the key of the order they move in. Rows begin with line and phone (E.164 without the plus)."""
    return sorted((row[1] // _AREA << _AREA_BITS | row[0], *row) for row in rows)


def _declared(column: str) -> str:
    return f"{column} DEFAULT {_literal(DEFAULTS[column])}" if column in DEFAULTS else column


def _literal(value: object) -> str:
    return "NULL" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


@contextmanager
def claimed_path(database: Database, campaign_id: str) -> Iterator[Path]:
    """The path of a campaign's stage, ours until the end, then gone. Raises Busy while another import has it.

    The lock dies with its process; what that left behind is found by `leftovers`.
    """
    path = _beside(database, campaign_id)
    with _held(path) as mine:
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
def _held(path: Path) -> Iterator[bool]:
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


def leftovers(database: Database) -> tuple[list[tuple[int, str]], list[str]]:
    """Finish the files of importers that were killed: (id and name of each that is now whole, stages dropped)."""
    if not database.is_sqlite or not database.url.database:
        return [], []
    home = Path(database.url.database)
    finished: list[tuple[int, str]] = []
    dropped: list[str] = []
    for path in sorted(home.parent.glob(f"{home.name}-import-*")):
        with _held(path) as mine:
            if not mine:
                continue
            with database.read() as connection:
                row = connection.execute(
                    sa.select(files.c.id, files.c.name).where(files.c.staged == path.name)
                ).first()
            if row is not None:
                move(database, row.id, path)
                finished.append((row.id, row.name))
            else:
                dropped.append(path.name.rpartition("-import-")[2])
            path.unlink(missing_ok=True)
    return finished, dropped


def move(
    database: Database, file_id: int, path: Path, progress: Callable[[int, int], None] = lambda done, of: None
) -> None:
    """Move the rows of a file that was entered into the database, from where an earlier move ended.

    Each turn is one short transaction. Leads of a campaign that was cancelled meanwhile arrive cancelled.
    progress: called with (rows moved, rows of the file).
    """
    with _connection(database) as driver, _Folding(database) as folding:
        # Folding the log back is done beside the turns, not by whoever commits next.
        driver.execute("PRAGMA wal_autocheckpoint=0")
        # A turn is flushed after it, by the checkpoint or by whoever commits next: nothing built upon it is on disk
        # before it is. What a power failure takes is still in the stage, and `moved` goes with it.
        driver.execute("PRAGMA synchronous=NORMAL")
        # What all rows of a turn refer to is read in its transaction, once.
        driver.execute("PRAGMA foreign_keys=OFF")
        driver.execute(f"PRAGMA cache_size=-{_PAGES}")
        driver.execute("ATTACH ? AS stage", (str(path),))
        sizes = {
            table: int(driver.execute(f"SELECT count(*) FROM stage.{table}").fetchone()[0])
            for table in _TABLES
        }
        total = sum(sizes.values())
        [done] = driver.execute("SELECT moved FROM files WHERE id = ?", (file_id,)).fetchone()
        size, slowest = 1_000, 0.0
        after: dict[str, int] = {}
        while done < total:
            table, first = _place(sizes, done)
            if table not in after:
                after[table] = _key_before(driver, table, first)
            weight = _BLOCK if table == "file_rows" else 1
            count = min(max(1, size // weight), sizes[table] - first)
            span = (after[table], _key_after(driver, table, after[table], count))
            took = _turn(database, driver, file_id, table, span, done + count)
            done, after[table] = done + count, span[1]
            # By the slowest of late: on a busy machine one turn says little of the next.
            slowest = max(took / max(_FEWEST, count * weight), slowest * 0.8)
            size = max(_FEWEST, min(_MOST, 2 * size, int(_TURN / slowest)))
            progress(done, total)
            folding.go_on()
            _let_others_in()
    with database.write() as connection:
        connection.execute(sa.update(files).where(files.c.id == file_id).values(staged=None))


@contextmanager
def _connection(database: Database) -> Iterator[Any]:
    """A connection of our own, whose settings are nobody else's; closed afterwards."""
    raw = database.engine.raw_connection()
    driver: Any = raw.driver_connection
    raw.detach()
    try:
        yield driver
    finally:
        driver.close()


class _Folding:
    """Folds the write-ahead log back into the database in a thread, beside the turns that fill it.

    The log begins anew only where a turn finds all of it folded: every now and then one has to wait for that.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="folding")
        self._going: Future[int] | None = None

    def __enter__(self) -> _Folding:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def go_on(self) -> None:
        """A turn has ended: fold what there is, unless that is going on."""
        if self._going is not None and not self._going.done():
            return
        if self._going is not None and self._going.result() > _LONGEST_LOG:
            self._database.checkpoint()
            self._going = None
        else:
            self._going = self._thread.submit(self._database.checkpoint)


def _let_others_in() -> None:
    """Who waits for the write lock gets it before our next turn."""
    time.sleep(0.001)


def _place(sizes: Mapping[str, int], done: int) -> tuple[str, int]:
    for table, size in sizes.items():
        if done < size:
            return table, done
        done -= size
    raise AssertionError("nothing is left to be moved")


def _key_before(driver: Any, table: str, moved: int) -> int:
    """The key of the last row that has moved, when so many have."""
    if not moved:
        return -1
    query = f"SELECT key FROM stage.{table} ORDER BY key LIMIT 1 OFFSET ?"
    return int(driver.execute(query, (moved - 1,)).fetchone()[0])


def _key_after(driver: Any, table: str, after: int, count: int) -> int:
    """The key of the last of the next rows."""
    query = f"SELECT max(key) FROM (SELECT key FROM stage.{table} WHERE key > ? ORDER BY key LIMIT ?)"
    return int(driver.execute(query, (after, count)).fetchone()[0])


def _turn(
    database: Database, driver: Any, file_id: int, table: str, span: tuple[int, int], done: int
) -> float:
    """One transaction: rows after the one key, to the other. Returns how long it held the write lock, in seconds."""
    with database.turn():
        started = time.perf_counter()
        driver.execute("BEGIN IMMEDIATE")
        try:
            campaign_id, state = driver.execute(
                "SELECT c.id, c.state FROM files f JOIN campaigns c ON c.id = f.campaign_id WHERE f.id = ?",
                (file_id,),
            ).fetchone()
            if table == "mends":
                if state != "cancelled":
                    _mend(driver, file_id, span)
            else:
                with new_leads_counted_at_once(driver, campaign_id) if table == "leads" else nullcontext():
                    _insert(driver, table, campaign_id, file_id, span, state == "cancelled")
            driver.execute("UPDATE files SET moved = ? WHERE id = ?", (done, file_id))
            driver.execute("COMMIT")
        except BaseException:
            driver.execute("ROLLBACK")
            raise
        return max(1e-4, time.perf_counter() - started)


def _insert(
    driver: Any, table: str, campaign_id: str, file_id: int, span: tuple[int, int], cancelled: bool
) -> None:
    names = list(_TABLES[table])
    ours = {"file_id": file_id} if table == "file_rows" else {"campaign_id": campaign_id, "file_id": file_id}
    taken = list(names)
    if table == "leads" and cancelled:
        changed = {
            "state": "CASE WHEN state IN ('pending', 'held') THEN 'cancelled' ELSE state END",
            "hold_code": "NULL",
            "hold_remedy": "NULL",
        }
        taken = [changed.get(name, name) for name in names]
    driver.execute(
        f"INSERT INTO main.{table} ({', '.join([*ours, *names])})"
        f" SELECT {', '.join(['?'] * len(ours))}, {', '.join(taken)} FROM stage.{table}"
        f" WHERE key > ? AND key <= ? ORDER BY key{_KEEP_FIRST if table == 'leads' else ''}",
        (*ours.values(), *span),
    )
    if table == "leads":
        # Nobody else brings leads in meanwhile; should one be there all the same, its row is still accounted for.
        driver.execute(
            "INSERT INTO rejects (campaign_id, file_id, line, code, message, column_name, value, cells)"
            " SELECT ?1, ?2, s.line, 'duplicate_in_campaign',"
            " '+' || s.phone || ' is a lead of this campaign already. Delete the row.', '', '', '[]'"
            " FROM (SELECT line, phone FROM stage.leads WHERE key > ?3 AND key <= ?4 AND changes() <"
            "       (SELECT count(*) FROM stage.leads WHERE key > ?3 AND key <= ?4)) s"
            " JOIN main.leads l ON l.phone = s.phone AND l.campaign_id = ?1 WHERE l.file_id <> ?2",
            (campaign_id, file_id, *span),
        )


def _mend(driver: Any, file_id: int, span: tuple[int, int]) -> None:
    which = f"stage.mends m WHERE m.key > ? AND m.key <= ? AND l.id = m.lead_id AND {MENDABLE}"
    driver.execute(
        "INSERT INTO events (at, at_real, campaign_id, lead_id, subject, from_state, to_state, detail)"
        " SELECT m.next_attempt_at, ?, l.campaign_id, l.id, 'lead', l.state, m.state, 'mended by a later file'"
        f" FROM main.leads l, {which}",
        (int(time.time() * 1000), *span),
    )
    changes = ", ".join(f"{name} = m.{name}" for name in LEAD_COLUMNS if name != "phone")
    driver.execute(f"UPDATE main.leads AS l SET file_id = ?, {changes} FROM {which}", (file_id, *span))
