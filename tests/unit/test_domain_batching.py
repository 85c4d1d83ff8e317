"""How much may be left with Retell's dialer, and what tasks without a call have come to, by example."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.domain.batching import (
    EMPTY_SEARCHES,
    END_MARGIN,
    GIVE_UP,
    CallSeconds,
    Missing,
    Verdict,
    ahead,
    call_seconds,
    judge,
    lines_for,
    lines_held,
    look_every,
    room,
    shared_out,
    wants_more,
)
from campaigns.domain.call_windows import call_window

EAST = "America/New_York"


def at(day: int, hour: int, minute: int = 0, second: int = 0, month: int = 12) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=UTC)


def test_short_calls_on_many_lines_let_many_wait() -> None:
    minute = CallSeconds(60.0, 60.0)
    assert ahead(20, 240.0, minute) == 57
    assert ahead(1, 240.0, minute) == 1
    assert ahead(1, 240.0, CallSeconds(180.0, 180.0)) == 0, "its one line may be busy for longer"
    assert ahead(20, 240.0, minute, cps=0.1) == 24, "nor more than the calls per second let through"
    assert ahead(0, 240.0, minute) == ahead(20, 0.0, minute) == 0


def test_observed_calls_outweigh_the_first_belief() -> None:
    assert call_seconds([]) == CallSeconds()
    assert call_seconds([20.0] * 200).mean == pytest.approx(21.9, abs=0.1)
    assert call_seconds([20.0] * 200).deviation < 25


def test_what_batches_hold() -> None:
    assert lines_held(5, []) == 5
    assert lines_held(5, [(20, 3)]) == 8
    assert lines_held(5, [(20, 300)]) == 20
    assert lines_held(12, [(10, 300)]) == 12, "calls from when they had more lines go on"
    assert lines_held(5, [(20, 3), (8, 30)]) == 11, "in whatever order Retell dials"


def test_a_new_batch_leaves_the_older_ones_their_lines() -> None:
    assert lines_for(20, 20, 5, [(20, 3)], 30) == 20
    assert lines_for(8, 8, 5, [(20, 3)], 30) == 5
    assert lines_for(8, 4, 5, [], 30) == 0


def test_room_and_refills() -> None:
    assert room(20, 0, 0, 57) == 77
    assert room(20, 20, 28, 57) == 29
    assert room(10, 20, 28, 20) == 0
    assert wants_more(28, 57)
    assert not wants_more(29, 57)
    assert shared_out(7, {"a": 10, "b": 4}) == {"a": 5, "b": 2}
    assert shared_out(0, {"a": 0}) == {"a": 0}


def test_looks_are_as_rare_as_news() -> None:
    assert look_every(20, CallSeconds(60.0, 60.0), 300.0) == 24.0
    assert look_every(1, CallSeconds(60.0, 60.0), 300.0) == 75.0
    assert look_every(100, CallSeconds(20.0, 20.0), 300.0) == 15.0
    assert look_every(20, CallSeconds(600.0, 600.0), 120.0) == 30.0, "well within the horizon"


def missing(**changes: object) -> Missing:
    known: dict[str, object] = {
        "since_end": END_MARGIN, "searches": EMPTY_SEARCHES, "younger": ["registered"], "found": 9, "taken": 10,
    }  # fmt: skip
    return Missing(**{**known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.LEFT_OVER),
        ({"since_end": END_MARGIN - 1}, Verdict.WAIT),
        ({"searches": EMPTY_SEARCHES - 1}, Verdict.WAIT),
        ({"younger": []}, Verdict.WAIT),
        ({"younger": ["ongoing", "ended"]}, Verdict.WAIT),
        ({"younger": ["ended"], "since_end": 301.0}, Verdict.WAIT),
        ({"younger": ["ongoing"], "since_end": 301.0}, Verdict.LEFT_OVER),
        ({"found": 10, "since_end": 61.0, "searches": 3, "younger": []}, Verdict.REFUSED),
        ({"found": 10, "since_end": -200.0, "searches": 3, "younger": []}, Verdict.WAIT),
        ({"found": 10, "since_end": 61.0, "searches": 2, "younger": []}, Verdict.WAIT),
        ({"found": 10, "taken": None, "since_end": -200.0, "searches": 0}, Verdict.WAIT),
        ({"found": 0, "taken": 0, "since_end": -200.0, "searches": 0}, Verdict.WAIT),
        ({"found": 2, "taken": 0, "since_end": -200.0, "searches": 0}, Verdict.WAIT),
        ({"younger": [], "since_end": GIVE_UP}, Verdict.WAIT),
        ({"younger": [], "since_end": GIVE_UP + 1}, Verdict.UNRESOLVED),
        ({"younger": ["ongoing"], "since_end": GIVE_UP + 1}, Verdict.LEFT_OVER),
    ],
)
def test_each_condition_of_the_proof_is_needed(changes: dict[str, object], verdict: Verdict) -> None:
    assert judge(missing(**changes)) is verdict


def test_a_window_in_whole_minutes_of_one_day() -> None:
    now = at(1, 15, 2, 50)
    found = call_window(EAST, [(at(1, 14), at(1, 15, 7, 50))], now)
    assert found is not None
    assert (found.zone, found.day, found.windows) == (EAST, "Tuesday", ((602, 607),))
    assert (found.begins_at, found.ends_at) == (at(1, 15, 2), at(1, 15, 7))


def test_several_windows_are_kept_and_midnight_splits() -> None:
    stretches = [(at(1, 23), at(2, 1)), (at(2, 2), at(2, 3)), (at(2, 4, 30), at(2, 6))]
    found = call_window(EAST, stretches, at(1, 23, 30))
    assert found is not None
    # 23:00-01:00, 02:00-03:00 and 04:30-06:00 UTC; midnight in New York is 05:00.
    assert found.windows == ((1110, 1200), (1260, 1320), (1410, 1440))
    assert found.day == "Tuesday"
    assert found.ends_at == at(2, 5)


def test_less_than_a_minute_is_no_window() -> None:
    assert call_window(EAST, [(at(1, 15), at(1, 15, 2, 40))], at(1, 15, 2, 10)) is None
    assert call_window(EAST, [], at(1, 15)) is None


def test_where_the_wall_clock_is_ambiguous_it_is_written_in_utc() -> None:
    # 1 November 2026, 01:30 is there twice in New York.
    start = at(1, 5, 20, month=11)
    found = call_window(EAST, [(start, start + timedelta(minutes=20))], start)
    assert found is not None
    assert (found.zone, found.day, found.windows) == ("Etc/UTC", "Sunday", ((320, 340),))
