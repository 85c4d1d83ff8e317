"""Calling windows: how they are written, and the days on which a wall clock is not elapsed time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import pytest

from campaigns.domain.windows import (
    ANY_TIME,
    Openings,
    Schedule,
    Window,
    WindowError,
    zone,
)

NEW_YORK = ("America/New_York",)
FEDERAL = Schedule.parse(["daily 08:00-21:00"])


@lru_cache(maxsize=64)
def openings(schedule: Schedule, zones: tuple[str, ...]) -> Openings:
    return Openings(zones, (), (schedule.hours,))


def callable_until(schedule: Schedule, zones: Sequence[str], now: datetime) -> datetime | None:
    return openings(schedule, tuple(zones)).until(now)


def next_opening(schedule: Schedule, zones: Sequence[str], now: datetime) -> datetime | None:
    return openings(schedule, tuple(zones)).next(now)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("specs", "windows"),
    [
        (["Mon 9-17"], [(0, 540, 1020)]),
        (["Mon-Wed 09:00-20:00"], [(0, 540, 1200), (1, 540, 1200), (2, 540, 1200)]),
        (["Sat,Sun 10:30-14"], [(5, 630, 840), (6, 630, 840)]),
        (["sun-mon 8-9"], [(0, 480, 540), (6, 480, 540)]),
        (["Mon - Tue, Friday 8-9"], [(0, 480, 540), (1, 480, 540), (4, 480, 540)]),
        (["weekends 8-24"], [(5, 480, 1440), (6, 480, 1440)]),
        (["weekdays 8-9", "Mon 8:30-10"], [(0, 480, 600), *((day, 480, 540) for day in range(1, 5))]),
        (["Tue 9-12", "Tue 13-17"], [(1, 540, 720), (1, 780, 1020)]),
        (["Tue 9-12", "Tue 12-17"], [(1, 540, 1020)]),
        (["Sun 22:00-02:00"], [(0, 0, 120), (6, 1320, 1440)]),
        (["Fri 22:00-00:00"], [(4, 1320, 1440)]),
        (["09:00-10:00"], [(day, 540, 600) for day in range(7)]),
        (["  daily 9:00 - 10:00  "], [(day, 540, 600) for day in range(7)]),
    ],
)
def test_windows_are_read(specs: list[str], windows: list[tuple[int, int, int]]) -> None:
    schedule = Schedule.parse(specs)
    assert schedule.windows == tuple(Window(*window) for window in windows)
    assert Schedule.parse(schedule.specs()) == schedule


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ("", "write it as"),
        ("9am-5pm", "write it as"),
        ("Mon-Fri", "write it as"),
        ("Mon 9-12,13-17", "write it as"),
        ("Mon 25:00-26:00", "00:00 to 24:00"),
        ("Mon 09:60-10:00", "00:00 to 24:00"),
        ("Mon 9:5-10", "00:00 to 24:00"),
        ("Mon 24:01-10", "00:00 to 24:00"),
        ("Mon 12:00-12:00", "end must lie after"),
        ("Mon 24:00-08:00", "end must lie after"),
        ("Foo 9-17", "as Mon-Fri"),
        ("Mon-Foo 9-17", "as Mon-Fri"),
        ("Mon-Wed-Fri 9-17", "as Mon-Fri"),
        ("Mon- 9-17", "as Mon-Fri"),
        (", 9-17", "as Mon-Fri"),
        ("- 9-17", "as Mon-Fri"),
    ],
)
def test_what_is_no_window_is_refused_with_a_remedy(spec: str, remedy: str) -> None:
    with pytest.raises(WindowError, match=remedy):
        Schedule.parse([spec])


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "America", "../etc/passwd", "EDT", "America/New York"])
def test_what_is_no_zone_is_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(WindowError, match="America/New_York"):
        zone(name)
    with pytest.raises(WindowError):
        callable_until(FEDERAL, [name], utc("2026-06-01T12:00"))


def test_no_window_is_any_time() -> None:
    now = utc("2026-06-01T03:00")
    assert Schedule.parse([]) is ANY_TIME
    assert not ANY_TIME.never_opens
    until = callable_until(ANY_TIME, NEW_YORK, now)
    assert until is not None
    assert until > now + timedelta(days=1)
    assert next_opening(ANY_TIME, NEW_YORK, now) == now


def test_without_a_zone_there_are_no_openings() -> None:
    with pytest.raises(WindowError):
        Openings((), (FEDERAL.hours,))


def test_windows_that_share_nothing_never_open() -> None:
    never = Schedule.parse(["Mon 9-10"]).intersect(Schedule.parse(["Mon 10-11", "Tue 9-10"]))
    assert never.never_opens
    assert callable_until(never, NEW_YORK, utc("2026-06-01T13:30")) is None
    assert next_opening(never, NEW_YORK, utc("2026-06-01T13:30")) is None


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        # Midnight + 21 hours would be 22:00 by the callee's clock on this day.
        ("2026-03-08", "12:00", "00:55"),
        # Midnight + 8 hours would be 07:00 on this one.
        ("2026-11-01", "13:00", "01:55"),
        ("2026-07-01", "12:00", "00:55"),
        ("2026-12-01", "13:00", "01:55"),
    ],
)
def test_federal_hours_in_new_york(day: str, opens: str, closes: str) -> None:
    start = utc(f"{day}T{opens}")
    end = utc(f"{day}T{closes}") + timedelta(days=1)
    assert callable_until(FEDERAL, NEW_YORK, start - timedelta(microseconds=1)) is None
    assert callable_until(FEDERAL, NEW_YORK, start) == end
    assert callable_until(FEDERAL, NEW_YORK, end - timedelta(microseconds=1)) == end
    assert callable_until(FEDERAL, NEW_YORK, end) is None
    assert next_opening(FEDERAL, NEW_YORK, start - timedelta(hours=5)) == start
    assert next_opening(FEDERAL, NEW_YORK, end) == next_opening(FEDERAL, NEW_YORK, end + timedelta(minutes=5))


def test_nothing_is_dialed_in_the_last_five_minutes() -> None:
    schedule = Schedule.parse(["Mon 9-17"])
    assert callable_until(schedule, ["Etc/UTC"], utc("2026-06-01T16:54:59")) == utc("2026-06-01T16:55")
    assert callable_until(schedule, ["Etc/UTC"], utc("2026-06-01T16:55")) is None
    assert next_opening(schedule, ["Etc/UTC"], utc("2026-06-01T16:55")) == utc("2026-06-08T09:00")


def test_a_short_window_keeps_most_of_itself() -> None:
    schedule = Schedule.parse(["Mon 9:00-9:04"])
    assert callable_until(schedule, ["Etc/UTC"], utc("2026-06-01T09:00")) == utc("2026-06-01T09:03")


def test_a_window_over_midnight_does_not_close_there() -> None:
    schedule = Schedule.parse(["Mon 22:00-02:00"])
    assert callable_until(schedule, ["Etc/UTC"], utc("2026-06-01T23:58")) == utc("2026-06-02T01:55")
    assert callable_until(schedule, ["Etc/UTC"], utc("2026-06-02T00:00")) == utc("2026-06-02T01:55")
    assert callable_until(schedule, ["Etc/UTC"], utc("2026-06-01T01:00")) is None


def test_a_window_to_24_ends_at_midnight() -> None:
    schedule = Schedule.parse(["Mon 20:00-24:00"])
    assert callable_until(schedule, ["Etc/UTC"], utc("2026-06-01T21:00")) == utc("2026-06-01T23:55")
    assert callable_until(schedule, ["Etc/UTC"], utc("2026-06-02T00:00")) is None


def test_round_the_clock_has_no_gap_at_midnight() -> None:
    schedule = Schedule.parse(["daily 00:00-24:00"])
    for hour in range(24 * 14):
        now = utc("2026-03-01T00:00") + timedelta(hours=hour)
        until = callable_until(schedule, NEW_YORK, now)
        assert until is not None
        assert until > now + timedelta(hours=12)


def test_a_window_inside_the_skipped_hour_does_not_open_that_day() -> None:
    schedule = Schedule.parse(["Sun 02:10-02:50"])
    assert next_opening(schedule, NEW_YORK, utc("2026-03-08T00:00")) == utc("2026-03-15T06:10")


def test_a_window_inside_the_repeated_hour_is_open_both_times() -> None:
    schedule = Schedule.parse(["Sun 01:00-01:40"])
    assert callable_until(schedule, NEW_YORK, utc("2026-11-01T05:00")) == utc("2026-11-01T05:35")
    assert next_opening(schedule, NEW_YORK, utc("2026-11-01T05:35")) == utc("2026-11-01T06:00")
    assert callable_until(schedule, NEW_YORK, utc("2026-11-01T06:00")) == utc("2026-11-01T06:35")


def test_several_zones_wait_for_the_last_to_open_and_the_first_to_close() -> None:
    zones = ("America/Los_Angeles", "America/New_York")
    day = utc("2026-06-01T00:00")
    assert next_opening(FEDERAL, zones, day + timedelta(hours=5)) == utc("2026-06-01T15:00")
    assert callable_until(FEDERAL, zones, utc("2026-06-01T14:59")) is None
    assert callable_until(FEDERAL, zones, utc("2026-06-01T15:00")) == utc("2026-06-02T00:55")


def test_zones_whose_windows_never_meet_have_no_opening() -> None:
    schedule = Schedule.parse(["daily 9-10"])
    zones = ("America/New_York", "America/Los_Angeles")
    assert next_opening(schedule, zones, utc("2026-06-01T00:00")) is None
