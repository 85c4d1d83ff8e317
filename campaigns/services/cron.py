"""Times of a cron expression by the clocks of a zone.

By the library cronsim, since it does what Debian's cron does when clocks change: a daily 02:30 that does not exist
comes when the clocks have jumped, and one that exists twice comes once. (croniter 7 runs it twice, APScheduler 3.11
without end, and counts weekdays from Monday.)
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cronsim import CronSim, CronSimError

from campaigns.domain.errors import UsageError
from campaigns.domain.windows import WindowError, zone


def check_cron(expression: str, zone_name: str) -> None:
    """Raises UsageError for an expression or a zone that cannot be used."""
    next(upcoming(expression, zone_name, datetime(2026, 1, 1, tzinfo=UTC)))


def upcoming(expression: str, zone_name: str, after: datetime) -> Iterator[datetime]:
    """The times after an instant, in UTC. Raises UsageError for what cannot be read, and for what never comes."""
    if len(expression.split()) != 5:
        raise UsageError(
            f"{expression!r} is not a cron expression", "write five fields, as '0 9 * * MON-FRI'"
        )
    try:
        local = after.astimezone(zone(zone_name))
    except WindowError as error:
        message, _, remedy = str(error).partition(": ")
        raise UsageError(message, remedy or "write an IANA name, as America/New_York") from None
    try:
        times = CronSim(expression, local)
    except CronSimError as error:
        raise UsageError(
            f"{expression!r} is not a cron expression ({error})", "write five fields, as '0 9 * * MON-FRI'"
        ) from None
    found = False
    while (time := next(times, None)) is not None:
        found = True
        at = time.astimezone(UTC)
        if at.astimezone(local.tzinfo).hour != time.hour:
            # A midnight that the clocks jumped over: cronsim names it only where it comes from another day.
            times = CronSim(expression, (at - timedelta(seconds=1)).astimezone(local.tzinfo))
            continue
        yield at
    if not found:
        raise UsageError(f"{expression!r} never comes", "write a day that exists, as '0 9 * * MON-FRI'")


@lru_cache(maxsize=4096)
def _after(expression: str, zone_name: str, after: datetime) -> datetime:
    return next(upcoming(expression, zone_name, after))


def next_time(expression: str, zone_name: str, after: datetime) -> datetime:
    """The first time after an instant, in UTC."""
    return _after(expression, zone_name, after)


def in_words(expression: str) -> str:
    """The expression as a sentence."""
    return str(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)).explain())
