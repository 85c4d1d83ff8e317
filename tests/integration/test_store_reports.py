"""Reading for people: the sums are those of the rows, and reading changes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from store_steps import EAST, NOW, WEST, Steps, new_lead, phone

from campaigns.domain.clock import to_ms
from campaigns.domain.entities import CallResult, LeadOutcome
from campaigns.domain.retry import Exhausted, RetryAt
from campaigns.domain.states import AttemptState, LeadState
from campaigns.store import CALL_COLUMNS, Reject

A = AttemptState
HOUR = timedelta(hours=1)


def test_counts_name_every_state(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(10)))
    steps.campaign("autumn", phone(50))
    for state in AttemptState:
        steps.attempt(campaign_id, state)
    reports, tallies = steps.store.reports, steps.store.tallies
    assert reports.attempt_counts(campaign_id) == dict.fromkeys(AttemptState, 1)
    assert tallies.of(campaign_id).attempts == reports.attempt_counts(campaign_id)
    leads = reports.lead_counts(campaign_id)
    assert set(leads) == set(LeadState)
    assert sum(leads.values()) == 10
    assert (leads["in_flight"], leads["reached"], leads["held"]) == (5, 1, 1)
    assert reports.lead_counts("none") == dict.fromkeys(LeadState, 0)
    assert reports.leads_up_to(campaign_id, 4) == 4
    assert reports.leads_up_to(campaign_id, 400) == 10
    assert tallies.of(campaign_id).outcomes == {"human": 1}


def _called(steps: Steps, campaign_id: str, outcome: str, minutes: int, last: bool = True) -> str:
    placed = NOW + minutes * timedelta(minutes=1)
    attempt_id = steps.attempt(campaign_id, A.PLACED, placed)
    over = CallResult(
        disconnection_reason="user_hangup", cost_cents=10.5, duration_ms=60_000,
        ended_at=placed + timedelta(minutes=2),
    )  # fmt: skip
    assert steps.end(attempt_id, over)
    decision = Exhausted("no more") if last else RetryAt(placed)
    whole = CallResult(transcript=f"call of minute {minutes}", analysis={f"field_{outcome}": minutes})
    assert steps.store.results.settle(attempt_id, whole, LeadOutcome(decision, outcome, True), placed)
    return attempt_id


def test_money_time_and_outcomes(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    reports, tallies = steps.store.reports, steps.store.tallies
    assert reports.analysis_fields(campaign_id) == []
    for minutes, outcome, last in [(0, "busy", False), (5, "busy", True), (9, "no_answer", True)]:
        _called(steps, campaign_id, outcome, minutes, last)
    steps.store.campaigns.pause(campaign_id, "lunch", NOW + HOUR)
    assert tallies.of(campaign_id).cost_cents == 31.5
    assert reports.seconds_per_call(campaign_id) == (120.0, 3)
    assert reports.seconds_per_call(campaign_id, latest=1) == (120.0, 1)
    chunks = list(reports.call_chunks(campaign_id, 2))
    assert [len(rows) for rows in chunks] == [2, 1]
    listed = [dict(zip(CALL_COLUMNS, row, strict=True)) for rows in chunks for row in rows]
    assert {(call["zones"], call["duration_ms"], call["contact"]) for call in listed} == {(EAST, 60_000, 0)}
    assert tallies.of(campaign_id).outcomes == {"busy": 2, "no_answer": 1}
    assert reports.analysis_fields(campaign_id) == ["field_busy", "field_no_answer"]
    assert reports.latest_business_ms() == to_ms(NOW + HOUR)
    assert sum(k * n for k, n in reports.attempts_per_lead(campaign_id).items()) == 3


def test_leads_with_an_outcome_are_counted_once(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    _called(steps, campaign_id, "busy", 0, last=False)
    _called(steps, campaign_id, "busy", 5, last=False)
    _called(steps, campaign_id, "no_answer", 9)
    reports = steps.store.reports
    assert reports.attempts_per_lead(campaign_id) == {3: 1}


def test_a_lead_stands_once_with_its_latest_call(steps: Steps) -> None:
    campaign_id = steps.campaign("spring")
    steps.load_leads(
        campaign_id, [new_lead(9, phone(2), next_attempt_at=NOW + 9 * HOUR), new_lead(4, phone(1))]
    )
    steps.load_leads(campaign_id, [new_lead(2, phone(3), state=LeadState.SUPPRESSED)])
    _called(steps, campaign_id, "busy", 0, last=False)
    latest = _called(steps, campaign_id, "machine", 5, last=False)
    refused = steps.attempt(campaign_id, A.DIALING, NOW + HOUR)
    steps.store.attempts.give_back(refused, A.DIALING, "no", 422, NOW + HOUR, NOW + HOUR)
    rows = list(steps.store.reports.leads(campaign_id))
    assert [row["phone"] for row in rows] == [phone(1), phone(2), phone(3)], "in the order of the files"
    called, untried, _ = rows
    assert (called["last_id"], called["last_call_id"]) == (latest, f"call_{latest}")
    assert (called["last_outcome"], called["last_transcript"]) == ("machine", "call of minute 5")
    assert called["last_analysis"] == {"field_machine": 5}
    assert (called["attempts"], called["cells"]) == (2, [phone(1)])
    assert (untried["last_id"], untried["last_analysis"]) == (None, {})
    found = steps.store.reports.leads(campaign_id, "suppressed")
    assert [row["phone"] for row in found] == [phone(3)]


def test_what_is_due_and_what_comes_next(steps: Steps) -> None:
    campaign_id = steps.campaign("spring")
    steps.load_leads(
        campaign_id,
        [
            new_lead(2, phone(1), next_attempt_at=NOW - HOUR),
            new_lead(3, phone(2), next_attempt_at=NOW),
            new_lead(4, phone(3), next_attempt_at=NOW + HOUR, zones=f"{EAST}|{WEST}"),
            new_lead(5, phone(4), next_attempt_at=NOW - 9 * HOUR, state=LeadState.SUPPRESSED),
            new_lead(6, phone(5), next_attempt_at=NOW + 2 * HOUR, zones=""),
        ],
    )
    reports = steps.store.reports
    assert {callee.zones: (due, count) for callee, due, count in reports.pending_groups(campaign_id)} == {
        (EAST,): (NOW - HOUR, 2),
        (EAST, WEST): (NOW + HOUR, 1),
        (): (NOW + 2 * HOUR, 1),
    }


def test_what_waits_for_a_person_is_grouped_by_its_remedy(steps: Steps) -> None:
    campaign_id = steps.campaign("spring")
    holds = [("b", "do b"), ("a", "do a"), ("b", "do b"), ("b", "do c")]
    steps.load_leads(
        campaign_id,
        [new_lead(n, phone(n), state=LeadState.HELD, hold=hold) for n, hold in enumerate(holds)],
    )
    assert sorted(steps.store.reports.held(campaign_id)) == [
        ("a", "do a", 1), ("b", "do b", 2), ("b", "do c", 1),
    ]  # fmt: skip
    assert steps.store.reports.held("none") == []


def test_rejected_rows_are_counted_over_all_files(steps: Steps) -> None:
    campaign_id = steps.draft()
    for name in ("one.csv", "two.csv"):
        with steps.store.imports.writer(campaign_id, NOW) as writer:
            writer.begin(name, "0" * 64, 10, ["phone"], "test")
            writer.add_rejects([Reject(n, "missing_phone", "empty", "phone", "", ()) for n in (2, 3)])
    assert steps.store.reports.rejected_rows(campaign_id) == 4
    assert steps.store.reports.rejected_rows("none") == 0


def test_the_latest_events_come_first(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    steps.attempt(campaign_id, A.DIALING)
    newest = steps.store.listings.events(campaign_id, 2)[::-1]
    assert [(event["subject"], event["to_state"]) for event in newest] == [
        ("attempt", "dialing"), ("attempt", "claimed"),
    ]  # fmt: skip
    assert len(steps.store.listings.events(campaign_id, 100)[::-1]) == len(steps.happened())
    assert steps.store.listings.events("none", 5)[::-1] == []


def test_nothing_happened_yet(steps: Steps) -> None:
    assert steps.store.reports.latest_business_ms() is None


@pytest.mark.parametrize("state", list(AttemptState))
def test_reading_changes_nothing(steps: Steps, state: AttemptState) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    steps.attempt(campaign_id, state)
    before = steps.everything()
    reports, tallies = steps.store.reports, steps.store.tallies
    for read in (
        reports.lead_counts, reports.attempt_counts, reports.rejected_rows, tallies.of, tallies.miscounted,
        reports.seconds_per_call, reports.attempts_per_lead,
        reports.earliest_pending, reports.held, reports.analysis_fields,
    ):  # fmt: skip
        read(campaign_id)
    assert len(list(reports.leads(campaign_id))) == 2
    assert steps.everything() == before
