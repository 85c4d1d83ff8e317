"""One engine for SQLite and PostgreSQL: transactions that take their lock at once, and the migrations."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import QueuePool

from campaigns.domain.errors import CampaignsError
from campaigns.domain.pacing import Segment
from campaigns.store import schema

T = TypeVar("T")
MIGRATIONS = Path(__file__).with_name("migrations")
#: Real seconds a writer waits for another process's transaction before it gives up.
BUSY_SECONDS = 10.0


#: A write that changes nothing, and needs all that a write needs.
_PROBE = sa.text("UPDATE workspaces SET name = name")
#: What a database raises that cannot be reached, read or written just now; it may pass.
Unavailable = sa.exc.OperationalError


class StoreError(CampaignsError):
    """The database cannot be used as it is."""


@dataclass(slots=True)
class _Shared:
    """Work that waits for a transaction, and what came of it."""

    work: Callable[[sa.Connection], Any]
    result: Any = None
    error: BaseException | None = None
    done: bool = False


class Database:
    """Connections and transactions. Thread-safe; one per process."""

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.engine = _sqlite_engine(self.url)
        elif self.url.get_backend_name() not in ("postgresql", "postgres"):
            raise StoreError(
                f"{self.url.get_backend_name()} is not a database that campaigns are kept in",
                "write CAMPAIGNS_DATABASE_URL as postgresql://user:password@host/database",
            )
        else:
            self.engine = sa.create_engine(
                self.url.set(drivername="postgresql+psycopg"),
                pool_pre_ping=True,
                pool_size=8,
                max_overflow=8,
                hide_parameters=True,
            )
        # Also at the exit of a process that did not close it: the last one out folds SQLite's write-ahead log into the
        # database, so that the one file is all of it.
        weakref.finalize(self, self.engine.dispose)
        self._leader = threading.Lock()
        self._handed_in: deque[_Shared] = deque()
        self._turn = _WriterTurn(self.url.database) if self.is_sqlite else nullcontext()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that commits at the end, or rolls back on an exception."""
        with self._turn, self.engine.begin() as connection:
            yield connection

    def commit_together(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction that it may share with what other threads hand in meanwhile; one flush for all.

        Returns once that is on disk. `work` must not care who shares its transaction: when any of them raises, all
        are undone and each is run again in a transaction of its own. On PostgreSQL, which groups its commits by
        itself, it is simply a transaction.
        """
        if not self.is_sqlite:
            with self.write() as connection:
                return work(connection)
        mine = _Shared(work)
        self._handed_in.append(mine)
        with self._leader:
            if not mine.done:
                batch = [self._handed_in.popleft() for _ in range(len(self._handed_in))]
                self._run(batch)
        if mine.error is not None:
            raise mine.error
        return cast("T", mine.result)

    def _run(self, batch: Sequence[_Shared]) -> None:
        try:
            with self.write() as connection:
                for one in batch:
                    one.result = one.work(connection)
        except BaseException as error:
            if len(batch) == 1:
                batch[0].error, batch[0].done = error, True
                return
            for one in batch:
                self._run([one])
        else:
            for one in batch:
                one.done = True

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The writers' turn alone, for whoever runs a transaction on a connection of their own."""
        with self._turn:
            yield

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A read transaction: one consistent snapshot, no lock."""
        with self.engine.connect() as connection:
            yield connection.execution_options(reads_only=True)

    def matching(self, sql: str, numbers: Sequence[int], *values: object) -> list[Any]:
        """`matching_in` a read transaction of its own."""
        with self.read() as connection:
            return self.matching_in(connection, sql, numbers, *values)

    def matching_in(
        self, connection: sa.Connection, sql: str, numbers: Sequence[int], *values: object
    ) -> list[Any]:
        """Join a table with many integers at once; returns the rows, [] for a statement that gives none.

        sql: `{numbers}` stands where a table may, `{number}` is its value, `{0}`, `{1}` are `values`. Ascending
        numbers find their neighbours' pages at hand.
        """
        if not len(numbers):
            return []
        if self.is_sqlite:
            given: Any = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY).decode()
            # CROSS: the numbers are looked up in the table, never the other way round.
            text = sql.replace("{numbers} JOIN", "{numbers} CROSS JOIN")
            source, number, mark = "json_each(?1) AS n", "n.value", "?{}"
        else:
            given = list(map(int, numbers))
            text = sql
            source, number, mark = "unnest(%(p1)s::bigint[]) AS n(value)", "n.value", "%(p{})s"
        marks = {str(at): mark.format(at + 2) for at in range(len(values))}
        for name, shown in {"numbers": source, "number": number, **marks}.items():
            text = text.replace(f"{{{name}}}", shown)
        given_values = (given, *values)
        found = connection.exec_driver_sql(
            text,
            given_values
            if self.is_sqlite
            else {f"p{at}": value for at, value in enumerate(given_values, start=1)},
        )
        return list(found.all()) if found.returns_rows else []

    def insert_ignore(self, table: sa.Table) -> Any:
        """INSERT that leaves an existing row as it is. Ask with RETURNING whether it did: rowcount does not say."""
        if self.is_sqlite:
            return sqlite.insert(table).on_conflict_do_nothing()
        from sqlalchemy.dialects import postgresql  # where it is not used, its import is not waited for

        return postgresql.insert(table).on_conflict_do_nothing()

    def add_segments(
        self, connection: sa.Connection, campaign_id: str, segments: Collection[Segment]
    ) -> None:
        """Note that the campaign has leads of these segments, so that claims probe for them."""
        if segments:
            connection.execute(
                self.insert_ignore(schema.segments),
                [{"campaign_id": campaign_id, **segment._asdict()} for segment in sorted(segments)],
            )

    def migrate(self) -> None:
        """Bring the schema to HEAD_REVISION. Raises StoreError for a database of a newer version."""
        with self.read() as connection:
            found = None
            if sa.inspect(connection).has_table("alembic_version"):
                found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        if found == schema.HEAD_REVISION:
            return
        # Alembic costs a fifth of a second to import: only when there is something to migrate.
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            raise StoreError(
                f"this home's database has schema {found}, newer than this program ({schema.HEAD_REVISION})",
                "upgrade the program, or point CAMPAIGNS_HOME at another home",
            )
        with self._turn, self.engine.connect() as connection:
            if self.is_sqlite:
                # A table that others refer to is replaced by a copy; inside a transaction this cannot be allowed.
                _pragma(connection, "foreign_keys=OFF")
            with connection.begin():
                if not self.is_sqlite:
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(727001)"))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                if self.is_sqlite and (
                    astray := connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                ):
                    raise StoreError(f"the migration lost what {astray[0]} refers to", "restore the database")
            if self.is_sqlite:
                _pragma(connection, "foreign_keys=ON")

    def size(self) -> int:
        """Bytes that the database takes on disk."""
        if self.is_sqlite:
            path = str(self.url.database)
            files = [Path(path + end) for end in ("", "-wal", "-shm")]
            return sum(file.stat().st_size for file in files if file.exists())
        with self.read() as connection:
            return int(
                connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar() or 0
            )

    @property
    def revision(self) -> str:
        """The version of the schema; an open store always has that of the program."""
        return schema.HEAD_REVISION

    def checkpoint(self) -> int:
        """Fold SQLite's write-ahead log back, so that it does not grow without end. Returns its length in pages."""
        if not self.is_sqlite:
            return 0
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            _, pages, _ = cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            cursor.close()
            return int(pages)
        finally:
            connection.close()

    def trouble(self, patience: float = 0.5) -> str | None:
        """Why nothing can be written at this moment, or None. patience: real seconds to wait for other writers."""
        try:
            if not self.is_sqlite:
                with self.engine.begin() as connection:
                    connection.execute(_PROBE)
                return None
            # A connection of its own, out of turn: whoever has the turn may be the one that waits.
            raw = sqlite3.connect(str(self.url.database), timeout=patience, isolation_level=None)
            with contextlib.closing(raw):
                raw.execute("BEGIN IMMEDIATE")
                raw.execute(str(_PROBE))
                raw.execute("COMMIT")
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            return str(getattr(error, "orig", error)).strip().splitlines()[0]
        return None

    def close(self) -> None:
        self.engine.dispose()
        if isinstance(self._turn, _WriterTurn):
            self._turn.close()


class _WriterTurn:
    """SQLite has one writer at a time, over all processes. Queueing for it in the kernel is fair and cheap.

    SQLite's own busy handler sleeps for up to 100 ms between its tries, in no order: with two busy processes some
    writers waited for a second. It stays as the last word; this lock dies with its process.
    """

    def __init__(self, database: str | None) -> None:
        self._threads = threading.Lock()
        self._file: IO[bytes] | None = None
        if database and database != ":memory:" and not database.startswith("file:"):
            self._file = Path(f"{database}-turn").open("ab")  # noqa: SIM115 - held as long as the database

    def __enter__(self) -> None:
        self._threads.acquire()
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _pragma(connection: sa.Connection, setting: str) -> None:
    """Outside of any transaction, which a statement through SQLAlchemy would begin."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(f"PRAGMA {setting}").close()


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=0,
        pool_timeout=60,
        hide_parameters=True,
        connect_args={"isolation_level": None, "timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-16384")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # IMMEDIATE: a transaction that reads before it writes must not lose its snapshot half way.
        reads_only = connection.get_execution_options().get("reads_only")
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine
