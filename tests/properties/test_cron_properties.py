"""Times of jobs: in every zone and over every change of clocks, a daily time comes once a day, and none comes twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.domain.errors import UsageError
from campaigns.domain.jobs import GRACE, Cause, Misfire, RunState, fire
from campaigns.services.cron import check_cron, in_words, next_time, upcoming

#: Changes at 02:00, at midnight, by half an hour, southern ones, none, and four in a year.
ZONES = (
    "America/New_York", "America/Los_Angeles", "America/Phoenix", "Europe/London", "Australia/Lord_Howe",
    "Africa/Cairo", "Asia/Beirut", "America/Havana", "America/Santiago", "Pacific/Apia", "Africa/Casablanca",
    "Pacific/Kiritimati", "Asia/Kathmandu", "UTC",
)  # fmt: skip
instants = st.integers(0, 4 * 365 * 86_400).map(
    lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s)
)
expressions = st.builds(
    "{} {} {} * {}".format,
    st.sampled_from(["0", "30", "*/15", "59"]),
    st.sampled_from(["0", "1", "2", "3", "9", "*", "*/6", "23"]),
    st.sampled_from(["*", "1", "1-7"]),
    st.sampled_from(["*", "MON-FRI", "SUN"]),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 23), st.integers(0, 59), instants)
def test_a_daily_time_comes_once_on_every_day(zone: str, hour: int, minute: int, start: datetime) -> None:
    info = ZoneInfo(zone)
    found = list(islice(upcoming(f"{minute} {hour} * * *", zone, start), 40))
    days = [at.astimezone(info).date() for at in found]
    assert days == [days[0] + timedelta(days=n) for n in range(40)]
    for at in found:
        local = at.astimezone(info)
        if (local.hour, local.minute) != (hour, minute):
            # The clocks jumped over it: it comes when they have jumped.
            wanted = datetime.combine(local.date(), datetime.min.time(), info).replace(
                hour=hour, minute=minute
            )
            assert wanted.astimezone(UTC).astimezone(info).replace(tzinfo=None) != wanted.replace(tzinfo=None)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ZONES), expressions, instants)
@example("America/Havana", "0 */6 * * SUN", datetime(2026, 2, 1, 5, 0, tzinfo=UTC))
@example("America/Havana", "0 * * * SUN", datetime(2026, 2, 1, 5, 0, tzinfo=UTC))
def test_times_only_go_forward_and_none_is_left_out(zone: str, expression: str, start: datetime) -> None:
    found = list(islice(upcoming(expression, zone, start), 20))
    assert found[0] > start
    assert all(earlier < later for earlier, later in pairwise(found))
    # Asked again from any of them, the answer is the next: a schedule kept as one time goes on as it would have.
    for earlier, later in pairwise(found):
        assert next_time(expression, zone, earlier) == later
        assert next_time(expression, zone, later - timedelta(seconds=1)) == later


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ZONES), expressions, instants, st.integers(0, 3 * 86_400), st.sampled_from(Misfire))
def test_however_late_the_tick_there_is_one_run_and_then_a_time_ahead(
    zone: str, expression: str, start: datetime, late: int, misfire: Misfire
) -> None:
    due = next_time(expression, zone, start)
    now = due + timedelta(seconds=late)
    made = fire(due, misfire, now)
    assert made.due_at == due
    if timedelta(seconds=late) <= GRACE:
        assert (made.cause, made.state) == (Cause.SCHEDULE, RunState.QUEUED)
    else:
        skipped = misfire is Misfire.SKIP
        assert (made.cause, made.state) == (Cause.MISFIRE, RunState.SKIPPED if skipped else RunState.QUEUED)
        assert made.message
    assert next_time(expression, zone, max(now, due)) > now


@pytest.mark.parametrize(
    ("expression", "zone", "days", "expected"),
    [
        # New York, 2027: forward on 14 March, back on 7 November.
        ("30 2 * * *", "America/New_York", date(2027, 3, 13), ["13 02:30", "14 03:00", "15 02:30"]),
        # Havana, 2026: no midnight on Sunday, 8 March. What comes every so often leaves it out.
        ("0 */6 * * SUN", "America/Havana", date(2026, 3, 7), ["08 06:00", "08 12:00", "08 18:00"]),
        ("0 0 * * SUN", "America/Havana", date(2026, 3, 7), ["08 01:00", "15 00:00", "22 00:00"]),
        ("30 1 * * *", "America/New_York", date(2027, 11, 6), ["06 01:30", "07 01:30", "08 01:30"]),
        ("0 9 * * MON-FRI", "America/New_York", date(2027, 3, 12), ["12 09:00", "15 09:00", "16 09:00"]),
        ("0 9 * * 1-5", "America/New_York", date(2027, 3, 12), ["12 09:00", "15 09:00", "16 09:00"]),
    ],
)
def test_the_days_on_which_clocks_change(expression: str, zone: str, days: date, expected: list[str]) -> None:
    start = datetime.combine(days, datetime.min.time(), ZoneInfo(zone))
    found = [
        f"{at.astimezone(ZoneInfo(zone)):%d %H:%M}" for at in islice(upcoming(expression, zone, start), 3)
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("expression", "zone", "words"),
    [
        ("0 9 * *", "UTC", "not a cron"),
        ("0 0 9 * * *", "UTC", "not a cron"),
        ("60 9 * * *", "UTC", "minute"),
        ("0 0 30 2 *", "UTC", ""),
        ("@daily", "UTC", "not a cron"),
        ("soon", "UTC", "not a cron"),
        ("0 9 * * *", "Mars/Olympus", "zone"),
    ],
)
def test_what_cannot_be_a_schedule(expression: str, zone: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        check_cron(expression, zone)
    assert words in str(error.value)
    assert error.value.remedy


def test_in_words() -> None:
    assert "09:00" in in_words("0 9 * * MON-FRI")
