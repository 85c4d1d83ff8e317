"""The retry SPEC, and what becomes of a lead after each kind of attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.domain.outcomes import DISPOSITIONS, Disposition, Outcome, disposition
from campaigns.domain.retry import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_RETRY,
    FREE_RETRIES,
    NEVER_RETRIED,
    Exhausted,
    Hold,
    LeadDecision,
    Reached,
    RetryAt,
    RetryError,
    RetryPolicy,
    decide,
    parse_delay,
)

DIALED = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
SETTLED = DIALED + timedelta(minutes=2)
MINUTES = timedelta(minutes=1)
POLICY = RetryPolicy.parse("no_answer:30m,2h;busy:10m;machine:4h,8h,1d;declined:1d,2d;callback:1h", 5)


def after(
    *reasons: str, policy: RetryPolicy = POLICY, dialed: datetime = DIALED, now: datetime = SETTLED
) -> LeadDecision:
    """The decision once calls have ended for these reasons, one after the other."""
    seen = [disposition(reason) for reason in reasons]
    return decide(policy, seen[-1], [(one.outcome, one.charged) for one in seen], dialed, now)


def test_the_documented_spec_is_read() -> None:
    policy = RetryPolicy.parse(" no_answer:30m, 2h ; busy:10m;machine:4h; ", 4)
    assert policy.max_attempts == 4
    assert policy.delays == {
        Outcome.NO_ANSWER: (30 * MINUTES, 120 * MINUTES),
        Outcome.BUSY: (10 * MINUTES,),
        Outcome.MACHINE: (240 * MINUTES,),
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("45s", 45), ("30m", 1800), ("1.5h", 5400), ("2d", 172_800), (" 1h ", 3600)],
)
def test_delays(text: str, seconds: float) -> None:
    assert parse_delay(text).total_seconds() == seconds


@pytest.mark.parametrize("spec", ["none", " NONE "])
def test_none_retries_nothing(spec: str) -> None:
    policy = RetryPolicy.parse(spec, 3)
    assert policy.delays == {}
    for reason in ("dial_no_answer", "dial_busy", "voicemail_reached", "user_declined"):
        assert isinstance(after(reason, policy=policy), Exhausted)
    assert after("user_requested_callback", policy=policy) == Reached()


def test_the_default_policy_can_be_read() -> None:
    policy = RetryPolicy.parse(DEFAULT_RETRY, DEFAULT_MAX_ATTEMPTS)
    for delays in policy.delays.values():
        assert list(delays) == sorted(delays)


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ("", "write `none`"),
        (" ; ", "write `none`"),
        ("no_answer", "after a colon"),
        ("no_answer:", "after a colon"),
        ("no_answer: ", "after a colon"),
        ("no_answer:30", "30m"),
        ("no_answer:30m,,2h", "30m"),
        ("no_answer:30m,", "30m"),
        ("no_answer:-5m", "30m"),
        ("no_answer:1w", "30m"),
        ("no_answer:soon", "30m"),
        ("no_answer:400d", "shorten"),
        ("no_answer:999999999999999999999999999d", "shorten"),
        ("no_answer:30m;no_answer:2h", "in one list"),
        ("noanswer:30m", "use one of .*no_answer"),
        ("none;busy:10m", "use one of"),
        *((f"{outcome}:1h", "never retried: use one of") for outcome in sorted(NEVER_RETRIED)),
    ],
)
def test_a_bad_spec_is_refused_with_its_remedy(spec: str, remedy: str) -> None:
    with pytest.raises(RetryError, match=remedy):
        RetryPolicy.parse(spec, 3)


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_without_an_attempt_is_refused(budget: int) -> None:
    with pytest.raises(RetryError, match="at least 1"):
        RetryPolicy.parse("none", budget)


def test_the_nth_delay_belongs_to_the_nth_such_outcome() -> None:
    assert after("dial_no_answer") == RetryAt(DIALED + 30 * MINUTES)
    assert after("dial_no_answer", "dial_no_answer") == RetryAt(DIALED + 120 * MINUTES)
    assert after("dial_no_answer", "dial_busy") == RetryAt(DIALED + 10 * MINUTES)
    assert after("dial_no_answer", "dial_busy", "dial_no_answer") == RetryAt(DIALED + 120 * MINUTES)
    assert isinstance(after(*["dial_no_answer"] * 3), Exhausted)
    assert isinstance(after("dial_busy", "dial_busy"), Exhausted)


def test_one_budget_over_all_outcomes() -> None:
    two = RetryPolicy.parse("no_answer:1m,1m,1m;busy:1m,1m,1m", 2)
    assert isinstance(after("dial_no_answer", policy=two), RetryAt)
    decided = after("dial_no_answer", "dial_busy", policy=two)
    assert decided == Exhausted("all 2 attempts used")


def test_a_delay_is_measured_from_the_dial() -> None:
    late = DIALED + timedelta(minutes=29)
    assert after("dial_no_answer", now=late) == RetryAt(DIALED + 30 * MINUTES)


def test_a_retry_never_lies_in_the_past() -> None:
    later = DIALED + timedelta(hours=5)
    assert after("dial_no_answer", now=later) == RetryAt(later)
    assert after("sip_routing_error", now=later) == RetryAt(later)


def test_final_outcomes() -> None:
    for reason in ("user_hangup", "call_transfer", "transfer_bridged", "user_requested_dnc"):
        assert after(reason) == Reached()
    assert isinstance(after("invalid_destination"), Exhausted)
    assert isinstance(after("manual_stopped"), Exhausted)


def test_an_unknown_reason_is_held_never_retried() -> None:
    for reasons in (("brand_new",), ("dial_no_answer", "brand_new")):
        decided = after(*reasons)
        assert isinstance(decided, Hold)
        assert decided.code == "unknown_outcome"
        assert decided.remedy


def test_a_reason_may_cap_its_own_retries_below_the_policy() -> None:
    assert after("user_declined") == RetryAt(DIALED + timedelta(days=1))
    assert isinstance(after("user_declined", "user_declined"), Exhausted)
    assert after("inactivity") == RetryAt(DIALED + timedelta(hours=4))
    assert isinstance(after("inactivity", "inactivity"), Exhausted)
    assert isinstance(after("dial_failed", "dial_failed"), Exhausted)
    assert after("voicemail_reached", "voicemail_reached") == RetryAt(DIALED + timedelta(hours=8))


def test_a_limit_of_the_account_costs_no_attempt_but_is_bounded() -> None:
    one = RetryPolicy.parse("none", 1)
    gaps = []
    for times in range(1, FREE_RETRIES + 1):
        decided = after(*["concurrency_limit_reached"] * times, policy=one, now=DIALED)
        assert isinstance(decided, RetryAt)
        gaps.append(decided.at - DIALED)
    assert gaps == sorted(gaps)
    assert gaps[0] < gaps[-1]
    held = after(*["concurrency_limit_reached"] * (FREE_RETRIES + 1), policy=one)
    assert isinstance(held, Hold)
    assert held.code == "platform_error"
    assert held.remedy


def test_uncharged_failures_leave_the_budget_and_the_delays_alone() -> None:
    two = RetryPolicy.parse("no_answer:30m", 2)
    free = ["sip_routing_error"] * 3
    assert after(*free, "dial_no_answer", policy=two) == RetryAt(DIALED + 30 * MINUTES)
    retry = RetryPolicy.parse("platform_error:15m", 3)
    assert after("concurrency_limit_reached", "error_asr", policy=retry) == RetryAt(DIALED + 15 * MINUTES)
    assert isinstance(after("error_asr", "error_retell", policy=retry), Exhausted)


def test_our_own_trouble_leaves_the_lead_as_good_as_new() -> None:
    for reason in ("no_valid_payment", "telephony_provider_permission_denied"):
        assert after(reason) == RetryAt(SETTLED)
        assert disposition(reason).pauses


def test_a_callback_comes_back_while_the_budget_lasts_and_is_a_contact() -> None:
    assert after("user_requested_callback") == RetryAt(DIALED + timedelta(hours=1))
    assert after("user_requested_callback", "user_requested_callback") == Reached()
    one = RetryPolicy.parse("callback:1h", 1)
    assert after("user_requested_callback", policy=one) == Reached()


def test_every_known_reason_is_decided() -> None:
    for reason in DISPOSITIONS:
        assert isinstance(after(reason), RetryAt | Reached | Exhausted | Hold)
    assert isinstance(DISPOSITIONS["user_hangup"], Disposition)
