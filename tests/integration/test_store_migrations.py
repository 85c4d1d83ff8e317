"""The schema that migrations make, how a database is opened, and what its transactions promise."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from store_steps import EAST, NOW, WORKSPACE, Steps, phone

from campaigns.domain.entities import CampaignOptions
from campaigns.store import Reject, Store, StoreError
from campaigns.store.database import MIGRATIONS, Database
from campaigns.store.schema import HEAD_REVISION, metadata


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = Store.open(url)
    try:
        yield store
    finally:
        store.close()


def _parts(ddl: str) -> tuple[str, ...]:
    """A CREATE statement without its layout and without the order of its columns and constraints."""
    flat = re.sub(r"\s+", " ", ddl).replace('"', "").strip()
    head, _, body = flat.partition("(")
    parts = re.split(r", (?=CONSTRAINT |\w+ [A-Z])", body.strip().removesuffix(")"))
    return (head.strip(), *sorted(part.strip() for part in parts))


def _sqlite_ddl(store: Store) -> dict[str, tuple[str, ...]]:
    query = sa.text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'")
    with store.database.read() as connection:
        return {name: _parts(sql) for name, sql in connection.execute(query)}


def _postgresql_ddl(store: Store) -> dict[str, str]:
    queries = (
        "SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND conname NOT LIKE 'alembic%'",
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = 'public' AND indexname NOT LIKE 'alembic%'",
        "SELECT table_name || '.' || column_name, data_type || ' ' || is_nullable || ' '"
        " || coalesce(column_default, '-') FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name NOT LIKE 'alembic%'",
    )
    found: dict[str, str] = {}
    with store.database.read() as connection:
        for query in queries:
            found |= dict(connection.execute(sa.text(query)).all())
    return found


def test_migrations_from_nothing_give_the_declared_schema(empty_url: str) -> None:
    with opened(empty_url) as store, store.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrated_sqlite_equals_created_sqlite(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path / 'migrated.db'}") as migrated:
        by_migrations = _sqlite_ddl(migrated)
        created = Store(type(migrated.database)(f"sqlite:///{tmp_path / 'created.db'}"))
        try:
            metadata.create_all(created.database.engine)
            declared = _sqlite_ddl(created)
        finally:
            created.close()
    assert by_migrations == declared
    assert "WHERE state IN" in " ".join(by_migrations["uq_attempts_open_phone"])
    assert sum("CHECK" in part for parts in by_migrations.values() for part in parts) >= 15


def test_migrated_postgresql_equals_created_postgresql(make_database: Callable[[], str]) -> None:
    with opened(make_database()) as migrated:
        by_migrations = _postgresql_ddl(migrated)
        created = Store(type(migrated.database)(make_database()))
        try:
            metadata.create_all(created.database.engine)
            declared = _postgresql_ddl(created)
        finally:
            created.close()
    assert by_migrations == declared
    assert "WHERE" in by_migrations["uq_attempts_open_lead"]


def test_head_revision_is_the_newest_script() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD_REVISION


def test_opening_again_changes_nothing(empty_url: str) -> None:
    with opened(empty_url) as store:
        steps = Steps(store)
        steps.campaign("spring", phone(1))
        before = steps.everything()
    for _ in range(2):
        with opened(empty_url) as store:
            assert Steps(store).everything() == before


def _open_and_close(url: str, failures: multiprocessing.Queue) -> None:
    try:
        with opened(url) as store:
            store.workspaces.ensure(WORKSPACE)
    except Exception as error:
        failures.put(repr(error))


def test_many_processes_may_open_a_new_database_at_once(empty_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    failures = spawn.SimpleQueue()
    workers = [spawn.Process(target=_open_and_close, args=(empty_url, failures)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert failures.empty(), failures.get()
    failures.close()
    with opened(empty_url) as store:
        assert store.workspaces.account(WORKSPACE).limit is None


def test_a_database_of_a_newer_program_is_refused(empty_url: str) -> None:
    with opened(empty_url) as store:
        Steps(store).execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=f"9999.*{HEAD_REVISION}") as refused:
        Store.open(empty_url)
    assert "upgrade the program" in refused.value.remedy
    assert refused.value.exit_code == 1


def test_sqlite_is_set_up_to_survive_a_power_cut(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path / 'one.db'}") as store, store.database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_checkpoint_folds_the_log_back_and_loses_nothing(store: Store) -> None:
    steps = Steps(store)
    steps.campaign("spring", phone(1))
    before = steps.everything()
    store.database.checkpoint()
    assert steps.everything() == before


def test_a_writer_that_raises_leaves_nothing(store: Store) -> None:
    before = Steps(store).everything()

    def fail() -> None:
        with store.database.write() as connection:
            connection.execute(sa.text("INSERT INTO workspaces (name) VALUES ('lost')"))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        fail()
    assert Steps(store).everything() == before
    store.workspaces.ensure("kept")  # the next writer is not blocked
    assert store.workspaces.account("kept").limit is None


def test_a_file_is_imported_whole_or_not_at_all(steps: Steps) -> None:
    campaign_id = steps.draft()
    before = steps.everything()

    def import_half() -> None:
        with steps.store.imports.writer(campaign_id, NOW) as writer:
            writer.begin("list.csv", "0" * 64, 100, ["phone"], "test")
            writer.add_rejects([Reject(2, "invalid_phone", "no number", "phone", "x", ("x",))])
            raise RuntimeError("the file broke off")

    with pytest.raises(RuntimeError):
        import_half()
    assert steps.everything() == before


def test_a_reader_of_sqlite_sees_one_moment(tmp_path: Path) -> None:
    count = sa.text("SELECT count(*) FROM campaigns")
    with opened(f"sqlite:///{tmp_path / 'one.db'}") as store:
        with store.database.read() as connection:
            assert connection.execute(count).scalar() == 0
            assert store.campaigns.create("spring", WORKSPACE, CampaignOptions(), NOW)
            assert connection.execute(count).scalar() == 0
        assert len(store.campaigns.listed()) == 1


def _at_revision(url: str, revision: str) -> None:
    """A database as an older program left it."""
    database = Database(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    database.close()


OLD = (
    "INSERT INTO workspaces (name) VALUES ('acme')",
    "INSERT INTO campaigns (id, name, workspace, state, options, created_at) VALUES ('c1', 'spring', 'acme', 'draft', '{}', 1)",  # noqa: E501
    "INSERT INTO files (id, campaign_id, name, sha256, size_bytes, header, counts, imported_by, imported_at)"
    """ VALUES (1, 'c1', 'a.csv', 'x', 1, '["phone", "name", "zip"]', '{"rows": 2}', 'ann', 1)""",
    "INSERT INTO suppressions (phone, source, reason, added_at) VALUES ('+12125550109', 'call', 'asked', 5)",
    *(
        "INSERT INTO leads (id, campaign_id, file_id, line, phone, state, zones, zone_source, priority, next_attempt_at,"  # noqa: E501
        " external_id, agent_id, agent_version, extension, consent, ignore_e164, variables, metadata, sip_headers, cells)"  # noqa: E501
        f" VALUES ({at}, 'c1', 1, {at + 1}, '+1212555010{at}', 'pending', '{EAST}', 'number', 5, 1, '', '', '', '', '',"
        f""" false, '{{"name": "n{at}", "zip": "1"}}', '{{}}', '{{}}', '["x", " n{at}", "1"]')"""
        for at in (1, 2)
    ),
    "INSERT INTO attempts (id, workspace, campaign_id, lead_id, phone, from_number, agent_id, agent_version, state, charged,"  # noqa: E501
    " claimed_at) VALUES ('a1', 'acme', 'c1', 1, '+12125550101', '+14155550100', '', '', 'claimed', false, 1)",
)  # fmt: skip


def test_what_an_older_program_left_is_still_there(empty_url: str) -> None:
    _at_revision(empty_url, "0001")
    database = Database(empty_url)
    with database.engine.begin() as connection:
        for statement in OLD:
            connection.execute(sa.text(statement.replace(":", "\\:")))
    database.close()
    with opened(empty_url) as store:
        first, second = store.reports.leads("c1")
        assert (first["phone"], first["cells"], first["variables"]) == (
            "+12125550101",
            ["x", " n1", "1"],
            {"name": "n1", "zip": "1"},
        )
        assert (second["phone"], second["zip"], second["state"]) == ("+12125550102", "", "pending")
        order = store.attempts.dial_order("a1")
        assert order is not None
        assert (order.phone, order.variables, order.suppressed) == (
            "+12125550101",
            {"name": "n1", "zip": "1"},
            False,
        )
        kept = store.suppressions.find("+12125550109")
        assert kept is not None
        assert (kept.source, kept.expires_at) == ("call", None)
        [file] = store.imports.files("c1")
        assert (file.moving, dict(file.mapping)) == (False, {})
