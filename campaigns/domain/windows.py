"""Calling windows by the callee's own wall clock, right on days when the clock changes.

A window is *wall* time: on the day of a change, "minutes since midnight" as elapsed time is an hour off. So every
window of a local date is turned into exact UTC intervals piece by piece, one piece per UTC offset of that date.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
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
#: How far ahead an opening is looked for: past long blackouts, and into the other half of the year, in which two
#: zones may lie nearer to one another.
HORIZON_DAYS = 400

Interval = tuple[float, float]
#: Wall minutes of one local date, half-open, sorted.
Spans = tuple[tuple[int, int], ...]
#: The hours of a local date.
Hours = Callable[[date], Spans]

ALL_DAY: Spans = ((0, MINUTES_PER_DAY),)
_CHUNK_SECONDS = 7 * 86400
#: Chunks that one callee keeps: this week and the next, and a few that somebody asked about.
_CHUNKS_KEPT = 12


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

    def hours(self, day: date) -> Spans:
        """The windows of a local date."""
        if self.windows is None:
            return ALL_DAY
        weekday = day.weekday()
        return tuple((w.start, w.end) for w in self.windows if w.weekday == weekday)

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


def intersected(a: Spans, b: Spans) -> Spans:
    """What lies in both."""
    if a == ALL_DAY:
        return b
    return tuple(
        (max(low, begin), min(high, end))
        for low, high in a
        for begin, end in b
        if max(low, begin) < min(high, end)
    )


def _on_day(layers: Sequence[Hours], day: date) -> Spans:
    spans = ALL_DAY
    for hours in layers:
        spans = intersected(spans, hours(day))
        if not spans:
            break
    return spans


def _local_intervals(spans: Spans, zone_name: str, day: date) -> list[Interval]:
    """UTC intervals (Unix seconds, half-open) in which the wall clock of the local date is inside the spans."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()  # as if the zone were UTC
    intervals: list[Interval] = []
    for start_minute, end_minute in spans:
        opens, closes = midnight + start_minute * 60, midnight + end_minute * 60
        for start, end, offset in _offset_pieces(zone_name, day):
            low, high = max(start, opens - offset), min(end, closes - offset)
            if low < high:
                intervals.append((low, high))
    return intervals


def _joined(intervals: Iterable[Interval]) -> list[Interval]:
    joined: list[Interval] = []
    for low, high in sorted(intervals):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def _in_both(a: Sequence[Interval], b: Sequence[Interval]) -> list[Interval]:
    """Intersection of two sorted lists of intervals."""
    found: list[Interval] = []
    i = j = 0
    while i < len(a) and j < len(b):
        low, high = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if low < high:
            found.append((low, high))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return found


class Openings:
    """When a callee may be rung: while the wall clock of *every* zone it may be in is inside the hours.

    law: hours that may not be exceeded; nothing is dialed in the last CLOSING_GUARD before they end. own: hours
    that somebody chose; a short one keeps three quarters of itself, otherwise the guard would close it altogether.
    Several of each are narrowed to what they have in common, on each zone's own date. Thread-safe.
    """

    def __init__(self, zones: Sequence[str], law: Sequence[Hours], own: Sequence[Hours] = ()) -> None:
        """Raises WindowError for a zone that does not exist. At least one zone."""
        if not zones:
            raise WindowError("nobody's wall clock is known")
        for name in zones:
            zone(name)
        self._zones = tuple(zones)
        self._law = tuple(law)
        self._own = tuple(own)
        self._chunks: dict[int, tuple[list[float], list[float]]] = {}
        self._shut = (0.0, 0.0)  # known to be without an opening: looked from, to

    def until(self, now: datetime) -> datetime | None:
        """Until when the callee may be dialed without a break; None when not now.

        Exact up to a day ahead; hours that stay open for longer may name a nearer end.
        """
        unix = now.timestamp()
        lows, highs = self._chunk(int(unix // _CHUNK_SECONDS))
        at = bisect_right(lows, unix) - 1
        if at < 0 or unix >= highs[at]:
            return None
        return datetime.fromtimestamp(highs[at], UTC)

    def next(self, now: datetime) -> datetime | None:
        """The earliest instant at or after `now` at which the callee may be dialed; None: none within a year."""
        unix = now.timestamp()
        if self._shut[0] <= unix < self._shut[1]:
            return None
        first = int(unix // _CHUNK_SECONDS)
        for number in range(first, first + HORIZON_DAYS * 86400 // _CHUNK_SECONDS + 2):
            lows, highs = self._chunk(number)
            for low, high in zip(lows, highs, strict=True):
                if high > unix:
                    return now if low <= unix else datetime.fromtimestamp(low, UTC)
        self._shut = (unix, unix + 86400)
        return None

    def within(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """The open stretches between two instants."""
        begin, stop = start.timestamp(), end.timestamp()
        found: list[Interval] = []
        for number in range(int(begin // _CHUNK_SECONDS), int(stop // _CHUNK_SECONDS) + 1):
            found.extend(zip(*self._chunk(number), strict=True))
        return [
            (datetime.fromtimestamp(low, UTC), datetime.fromtimestamp(high, UTC))
            for low, high in _in_both(_joined(found), [(begin, stop)])
        ]

    def _chunk(self, number: int) -> tuple[list[float], list[float]]:
        """(starts, ends) of the open intervals that meet a week of Unix time, sorted."""
        found = self._chunks.get(number)
        if found is None:
            if len(self._chunks) >= _CHUNKS_KEPT:
                self._chunks.clear()
            found = self._chunks[number] = self._computed(number * _CHUNK_SECONDS)
        return found

    def _computed(self, start: float) -> tuple[list[float], list[float]]:
        end = start + _CHUNK_SECONDS
        # Two days on either side: whatever is cut off there, and guarded, lies outside the week.
        open_everywhere: list[Interval] = [(start - 172_800, end + 172_800)]
        for name in self._zones:
            for layers, lasting in ((self._law, False), (self._own, True)):
                if layers:
                    guarded = self._guarded(name, layers, start, lasting)
                    open_everywhere = _in_both(open_everywhere, guarded)
        meeting = [(low, high) for low, high in open_everywhere if low < end and high > start]
        return [low for low, _ in meeting], [high for _, high in meeting]

    @staticmethod
    def _guarded(name: str, layers: Sequence[Hours], start: float, lasting: bool) -> list[Interval]:
        first = datetime.fromtimestamp(start, UTC).date() - timedelta(days=3)
        found: list[Interval] = []
        for step in range(_CHUNK_SECONDS // 86400 + 7):
            day = first + timedelta(days=step)
            found.extend(_local_intervals(_on_day(layers, day), name, day))
        guard = CLOSING_GUARD.total_seconds()
        guarded = [
            (low, high - (min(guard, (high - low) / 4) if lasting else guard)) for low, high in _joined(found)
        ]
        return [(low, high) for low, high in guarded if low < high]
