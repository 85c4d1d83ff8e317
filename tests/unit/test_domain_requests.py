"""What the callee asked for, read from the fields of an analysis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.requests import LATEST_CALLBACK, CallBack, NeverAgain, request_of, requested_at

#: A Tuesday, 10:00 in New York.
NOW = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
EAST, WEST = "America/New_York", "America/Los_Angeles"


def there(text: str, zone: str = EAST) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-12-02T15:30", there("2026-12-02T15:30")),
        ("2026-12-02T15:30:00Z", datetime(2026, 12, 2, 15, 30, tzinfo=UTC)),
        ("2026-12-02T15:30:00-08:00", datetime(2026, 12, 2, 23, 30, tzinfo=UTC)),
        ("2026-12-02 15:30", there("2026-12-02T15:30")),
        ("2026-12-02 3 PM", there("2026-12-02T15:00")),
        ("2026-12-02", there("2026-12-02T00:00")),
        ("15:30", there("2026-12-01T15:30")),
        ("09:30", there("2026-12-02T09:30")),
        ("at 3:15 p.m.", there("2026-12-01T15:15")),
        ("tomorrow", there("2026-12-02T00:00")),
        ("Tomorrow at 12am", there("2026-12-02T00:00")),
        ("today 12 pm", there("2026-12-01T12:00")),
        ("Friday, 9am", there("2026-12-04T09:00")),
        ("Tuesday 9am", there("2026-12-08T09:00")),
        ("in 2 hours", NOW + timedelta(hours=2)),
        ("in an hour", NOW + timedelta(hours=1)),
        ("in 30 minutes", NOW + timedelta(minutes=30)),
        ("2026-11-01T09:00", NOW),
        ("today 09:00", NOW),
    ],
)
def test_times_are_read_by_the_callees_clock(text: str, at: datetime) -> None:
    assert requested_at(text, [EAST], NOW) == at


@pytest.mark.parametrize(
    "text", ["soon", "later", "25:00", "13 pm", "5", "2030-01-01", "someday 9am", "in many hours"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert requested_at(text, [EAST], NOW) is None


def test_in_several_zones_it_is_the_latest_and_in_none_the_last_on_earth() -> None:
    assert requested_at("15:30", [EAST, WEST], NOW) == there("2026-12-01T15:30", WEST)
    assert requested_at("15:30", [], NOW) == there("2026-12-01T15:30", "Etc/GMT+12")


def test_an_hour_that_comes_twice_is_the_later_one() -> None:
    before = datetime(2026, 10, 31, 15, tzinfo=UTC)
    assert requested_at("2026-11-01 01:30", [EAST], before) == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize("value", [True, "true", "Yes", 1, "never", "please never call again"])
def test_a_do_not_call_field_is_a_request_unless_it_says_no(value: object) -> None:
    assert request_of({"dnc": value, "when": "tomorrow"}, "dnc", "when", [EAST], NOW) == NeverAgain()


@pytest.mark.parametrize("value", [False, None, "", "false", "No", 0, "none", "N/A"])
def test_a_plain_no_is_none(value: object) -> None:
    assert request_of({"dnc": value, "when": value}, "dnc", "when", [EAST], NOW) is None
    assert request_of({}, "dnc", "when", [EAST], NOW) is None
    assert request_of({"dnc": True, "when": "tomorrow"}, "", "", [EAST], NOW) is None, "not configured"


def test_a_callback_has_its_time_or_none() -> None:
    assert request_of({"when": "15:30"}, "", "when", [EAST], NOW) == CallBack(there("2026-12-01T15:30"))
    assert request_of({"when": True}, "", "when", [EAST], NOW) == CallBack(None)
    assert request_of({"when": "sometime"}, "", "when", [EAST], NOW) == CallBack(None)


@pytest.mark.parametrize(
    "text",
    [
        "never",
        "Never again",
        "no callback",
        "not interested",
        "Don\u2019t call",
        "does not want to be called",
    ],
)
def test_who_wants_no_callback_gets_none(text: str) -> None:
    """Each of these was a callback at a time that could not be read, and so one by the policy."""
    assert request_of({"when": text}, "", "when", [EAST], NOW) is None


@pytest.mark.parametrize("text", ["not before 5 pm", "not now, tomorrow", "no, next week", "noon", "Nov 30"])
def test_a_time_that_begins_like_a_no_is_a_callback(text: str) -> None:
    assert isinstance(request_of({"when": text}, "", "when", [EAST], NOW), CallBack)


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    at = requested_at(text, [EAST, WEST], NOW)
    assert at is None or NOW <= at <= NOW + LATEST_CALLBACK
