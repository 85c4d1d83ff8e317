"""Calling windows by the callee's own wall clock, right on days when the clock changes.

A window is *wall* time: on the day of a change, "minutes since midnight" as elapsed time is an hour off. So every
window of a local date is turned into exact UTC intervals piece by piece, one piece per UTC offset of that date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MINUTES_PER_DAY = 1440
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_SETS = {
    "daily": range(7),
    "everyday": range(7),
    "weekdays": range(5),
    "weekends": range(5, 7),
}
_WINDOW = re.compile(r"^(?:(?P<days>[A-Za-z,\- ]+?)\s+)?(?P<start>[\d:]+)\s*-\s*(?P<end>[\d:]+)$")
_TIME = re.compile(r"^(\d{1,2})(?::(\d{2}))?$")
#: A call must not ring at closing time: nothing is dialed in the last minutes of a window.
CLOSING_GUARD = timedelta(minutes=5)
#: How far ahead an opening is looked for; every weekly window opens within it.
HORIZON_DAYS = 15

Interval = tuple[float, float]


class WindowError(ValueError):
    """A window or zone that cannot be used; the message names the remedy."""


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name. Raises WindowError when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WindowError(f"{name!r} is not an IANA time zone: write it as America/New_York") from None


def _minutes(text: str) -> int:
    match = _TIME.match(text)
    if match:
        minutes = int(match[1]) * 60 + int(match[2] or 0)
        if minutes <= MINUTES_PER_DAY and int(match[2] or 0) < 60:
            return minutes
    raise WindowError(f"{text!r} is not a time of day: write 00:00 to 24:00, as 09:00")


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in filter(None, re.split(r"[,\s]+", re.sub(r"\s*-\s*", "-", text.strip().lower()))):
        if part in _DAY_SETS:
            days.update(_DAY_SETS[part])
            continue
        ends = [DAYS.index(name[:3]) if name[:3] in DAYS else None for name in part.split("-")]
        if len(ends) > 2 or any(end is None for end in ends):
            raise WindowError(f"{part!r} is not a day or a range of days: write as Mon-Fri, or Mon,Wed,Sat")
        first, last = ends[0] or 0, ends[-1] or 0
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    if not days:
        raise WindowError(f"{text!r} names no day: write as Mon-Fri, or Mon,Wed,Sat")
    return frozenset(days)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Half-open [start, end) in minutes of local wall time on one weekday (0 = Monday)."""

    weekday: int
    start: int
    end: int


@dataclass(frozen=True)
class Schedule:
    """Weekly windows, sorted and merged. `windows` None means: at any time."""

    windows: tuple[Window, ...] | None

    @classmethod
    def parse(cls, specs: Sequence[str]) -> Schedule:
        """Read windows such as `Mon-Fri 09:00-20:00`, `Sat,Sun 10-14`, `daily 22:00-02:00` (crosses midnight).

        No spec at all means any time. Raises WindowError naming the remedy.
        """
        if not specs:
            return ANY_TIME
        windows: list[Window] = []
        for spec in specs:
            match = _WINDOW.match(spec.strip())
            if not match:
                raise WindowError(f"{spec!r} is not a window: write it as 'Mon-Fri 09:00-20:00'")
            days, start, end = _days(match["days"]), _minutes(match["start"]), _minutes(match["end"])
            if start in (end, MINUTES_PER_DAY):
                raise WindowError(f"{spec!r} never opens: its end must lie after its start")
            for day in days:
                if start < end:
                    windows.append(Window(day, start, end))
                else:
                    windows.append(Window(day, start, MINUTES_PER_DAY))
                    if end:
                        windows.append(Window((day + 1) % 7, 0, end))
        return cls(_merged(windows))

    def intersect(self, other: Schedule) -> Schedule:
        """The times that lie in both; never wider than either."""
        if self.windows is None:
            return other
        if other.windows is None:
            return self
        return Schedule(
            _merged(
                Window(a.weekday, max(a.start, b.start), min(a.end, b.end))
                for a in self.windows
                for b in other.windows
                if a.weekday == b.weekday and max(a.start, b.start) < min(a.end, b.end)
            )
        )

    @property
    def never_opens(self) -> bool:
        return self.windows is not None and not self.windows

    def specs(self) -> list[str]:
        """The windows in the form that `parse` reads, one per weekday and window."""
        return [
            f"{DAYS[w.weekday].title()} {w.start // 60:02}:{w.start % 60:02}-{w.end // 60:02}:{w.end % 60:02}"
            for w in self.windows or ()
        ]


def _merged(windows: Iterable[Window]) -> tuple[Window, ...]:
    merged: list[Window] = []
    for window in sorted(windows):
        last = merged[-1] if merged else None
        if last and last.weekday == window.weekday and window.start <= last.end:
            merged[-1] = Window(last.weekday, last.start, max(last.end, window.end))
        else:
            merged.append(window)
    return tuple(merged)


ANY_TIME = Schedule(None)


@lru_cache(maxsize=8192)
def _offset_pieces(zone_name: str, day: date) -> tuple[tuple[float, float, float], ...]:
    """(start, end, offset) in Unix seconds: the stretches of UTC around a local date with one UTC offset each."""
    info = zone(zone_name)

    def offset(unix: float) -> float:
        shift = datetime.fromtimestamp(unix, UTC).astimezone(info).utcoffset()
        return shift.total_seconds() if shift else 0.0

    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    first, last = noon - 36 * 3600, noon + 36 * 3600  # covers the date in every zone
    pieces: list[tuple[float, float, float]] = []
    start = first
    for step in range(1, 13):  # two changes never lie within six hours of one another
        end = first + (last - first) * step / 12
        if offset(end) != offset(start):
            low, high = end - 21600, end
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == offset(start) else (low, middle)
            pieces.append((start, high, offset(start)))
            start = high
    pieces.append((start, last, offset(start)))
    return tuple(pieces)


@lru_cache(maxsize=16384)
def _open_intervals(schedule: Schedule, zone_name: str, day: date) -> tuple[Interval, ...]:
    """UTC intervals (Unix seconds, half-open) in which the local date `day` is inside the schedule's windows."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()  # as if the zone were UTC
    intervals: list[Interval] = []
    for window in schedule.windows or ():
        if window.weekday != day.weekday():
            continue
        opens, closes = midnight + window.start * 60, midnight + window.end * 60
        for start, end, offset in _offset_pieces(zone_name, day):
            low, high = max(start, opens - offset), min(end, closes - offset)
            if low < high:
                intervals.append((low, high))
    return tuple(_joined(sorted(intervals)))


def _joined(intervals: Iterable[Interval]) -> list[Interval]:
    joined: list[Interval] = []
    for low, high in intervals:
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def _intervals_from(schedule: Schedule, zone_name: str, unix: float, days: int) -> list[Interval]:
    """Open intervals that end after `unix`, over `days` local dates, joined across midnight."""
    today = datetime.fromtimestamp(unix, UTC).astimezone(zone(zone_name)).date()
    found: list[Interval] = []
    for step in range(-1, days):
        found.extend(_open_intervals(schedule, zone_name, today + timedelta(days=step)))
    return [(low, high) for low, high in _joined(found) if high > unix]


def _guarded(interval: Interval) -> Interval:
    low, high = interval
    # A short window keeps three quarters of itself, otherwise the guard would close it altogether.
    return low, high - min(CLOSING_GUARD.total_seconds(), (high - low) / 4)


def callable_until(schedule: Schedule, zones: Sequence[str], now: datetime) -> datetime | None:
    """Until when a lead of these candidate zones may be dialed without a break; None when not now.

    The window must be open in *every* zone, and not within the closing guard. Without zones a lead cannot be
    judged, and is not callable unless the schedule has no windows at all.
    """
    if schedule.windows is None:
        return now + timedelta(days=HORIZON_DAYS)
    if not zones:
        return None
    unix = now.timestamp()
    until = float("inf")
    for name in zones:
        for interval in _intervals_from(schedule, name, unix, 3):
            low, high = _guarded(interval)
            if low <= unix < high:
                until = min(until, high)
                break
        else:
            return None
    return datetime.fromtimestamp(until, UTC)


def next_opening(schedule: Schedule, zones: Sequence[str], now: datetime) -> datetime | None:
    """The earliest instant at or after `now` at which the lead is callable; None when there is none."""
    if schedule.windows is None:
        return now
    if not zones or schedule.never_opens:
        return None
    unix = now.timestamp()
    limit = unix + HORIZON_DAYS * 86400
    per_zone = [
        [_guarded(interval) for interval in _intervals_from(schedule, name, unix, HORIZON_DAYS)]
        for name in zones
    ]
    instant = unix
    while instant < limit:
        later = instant
        for intervals in per_zone:
            opening = next((max(low, instant) for low, high in intervals if high > instant), None)
            if opening is None:
                return None
            later = max(later, opening)
        if later == instant:
            return datetime.fromtimestamp(instant, UTC)
        instant = later
    return None
