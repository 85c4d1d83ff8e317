"""Whatever calls come to: the budget holds, and every lead comes to an end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.outcomes import DISPOSITIONS, Outcome, disposition
from campaigns.domain.retry import FREE_RETRIES, NEVER_RETRIED, RetryAt, RetryPolicy, decide

START = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
RETRIABLE = sorted(set(Outcome) - NEVER_RETRIED)
# Trouble of our own pauses the campaign: how often that repeats is in the operator's hand.
REASONS = sorted(reason for reason, found in DISPOSITIONS.items() if not found.pauses)

delays = st.lists(st.timedeltas(timedelta(0), timedelta(days=3)), min_size=1, max_size=8).map(tuple)
policies = st.builds(
    RetryPolicy, st.dictionaries(st.sampled_from(RETRIABLE), delays), max_attempts=st.integers(1, 6)
)


def live(
    policy: RetryPolicy, reasons: list[str], voicemail: list[bool]
) -> tuple[list[tuple[Outcome, bool]], bool]:
    """One lead, dialed again whenever it is decided so: (history, whether it came to an end)."""
    history: list[tuple[Outcome, bool]] = []
    dialed = START
    for reason, heard in zip(reasons, voicemail, strict=True):
        latest = disposition(reason, heard)
        history.append((latest.outcome, latest.charged))
        settled = dialed + timedelta(seconds=90)
        decided = decide(policy, latest, history, dialed, settled)
        if not isinstance(decided, RetryAt):
            return history, True
        assert decided.at >= settled
        assert latest.outcome not in NEVER_RETRIED
        dialed = decided.at
    return history, False


@given(policies, st.data())
def test_the_budget_holds_and_the_sequence_ends(policy: RetryPolicy, data: st.DataObject) -> None:
    longest = policy.max_attempts + FREE_RETRIES + 1
    reasons = data.draw(st.lists(st.sampled_from(REASONS), min_size=longest, max_size=longest))
    voicemail = data.draw(st.lists(st.booleans(), min_size=longest, max_size=longest))
    history, ended = live(policy, reasons, voicemail)
    assert sum(charged for _, charged in history) <= policy.max_attempts
    assert ended


@given(policies, st.sampled_from(REASONS))
def test_the_same_reason_for_ever_ends_too(policy: RetryPolicy, reason: str) -> None:
    longest = policy.max_attempts + FREE_RETRIES + 1
    history, ended = live(policy, [reason] * longest, [False] * longest)
    found = disposition(reason)
    assert ended
    retries = len(history) - 1
    if found.charged:
        assert retries <= len(policy.delays.get(found.outcome, ()))
        assert found.max_retries is None or retries <= found.max_retries
    else:
        assert retries == FREE_RETRIES


@given(policies)
def test_a_policy_says_again_what_it_was_told(policy: RetryPolicy) -> None:
    spec = ";".join(
        f"{outcome}:{','.join(f'{delay.total_seconds():f}s' for delay in listed)}"
        for outcome, listed in policy.delays.items()
    )
    assert RetryPolicy.parse(spec or "none", policy.max_attempts) == policy
