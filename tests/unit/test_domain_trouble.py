"""When a campaign pauses itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from campaigns.domain.trouble import NUMBER_GONE, RecentDial, breaker_trips, pause_reason

BAD = (422, "no such agent")
GOOD = (None, "")
AWAY = (0, "connection refused")
LIMITED = (429, "too many requests")


@pytest.mark.parametrize("status", [401, 402, 403])
def test_one_refusal_of_the_account_is_enough(status: int) -> None:
    assert pause_reason([(status, "pay first"), *[GOOD] * 9], leads=100) == "pay first"


def test_five_refusals_in_a_row_pause() -> None:
    reason = pause_reason([(422, "the latest"), *[BAD] * 4, GOOD], leads=100)
    assert reason == "the last 5 dials failed: the latest"


@pytest.mark.parametrize("between", [GOOD, AWAY, LIMITED])
@pytest.mark.parametrize("at", range(5))
def test_anything_else_in_between_breaks_the_row(between: tuple[int | None, str], at: int) -> None:
    row = [BAD] * 5
    row[at] = between
    assert pause_reason(row, leads=100) is None


def test_four_refusals_of_a_long_list_are_not_enough() -> None:
    assert pause_reason([BAD] * 4, leads=5) is None


def test_an_old_refusal_of_the_account_does_not_count_once_a_dial_passed() -> None:
    assert pause_reason([GOOD, (402, "pay first")], leads=100) is None


@pytest.mark.parametrize("leads", [1, 2, 4])
def test_a_short_list_has_no_five(leads: int) -> None:
    assert pause_reason([BAD] * (leads - 1), leads) is None
    assert pause_reason([BAD] * leads, leads) is not None


def test_a_single_lead_is_named_plainly() -> None:
    assert pause_reason([BAD], leads=1) == "no such agent"


@pytest.mark.parametrize("row", [[], [AWAY] * 10, [LIMITED] * 10, [GOOD] * 10])
def test_no_reason_to_pause(row: list[tuple[int | None, str]]) -> None:
    assert pause_reason(row, leads=100) is None


def test_a_number_that_was_given_up_is_no_failure_of_the_platform() -> None:
    gone = [RecentDial("not_placed", None, None, 0, NUMBER_GONE)] * 20
    assert breaker_trips(gone) is None
    assert breaker_trips([replace(dial, refusal="ConnectError") for dial in gone]) is not None
