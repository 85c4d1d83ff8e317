"""The cells that mean something to the runner: priority, call_after, agent version, yes/no, JSON objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

DEFAULT_PRIORITY = 5
_LOWEST_PRIORITY = 1000

_WHOLE = re.compile(r"(\d{1,9})(?:\.0+)?", re.ASCII)
_SLASHED = re.compile(
    r"(\d{1,2})/(\d{1,2})/(\d{4})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\s*([ap])\.?m\.?)?)?",
    re.ASCII | re.IGNORECASE,
)
# Local time where the zone is unknown: behind every zone on Earth, so that the instant is never too early.
_LAST_ZONE_ON_EARTH = "Etc/GMT+12"


class BadValue(ValueError):
    """A cell can't mean what its column says. The text says what is wrong and what to write instead."""


def priority_of(text: str) -> int:
    """1 (dialed first) to 1000; 5 for an empty cell. Raises BadValue."""
    if not text:
        return DEFAULT_PRIORITY
    match = _WHOLE.fullmatch(text)
    if match is None or not 1 <= int(match[1]) <= _LOWEST_PRIORITY:
        raise BadValue(
            "The priority is no whole number from 1 (first) to 1000. Correct it, or empty it for 5."
        )
    return int(match[1])


def version_of(text: str) -> str:
    """An agent version: a whole number, or a tag such as `latest`. Spreadsheets write 3 as 3.0."""
    match = _WHOLE.fullmatch(text)
    return match[1] if match is not None else text


def flag_of(text: str) -> bool:
    """Yes or no; an empty cell is no. Raises BadValue."""
    word = text.lower()
    if word in ("true", "yes", "y", "1", "1.0"):
        return True
    if word in ("", "false", "no", "n", "0", "0.0"):
        return False
    raise BadValue("The cell is neither true nor false. Write true or false, or leave it empty.")


def call_after_of(text: str, zones: Iterable[str], region: str) -> datetime | None:
    """The instant (aware, UTC) before which the lead isn't called; None for an empty cell. Raises BadValue.

    Without an offset it is wall time in the lead's zone: the latest instant over all `zones` it may be in,
    and the later of the two where clocks are set back. A date alone is its midnight.
    """
    if not text:
        return None
    try:
        moment = _moment_of(text, region)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        candidates = tuple(zones) or (_LAST_ZONE_ON_EARTH,)
        local = [moment.replace(tzinfo=_zone(name), fold=fold) for name in candidates for fold in (0, 1)]
        return max(instant.astimezone(UTC) for instant in local)
    except (ValueError, OverflowError):
        raise BadValue(
            "call_after is no date and time. Write it as 2026-03-14 09:30 (the lead's local time) "
            "or 2026-03-14T14:30:00Z."
        ) from None


def _moment_of(text: str, region: str) -> datetime:
    match = _SLASHED.fullmatch(text)
    if match is None:
        # Year, month, day in that order only: 20260314 or a week date is more likely some other number.
        if not re.match(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError(text)
        return datetime.fromisoformat(text)
    first, second, year = int(match[1]), int(match[2]), int(match[3])
    if region == "US":
        month, day = first, second
    elif first > 12 >= second:
        month, day = second, first
    else:  # 3/4/2026 is March or April, and nothing in the file says which
        raise ValueError(text)
    hour, minute, second_ = int(match[4] or 0), int(match[5] or 0), int(match[6] or 0)
    if match[7] is not None:
        if not 1 <= hour <= 12:
            raise ValueError(text)
        hour = hour % 12 + (12 if match[7].lower() == "p" else 0)
    return datetime(year, month, day, hour, minute, second_)  # noqa: DTZ001 - wall time, the zone comes later


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def object_of(text: str, what: str) -> dict[str, object]:
    """A JSON object; {} for an empty cell. Raises BadValue, naming `what` the cell is."""
    if not text:
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        # "\ud800" is JSON but no text: it could be neither stored nor sent.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadValue(f'The {what} is no valid JSON. Write an object such as {{"crm_id": "42"}}.') from None
    if not isinstance(value, dict):
        raise BadValue(f'The {what} is JSON, but no object. Write one such as {{"crm_id": "42"}}.')
    return value


def headers_of(text: str) -> dict[str, str]:
    """SIP headers, a JSON object of name to text; {} for an empty cell. Raises BadValue."""
    headers: dict[str, str] = {}
    for name, value in object_of(text, "SIP header cell").items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise BadValue(f"The SIP header {name} has no text value. Write it in quotation marks.")
        headers[name] = str(value)
    return headers


def _refuse_constant(name: str) -> object:
    raise ValueError(name)
