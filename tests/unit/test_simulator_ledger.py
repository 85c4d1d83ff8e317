"""What the ledger says about the use of the slots, and what its file brings back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.clock import ScaledClock
from campaigns.simulator.config import SimulatorConfig
from campaigns.simulator.engine import Engine
from campaigns.simulator.ledger import Journal, peak

START = 1_780_000_000.0


class World:
    """An engine and its time. Every call rings 30 s and is not answered."""

    def __init__(self, **settings: Any) -> None:
        self.seconds = START
        self.settings = {"outcomes": "dial_no_answer=1"} | settings
        self.open()

    def open(self) -> None:
        clock = ScaledClock(datetime.fromtimestamp(START, UTC), 1.0, START, lambda: self.seconds)
        self.engine = Engine(SimulatorConfig(**self.settings), clock, lambda: self.seconds)

    def dial(self, at: float, attempt: str | None = "a1", to: str = "+14155550123", **more: Any) -> str:
        self.seconds = START + at
        body: dict[str, Any] = {"from_number": "+14155550100", "to_number": to, **more}
        if attempt is not None:
            body["metadata"] = {"attempt_id": attempt}
        return str(self.engine.create_phone_call(body)["call_id"])

    def summary(self, at: float) -> dict[str, Any]:
        self.seconds = START + at
        return self.engine.summary()


def test_the_use_of_the_slots() -> None:
    world = World(concurrency=2)
    # Slot 1: 0-30, 34-64; slot 2: 1-31, 41-71. Freed slots are used again first in, first out.
    for at, attempt in ((0, "a1"), (1, "a2"), (34, "a3"), (41, "a4")):
        world.dial(at, attempt)
    summary = world.summary(100)
    assert summary["rings"] == summary["attempts"] == 4
    assert (summary["first_dial_ms"], summary["last_dial_ms"]) == (START * 1000, (START + 41) * 1000)
    assert summary["peak_concurrency"] == summary["peak_total_concurrency"] == 2
    assert summary["busy_slot_seconds"] == 120
    assert summary["gap_seconds"] == {"count": 2, "mean": 7.0, "p50": 10.0, "p95": 10.0, "max": 10.0}
    assert summary["utilisation"] == pytest.approx((30 + 30 + 7) / 82, abs=0.001)
    assert summary["reasons"] == {"dial_no_answer": 4}
    assert summary["open"] == 0


def test_an_empty_ledger() -> None:
    summary = World().summary(5)
    assert (summary["rings"], summary["peak_concurrency"], summary["utilisation"]) == (0, 0, None)
    assert summary["gap_seconds"]["mean"] is None
    json.dumps(summary)


def test_a_person_rung_twice_for_one_attempt_stands_out() -> None:
    world = World()
    world.dial(0, "a1")
    world.dial(5, "a1")
    world.dial(6, "a2", to="+14155550124")
    world.dial(7, None)
    summary = world.summary(8)
    assert summary["attempts_rung_twice"] == 1
    assert summary["doubled_attempts"] == ["a1"]
    assert summary["rings_without_attempt_id"] == 1
    assert summary["most_rings_of_a_number"] == 3
    assert summary["open"] == summary["peak_concurrency"] == 4


def test_a_slot_freed_at_the_same_instant_is_no_overlap() -> None:
    assert peak([(0, 10), (10, 20), (5, 15)]) == 2
    assert peak([(3, 3)]) == 0
    assert peak([]) == 0


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=30))
def test_the_peak_is_the_most_at_any_instant(spans: list[tuple[int, int]]) -> None:
    spans = [(start, start + length) for start, length in spans]
    counted = max((sum(start <= at < end for start, end in spans) for at in range(75)), default=0)
    assert peak(spans) == counted


def test_a_restarted_engine_knows_everything(tmp_path: Path) -> None:
    world = World(ledger=tmp_path / "sub" / "ledger.jsonl", concurrency=5)
    first = world.dial(0, "a1", idempotency_key="k1")
    second = world.dial(1, "a2", to="+14155550124")
    world.engine.stop_call(second)
    world.engine.create_batch_call(
        {"from_number": "+14155550100", "tasks": [{"to_number": "+14155550125"}] * 6}
    )
    before = {call.call_id: call.show(world.engine.advance() + 10_000) for call in world.engine.calls}
    assert len(before) == 6
    world.engine.close()
    world.seconds += 10
    world.open()
    after = {call.call_id: call.show(world.engine.advance()) for call in world.engine.calls}
    assert after == before
    assert world.engine.concurrency()["current_concurrency"] == 5
    assert world.dial(12, "a1", idempotency_key="k1") == first
    # Two tasks of the batch were still waiting for a slot; they go on where they were.
    assert world.summary(200)["rings"] == 8
    # The count of calls to a number goes on too, so that outcomes are those of one uninterrupted run.
    world.engine.close()
    straight = World(concurrency=5, outcomes="", seed=3)
    world = World(ledger=tmp_path / "other.jsonl", concurrency=5, outcomes="", seed=3)
    plans = []
    for at in range(0, 40_000, 8_000):
        plans.append(straight.dial(at))
        world.dial(at)
        world.engine.close()
        world.open()
    assert [call.plan for call in world.engine.calls] == [call.plan for call in straight.engine.calls]
    world.engine.close()


def test_a_reset_is_remembered_too(tmp_path: Path) -> None:
    world = World(ledger=tmp_path / "ledger.jsonl")
    world.dial(0)
    world.engine.reset()
    kept = world.dial(1)
    world.engine.close()
    world.open()
    assert [call.call_id for call in world.engine.calls] == [kept]
    world.engine.close()


def test_a_torn_last_line_is_dropped_and_a_damaged_file_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"kind":"reset"}\n{"kind":"sto')
    assert list(Journal(path).read()) == [{"kind": "reset"}]
    assert path.read_text() == '{"kind":"reset"}\n'
    path.write_text('{"kind":"reset"}\nnonsense\n{"kind":"reset"}\n')
    with pytest.raises(ValueError, match="line 2 is not a record"):
        list(Journal(path).read())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concurrency": -1}, "concurrency must be a whole number"),
        ({"cps": 1.5}, "cps must be a whole number"),
        ({"speed": 0}, "speed must be above 0"),
        ({"mean_call": 0}, "mean_call must be above 0"),
        ({"analysis_delay": (5, 2)}, "analysis_delay must be LOW-HIGH"),
        ({"listing_lag": -1}, "listing_lag must be at least 0"),
        ({"overflow": "500"}, "overflow must be 429 or error"),
        ({"batch_bad_task": "x"}, "batch_bad_task must be refuse or skip"),
        ({"api_key": ""}, "api_key must not be empty"),
        ({"faults": "x=1"}, "unknown fault"),
        ({"outcomes": "x=1"}, "unknown outcome"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimulatorConfig(**settings)
