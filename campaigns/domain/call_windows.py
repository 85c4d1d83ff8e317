"""The `call_time_window` of a batch: stretches of time as minutes of one local day in one zone. Pure.

Retell reads a window by the weekday, so it comes again every week; a batch is sent with what is left of one day, and
never with more than its horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from campaigns.domain.windows import MINUTES_PER_DAY, zone

DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
#: By which a window is written where the wall clock of its zone is ambiguous.
PLAIN_ZONE = "Etc/UTC"

Stretch = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class CallWindow:
    """windows: half-open minutes since local midnight, sorted. stretches: the same as instants; nothing else opens in
    the week that follows the first of them."""

    zone: str
    day: str
    windows: tuple[tuple[int, int], ...]
    stretches: tuple[Stretch, ...]

    @property
    def begins_at(self) -> datetime:
        return self.stretches[0][0]

    @property
    def ends_at(self) -> datetime:
        return self.stretches[-1][1]


def call_window(zone_name: str, stretches: Sequence[Stretch], now: datetime) -> CallWindow | None:
    """The first local day of these open stretches, never wider than they are from `now` on. None: less than a minute.

    A stretch that has begun may be written from the minute in which it is `now`. Where the wall clock would
    say it twice, since the clocks change, the window is written in UTC.
    """
    return _in_zone(zone_name, stretches, now) or _in_zone(PLAIN_ZONE, stretches, now)


def a_week_later(instant: datetime, zone_name: str) -> datetime:
    """The same wall time in a week: when a window that names one day opens again."""
    info = zone(zone_name)
    wall = instant.astimezone(info).replace(tzinfo=None) + timedelta(days=7)
    return wall.replace(tzinfo=info).astimezone(UTC)


def _in_zone(zone_name: str, stretches: Sequence[Stretch], now: datetime) -> CallWindow | None:
    info = zone(zone_name)
    windows: list[tuple[int, int]] = []
    kept: list[Stretch] = []
    day = None
    for start, end in sorted(stretches):
        if end <= now:
            continue
        first = _minute_of(start, up=True) if start > now else _minute_of(now, up=False)
        local = first.astimezone(info)
        if day is None:
            day = local.date()
        if local.date() != day:
            break
        last = _minute_of(end, up=False)
        begin = local.hour * 60 + local.minute
        length = int((last - first).total_seconds() // 60)
        length = min(length, MINUTES_PER_DAY - begin)
        if length <= 0:
            continue
        last = first + timedelta(minutes=length)
        if not _plain(zone_name, first, last):
            return None
        windows.append((begin, begin + length))
        kept.append((first, last))
    if day is None or not windows:
        return None
    joined: list[tuple[int, int]] = []
    for begin, end_minute in windows:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_minute))
        else:
            joined.append((begin, end_minute))
    return CallWindow(zone_name, DAY_NAMES[day.weekday()], tuple(joined), tuple(kept))


def _minute_of(instant: datetime, *, up: bool) -> datetime:
    whole = instant.astimezone(UTC).replace(second=0, microsecond=0)
    return whole + timedelta(minutes=1) if up and whole < instant else whole


def _plain(zone_name: str, first: datetime, last: datetime) -> bool:
    """Whether the wall clock between them runs straight, and shows each of their minutes once, now and in a week."""
    info = zone(zone_name)
    for instant in (first, last):
        local = instant.astimezone(info)
        if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
            return False
    return first.astimezone(info).utcoffset() == last.astimezone(info).utcoffset()
