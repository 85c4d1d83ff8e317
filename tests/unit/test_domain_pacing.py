"""The arithmetic of lines, shares, turns and polls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.domain import pacing
from campaigns.domain.entities import Callee
from campaigns.domain.pacing import (
    Demand,
    Segment,
    Slots,
    ceiling,
    claim_order,
    claim_room,
    deal,
    foreign_calls,
    poll_credit,
    poll_interval,
)

NOW = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((20,), 20),
        ((20, 5), 15),
        ((20, 5, 3), 12),
        ((20, 5, 3, 8), 8),
        ((20, 5, 3, 30), 12),
        ((20, 0, 0, 0), 0),
        ((5, 4, 3), 0),
        ((0,), 0),
    ],
)
def test_ceiling(args: tuple[int, ...], expected: int) -> None:
    assert ceiling(*args) == expected


@pytest.mark.parametrize(
    ("seen", "expected"), [([], 0), ([3], 3), ([-2], 0), ([-1, -4], 0), ([0, 2, 1, -3], 2), ([5, 5], 5)]
)
def test_foreign_calls_err_on_the_side_of_fewer_of_ours(seen: list[int], expected: int) -> None:
    assert foreign_calls(seen) == expected


@pytest.mark.parametrize(
    ("slots", "free"), [((20, 5, 10), 5), ((20, 0, 20), 0), ((20, 15, 10), 0), ((0, 0, 0), 0), ((3, 0, 0), 3)]
)
def test_free_slots_are_ceiling_less_foreign_less_own(slots: tuple[int, int, int], free: int) -> None:
    assert Slots(*slots).free == free


@pytest.mark.parametrize(
    ("callable_leads", "own", "cap", "room"), [(9, 3, None, 9), (9, 3, 5, 2), (1, 3, 5, 1), (9, 6, 5, 0)]
)
def test_room_of_a_campaign(callable_leads: int, own: int, cap: int | None, room: int) -> None:
    assert Demand("a", 1.0, callable_leads, own, cap).room == room


def test_equal_campaigns_share_equally_and_the_rest_flows_over() -> None:
    assert deal(10, [Demand("a", 1, 99, 0), Demand("b", 1, 99, 0)]) == {"a": 5, "b": 5}
    assert deal(10, [Demand("a", 1, 2, 0), Demand("b", 1, 99, 0)]) == {"a": 2, "b": 8}
    assert deal(10, [Demand("a", 1, 99, 0, cap=3), Demand("b", 1, 4, 0)]) == {"a": 3, "b": 4}
    assert deal(0, [Demand("a", 1, 99, 0)]) == {"a": 0}
    assert deal(10, []) == {}


def test_weights_are_shares_of_calls_in_progress_not_of_the_newly_free() -> None:
    assert deal(12, [Demand("a", 3, 99, 0), Demand("b", 1, 99, 0)]) == {"a": 9, "b": 3}
    # A campaign that joins a full account gets the freed lines until it has caught up.
    assert deal(4, [Demand("old", 1, 99, 16), Demand("new", 1, 99, 0)]) == {"old": 0, "new": 4}


def test_with_more_campaigns_than_lines_the_longest_waiting_is_next() -> None:
    waiting = [
        Demand("a", 1, 99, 0, None, 30),
        Demand("b", 1, 99, 0, None, 10),
        Demand("c", 1, 99, 0, None, 20),
    ]
    assert deal(1, waiting) == {"a": 0, "b": 1, "c": 0}
    assert deal(2, waiting) == {"a": 0, "b": 1, "c": 1}
    assert deal(1, [*waiting, Demand("new", 1, 99, 0)])["new"] == 1


@pytest.mark.parametrize(
    ("cps", "waiting", "room"),
    [(1.0, 0, 2), (1.0, 1, 1), (1.0, 9, 0), (10.0, 0, 16), (10.0, 16, 0), (0.1, 0, 1)],
)
def test_claims_do_not_outrun_the_calls_per_second(cps: float, waiting: int, room: int) -> None:
    assert claim_room(cps, waiting) == room


@pytest.mark.parametrize("cps", [None, 1e6])
def test_claims_do_not_outrun_the_workers(cps: float | None) -> None:
    most = pacing.MOST_WAITING
    assert [claim_room(cps, waiting) for waiting in (0, 1, most, most + 5)] == [most, most - 1, 0, 0]


@pytest.mark.parametrize("credit", [-1e9, pacing.DEEPEST_DEBT, -1.0, 0.0, 1.0, pacing.MOST_CREDIT])
@pytest.mark.parametrize("calls", [0, 1, 500])
def test_a_fixed_poll_interval_overrides_everything(credit: float, calls: int) -> None:
    assert poll_interval(credit, calls, 0.05) == 0.05


def test_the_poll_interval_keeps_its_bounds_and_grows_with_the_debt() -> None:
    steps = [
        pacing.MOST_CREDIT - step / 4
        for step in range(int(4 * (pacing.MOST_CREDIT - pacing.DEEPEST_DEBT)) + 1)
    ]
    intervals = [poll_interval(credit, 10) for credit in steps]
    assert intervals == sorted(intervals)
    assert intervals[0] == pacing.SHORTEST_POLL
    assert intervals[-1] == pytest.approx(pacing.LONGEST_POLL)
    assert poll_interval(0.0, 0) == pacing.IDLE_POLL


def test_without_open_calls_the_credit_is_whole_again() -> None:
    assert poll_credit(pacing.DEEPEST_DEBT, 0, 0) == pacing.MOST_CREDIT


def test_callbacks_first_then_priority_then_the_window_that_closes_soonest() -> None:
    soon, late = NOW + timedelta(hours=1), NOW + timedelta(hours=4)
    closes = {"East": soon, "West": late, "Coast": soon}
    keys = [("West", 1), ("West", 5), ("East", 5), ("Coast", 5), ("West", 0), ("East", 1)]
    open_until = {Segment(zones, "US", priority): closes[zones] for zones, priority in keys}
    ranked = claim_order(open_until)
    assert [[(group.segment.zones, group.segment.priority) for group in rank] for rank in ranked] == [
        [("West", 0)],
        [("East", 1)],
        [("West", 1)],
        [("Coast", 5), ("East", 5)],
        [("West", 5)],
    ]
    assert all(group.closes_at == open_until[group.segment] for rank in ranked for group in rank)


def test_nothing_open_is_nothing_to_claim() -> None:
    assert claim_order({}) == []


def test_a_segment_is_a_callee() -> None:
    assert Segment("A/B|C/D", "US-FL|US-GA", 5).callee == Callee(("A/B", "C/D"), ("US-FL", "US-GA"))
    assert Segment("", "", 5).callee == Callee((), ())
