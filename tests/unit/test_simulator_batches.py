"""Batches are dialed as time passes, inside their window and within the limits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.domain.clock import ScaledClock
from campaigns.simulator.api import Api
from campaigns.simulator.batches import CallTimeWindow
from campaigns.simulator.config import SimulatorConfig
from campaigns.simulator.engine import Engine
from campaigns.simulator.transport import SimulatorTransport

FROM = "+14155550100"
# A Monday, 07:00 in New York.
START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC).timestamp()


class World:
    """A simulator, a client of it, and the time of both."""

    def __init__(self, **settings: Any) -> None:
        self.seconds = START
        clock = ScaledClock(datetime.fromtimestamp(START, UTC), 1.0, START, lambda: self.seconds)
        self.engine = Engine(SimulatorConfig(**settings), clock, lambda: self.seconds)
        self.http = httpx.Client(
            transport=SimulatorTransport(Api(self.engine)),
            base_url="http://simulator.invalid",
            headers={"Authorization": "Bearer key_test"},
        )

    def after(self, seconds: float) -> World:
        self.seconds += seconds
        return self

    def batch(self, count: int = 5, **more: Any) -> httpx.Response:
        tasks = [
            {"to_number": f"+141555501{n:02d}", "metadata": {"attempt_id": f"a{n}"}} for n in range(count)
        ]
        return self.http.post("/create-batch-call", json={"from_number": FROM, "tasks": tasks} | more)

    def of_batch(self, batch_call_id: str) -> list[dict[str, Any]]:
        criteria = {"batch_call_id": {"type": "string", "op": "eq", "value": batch_call_id}}
        return list(self.http.post("/v3/list-calls", json={"filter_criteria": criteria}).json()["items"])

    def dials(self) -> list[float]:
        self.engine.advance()
        return [call.created_ms / 1000 - START for call in self.engine.calls]


def window(start: int, end: int, zone: str = "America/New_York", *days: str) -> dict[str, Any]:
    made: dict[str, Any] = {"windows": [{"start": start, "end": end}], "timezone": zone}
    return made | {"day": list(days)} if days else made


def test_a_batch_is_dialed_at_once_and_found_by_its_id() -> None:
    world = World()
    answer = world.batch(name="Spring")
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["total_task_count"], made["from_number"]) == ("Spring", 5, FROM)
    assert made["scheduled_timestamp"] == START
    assert "call_time_window" not in made
    calls = world.of_batch(made["batch_call_id"])
    assert {call["metadata"]["attempt_id"] for call in calls} == {f"a{n}" for n in range(5)}
    assert not any("batch_call_id" in call for call in calls)
    assert world.http.get("/get-concurrency").json()["current_concurrency"] == 5


def test_a_batch_waits_for_its_time() -> None:
    world = World()
    world.batch(trigger_timestamp=(START + 100) * 1000)
    assert world.after(99).dials() == []
    assert world.after(500).dials() == [100.0] * 5


def test_a_batch_waits_for_free_slots() -> None:
    world = World(concurrency=2, foreign=1, mean_call=10)
    world.batch(count=8)
    for _ in range(100):
        assert world.http.get("/get-concurrency").json()["current_concurrency"] <= 2
        world.after(1)
    dials = world.dials()
    assert len(dials) == 8
    ends = [(call.ends_ms() or 0) / 1000 - START for call in world.engine.calls]
    # Each is dialed at the instant at which the one before ended, though nobody asked just then.
    assert dials[1:] == ends[:-1]


def test_a_batch_leaves_its_reserve_free() -> None:
    world = World(concurrency=10, outcomes="dial_no_answer=1")
    world.batch(count=20, reserved_concurrency=4)
    assert len(world.dials()) == 6
    # The reserve is for others: three more single calls fit into it, and the batch gets no more for it.
    for number in range(3):
        body = {"from_number": FROM, "to_number": f"+1415555019{number}"}
        assert world.http.post("/v2/create-phone-call", json=body).status_code == 201
    assert len(world.dials()) == 9
    assert len(world.after(31).dials()) == 15


def test_a_batch_keeps_to_its_window() -> None:
    world = World()
    world.batch(call_time_window=window(8 * 60, 8 * 60 + 1))
    assert world.after(3599).dials() == []
    assert world.after(1).dials() == [3600.0] * 5
    slow = World(concurrency=2, outcomes="dial_no_answer=1")
    slow.batch(call_time_window=window(8 * 60, 8 * 60 + 1))
    # Two fit at 8:00:00 and two at 8:00:30; the fifth waits until tomorrow.
    assert slow.after(3 * 86400).dials() == [3600, 3600, 3630, 3630, 3600 + 86400]


def test_a_window_may_name_days() -> None:
    world = World()
    world.batch(call_time_window=window(0, 1440, "America/New_York", "Wednesday"))
    midnight = datetime(2026, 3, 4, tzinfo=ZoneInfo("America/New_York")).timestamp()
    assert world.after(7 * 86400).dials() == [midnight - START] * 5


def test_a_batch_keeps_to_the_calls_per_second() -> None:
    world = World(cps=2)
    world.batch(count=6)
    assert world.after(60).dials() == [0, 0.5, 1, 1.5, 2, 2.5]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"from_number": None}, 400),
        ({"from_number": "+19995550000"}, 422),
        ({"tasks": []}, 400),
        ({"tasks": "x"}, 400),
        ({"tasks": [5]}, 400),
        ({"tasks": [{"to_number": "nobody"}]}, 400),
        ({"tasks": [{"to_number": "+14155550101", "override_agent_id": "agent_nobody"}]}, 422),
        ({"trigger_timestamp": "soon"}, 400),
        ({"trigger_timestamp": -1}, 400),
        ({"trigger_timestamp": 10**300, "call_time_window": {"windows": [{"start": 0, "end": 60}]}}, 400),
        ({"reserved_concurrency": -1}, 400),
        ({"reserved_concurrency": 1.5}, 400),
        ({"call_time_window": 5}, 400),
        ({"call_time_window": {"windows": []}}, 400),
        ({"call_time_window": {"windows": [5]}}, 400),
        ({"call_time_window": window(600, 600)}, 400),
        ({"call_time_window": window(1200, 600)}, 400),
        ({"call_time_window": window(0, 1441)}, 400),
        ({"call_time_window": window(0, 60, "Mars/Olympus")}, 400),
        ({"call_time_window": window(0, 60, "../etc/passwd")}, 400),
        ({"call_time_window": window(0, 60, "America/New_York", "Mon")}, 400),
    ],
)
def test_a_bad_batch_is_refused_and_rings_nobody(changes: dict[str, Any], status: int) -> None:
    world = World()
    answer = world.batch(**changes)
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == "error"
    assert world.after(1000).dials() == []


def test_one_bad_task_may_be_skipped() -> None:
    world = World(batch_bad_task="skip")
    answer = world.batch(tasks=[{"to_number": "nobody"}, {"to_number": "+14155550101"}])
    assert answer.json()["total_task_count"] == 1
    assert len(world.dials()) == 1


def test_the_window_is_answered_with_its_default_zone() -> None:
    shown = (
        World().batch(call_time_window={"windows": [{"start": 540, "end": 1440}]}).json()["call_time_window"]
    )
    assert shown == {"windows": [{"start": 540, "end": 1440}], "timezone": "America/Los_Angeles"}


@given(
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.sampled_from(["America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.sets(st.sampled_from(["Monday", "Sunday", "Saturday"])),
    st.integers(1_740_000_000, 1_800_000_000),
)
def test_the_next_opening_is_open_and_the_first(
    first: int, length: int, zone: str, days: set[str], at: int
) -> None:
    start = max(0, min(first, 1439))
    made = CallTimeWindow(((start, min(start + length, 1440)),), zone, tuple(days))
    at_ms = at * 1000
    opens = made.next_open(at_ms)
    assert opens >= at_ms
    assert made.is_open(opens)
    if opens > at_ms:
        assert not made.is_open(at_ms)
        # Whatever the clocks do, an hour is the most that a missing local time can cost.
        for probe in range(at_ms, opens - 3_600_000, 900_000):
            assert not made.is_open(probe)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(0, 2),
    st.lists(
        st.tuples(st.sampled_from(["batch", "dial", "wait", "foreign"]), st.integers(1, 60)), max_size=25
    ),
)
def test_batches_never_exceed_the_limits(limit: int, reserve: int, steps: list[tuple[str, int]]) -> None:
    world = World(concurrency=limit, mean_call=20)
    tasks = 0
    for step, amount in steps:
        if step == "batch":
            tasks += amount % 7 + 1
            world.batch(count=amount % 7 + 1, reserved_concurrency=reserve)
        elif step == "dial":
            body = {"from_number": FROM, "to_number": "+14155550177"}
            tasks += world.http.post("/v2/create-phone-call", json=body).status_code == 201
        elif step == "foreign":
            world.engine.advance()
            world.engine.configure({"foreign": amount % 2})
        world.after(amount)
        world.engine.advance()
    assert world.engine.summary()["peak_concurrency"] <= limit
    if reserve < limit:
        world.engine.configure({"foreign": 0})
        world.after(100_000)
        assert world.engine.summary()["rings"] == tasks
