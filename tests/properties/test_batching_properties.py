"""Windows, sizes and lines of batches, held against a dialer that does whatever it may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.domain.batching import (
    CallSeconds,
    Missing,
    Verdict,
    ahead,
    judge,
    lines_for,
    lines_for_next,
    lines_held,
    shared_out,
    tasks_wanted,
)
from campaigns.domain.call_windows import call_window
from campaigns.simulator.batches import CallTimeWindow

ZONES = (
    "America/New_York",
    "America/Phoenix",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/London",
    "Etc/UTC",
)
INSTANTS = st.integers(0, 2 * 365 * 86400).map(
    lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s)
)
LINES = st.integers(0, 30)
QUEUES = st.lists(st.tuples(LINES, st.integers(0, 60)), max_size=5)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ZONES),
    INSTANTS,
    st.lists(st.tuples(st.integers(-600, 20_000), st.integers(1, 9_000)), min_size=1, max_size=3),
    st.integers(0, 7 * 1440 - 1),
)
def test_within_a_week_retell_dials_inside_the_stretches_and_nowhere_else(
    zone: str, now: datetime, spans: list[tuple[int, int]], minute: int
) -> None:
    stretches = []
    begin = now
    for gap, length in spans:
        begin = begin + timedelta(seconds=gap)
        stretches.append((begin, begin + timedelta(seconds=length)))
        begin += timedelta(seconds=length + 1)
    found = call_window(zone, stretches, now)
    if found is None:
        return
    theirs = CallTimeWindow.parse(
        {
            "windows": [{"start": a, "end": b} for a, b in found.windows],
            "timezone": found.zone,
            "day": [found.day],
        }
    )
    for one in (
        now + timedelta(minutes=minute),
        found.begins_at,
        found.ends_at - timedelta(seconds=1),
        found.ends_at,
    ):
        if not now <= one < now + timedelta(days=6, hours=22):
            continue  # the clocks may change, and then the week has an hour less
        dials = theirs.is_open(int(one.timestamp() * 1000))
        assert dials == any(start <= one < end for start, end in found.stretches)
        if dials:
            assert any(start <= one < end for start, end in stretches)
    assert all(start < end for start, end in found.stretches)
    assert found.ends_at <= max(end for _, end in stretches)


@given(LINES, QUEUES, st.data())
def test_no_order_of_dialing_takes_more_than_is_held(
    placed: int, queues: list[tuple[int, int]], data: st.DataObject
) -> None:
    held = lines_held(placed, queues)
    live, left = placed, [list(queue) for queue in queues]
    for _ in range(data.draw(st.integers(0, 80))):
        ready = [queue for queue in left if queue[1] > 0 and live < queue[0]]
        if ready and data.draw(st.booleans()):
            queue = data.draw(st.sampled_from(ready))
            queue[1] -= 1
            live += 1
        elif live:
            live -= 1
        assert live <= held


@given(LINES, LINES, LINES, QUEUES, st.integers(1, 60))
def test_one_more_batch_keeps_to_the_budget(
    most: int, budget: int, placed: int, queues: list[tuple[int, int]], tasks: int
) -> None:
    lines = lines_for(most, budget, placed, queues, tasks)
    assert 0 <= lines <= most
    if lines:
        assert lines_held(placed, [*queues, (lines, tasks)]) <= budget


@given(
    st.integers(0, 200),
    st.floats(0, 7200),
    st.floats(1, 3600),
    st.floats(0, 3600),
    st.none() | st.floats(0.1, 50),
)
def test_what_waits_fits_into_the_time_and_grows_with_it(
    lines: int, seconds: float, mean: float, deviation: float, cps: float | None
) -> None:
    calls = CallSeconds(mean, deviation)
    most = ahead(lines, seconds, calls, cps)
    assert most * mean <= lines * seconds + 1e-6
    assert cps is None or most <= cps * seconds
    assert ahead(lines + 1, seconds, calls, cps) >= most
    assert ahead(lines, seconds + 60, calls, cps) >= most
    assert ahead(lines, seconds, CallSeconds(mean, deviation + 10), cps) <= most


@given(st.integers(0, 50), st.dictionaries(st.sampled_from("abcd"), st.integers(0, 40)))
def test_nobody_is_thought_to_hold_less_than_it_may(total: int, wanted: dict[str, int]) -> None:
    total = min(total, sum(wanted.values()))
    shared = shared_out(total, wanted)
    assert sum(shared.values()) >= total
    assert all(0 <= shared[name] <= wanted[name] for name in wanted)


@given(
    st.floats(-1000, 20_000),
    st.integers(0, 10),
    st.lists(st.sampled_from(["registered", "ongoing", "ended", "error"]), max_size=3),
    st.integers(0, 5),
    st.none() | st.integers(0, 5),
)
def test_nothing_goes_back_without_its_proof(
    since_end: float, searches: int, younger: list[str], found: int, taken: int | None
) -> None:
    verdict = judge(Missing(since_end, searches, younger, found, taken))
    if verdict is Verdict.REFUSED:
        assert taken is not None
        assert found >= taken
    if verdict is Verdict.LEFT_OVER:
        assert since_end >= 60
        assert searches >= 3
        assert "registered" in younger or ("ongoing" in younger and since_end > 300)


@given(st.integers(0, 60), st.one_of(st.none(), LINES), LINES, QUEUES, st.integers(1, 60))
def test_the_next_batch_stays_within_all_lines_and_its_campaigns_own(
    budget: int, keeps: int | None, placed: int, queues: list[tuple[int, int]], tasks: int
) -> None:
    lines = lines_for_next(budget, keeps, placed, queues, tasks)
    assert 0 <= lines <= budget
    if keeps is not None:
        assert lines <= keeps, "its tasks dial only while all batches use fewer than the campaign keeps"
    if lines:
        assert lines_held(placed, [*queues, (lines, tasks)]) <= budget
    more = lines + 1
    if more <= min(budget, budget if keeps is None else keeps):
        assert lines_held(placed, [*queues, (more, tasks)]) > budget, "no line is left unused"


@given(LINES, st.one_of(st.none(), LINES), st.integers(0, 500), st.integers(0, 100))
def test_a_claim_looks_for_no_more_tasks_than_it_may_take(
    lines: int, cap: int | None, room: int, behind: int
) -> None:
    asked: list[int] = []

    def waiting(busy: int) -> int:
        asked.append(busy)
        return behind

    wanted = tasks_wanted(lines, cap, room, waiting)
    [busy] = asked
    assert busy <= lines
    assert cap is None or busy <= cap
    assert wanted == min(room, busy + behind)
