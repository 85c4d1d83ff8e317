"""Attempts up to the verdict of the dial: every step is guarded, wins once, and writes one event."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from store_steps import EAST, EVIDENCE, LEASE_MS, NOW, WEST, WORKSPACE, Steps, group, new_lead, phone, plan

from campaigns.domain.entities import CampaignOptions
from campaigns.domain.retry import Reached
from campaigns.domain.states import ATTEMPT_TRANSITIONS, AttemptState, CampaignState
from campaigns.store.events import real_ms

A = AttemptState
SOON = NOW + timedelta(minutes=1)
Act = Callable[[Steps, str], bool]


def _begin(steps: Steps, attempt_id: str) -> bool:
    order = steps.store.attempts.dial_order(attempt_id)
    assert order is not None
    return steps.store.attempts.begin_dial(order, EVIDENCE, SOON, LEASE_MS)


def _place(source: AttemptState) -> Act:
    return lambda steps, attempt_id: steps.store.attempts.place(attempt_id, source, "call_new", SOON)


def _give_back(source: AttemptState) -> Act:
    return lambda steps, attempt_id: steps.store.attempts.give_back(
        attempt_id, source, "refused", 422, SOON, SOON
    )


def _give_up(source: AttemptState) -> Act:
    return lambda steps, attempt_id: steps.store.attempts.give_up(attempt_id, source, "gone", "look", SOON)


#: (from, to) -> the step that makes the transition, and what becomes of the lead (None: it stays in flight).
STEPS: dict[tuple[AttemptState, AttemptState], tuple[Act, tuple[str, str] | None]] = {
    (A.CLAIMED, A.DIALING): (_begin, None),
    (A.CLAIMED, A.NOT_PLACED): (_give_back(A.CLAIMED), ("in_flight", "pending")),
    (A.DIALING, A.PLACED): (_place(A.DIALING), None),
    (A.DIALING, A.NOT_PLACED): (_give_back(A.DIALING), ("in_flight", "pending")),
    (A.DIALING, A.AMBIGUOUS): (lambda s, a: s.store.attempts.doubt(a, "timed out", SOON, 1000), None),
    (A.AMBIGUOUS, A.PLACED): (_place(A.AMBIGUOUS), None),
    (A.AMBIGUOUS, A.NOT_PLACED): (_give_back(A.AMBIGUOUS), ("in_flight", "pending")),
    (A.AMBIGUOUS, A.UNRESOLVED): (_give_up(A.AMBIGUOUS), ("in_flight", "held")),
    (A.PLACED, A.ENDED): (lambda s, a: s.end(a, now=SOON), None),
    (A.PLACED, A.UNRESOLVED): (_give_up(A.PLACED), ("in_flight", "held")),
    (A.ENDED, A.SETTLED): (
        lambda s, a: s.settle(a, Reached(), "human", now=SOON),
        ("in_flight", "reached"),
    ),
    (A.UNRESOLVED, A.PLACED): (_place(A.UNRESOLVED), ("held", "in_flight")),
    (A.UNRESOLVED, A.NOT_PLACED): (_give_back(A.UNRESOLVED), ("held", "pending")),
}


def test_every_step_is_a_transition_of_the_table() -> None:
    drawn = {(source, target) for source, targets in ATTEMPT_TRANSITIONS.items() for target in targets}
    assert set(STEPS) <= drawn
    # Sending an ambiguous attempt again, under the same key, is a step of its own.
    assert drawn - set(STEPS) <= {(A.AMBIGUOUS, A.DIALING)}


@pytest.mark.parametrize("move", STEPS, ids="-".join)
def test_a_step_wins_exactly_once_and_writes_its_events(
    steps: Steps, move: tuple[AttemptState, AttemptState]
) -> None:
    act, lead = STEPS[move]
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), move[0])
    before = steps.happened()
    assert act(steps, attempt_id) is True
    expected = [("attempt", *move)] + ([("lead", *lead)] if lead else [])
    assert steps.happened() == [*before, *expected]
    assert steps.attempt_row(attempt_id)["state"] == move[1]
    assert steps.lead_of(attempt_id)["state"] == (lead[1] if lead else "in_flight")
    after = steps.everything()
    assert act(steps, attempt_id) is False
    assert steps.everything() == after


@pytest.mark.parametrize("state", list(AttemptState))
def test_no_step_wins_from_another_state_than_its_own(steps: Steps, state: AttemptState) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), state)
    before = steps.everything()
    for (source, _), (act, _) in STEPS.items():
        if source is not state:
            assert act(steps, attempt_id) is False
    assert steps.everything() == before


def test_a_transition_that_is_not_in_the_table_is_a_bug(steps: Steps) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)))
    with pytest.raises(AssertionError, match="no transition"):
        steps.store.attempts.place(attempt_id, A.SETTLED, "call", NOW)
    with pytest.raises(AssertionError, match="no transition"):
        steps.store.attempts.give_back(attempt_id, A.PLACED, "refused", 422, NOW, NOW)


def test_an_order_holds_all_that_the_dial_needs(steps: Steps) -> None:
    options = {"agents": ("agent_1",), "profile": "none", "concurrency": 3}
    campaign_id = steps.campaign("spring", **options)
    lead = new_lead(
        2, phone(1), zones=f"{EAST}|{WEST}", cells=(phone(1), "Zoë"), metadata={"crm": 7},
        sip_headers={"X-A": "1"}, ignore_e164=True, agent_id="agent_of_row", agent_version="4",
    )  # fmt: skip
    steps.load_leads(campaign_id, [lead, new_lead(3, phone(2), zones="")])
    groups = [group(z, 5, SOON) for z in (f"{EAST}|{WEST}", "")]
    first, second = steps.claim(plan(campaign_id, groups, agent_version="7")).attempt_ids
    order = steps.store.attempts.dial_order(first)
    assert order is not None
    assert (order.attempt_id, order.state, order.campaign_id) == (first, A.CLAIMED, campaign_id)
    assert (order.campaign_state, order.workspace) == (CampaignState.RUNNING, WORKSPACE)
    assert order.options == CampaignOptions(**options)
    assert (order.phone, order.callee.zones, order.from_number) == (phone(1), (EAST, WEST), "+15550100")
    assert (order.agent_id, order.agent_version) == ("agent_of_row", "4")
    assert (order.variables, order.metadata, order.sip_headers) == ({"name": "Zoë"}, {"crm": 7}, {"X-A": "1"})
    assert (order.ignore_e164, order.suppressed) == (True, False)
    steps.store.imports.suppress([phone(2)], "import", "asked", NOW)
    plain = steps.store.attempts.dial_order(second)
    assert plain is not None
    assert (plain.agent_id, plain.agent_version, plain.callee.zones) == ("agent", "7", ())
    assert (plain.suppressed, plain.ignore_e164) == (True, False)
    assert steps.store.attempts.dial_order("none") is None


def test_dialing_is_charged_and_leased_before_a_byte_leaves(steps: Steps) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)))
    asked = real_ms()
    assert _begin(steps, attempt_id)
    row = steps.attempt_row(attempt_id)
    assert row["charged"] is True
    assert row["dialing_at"] == int(SOON.timestamp() * 1000)
    assert asked <= row["dialing_real"] <= real_ms()
    assert row["lease_until_real"] == row["dialing_real"] + LEASE_MS


@pytest.mark.parametrize("obstacle", ["paused", "cancelled", "suppressed"])
def test_nothing_is_dialed_for_a_stopped_campaign_or_a_listed_number(steps: Steps, obstacle: str) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    attempt_id = steps.attempt(campaign_id)
    order = steps.store.attempts.dial_order(attempt_id)  # read before it happens
    assert order is not None
    if obstacle == "paused":
        steps.store.campaigns.pause(campaign_id, "lunch", NOW)
    elif obstacle == "cancelled":
        steps.store.campaigns.cancel(campaign_id, NOW)
    else:
        steps.store.imports.suppress([phone(1)], "import", "asked", NOW)
    before = steps.everything()
    assert steps.store.attempts.begin_dial(order, EVIDENCE, SOON, LEASE_MS) is False
    assert steps.everything() == before
    assert steps.store.attempts.give_back(attempt_id, A.CLAIMED, obstacle, 0, SOON, SOON)
    back = {"paused": "pending", "cancelled": "cancelled", "suppressed": "suppressed"}
    assert steps.lead_row(phone(1))["state"] == back[obstacle]


def test_giving_back_costs_no_attempt_and_brings_the_lead_back(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    attempt_id = steps.attempt(campaign_id, A.DIALING)
    assert steps.store.attempts.give_back(attempt_id, A.DIALING, "429", 429, SOON, NOW)
    row, lead = steps.attempt_row(attempt_id), steps.lead_row(phone(1))
    assert (row["charged"], row["refusal"], row["refusal_status"]) == (False, "429", 429)
    assert row["lease_until_real"] is None
    assert (lead["attempts"], lead["next_attempt_at"]) == (0, int(SOON.timestamp() * 1000))
    assert steps.claim(plan(campaign_id), now=NOW).attempt_ids == []
    assert len(steps.claim(plan(campaign_id), now=SOON).attempt_ids) == 1


def test_giving_back_may_hold_the_lead(steps: Steps) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), A.DIALING)
    hold = ("refused_by_retell", "correct the number")
    assert steps.store.attempts.give_back(attempt_id, A.DIALING, "400", 400, SOON, NOW, hold)
    lead = steps.lead_row(phone(1))
    assert (lead["state"], lead["hold_code"], lead["hold_remedy"]) == ("held", *hold)


def test_a_doubted_dial_may_turn_out_to_be_a_call(steps: Steps) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), A.AMBIGUOUS)
    assert attempt_id in steps.store.attempts.holding_ids(WORKSPACE), "it may be ringing"
    assert steps.store.attempts.place(attempt_id, A.AMBIGUOUS, "call_7", SOON)
    row = steps.attempt_row(attempt_id)
    assert (row["call_id"], row["charged"], row["lease_until_real"]) == ("call_7", True, None)
    assert steps.end(attempt_id)
    assert steps.settle(attempt_id, Reached(), "human")


def test_empty_searches_are_counted_and_put_off(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    doubted, placed = steps.attempt(campaign_id, A.AMBIGUOUS), steps.attempt(campaign_id, A.PLACED)
    steps.execute("UPDATE attempts SET lease_until_real = 0 WHERE call_id IS NULL")
    assert [one.attempt_id for one in steps.store.recovery.unknown_dials(WORKSPACE)] == [doubted]
    before = steps.happened()
    steps.store.attempts.search_again(doubted, 60_000)
    steps.store.attempts.search_again(placed, 60_000)
    assert steps.attempt_row(doubted)["searches"] == 1
    assert steps.attempt_row(placed)["searches"] == 0
    assert steps.store.recovery.unknown_dials(WORKSPACE) == []
    assert steps.happened() == before


def test_an_unresolved_attempt_holds_its_lead_and_frees_its_slot(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    attempt_id = steps.attempt(campaign_id, A.AMBIGUOUS)
    assert steps.store.attempts.give_up(attempt_id, A.AMBIGUOUS, "not found", "resolve it", NOW)
    lead = steps.lead_row(phone(1))
    assert (lead["state"], lead["hold_code"]) == ("held", "unresolved_attempt")
    assert lead["hold_remedy"] == "resolve it"
    assert steps.attempt_row(attempt_id)["refusal"] == "not found"
    assert steps.store.attempts.holding_ids(WORKSPACE) == set()
    assert steps.claim(plan(campaign_id)).attempt_ids == []


def _unresolved(steps: Steps) -> tuple[str, str]:
    campaign_id = steps.campaign("spring", phone(1))
    return campaign_id, steps.attempt(campaign_id, A.UNRESOLVED)


def test_an_unresolved_call_that_turns_up_goes_on_to_its_end(steps: Steps) -> None:
    _, attempt_id = _unresolved(steps)
    assert steps.store.attempts.place(attempt_id, A.UNRESOLVED, "call_late", SOON)
    lead = steps.lead_row(phone(1))
    assert (lead["state"], lead["hold_code"], lead["hold_remedy"]) == ("in_flight", None, None)
    assert steps.end(attempt_id)
    assert steps.settle(attempt_id, Reached(), "human")
    assert steps.lead_row(phone(1))["state"] == "reached"


@pytest.mark.parametrize("since", ["cancelled", "suppressed", "dialed_elsewhere"])
def test_a_late_word_on_a_lead_that_went_on_is_refused(steps: Steps, since: str) -> None:
    campaign_id, attempt_id = _unresolved(steps)
    if since == "cancelled":
        steps.store.campaigns.cancel(campaign_id, NOW)
    elif since == "suppressed":
        steps.store.imports.suppress([phone(1)], "import", "asked", NOW)
    else:
        steps.attempt(steps.campaign("autumn", phone(1)), A.PLACED)
    before = steps.everything()
    assert not steps.store.attempts.place(attempt_id, A.UNRESOLVED, "call_late", SOON)
    if since != "dialed_elsewhere":
        assert not steps.store.attempts.give_back(attempt_id, A.UNRESOLVED, "operator", 0, SOON, SOON)
    assert steps.everything() == before


def test_stale_claims_and_dials_are_found_by_real_time(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(4)))
    rows: dict[str, Any] = {
        state: steps.attempt(campaign_id, state) for state in (A.CLAIMED, A.DIALING, A.AMBIGUOUS, A.PLACED)
    }
    attempts, recovery = steps.store.attempts, steps.store.recovery
    assert recovery.stale_claims(WORKSPACE) == []
    assert recovery.unknown_dials(WORKSPACE) == []
    steps.execute("UPDATE attempts SET lease_until_real = :past", {"past": real_ms() - 1})
    assert recovery.stale_claims(WORKSPACE) == [rows[A.CLAIMED]]
    found = {one.attempt_id: one for one in recovery.unknown_dials(WORKSPACE)}
    assert set(found) == {rows[A.DIALING], rows[A.AMBIGUOUS]}
    dialing = found[rows[A.DIALING]]
    stored = steps.attempt_row(dialing.attempt_id)
    assert (dialing.state, dialing.dialing_at, dialing.searches) == (A.DIALING, NOW, 0)
    assert (dialing.phone, dialing.dialing_real_ms) == (stored["phone"], stored["dialing_real"])
    assert recovery.stale_claims("globex") == recovery.unknown_dials("globex") == []
    assert attempts.holding_ids(WORKSPACE) == set(rows.values())
    assert attempts.waiting_claims(WORKSPACE) == {campaign_id: 1}
    assert attempts.waiting_claims("globex") == {}
