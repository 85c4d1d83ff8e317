"""Who looks on knows by which clock a campaign goes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from store_steps import NOW, Steps, phone

from campaigns.domain.clock import ScaledClock, SystemClock
from campaigns.runtime import clock_of
from campaigns.settings import RETELL, SIMULATOR, Settings
from campaigns.store import Store

SPEC = "2026-03-08T13:30:00Z,60,1795174234.6"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    for name in ("CAMPAIGNS_CLOCK", "RETELL_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return Settings()


def test_a_simulated_campaign_goes_by_the_clock_of_its_run(store: Store, settings: Settings) -> None:
    steps = Steps(store)
    steps.draft("spring", workspace=SIMULATOR)
    assert store.workspaces.clock(SIMULATOR) is None
    store.workspaces.set_clock(SIMULATOR, SPEC)
    clock = clock_of(settings, store, SIMULATOR)
    assert isinstance(clock, ScaledClock)
    assert (clock.spec(), clock.speed) == (SPEC, 60.0)
    assert isinstance(clock_of(settings, store, RETELL), SystemClock)


def test_after_the_run_its_time_stands_still(store: Store, settings: Settings) -> None:
    steps = Steps(store)
    campaign_id = steps.campaign("spring", phone(1), workspace=SIMULATOR)
    store.campaigns.pause(campaign_id, "lunch", NOW)
    clock = clock_of(settings, store, SIMULATOR)
    assert clock.now() == clock.now() == NOW


def test_without_anything_that_happened_it_is_the_wall_clock(store: Store, settings: Settings) -> None:
    assert isinstance(clock_of(settings, store, SIMULATOR), SystemClock)


def test_the_variable_comes_first(store: Store, settings: Settings) -> None:
    Steps(store).draft("spring", workspace=SIMULATOR)
    store.workspaces.set_clock(SIMULATOR, SPEC)
    told = settings.model_copy(
        update={"clock_spec": "2030-01-01T00:00:00Z,2,0", "base_url": "http://127.0.0.1:1"}
    )
    assert clock_of(told, store, SIMULATOR).speed == 2.0
    assert clock_of(told, store, SIMULATOR).now() > datetime(2030, 1, 1, tzinfo=UTC)
