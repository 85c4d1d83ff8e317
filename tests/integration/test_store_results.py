"""From the end of a call to the decision about its lead."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from store_steps import EAST, LEASE_MS, NOW, WORKSPACE, Steps, phone, plan

from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Callee, CallResult, LeadOutcome, OpenCall
from campaigns.domain.outcomes import Outcome
from campaigns.domain.pacing import claim_order
from campaigns.domain.retry import Exhausted, Hold, LeadDecision, Reached, RetryAt
from campaigns.domain.states import AttemptState
from campaigns.store.events import real_ms

A = AttemptState
LATER = NOW + timedelta(hours=2)


def test_open_calls_are_those_placed_or_waiting_for_their_analysis(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(8)))
    made = {state: steps.attempt(campaign_id, state) for state in AttemptState}
    found = {call.attempt_id: call for call in steps.store.results.open_calls(WORKSPACE)}
    assert set(found) == {made[A.PLACED], made[A.ENDED]}
    placed, ended = found[made[A.PLACED]], found[made[A.ENDED]]
    assert placed == OpenCall(
        made[A.PLACED], campaign_id, steps.attempt_row(made[A.PLACED])["lead_id"],
        f"call_{made[A.PLACED]}", A.PLACED, NOW, None,
    )  # fmt: skip
    assert (ended.state, ended.ended_at) == (A.ENDED, NOW)
    assert steps.store.results.open_calls("globex") == []


def test_many_calls_end_at_once_and_each_only_once(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(3)))
    for _ in range(3):
        steps.attempt(campaign_id, A.PLACED)
    calls = steps.store.results.open_calls(WORKSPACE)
    over = CallResult(disconnection_reason="user_hangup", duration_ms=5000, ended_at=LATER)
    first = steps.store.results.end([(calls[0], over)], NOW)
    assert first == [calls[0].attempt_id]
    before = len(steps.happened())
    won = steps.store.results.end([(call, over) for call in calls], NOW)
    assert won == [call.attempt_id for call in calls[1:]]
    assert steps.happened()[before:] == [("attempt", "placed", "ended")] * 2
    assert steps.store.results.end([], NOW) == []
    assert steps.store.attempts.holding_ids(WORKSPACE) == set(), "their slots are free"
    row = steps.attempt_row(calls[1].attempt_id)
    assert (row["ended_at"], row["duration_ms"]) == (to_ms(LATER), 5000)
    assert steps.lead_row(row["phone"])["state"] == "in_flight"


def test_what_is_known_later_adds_and_never_erases(steps: Steps) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), A.PLACED)
    listed = CallResult(
        disconnection_reason="user_hangup", duration_ms=61_000, cost_cents=7.5, recording_url="https://r/1",
        summary="early", analysis={"interested": True}, in_voicemail=False,
    )  # fmt: skip
    assert steps.end(attempt_id, listed)
    facts = steps.store.results.settle_facts(attempt_id)
    assert facts is not None
    options, call, dialed_at, history, known, callee = facts
    assert callee == Callee((EAST,), ("US-NY",))
    assert known == listed
    assert (options.profile, call.attempt_id, call.state) == ("us-sales", attempt_id, A.ENDED)
    assert (dialed_at, history) == (NOW, [])
    whole = CallResult(summary="final", transcript="Hello", sentiment="Positive", agent_version="12")
    assert steps.store.results.settle(attempt_id, whole, LeadOutcome(Reached(), "human", True), LATER)
    row = steps.attempt_row(attempt_id)
    assert (row["summary"], row["transcript"], row["sentiment"]) == ("final", "Hello", "Positive")
    assert (row["recording_url"], row["cost_cents"], row["duration_ms"]) == ("https://r/1", 7.5, 61_000)
    assert (row["analysis"], row["in_voicemail"]) == ('{"interested": true}', False)
    assert (row["agent_version"], row["disconnection_reason"]) == ("12", "user_hangup")
    assert (row["settled_at"], row["outcome"], row["charged"]) == (to_ms(LATER), "human", True)


def test_the_facts_of_a_decision_hold_the_earlier_outcomes_in_order(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    outcomes = [("busy", True), ("platform_error", False), ("no_answer", True)]
    for number, (outcome, charged) in enumerate(outcomes):
        attempt_id = steps.attempt(campaign_id, A.ENDED)
        again = RetryAt(NOW)
        assert steps.settle(attempt_id, again, outcome, charged, NOW + timedelta(seconds=number))
    attempt_id = steps.attempt(campaign_id, A.ENDED)
    facts = steps.store.results.settle_facts(attempt_id)
    assert facts is not None
    assert facts[3] == [(Outcome(outcome), charged) for outcome, charged in outcomes]
    lead = steps.lead_row(phone(1))
    assert (lead["attempts"], lead["outcome"]) == (2, "no_answer")


@pytest.mark.parametrize("state", [state for state in AttemptState if state is not A.ENDED])
def test_only_an_ended_attempt_has_facts_to_settle_on(steps: Steps, state: AttemptState) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), state)
    assert steps.store.results.settle_facts(attempt_id) is None
    assert steps.store.results.settle_facts("none") is None
    assert steps.store.results.take_settling_turn([attempt_id], LEASE_MS) == []


def test_one_settler_at_a_time_and_another_when_it_died(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    one, two = steps.attempt(campaign_id, A.ENDED), steps.attempt(campaign_id, A.ENDED)
    take = steps.store.results.take_settling_turn
    before = steps.happened()
    assert take([one], LEASE_MS) == [one]
    assert take([one, two], LEASE_MS) == [two]
    assert take([one, two], LEASE_MS) == []
    steps.execute(
        "UPDATE attempts SET lease_until_real = :past WHERE id = :id", {"past": real_ms() - 1, "id": one}
    )
    assert take(iter([one, two]), LEASE_MS) == [one]
    assert take([], LEASE_MS) == []
    assert steps.happened() == before


DECISIONS: list[tuple[LeadDecision, str, bool, dict[str, Any]]] = [
    (Reached(), "human", True, {"state": "reached", "attempts": 1, "outcome": "human"}),
    (Exhausted("all 3 attempts used"), "busy", True, {"state": "exhausted", "attempts": 1, "outcome": "busy"}),
    (
        RetryAt(LATER),
        "no_answer",
        True,
        {"state": "pending", "attempts": 1, "next_attempt_at": to_ms(LATER), "priority": 5},
    ),
    (
        RetryAt(LATER),
        "platform_error",
        False,
        {"state": "pending", "attempts": 0, "next_attempt_at": to_ms(LATER), "outcome": "platform_error"},
    ),
    (
        Hold("unknown_outcome", "look at the call"),
        "unknown",
        True,
        {"state": "held", "hold_code": "unknown_outcome", "hold_remedy": "look at the call", "attempts": 1},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("decision", "outcome", "charged", "lead"), DECISIONS)
def test_the_lead_becomes_what_was_decided(
    steps: Steps, decision: LeadDecision, outcome: str, charged: bool, lead: dict[str, Any]
) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), A.ENDED)
    before = steps.happened()
    assert steps.settle(attempt_id, decision, outcome, charged, LATER)
    found = steps.lead_row(phone(1))
    assert {key: found[key] for key in lead} == lead
    assert found["last_attempt_at"] == to_ms(NOW)
    assert steps.attempt_row(attempt_id)["charged"] is charged
    assert steps.happened() == [
        *before, ("attempt", "ended", "settled"), ("lead", "in_flight", lead["state"]),
    ]  # fmt: skip
    after = steps.everything()
    assert steps.settle(attempt_id, Reached(), "human") is False
    assert steps.everything() == after


def test_the_whole_cycle_again_and_again_until_the_lead_is_final(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    for number in range(3):
        now = NOW + number * timedelta(hours=1)
        attempt_id = steps.attempt(campaign_id, A.ENDED, now)
        last = number == 2
        after = RetryAt(now + timedelta(hours=1))
        assert steps.settle(attempt_id, Exhausted("no more") if last else after, "no_answer", now=now)
    assert steps.lead_row(phone(1))["attempts"] == 3
    assert steps.happened("lead")[-1] == ("lead", "in_flight", "exhausted")
    assert steps.happened("lead").count(("lead", "pending", "in_flight")) == 3
    assert steps.store.campaigns.complete_if_done(campaign_id, LATER)


def test_a_retry_for_a_number_listed_meanwhile_is_suppressed(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    one, two = steps.attempt(campaign_id, A.ENDED), steps.attempt(campaign_id, A.DIALING)
    steps.store.imports.suppress([phone(1), phone(2)], "import", "asked", NOW)
    assert steps.settle(one, RetryAt(LATER), "no_answer")
    assert steps.store.attempts.give_back(two, A.DIALING, "429", 429, LATER, NOW)
    assert steps.lead_of(one)["state"] == steps.lead_of(two)["state"] == "suppressed"
    assert steps.happened("lead")[-2:] == [("lead", "in_flight", "suppressed")] * 2


def test_a_retry_of_a_cancelled_campaign_is_cancelled(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    one, two = steps.attempt(campaign_id, A.ENDED), steps.attempt(campaign_id, A.DIALING)
    steps.store.campaigns.cancel(campaign_id, NOW)
    assert steps.settle(one, RetryAt(LATER), "no_answer")
    assert steps.store.attempts.give_back(two, A.DIALING, "429", 429, LATER, NOW)
    assert steps.store.reports.lead_counts(campaign_id)["cancelled"] == 2


def test_a_callback_goes_before_every_other_lead(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    attempt_id = steps.attempt(campaign_id, A.ENDED)
    steps.load(campaign_id, phone(2), priority=1, next_attempt_at=NOW - timedelta(days=1))
    assert steps.settle(attempt_id, RetryAt(LATER), "callback")
    assert steps.lead_row(phone(1))["priority"] == 0
    segments = steps.store.campaigns.segments([campaign_id])[campaign_id]
    assert sorted(segments) == [(EAST, "US-NY", 0), (EAST, "US-NY", 1), (EAST, "US-NY", 5)]
    ranked = claim_order(dict.fromkeys(segments, LATER))
    claimed = steps.claim(plan(campaign_id, *ranked), now=LATER)
    assert steps.dialed_numbers(claimed.attempt_ids) == [phone(1), phone(2)]


def test_a_do_not_call_request_ends_the_number_everywhere(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    attempt_id = steps.attempt(campaign_id, A.ENDED)
    number = steps.attempt_row(attempt_id)["phone"]
    autumn, other_account = (
        steps.campaign("autumn", number),
        steps.campaign("winter", number, workspace="globex"),
    )
    before = len(steps.happened())
    assert steps.settle(attempt_id, Reached(), "do_not_call")
    assert steps.lead_row(number, campaign_id)["state"] == "reached"
    assert steps.lead_row(number, autumn)["state"] == "suppressed"
    assert steps.lead_row(number, other_account)["state"] == "suppressed"
    assert sorted(steps.happened()[before:]) == [
        ("attempt", "ended", "settled"),
        ("lead", "in_flight", "reached"),
        ("lead", "pending", "suppressed"),
        ("lead", "pending", "suppressed"),
    ]
    assert steps.store.imports.suppress([number], "import", "again", NOW) == 0
    assert steps.store.reports.lead_counts(campaign_id)["pending"] == 1


def test_the_latest_verdicts_tell_whether_dials_are_refused(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    rows = steps.store.attempts
    moments = [NOW + timedelta(seconds=number) for number in range(4)]
    refused = steps.attempt(campaign_id, A.NOT_PLACED, moments[0])
    assert rows.refusals_of_lead(refused) == 1
    limited = steps.attempt(campaign_id, A.DIALING, moments[1])
    assert rows.give_back(limited, A.DIALING, "429", 429, moments[1], moments[1])
    steps.attempt(campaign_id, A.PLACED, moments[2])
    never_sent = steps.attempt(campaign_id, A.CLAIMED, moments[3])
    assert rows.recent_verdicts(campaign_id, NOW, 10) == [
        (A.PLACED, None, ""), (A.NOT_PLACED, 429, "429"), (A.NOT_PLACED, 422, "refused"),
    ]  # fmt: skip
    assert [state for state, _, _ in rows.recent_verdicts(campaign_id, NOW, 1)] == [A.PLACED]
    assert len(rows.recent_verdicts(campaign_id, moments[1], 10)) == 2
    steps.dial(never_sent)
    assert len(rows.recent_verdicts(campaign_id, NOW, 10)) == 3, "no verdict while it is being dialed"


def test_refusals_are_counted_per_lead_without_the_limits(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    rows = steps.store.attempts
    for status in (400, 422, 429, 500, 0):
        attempt_id = steps.attempt(campaign_id, A.DIALING)
        assert rows.give_back(attempt_id, A.DIALING, "no", status, NOW, NOW)
    assert rows.refusals_of_lead(attempt_id) == 2
    assert rows.refusals_of_lead("none") == 0
