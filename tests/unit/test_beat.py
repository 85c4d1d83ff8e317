"""The tick goes on when the machine's clock is set, forward or back."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
import time_machine
from celery import Celery

from workers.app import app
from workers.beat import Scheduler


@pytest.fixture
def ticking() -> Scheduler:
    """Two ticks, each 20 times a second."""
    made = Celery("ticking", broker="memory://", set_as_current=False)
    made.conf.beat_schedule = {name: {"task": name, "schedule": 0.05} for name in ("pace", "reconcile")}
    return Scheduler(made)


def ticks(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, least: int) -> Counter[str]:
    """Let it tick until each has come so often."""
    sent: Counter[str] = Counter()

    def send(entry: Any, **_: Any) -> None:
        sent[entry.name] += 1

    monkeypatch.setattr(scheduler, "apply_async", send)
    deadline = time.monotonic() + 10
    while not all(sent[name] >= least for name in ("pace", "reconcile")):
        assert time.monotonic() < deadline, f"it stands still: {sent}"
        time.sleep(max(0.0, min(scheduler.tick(), 0.02)))
    return sent


@pytest.mark.parametrize("hours", [1, -1])
def test_it_ticks_on_when_the_clock_is_set(
    ticking: Scheduler, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    ticks(ticking, monkeypatch, 3)
    with time_machine.travel(time.time() + 3600 * hours, tick=True):
        sent = ticks(ticking, monkeypatch, 5)
    # None of them in a rush: they are spread as before.
    assert max(sent.values()) <= min(sent.values()) + 2


def test_a_tick_comes_once_an_interval(ticking: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    sent = ticks(ticking, monkeypatch, 6)
    assert max(sent.values()) <= (time.monotonic() - started) / 0.05 + 2


def test_it_is_the_scheduler_of_the_app() -> None:
    assert app.conf.beat_scheduler == f"{Scheduler.__module__}:{Scheduler.__name__}"
