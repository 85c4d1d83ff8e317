"""Windows against an oracle that knows nothing but `astimezone`: minute by minute, in every zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.domain.windows import Openings, Schedule, Window

MINUTE = timedelta(minutes=1)
DAY_MINUTES = 1440
NOT_PLACES = {"Factory", "localtime", "posixrules"}
ZONES = sorted(
    name
    for name in available_timezones()
    if name not in NOT_PLACES and not name.startswith(("posix/", "right/"))
)
_NAMES = """
America/New_York America/Chicago America/Denver America/Los_Angeles America/Anchorage America/Adak
America/St_Johns America/Halifax America/Havana America/Santiago Europe/Kyiv America/Nuuk
America/Scoresbysund America/Miquelon America/Port-au-Prince America/Tijuana America/Winnipeg
America/Toronto Atlantic/Bermuda Pacific/Easter Pacific/Auckland Pacific/Chatham Pacific/Norfolk
Australia/Sydney Australia/Adelaide Australia/Hobart Australia/Lord_Howe Antarctica/Troll
Antarctica/Macquarie Africa/Casablanca Africa/El_Aaiun Africa/Cairo Asia/Beirut Asia/Jerusalem Asia/Gaza
Asia/Nicosia Europe/London Europe/Dublin Europe/Lisbon Europe/Berlin Europe/Athens Europe/Chisinau
Atlantic/Azores
"""
CHANGING = _NAMES.split()
FROM, TO = datetime(2025, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=64)
def openings(schedule: Schedule, zones: tuple[str, ...]) -> Openings:
    return Openings(zones, (), (schedule.hours,))


def callable_until(schedule: Schedule, zones: Sequence[str], now: datetime) -> datetime | None:
    return openings(schedule, tuple(zones)).until(now)


def next_opening(schedule: Schedule, zones: Sequence[str], now: datetime) -> datetime | None:
    return openings(schedule, tuple(zones)).next(now)


@lru_cache(maxsize=64)
def changes(name: str) -> list[datetime]:
    """Every instant from 2025 to 2030 at which the zone's offset from UTC changes."""
    info = ZoneInfo(name)
    found = []
    step, at = timedelta(hours=6), FROM
    before = at.astimezone(info).utcoffset()
    while at < TO:
        later = at + step
        after = later.astimezone(info).utcoffset()
        if after != before:
            low, high = at, later
            while high - low > MINUTE:
                middle = low + (high - low) // 2
                low, high = (middle, high) if middle.astimezone(info).utcoffset() == before else (low, middle)
            found.append(high.replace(second=0, microsecond=0))
        at, before = later, after
    return found


def wall_open(schedule: Schedule, name: str, at: datetime) -> bool:
    """Whether the callee's own clock shows a time inside a window of its own weekday."""
    local = at.astimezone(ZoneInfo(name))
    minute = local.hour * 60 + local.minute
    return any(w.weekday == local.weekday() and w.start <= minute < w.end for w in schedule.windows or ())


def open_runs(
    schedule: Schedule, name: str, start: datetime, minutes: int
) -> list[tuple[datetime, datetime]]:
    """Unbroken open stretches, looked for minute by minute, less the closing guard."""
    runs: list[tuple[datetime, datetime]] = []
    info = ZoneInfo(name)
    by_day = [
        [w.weekday == day and w.start <= minute < w.end for w in schedule.windows or ()]
        for day in range(7)
        for minute in range(DAY_MINUTES)
    ]
    is_open = [any(hits) for hits in by_day] if schedule.windows else [False] * (7 * DAY_MINUTES)
    begun: datetime | None = None
    for step in range(minutes + 1):
        at = start + step * MINUTE
        local = at.astimezone(info)
        inside = is_open[local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute] and step < minutes
        if inside and begun is None:
            begun = at
        elif not inside and begun is not None:
            runs.append((begun, at - min(timedelta(minutes=5), (at - begun) / 4)))
            begun = None
    return runs


def earliest(runs_of_zones: Sequence[list[tuple[datetime, datetime]]], now: datetime) -> datetime | None:
    """The first instant from `now` on that lies in a run of every zone."""
    candidates = sorted({now, *(low for runs in runs_of_zones for low, _ in runs if low > now)})
    for at in candidates:
        if all(any(low <= at < high for low, high in runs) for runs in runs_of_zones):
            return at
    return None


