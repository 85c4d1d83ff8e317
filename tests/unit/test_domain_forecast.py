"""The forecast's flow: nothing is lost, windows hold, more lines never take longer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.domain.forecast import (
    ASSUMED_OUTCOMES,
    HORIZON,
    Cohort,
    Course,
    Projection,
    project,
    shares_of,
)
from campaigns.domain.outcomes import Outcome
from campaigns.domain.retry import DEFAULT_RETRY, RetryPolicy
from campaigns.domain.windows import Openings, Spans

#: A Tuesday, 10:00 in New York.
NOW = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
EAST, WEST = ("America/New_York",), ("America/Los_Angeles",)
NONE = RetryPolicy.parse("none", 1)


def daily(_: date) -> Spans:
    """From nine to eight, whatever the day."""
    return ((9 * 60, 20 * 60),)


def run(cohorts: list[Cohort], course: Course) -> Projection:
    """In each cohort's zones, by their own clocks; a cohort without a zone is never callable."""
    openings = {cohort.group: Openings(cohort.group, [daily]) for cohort in cohorts if cohort.group}  # type: ignore[arg-type]

    def until(zones: Any, at: datetime) -> datetime | None:
        return openings[zones].until(at) if zones else None

    def opening(zones: Any, at: datetime) -> datetime | None:
        return openings[zones].next(at) if zones else None

    return project(cohorts, NOW, course, until, opening)


def course(rate: float = 0.1, retry: str = "none", tries: int = 1, **shares: float) -> Course:
    policy = RetryPolicy.parse(retry, tries)
    return Course(
        rate, 60.0, {Outcome(name): share for name, share in shares.items()} or {Outcome.HUMAN: 1.0}, policy
    )


def test_without_retries_it_is_leads_by_pace() -> None:
    found = run([Cohort(EAST, NOW, 0, 360)], course(0.1))
    assert found.calls == pytest.approx(360, abs=1)
    assert found.done_at is not None
    assert found.done_at - NOW == pytest.approx(timedelta(hours=1, minutes=1), abs=timedelta(minutes=1))


def test_nobody_is_left() -> None:
    assert run([], course()) == Projection(NOW, 0.0, 0)


def test_a_closed_window_is_waited_for() -> None:
    # In Los Angeles it is 7:00: two hours until nine.
    found = run([Cohort(WEST, NOW, 0, 60)], course(0.1))
    assert found.done_at is not None
    assert timedelta(hours=2, minutes=8) < found.done_at - NOW < timedelta(hours=2, minutes=20)


def test_what_does_not_fit_into_a_day_goes_on_the_next() -> None:
    # 10 hours are left today, guard included; 12 hours of calls.
    found = run([Cohort(EAST, NOW, 0, 0.1 * 3600 * 12)], course(0.1))
    assert found.done_at is not None
    assert (
        datetime(2026, 12, 2, 15, 30, tzinfo=UTC) < found.done_at < datetime(2026, 12, 2, 16, 30, tzinfo=UTC)
    )


def test_each_retry_multiplies_the_calls_and_waits_its_delay() -> None:
    half = {"no_answer": 0.5, "human": 0.5}
    found = run([Cohort(EAST, NOW, 0, 1000)], course(1.0, "no_answer:1h,1h", 3, **half))
    assert found.calls == pytest.approx(1000 * (1 + 0.5 + 0.25), rel=0.01)
    assert found.done_at is not None
    assert found.done_at - NOW > timedelta(hours=2)


def test_the_budget_ends_retries_and_what_was_tried_counts() -> None:
    half = {"no_answer": 0.5, "human": 0.5}
    flow = course(1.0, "no_answer:1m,1m,1m", 3, **half)
    assert run([Cohort(EAST, NOW, 2, 1000)], flow).calls == pytest.approx(1000, rel=0.01)
    assert run([Cohort(EAST, NOW, 1, 1000)], flow).calls == pytest.approx(1500, rel=0.01)


def test_leads_that_no_window_lets_through_are_told_apart() -> None:
    found = run([Cohort(EAST, NOW, 0, 10), Cohort((), NOW, 0, 7)], course(1.0))
    assert (found.never, found.calls) == (7, pytest.approx(10))
    assert found.done_at is not None


def test_beyond_the_horizon_there_is_no_time() -> None:
    found = run([Cohort(EAST, NOW, 0, 1_000_000)], course(0.01))
    assert found.done_at is None
    assert run([Cohort(EAST, NOW + HORIZON + timedelta(days=1), 0, 5)], course()).done_at is None


def test_shares_lean_on_the_guess_only_while_little_is_known() -> None:
    assert shares_of({})[Outcome.HUMAN] == ASSUMED_OUTCOMES[Outcome.HUMAN]
    assert shares_of({"busy": 100_000})[Outcome.BUSY] > 0.999
    assert sum(shares_of({"human": 3, "unknown": 2}).values()) == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([EAST, WEST]), st.integers(0, 30), st.integers(0, 2), st.integers(1, 3000)),
        min_size=1,
        max_size=6,
    ),
    st.floats(0.05, 5),
    st.dictionaries(st.sampled_from([str(o) for o in Outcome]), st.integers(0, 500), max_size=5),
)
def test_more_pace_never_takes_longer_and_no_lead_is_forgotten(
    rows: list[tuple[tuple[str], int, int, int]], rate: float, outcomes: dict[str, int]
) -> None:
    cohorts = [
        Cohort(zones, NOW + timedelta(hours=hours), tried, leads) for zones, hours, tried, leads in rows
    ]
    total = sum(row[3] for row in rows)
    slow = Course(rate, 60.0, shares_of(outcomes), RetryPolicy.parse(DEFAULT_RETRY, 3))
    one, two = run(cohorts, slow), run(cohorts, replace(slow, calls_per_second=rate * 4))
    for found in (one, two):
        if found.done_at is not None:
            assert total - 1 <= found.calls <= 3 * total + 1
            assert found.never == 0
    if one.done_at is not None:
        assert two.done_at is not None
        # Steps are as long as the work makes them: no finer than that.
        assert two.done_at <= one.done_at + timedelta(minutes=31)


def test_groups_that_have_no_order_may_meet() -> None:
    """Callees of several places fall due in the same step, first tries and retries both."""
    groups = [frozenset({name}) for name in ("a", "b", "c")]
    half = {"no_answer": 0.5, "human": 0.5}
    flow = course(1.0, "no_answer:1h,1h", 3, **half)
    done = project(
        [Cohort(one, NOW, 0, 500) for one in groups], NOW, flow, lambda *_: NOW + HORIZON, lambda *_: NOW
    )
    assert done.calls == pytest.approx(1500 * 1.75, rel=0.02)
