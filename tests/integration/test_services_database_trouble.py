"""A database that takes no write: nothing is dialed that was not committed, and what rang is found again."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from services_world import World

from campaigns.services import reconcile
from campaigns.services.dial import Dialed
from campaigns.store import Unavailable


class Disk:
    """Its space can be taken away: SQLite then says what it says of a full disk, as soon as it needs a page."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._engine = world.store.database.engine
        self._pages: int | None = None
        sa.event.listen(self._engine, "connect", self._limit)

    def _limit(self, connection: Any, _: object) -> None:
        if self._pages is not None:
            connection.execute(f"PRAGMA max_page_count = {self._pages}").close()

    def fill(self) -> None:
        with self._world.store.database.read() as connection:
            self._pages = int(connection.execute(sa.text("PRAGMA page_count")).scalar_one())
        self._engine.dispose()
        # What is left in the pages that there are.
        with pytest.raises(Unavailable, match="full"):
            self._use_it_up()

    def _use_it_up(self) -> None:
        while True:
            self._world.sql(
                "INSERT INTO events (at, at_real, campaign_id, attempt_id, lead_id, subject, to_state)"
                " VALUES (0, 0, 'x', hex(randomblob(16)), 1, 'lead', 'pending')"
            )

    def free(self) -> None:
        self._pages = None
        self._engine.dispose()


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def test_a_disk_full_before_the_dial_lets_nothing_ring(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    disk = Disk(world)
    disk.fill()
    with pytest.raises(Unavailable, match="full"):
        world.dial(attempt_id)
    assert world.wire.dials == 0
    assert world.attempt(attempt_id)["state"] == "claimed"
    disk.free()
    assert world.dial(attempt_id).dialed is Dialed.PLACED
    assert len(world.rings) == 1


def test_a_disk_full_after_the_dial_loses_no_call(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    disk = Disk(world)
    world.wire.before = disk.fill
    with pytest.raises(Unavailable, match="full"):
        world.dial(attempt_id)
    assert (world.attempt(attempt_id)["state"], len(world.rings)) == ("dialing", 1)
    disk.free()
    assert world.dial(attempt_id).dialed is Dialed.DROPPED
    world.sql("UPDATE attempts SET dialing_real = dialing_real - 6000")
    assert reconcile.reconcile(world.context).adopted == 1
    assert world.attempt(attempt_id)["state"] == "placed"
    assert len(world.rings) == 1


def test_it_says_why_it_takes_no_write(world: World) -> None:
    database = world.store.database
    assert database.trouble() is None
    with contextlib.closing(sqlite3.connect(database.url.database or "", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert database.trouble(patience=0.01) == "database is locked"
        other.execute("ROLLBACK")
    assert database.trouble() is None


def test_a_lead_that_is_given_back_at_once_keeps_its_place(world: World) -> None:
    """Given back under a clock that is an hour fast, it is due all the same when the clock is right again."""
    world.campaign("spring", 1)
    due = world.due(1)
    world.claim()
    world.after(hours=1)
    assert world.reconcile().freed_claims == 1
    world.after(hours=-1)
    assert world.due(1) == due
    world.claim()
