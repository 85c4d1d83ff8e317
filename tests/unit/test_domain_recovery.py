"""When an ambiguous dial may be sent again: every single condition of the proof is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from campaigns.domain.recovery import (
    EMPTY_SEARCHES,
    KEY_SECONDS,
    LONGEST_RING,
    MOST_SENDS,
    SEND_MARGIN,
    Absence,
    may_send_again,
)

SENDER = 70.0
PROOF = Absence(
    empty_searches=EMPTY_SEARCHES,
    since_send=SENDER + SEND_MARGIN,
    since_first_send=SENDER + SEND_MARGIN,
    sends=1,
    sender_seconds=SENDER,
    younger=("registered",),
)
LONG_AGO = LONGEST_RING + 0.1


def test_with_the_whole_proof_it_is_sent_again() -> None:
    assert may_send_again(PROOF)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"empty_searches": EMPTY_SEARCHES - 1}, id="too few searches"),
        pytest.param({"empty_searches": 0}, id="no search"),
        pytest.param({"since_send": SENDER + SEND_MARGIN - 0.1}, id="a first sender may be on its way"),
        pytest.param({"since_send": -5.0}, id="a clock that was set back"),
        pytest.param({"sender_seconds": SENDER + 0.1}, id="a longer time-out"),
        pytest.param({"since_first_send": KEY_SECONDS + 0.1}, id="the key has expired"),
        pytest.param({"sends": MOST_SENDS}, id="sent often enough"),
        pytest.param({"younger": ()}, id="no witness"),
        pytest.param({"younger": ("",)}, id="a witness without a status"),
        pytest.param({"younger": ("ongoing",)}, id="a witness that no longer rings"),
        pytest.param({"younger": ("ended", "not_connected", "error")}, id="witnesses that are over"),
        pytest.param({"since_send": LONG_AGO, "younger": ("ended",)}, id="over, and ours no longer rings"),
    ],
)
def test_without_a_single_condition_it_is_not(changes: dict[str, Any]) -> None:
    assert not may_send_again(replace(PROOF, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"younger": ("ended", "registered")}, id="one good witness is enough"),
        pytest.param({"since_first_send": KEY_SECONDS}, id="just inside the key's hour"),
        pytest.param({"sends": MOST_SENDS - 1}, id="once more"),
        pytest.param({"since_send": LONG_AGO, "younger": ("ongoing",)}, id="ours no longer rings either"),
        pytest.param(
            {"since_send": LONG_AGO, "younger": ("registered",)}, id="a ringing witness always does"
        ),
    ],
)
def test_what_does_not_matter(changes: dict[str, Any]) -> None:
    assert may_send_again(replace(PROOF, **changes))


def test_the_key_is_used_well_inside_its_hour() -> None:
    assert KEY_SECONDS < 3600
