"""Business time: the formula, its text form, and what cannot be a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.clock import ScaledClock, Skips, SystemClock, from_ms, parse_clock, to_ms

START = datetime(2026, 3, 8, 13, 30, tzinfo=UTC)


def test_business_time_is_start_plus_elapsed_times_speed() -> None:
    unix = [1_795_174_234.6]
    clock = ScaledClock(START, 60.0, 1_795_174_234.6, lambda: unix[0])
    assert clock.now() == START
    unix[0] += 2.5
    assert clock.now() == START + timedelta(seconds=150)
    unix[0] -= 12.5
    assert clock.now() == START - timedelta(minutes=10)


def test_every_process_with_the_same_three_sees_the_same_instant() -> None:
    first = ScaledClock(START, 120.0, 1_000.25, lambda: 1_234.5)
    second = parse_clock(first.spec())
    assert isinstance(second, ScaledClock)
    assert ScaledClock(second.start, second.speed, second.anchor, lambda: 1_234.5).now() == first.now()


def test_a_clock_shows_utc_whatever_the_offset_of_its_start() -> None:
    clock = parse_clock("2026-03-08T08:30:00-05:00,60,0")
    assert isinstance(clock, ScaledClock)
    assert clock.spec() == "2026-03-08T13:30:00Z,60,0.0"
    assert clock.now().utcoffset() == timedelta(0)


def test_the_documented_form_is_read_and_written() -> None:
    text = "2026-03-08T13:30:00Z,60,1795174234.6"
    clock = parse_clock(text)
    assert clock == ScaledClock(START, 60.0, 1_795_174_234.6)
    assert isinstance(clock, ScaledClock)
    assert clock.spec() == text


@given(
    start=st.datetimes(timezones=st.just(UTC), max_value=START.replace(year=2100, tzinfo=None)),
    speed=st.floats(1e-3, 1e6),
    anchor=st.floats(0, 4e9),
)
def test_spec_round_trip(start: datetime, speed: float, anchor: float) -> None:
    clock = ScaledClock(start, speed, anchor)
    assert parse_clock(clock.spec()) == clock


@pytest.mark.parametrize("text", ["", "  "])
def test_no_spec_is_the_wall_clock(text: str) -> None:
    clock = parse_clock(text)
    assert isinstance(clock, SystemClock)
    assert clock.speed == 1.0
    before = datetime.now(UTC)
    assert before <= clock.now() <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("2026-03-08T13:30:00Z", "START,SPEED,ANCHOR"),
        ("2026-03-08T13:30:00Z,60", "START,SPEED,ANCHOR"),
        ("2026-03-08T13:30:00Z,60,1,2", "START,SPEED,ANCHOR"),
        ("yesterday,60,1", "START,SPEED,ANCHOR"),
        ("2026-03-08T13:30:00Z,fast,1", "START,SPEED,ANCHOR"),
        ("2026-03-08T13:30:00Z,60,soon", "START,SPEED,ANCHOR"),
        ("2026-03-08T13:30:00,60,1", "2026-03-08T13:30:00Z"),
        ("2026-03-08,60,1", "2026-03-08T13:30:00Z"),
        ("2026-03-08T13:30:00Z,0,1", "above zero"),
        ("2026-03-08T13:30:00Z,-2,1", "above zero"),
        ("2026-03-08T13:30:00Z,nan,1", "above zero"),
        ("2026-03-08T13:30:00Z,inf,1", "finite"),
        ("2026-03-08T13:30:00Z,60,nan", "finite"),
        ("2026-03-08T13:30:00Z,60,inf", "finite"),
    ],
)
def test_a_bad_clock_is_refused_with_its_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        parse_clock(text)


@given(st.integers(0, 4_102_444_800_000))
def test_milliseconds_survive_the_way_to_an_instant_and_back(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms


def test_skipped_time_is_left_out_in_every_process_that_shares_the_file(tmp_path: Path) -> None:
    clock = ScaledClock(START, 60.0, 1_000.0, lambda: 1_001.0, Skips(tmp_path / "skips"))
    other = parse_clock(clock.spec())
    assert isinstance(other, ScaledClock)
    assert other.skips is not None
    assert clock.now() == START + timedelta(seconds=60)
    assert clock.skips is not None
    clock.skips.leave_out(3600.5)
    other.skips.leave_out(-5.0)
    assert clock.now() == START + timedelta(seconds=3660.5)
    assert other.skips.seconds() == 3600.5
    again = parse_clock(clock.spec())
    assert isinstance(again, ScaledClock)
    assert again.skips is not None
    assert again.skips.seconds() == 3600.5


def test_a_file_that_cannot_hold_skips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="skips"):
        parse_clock(f"2026-03-08T13:30:00Z,60,1,{tmp_path / 'no' / 'folder'}")