def check(schedule: Schedule, zones: Sequence[str], first: datetime, span_minutes: int, every: int) -> None:
    """Hold both functions against the oracle at every `every`-th minute of a span, and just beside them."""
    margin, ahead = timedelta(days=2), timedelta(days=8)
    start = (first - margin).replace(second=0, microsecond=0)
    minutes = int((margin * 2 + ahead).total_seconds() // 60) + span_minutes
    runs = [open_runs(schedule, name, start, minutes) for name in zones]
    edges = {
        at for of_zone in runs for run in of_zone for at in run if first <= at < first + span_minutes * MINUTE
    }
    beside = {at + shift for at in edges for shift in (timedelta(0), -timedelta(milliseconds=1))}
    regular = {first + step * MINUTE for step in range(0, span_minutes, every)}
    for now in sorted(regular | beside):
        until = callable_until(schedule, zones, now)
        inside = [[run for run in of_zone if run[0] <= now < run[1]] for of_zone in runs]
        expected = min(run[0][1] for run in inside) if all(inside) else None
        if expected is None or until is None or expected - now < timedelta(days=2):
            assert until == expected, (zones, now)
        else:  # one long opening: the answer may be careful, never bold
            assert now + timedelta(days=1) < until <= expected
        opening = earliest(runs, now)
        if opening is not None and opening < now + timedelta(days=7):
            assert next_opening(schedule, zones, now) == opening, (zones, now)
        if until is not None:
            for share in (0.0, 0.25, 0.5, 0.75, 1.0):
                at = (
                    now
                    + (until - now) * share
                    - (timedelta(microseconds=1) if share == 1.0 else timedelta(0))
                )
                assert all(wall_open(schedule, name, at) for name in zones), (zones, now, at)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Weekly windows of all kinds: several a day, to 24:00, from 00:00, joined over midnight."""
    windows = []
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.one_of(st.sampled_from([0, 60, 120, 480, 540, 1320]), st.integers(0, 1439)))
        longest = DAY_MINUTES - start
        length = draw(st.one_of(st.just(longest), st.integers(1, longest)))
        for day in draw(st.sampled_from([range(7), range(5), range(5, 7), (0,), (6,), (2, 3)])):
            windows.append(Window(day, start, start + length))
    return Schedule(tuple(windows)).intersect(Schedule.parse(["daily 00:00-24:00"]))


instants = st.datetimes(FROM.replace(day=3, tzinfo=None), TO.replace(tzinfo=None), timezones=st.just(UTC))


@settings(max_examples=30, deadline=None)
@given(schedules(), st.sampled_from(ZONES), instants)
def test_every_zone_at_any_instant(schedule: Schedule, name: str, now: datetime) -> None:
    check(schedule, [name], now.replace(microsecond=now.microsecond // 1000 * 1000), 1440, 97)


@settings(max_examples=15, deadline=None)
@given(schedules(), st.lists(st.sampled_from(ZONES), min_size=2, max_size=4, unique=True), instants)
def test_several_zones_are_an_intersection(schedule: Schedule, zones: list[str], now: datetime) -> None:
    check(schedule, zones, now.replace(second=0, microsecond=0), 1440, 131)


FEDERAL = Schedule.parse(["daily 08:00-21:00"])
NIGHT = Schedule.parse(["daily 22:00-03:30", "weekends 01:15-01:45"])
SMALL_HOURS = Schedule.parse(["daily 00:00-00:40", "daily 01:30-02:30", "daily 23:00-24:00"])


@pytest.mark.parametrize("name", CHANGING)
def test_every_change_of_the_clocks_until_2030(name: str) -> None:
    for number, at in enumerate(changes(name)):
        # Each of a zone's changes with one of the schedules in turn, densest around the change itself.
        schedule = (FEDERAL, NIGHT, SMALL_HOURS)[number % 3]
        runs = open_runs(schedule, name, at - timedelta(hours=20), 3400)
        for minutes in (*range(-600, 800, 173), *range(-45, 46, 9)):
            look(schedule, name, at + minutes * MINUTE, runs)
        for low, high in runs:
            if at - timedelta(hours=8) < low < at + timedelta(hours=8):
                for edge in (low, high):
                    look(schedule, name, edge, runs)
                    look(schedule, name, edge - timedelta(milliseconds=1), runs)


def look(schedule: Schedule, name: str, now: datetime, runs: list[tuple[datetime, datetime]]) -> None:
    inside = [run for run in runs if run[0] <= now < run[1]]
    until = callable_until(schedule, [name], now)
    assert until == (inside[0][1] if inside else None), (name, now)
    assert until is None or wall_open(schedule, name, now)
    assert next_opening(schedule, [name], now) == earliest([runs], now), (name, now)


def test_the_list_of_zones_has_what_it_should() -> None:
    assert len(CHANGING) >= 40
    assert len(ZONES) > 400
    half_an_hour = {
        abs(offset("Australia/Lord_Howe", at) - offset("Australia/Lord_Howe", at - MINUTE))
        for at in changes("Australia/Lord_Howe")
    }
    assert half_an_hour == {timedelta(minutes=30)}
    assert len(changes("America/New_York")) == 12
    assert sum(len(changes(name)) for name in CHANGING) > 400


def offset(name: str, at: datetime) -> timedelta:
    return at.astimezone(ZoneInfo(name)).utcoffset() or timedelta(0)


@settings(deadline=None)
@given(schedules(), schedules())
def test_an_intersection_is_never_wider_than_either(one: Schedule, other: Schedule) -> None:
    both = one.intersect(other)
    assert both == other.intersect(one)
    minutes = [minutes_of(schedule) for schedule in (both, one, other)]
    assert minutes[0] == minutes[1] & minutes[2]
    assert Schedule.parse(both.specs()) == both or both.never_opens
    assert Schedule.parse(one.specs()) == one


def minutes_of(schedule: Schedule) -> set[tuple[int, int]]:
    return {(w.weekday, minute) for w in schedule.windows or () for minute in range(w.start, w.end)}
