"""Sending again, over all that can be known of a dial: never without proof, and less evidence never says more."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.recovery import EMPTY_SEARCHES, KEY_SECONDS, MOST_SENDS, Absence, may_send_again

STATUSES = ["registered", "ongoing", "ended", "not_connected", "error", ""]
seconds = st.floats(min_value=-100, max_value=8000)
absences = st.builds(
    Absence,
    empty_searches=st.integers(0, 8),
    since_send=seconds,
    since_first_send=seconds,
    sends=st.integers(1, 4),
    sender_seconds=st.floats(min_value=10, max_value=130),
    younger=st.lists(st.sampled_from(STATUSES), max_size=4),
)


@given(absences)
def test_never_without_proof(absence: Absence) -> None:
    if may_send_again(absence):
        assert absence.empty_searches >= EMPTY_SEARCHES
        assert absence.since_send > absence.sender_seconds
        assert absence.since_first_send <= KEY_SECONDS
        assert absence.sends < MOST_SENDS
        assert {"registered", "ongoing"} & set(absence.younger)
        assert "registered" in absence.younger or absence.since_send > 300


@given(absences, st.integers(0, 8), st.integers(0, 4))
def test_less_evidence_never_says_more(absence: Absence, fewer: int, witnesses: int) -> None:
    poorer = replace(
        absence,
        empty_searches=min(absence.empty_searches, fewer),
        younger=list(absence.younger)[:witnesses],
    )
    assert may_send_again(absence) or not may_send_again(poorer)


@given(absences, seconds)
def test_a_longer_sender_never_says_more(absence: Absence, longer: float) -> None:
    slower = replace(absence, sender_seconds=absence.sender_seconds + abs(longer))
    assert may_send_again(absence) or not may_send_again(slower)
