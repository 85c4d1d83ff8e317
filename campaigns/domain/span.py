"""When a campaign starts and ends: wall times of its own zone, read as instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from campaigns.domain.windows import zone

#: A start lies no further ahead: beyond it rules, zones and lists are different ones.
LONGEST_AHEAD = timedelta(days=366)


class SpanError(ValueError):
    """A start or an end that cannot be used; the message names the remedy."""


def read_instant(text: str, zone_name: str) -> datetime:
    """`2027-03-01 09:00` by the clocks of the zone, or with an offset of its own, as an instant in UTC.

    A time that the clocks jump over is the one as long after the jump; of a time that they show twice it is the
    first. Raises SpanError.
    """
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise SpanError(f"{text!r} is not a date and time: write it as 2027-03-01 09:00") from None
    if len(text.strip()) <= len("2027-03-01"):
        raise SpanError(f"{text!r} has no time of day: write it as 2027-03-01 09:00")
    if read.tzinfo is None:
        if not zone_name:
            raise SpanError(
                f"{text!r} is in no zone: name the campaign's timezone, or add an offset as -05:00"
            )
        read = read.replace(tzinfo=zone(zone_name))
    try:
        return read.astimezone(UTC)
    except OverflowError:
        raise SpanError(f"{text!r} is beyond what a calendar holds: write it as 2027-03-01 09:00") from None


def check_span(start: datetime | None, end: datetime | None, now: datetime | None = None) -> None:
    """Raises SpanError for an end before the start; with `now` also for one too far ahead or past."""
    if start is not None and end is not None and end <= start:
        raise SpanError("the campaign would end before it starts: let end_at lie after start_at")
    if now is None:
        return
    if start is not None and start > now + LONGEST_AHEAD:
        raise SpanError("the campaign would start more than a year ahead: let start_at lie within a year")
    if end is not None and end <= now:
        raise SpanError("the campaign's end is past: let end_at lie ahead")
