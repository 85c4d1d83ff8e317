"""The rows of a file that was entered arrive in the database from where they wait (`staging`), by short turns.

Whoever finds a file of which some have not arrived (its importer was killed) finishes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from campaigns.store.database import Database
from campaigns.store.schema import files
from campaigns.store.staging import (
    DEFAULTS,
    LEAD_COLUMNS,
    LINE,
    PLACE_COLUMNS,
    TABLES,
    TEXTS,
    held,
    literal,
)
from campaigns.store.tallies import new_leads_counted_at_once

#: Only a lead that is still held, and was never dialed, becomes what its mended row says.
MENDABLE = "l.state = 'held' AND l.attempts = 0 AND l.hold_code <> 'unresolved_attempt'"

#: Seconds that a turn should hold the write lock; a claim may have to wait for one.
_TURN = 0.25
_FEWEST, _MOST = 500, 20_000
#: A block of rows is as much work as so many leads.
_BLOCK = 64
#: KiB of pages that a turn may change before it has to write some of them twice.
_PAGES = 32_768
#: Pages of the write-ahead log from which on a turn waits until all of it is folded back.
_LONGEST_LOG = 16_384


def leftovers(database: Database) -> tuple[list[tuple[int, str]], list[str]]:
    """Finish the files of importers that were killed: (id and name of each that is now whole, stages dropped)."""
    if not database.is_sqlite or not database.url.database:
        return [], []
    home = Path(database.url.database)
    finished: list[tuple[int, str]] = []
    dropped: list[str] = []
    for path in sorted(home.parent.glob(f"{home.name}-import-*")):
        with held(path) as mine:
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
            for table in TABLES
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
            took = _turn(database, driver, file_id, table, span, range(done, done + count))
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
    database: Database, driver: Any, file_id: int, table: str, span: tuple[int, int], moved: range
) -> float:
    """One transaction: rows after the one key, to the other. Returns how long it held the write lock, in seconds.

    moved: of all rows of the file, the positions of these.
    """
    with database.turn():
        started = time.perf_counter()
        driver.execute("BEGIN IMMEDIATE")
        try:
            campaign_id, state, imported_at = driver.execute(
                "SELECT c.id, c.state, f.imported_at FROM files f JOIN campaigns c ON c.id = f.campaign_id"
                " WHERE f.id = ?",
                (file_id,),
            ).fetchone()
            if table == "mends":
                if state != "cancelled":
                    _mend(driver, file_id, span)
            elif table == "plain":
                given = campaign_id, file_id, imported_at, *span
                with new_leads_counted_at_once(driver, campaign_id):
                    came = _insert_plain(driver, given, state == "cancelled")
                    came += _insert_leads(driver, given, state == "cancelled")
                if came < len(moved):
                    _account_for_others(driver, campaign_id, file_id, span)
            else:
                _insert(driver, table, campaign_id, file_id, span)
            driver.execute("UPDATE files SET moved = ? WHERE id = ?", (moved.stop, file_id))
            driver.execute("COMMIT")
        except BaseException:
            driver.execute("ROLLBACK")
            raise
        return max(1e-4, time.perf_counter() - started)


def _insert(driver: Any, table: str, campaign_id: str, file_id: int, span: tuple[int, int]) -> None:
    names = ", ".join(TABLES[table])
    ours = {"file_id": file_id} if table == "file_rows" else {"campaign_id": campaign_id, "file_id": file_id}
    driver.execute(
        f"INSERT INTO main.{table} ({', '.join(ours)}, {names})"
        f" SELECT {', '.join(['?'] * len(ours))}, {names} FROM stage.{table} WHERE key > ? AND key <= ? ORDER BY key",
        (*ours.values(), *span),
    )


def _insert_plain(driver: Any, given: Sequence[object], cancelled: bool) -> int:
    same = {**DEFAULTS, "state": "cancelled" if cancelled else DEFAULTS["state"]}
    own = {"line": f"s.key & {LINE}", "phone": "s.phone", "priority": "s.priority",
           **{name: f"p.{name}" for name in PLACE_COLUMNS}, **{name: f"s.{name}" for name in TEXTS}}  # fmt: skip
    others = {name: literal(value) for name, value in same.items() if name not in own}
    source = "stage.plain s CROSS JOIN stage.places p ON p.key = s.place"
    return _insert_into_leads(driver, {"next_attempt_at": "?3", **own, **others}, source, given)


def _insert_leads(driver: Any, given: Sequence[object], cancelled: bool) -> int:
    own = {name: f"s.{name}" for name in LEAD_COLUMNS}
    if cancelled:
        own["state"] = "CASE WHEN s.state IN ('pending', 'held') THEN 'cancelled' ELSE s.state END"
        own["hold_code"] = own["hold_remedy"] = "NULL"
    return _insert_into_leads(driver, own, "stage.leads s", given)


def _insert_into_leads(driver: Any, values: Mapping[str, str], source: str, given: Sequence[object]) -> int:
    """values: column -> SQL. given: campaign, file, the import's instant, the span of keys. Returns how many came."""
    made = driver.execute(
        f"INSERT INTO main.leads (campaign_id, file_id, {', '.join(values)})"
        f" SELECT ?1, ?2, {', '.join(values.values())} FROM {source} WHERE s.key > ?4 AND s.key <= ?5 ORDER BY s.key"
        " ON CONFLICT (phone, campaign_id) DO NOTHING",
        given,
    )
    return int(made.rowcount)


def _account_for_others(driver: Any, campaign_id: str, file_id: int, span: tuple[int, int]) -> None:
    """Nobody else brings leads in meanwhile; should one be there all the same, its row is still accounted for."""
    for table in ("plain", "leads"):
        driver.execute(
            "INSERT INTO rejects (campaign_id, file_id, line, code, message, column_name, value, cells)"
            f" SELECT ?1, ?2, s.key & {LINE}, 'duplicate_in_campaign',"
            " '+' || s.phone || ' is a lead of this campaign already. Delete the row.', '', '', '[]'"
            f" FROM stage.{table} s JOIN main.leads l ON l.phone = s.phone AND l.campaign_id = ?1"
            " WHERE s.key > ?3 AND s.key <= ?4 AND l.file_id <> ?2",
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
