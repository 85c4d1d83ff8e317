"""What the callee asked for, by the fields that an agent's analysis extracts: never again, or at another time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from campaigns.domain.windows import DAYS, zone

#: A time further off than this was misheard.
LATEST_CALLBACK = timedelta(days=90)
#: Behind every zone on Earth: where nobody knows the callee's, a time of theirs is never taken too early.
_LAST_ZONE_ON_EARTH = "Etc/GMT+12"
_NO = frozenset({"", "0", "false", "no", "n", "none", "null", "n/a", "na", "unknown", "not requested"})
#: Of a time to call back: "never", "no callback wanted", "doesn't want to be called". Not "not before 5 pm", nor "not
#: now, tomorrow".
_NO_CALLBACK = re.compile(
    r"(?:no|not|never|none|nothing|don'?t|doesn'?t|do not|does not|did not)\b"
    r"(?!.*(?:day|tomorrow|later|week|month|hour|morning|noon|evening))\D*"
)
_YES = frozenset({"1", "true", "yes", "y"})
_TIME = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::\d{2})?\s*(?:([ap])\.?m\.?)?", re.IGNORECASE)
_DELAY = re.compile(r"in\s+(\d{1,3}|an?|one)\s*(minute|min|hour|hr|day|week)s?", re.IGNORECASE)
_UNITS = {"min": 1, "minute": 1, "hr": 60, "hour": 60, "day": 1440, "week": 10_080}


@dataclass(frozen=True, slots=True)
class NeverAgain:
    """Do not call."""


@dataclass(frozen=True, slots=True)
class CallBack:
    """Call again. at: not before this instant; None = no time that can be read."""

    at: datetime | None


def request_of(
    analysis: Mapping[str, object], dnc_field: str, callback_field: str, zones: Sequence[str], now: datetime
) -> NeverAgain | CallBack | None:
    """What an analysis says that the callee asked for; a field's name "" = not configured.

    dnc_field: anything but a plain no is a request, since a request that is missed calls somebody who said never again.
    """
    if dnc_field and _text(analysis.get(dnc_field)) not in _NO:
        return NeverAgain()
    wish = _text(analysis.get(callback_field)) if callback_field else ""
    if wish in _NO or _NO_CALLBACK.fullmatch(wish.replace("\u2019", "'")):
        return None
    return CallBack(None if wish in _YES else requested_at(wish, zones, now))


def _text(value: object) -> str:
    return "" if value is None else " ".join(str(value).split()).lower()


def requested_at(text: str, zones: Sequence[str], now: datetime) -> datetime | None:
    """The instant meant by `2026-12-02T15:30`, `2026-12-02 3pm`, `tomorrow at 10:00`, `friday 9am`, `in 2 hours`.

    Wall time is the callee's: the latest instant over all zones it may be in. None for what cannot be read, and for
    what is more than 90 days off; what has passed is now.
    """
    words = " ".join(text.lower().replace(",", " ").replace(" at ", " ").removeprefix("at ").split())
    found = _delayed(words, now)
    if found is None:
        candidates = [_local(words, name, now) for name in zones or (_LAST_ZONE_ON_EARTH,)]
        if any(one is None for one in candidates):
            return None
        found = max(one for one in candidates if one is not None)
    found = max(found, now)
    return found if found - now <= LATEST_CALLBACK else None


def _delayed(words: str, now: datetime) -> datetime | None:
    match = _DELAY.fullmatch(words)
    if match is None:
        return None
    count = int(match[1]) if match[1].isdigit() else 1
    return now + timedelta(minutes=count * _UNITS[match[2]])


def _local(words: str, zone_name: str, now: datetime) -> datetime | None:
    info = zone(zone_name)
    there = now.astimezone(info)
    try:
        moment = datetime.fromisoformat(words.upper())
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        day, clock = moment.date(), moment.time()
    except ValueError:
        first, _, rest = words.partition(" ")
        named = _day(first, there.date())
        read = _clock(rest if named is not None else words)
        if read is None and (named is None or rest):
            return None
        clock = read or time()
        day = named or there.date()
        if named is None and datetime.combine(day, clock) < there.replace(tzinfo=None):
            day += timedelta(days=1)
    # Where a clock is set back the hour comes twice: the later one.
    return max(datetime.combine(day, clock, info).replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def _day(word: str, today: date) -> date | None:
    if word in ("today", "tonight"):
        return today
    if word == "tomorrow":
        return today + timedelta(days=1)
    if word[:3] in DAYS and word.endswith("day"):
        return today + timedelta(days=(DAYS.index(word[:3]) - today.weekday()) % 7 or 7)
    try:
        return date.fromisoformat(word)
    except ValueError:
        return None


def _clock(text: str) -> time | None:
    match = _TIME.fullmatch(text)
    if match is None or (match[2] is None and match[3] is None):
        return None
    hour, minute = int(match[1]), int(match[2] or 0)
    if match[3] is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match[3].lower() == "p" else 0)
    return time(hour, minute) if hour < 24 and minute < 60 else None
