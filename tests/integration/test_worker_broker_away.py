"""With the broker away, claims find no worker; they go back, and are claimed again once it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from services_world import World

from workers import tasks
from workers.app import make_app


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def test_nothing_is_lost(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = world.campaign("spring", *range(1, 6))
    monkeypatch.setattr(tasks, "context", lambda: world.context)
    monkeypatch.setattr(tasks, "app", make_app(f"unix://{tmp_path / 'nobody.sock'}"))
    tasks.pace()
    assert world.counts(campaign) == {"claimed": 5}
    assert world.reconcile().freed_claims == 5
    assert world.lead_counts(campaign) == {"pending": 5}
    assert len(world.dial_all()) == 5
    assert len(world.rings) == 5
