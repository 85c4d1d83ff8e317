"""Profiles of rules and the gate that is asked before every dial."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.compliance import PROFILES, Allowed, Refused, Rules, may_call, rules_for
from campaigns.domain.errors import UsageError
from campaigns.domain.windows import Schedule, Window, callable_until

OPEN = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
NIGHT = datetime(2026, 12, 1, 6, 0, tzinfo=UTC)
NEW_YORK = ("America/New_York",)

specs = st.lists(
    st.builds(
        lambda day, start, length: f"{day} {start:02}:00-{min(24, start + length):02}:00",
        st.sampled_from(["Mon-Fri", "daily", "weekends", "Sat,Mon", "Sun"]),
        st.integers(0, 23),
        st.integers(1, 24),
    ),
    max_size=3,
).map(tuple)


def minutes_of(schedule: Schedule) -> set[tuple[int, int]]:
    windows = (Window(day, 0, 1440) for day in range(7)) if schedule.windows is None else schedule.windows
    return {(w.weekday, minute) for w in windows for minute in range(w.start, w.end)}


@given(st.sampled_from(sorted(PROFILES)), specs)
def test_rules_only_ever_narrow(profile: str, windows: tuple[str, ...]) -> None:
    try:
        rules = rules_for(profile, windows)
    except UsageError:
        return
    own, envelope = Schedule.parse(windows), Schedule.parse(PROFILES[profile].windows)
    assert minutes_of(rules.schedule) == minutes_of(own) & minutes_of(envelope)
    assert rules.attempts_per_day == PROFILES[profile].attempts_per_day


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profile_names_its_source(profile: str) -> None:
    assert PROFILES[profile].source


@pytest.mark.parametrize("profile", ["us-sales", "us-informational"])
def test_the_profiles_keep_federal_hours_and_three_attempts_a_day(profile: str) -> None:
    rules = rules_for(profile, ())
    inside = [Window(day, 8 * 60, 21 * 60) for day in range(7)]
    assert minutes_of(rules.schedule) <= minutes_of(Schedule(tuple(inside)))
    assert rules.attempts_per_day == 3


def test_profile_none_lifts_windows_and_cap() -> None:
    rules = rules_for("none", ())
    assert rules == Rules(Schedule(None), None)
    assert isinstance(may_call((), False, rules, NIGHT), Allowed)
    own = rules_for("none", ("daily 03:00-04:00",))
    assert isinstance(may_call(NEW_YORK, False, own, NIGHT), Refused)


@pytest.mark.parametrize(
    "windows", [("daily 22:00-23:00",), ("daily 21:00-08:00",), ("Mon 5-6", "Tue 23-24")]
)
def test_a_window_that_never_opens_within_the_profile_is_refused(windows: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="never opens within profile us-sales") as caught:
        rules_for("us-sales", windows)
    assert "--profile" in caught.value.remedy


def test_an_unknown_profile_is_refused_by_naming_the_known() -> None:
    with pytest.raises(UsageError, match="not a profile") as caught:
        rules_for("eu-sales", ())
    assert all(name in caught.value.remedy for name in PROFILES)


def test_an_unreadable_window_is_refused() -> None:
    with pytest.raises(UsageError, match="write it as"):
        rules_for("us-sales", ("nine to five",))


def test_the_gate_says_until_when() -> None:
    rules = rules_for("us-sales", ("Mon-Fri 9-12",))
    answer = may_call(NEW_YORK, False, rules, OPEN)
    assert answer == Allowed(OPEN.replace(hour=16, minute=55))
    assert callable_until(rules.schedule, NEW_YORK, OPEN) == OPEN.replace(hour=16, minute=55)


def test_a_closed_window_says_when_to_ask_again() -> None:
    answer = may_call(NEW_YORK, False, rules_for("us-sales", ("daily 09:00-20:00",)), NIGHT)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.next_at) == ("window_closed", NIGHT.replace(hour=14))
    assert "America/New_York" in answer.why


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_do_not_call_comes_before_everything(profile: str) -> None:
    answer = may_call(NEW_YORK, True, rules_for(profile, ()), OPEN)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.next_at) == ("suppressed", None)


def test_an_unknown_zone_fails_closed() -> None:
    answer = may_call((), False, rules_for("us-sales", ()), OPEN)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.next_at) == ("unknown_timezone", None)


def test_zones_without_a_common_hour_fail_closed() -> None:
    zones = ("America/New_York", "Asia/Tokyo")
    answer = may_call(zones, False, rules_for("us-sales", ("daily 9-10",)), OPEN)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.next_at) == ("window_never_opens", None)


@given(
    st.lists(st.sampled_from(["America/New_York", "Pacific/Honolulu", "Asia/Kolkata"]), unique=True).map(
        tuple
    ),
    st.booleans(),
    specs,
    st.timedeltas(timedelta(0), timedelta(days=14)),
)
def test_allowed_only_where_every_zone_shows_an_open_hour(
    zones: tuple[str, ...], suppressed: bool, windows: tuple[str, ...], later: timedelta
) -> None:
    try:
        rules = rules_for("us-sales", windows)
    except UsageError:
        return
    answer = may_call(zones, suppressed, rules, OPEN + later)
    if isinstance(answer, Allowed):
        assert zones
        assert not suppressed
        assert callable_until(rules.schedule, zones, OPEN + later) == answer.until
    elif answer.next_at is not None:
        assert not suppressed
        assert answer.next_at > OPEN + later
        assert isinstance(may_call(zones, False, rules, answer.next_at), Allowed)
