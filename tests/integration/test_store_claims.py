"""Claims: who is dialed next, and how many."""

from __future__ import annotations

from datetime import timedelta

import pytest
from store_steps import CLOSES, EAST, LEASE_MS, NOW, WEST, WORKSPACE, Steps, gate, new_lead, phone, plan

from campaigns.domain.caps import Cap
from campaigns.domain.clock import to_ms
from campaigns.domain.pacing import claim_order
from campaigns.domain.retry import RetryAt
from campaigns.domain.states import AttemptState
from campaigns.store import Claimed
from campaigns.store.events import real_ms

A = AttemptState
HOUR = timedelta(hours=1)


def test_a_claim_takes_the_lead_and_writes_the_attempt_at_once(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    asked = real_ms()
    [attempt_id] = steps.claim(plan(campaign_id, agent_version="3")).attempt_ids
    row, lead = steps.attempt_row(attempt_id), steps.lead_row(phone(1))
    assert (row["state"], row["charged"], row["claimed_at"]) == ("claimed", False, to_ms(NOW))
    assert (row["workspace"], row["campaign_id"], row["lead_id"]) == (WORKSPACE, campaign_id, lead["id"])
    assert (row["phone"], row["from_number"]) == (phone(1), "+15550100")
    assert (row["agent_id"], row["agent_version"]) == ("agent", "3")
    assert asked + LEASE_MS <= row["lease_until_real"] <= real_ms() + LEASE_MS
    assert lead["state"] == "in_flight"
    assert steps.happened()[-2:] == [("lead", "pending", "in_flight"), ("attempt", None, "claimed")]
    before = steps.everything()
    assert steps.claim(plan(campaign_id)) == Claimed()
    assert steps.everything() == before


def test_order_is_priority_then_the_window_that_closes_soonest_then_the_oldest(steps: Steps) -> None:
    campaign_id = steps.campaign("spring")
    rows = [
        (WEST, 5, 0), (EAST, 5, 3), (EAST, 5, 1), (WEST, 2, 5), (EAST, 2, 9), (WEST, 0, 9), ("UTC", 5, 2),
    ]  # fmt: skip
    steps.load_leads(
        campaign_id,
        [
            new_lead(line, phone(line), zones=zones, priority=priority, next_attempt_at=NOW - 10 * HOUR + age * HOUR)
            for line, (zones, priority, age) in enumerate(rows)
        ],
    )  # fmt: skip
    segments = steps.store.campaigns.segments([campaign_id])[campaign_id]
    closing = {EAST: CLOSES, "UTC": CLOSES, WEST: CLOSES + 3 * HOUR}
    open_until = {segment: closing[segment.zones] for segment in segments}
    wanted = [5, 4, 3, 2, 6, 1, 0]
    ranked = claim_order(open_until)
    first = steps.claim(plan(campaign_id, *ranked), ceiling=3)
    assert steps.dialed_numbers(first.attempt_ids) == [phone(line) for line in wanted[:3]]
    rest = steps.claim(plan(campaign_id, *ranked), ceiling=100)
    assert steps.dialed_numbers(rest.attempt_ids) == [phone(line) for line in wanted[3:]]


def test_a_lead_is_claimed_when_it_is_due_in_an_open_group_of_a_running_campaign(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    steps.load(campaign_id, phone(2), next_attempt_at=NOW + HOUR)
    steps.load(campaign_id, phone(3), zones=WEST)
    assert steps.dialed_numbers(steps.claim(plan(campaign_id)).attempt_ids) == [phone(1)]
    assert steps.claim(plan(campaign_id, []), now=NOW + HOUR).attempt_ids == []
    paused = plan(campaign_id)
    assert steps.store.campaigns.pause(campaign_id, "lunch", NOW)
    assert steps.claim(paused, now=NOW + HOUR).attempt_ids == [], "the plan was made before the pause"
    assert steps.store.campaigns.resume(campaign_id, NOW)
    assert steps.dialed_numbers(steps.claim(paused, now=NOW + HOUR).attempt_ids) == [phone(2)]
    assert steps.claim().attempt_ids == []


@pytest.mark.parametrize(
    ("limits", "won"),
    [
        ({"ceiling": 4}, 4),
        ({"ceiling": 4, "foreign": 3}, 1),
        ({"ceiling": 4, "foreign": 9}, 0),
        ({"ceiling": 0}, 0),
        ({"ceiling": 99}, 8),
    ],
)
def test_no_more_than_the_free_lines(steps: Steps, limits: dict[str, int], won: int) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(8)))
    assert len(steps.claim(plan(campaign_id), **limits).attempt_ids) == won
    assert steps.claim(plan(campaign_id), **limits).attempt_ids == []


@pytest.mark.parametrize("state", list(AttemptState))
def test_own_attempts_hold_their_line_until_the_call_is_over(steps: Steps, state: AttemptState) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2), phone(3))
    steps.attempt(campaign_id, state)
    holds = state in (A.CLAIMED, A.DIALING, A.AMBIGUOUS, A.PLACED)
    assert len(steps.claim(plan(campaign_id), ceiling=2).attempt_ids) == (1 if holds else 2)


def test_the_campaigns_own_cap_and_its_room_under_the_calls_per_second(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(9)))
    assert len(steps.claim(plan(campaign_id, room=2)).attempt_ids) == 2
    assert steps.claim(plan(campaign_id, room=0)).attempt_ids == []
    assert len(steps.claim(plan(campaign_id, cap=5)).attempt_ids) == 3
    assert steps.claim(plan(campaign_id, cap=5)).attempt_ids == []
    assert len(steps.claim(plan(campaign_id, cap=9, room=3)).attempt_ids) == 3


def test_free_lines_are_dealt_by_weight_and_unused_ones_flow_on(steps: Steps) -> None:
    one = steps.campaign("one", *map(phone, range(20)))
    two = steps.campaign("two", *map(phone, range(20, 40)))
    three = steps.campaign("three", phone(90))
    plans = (plan(one, weight=1.0), plan(two, weight=3.0), plan(three, weight=4.0))

    def open_by_campaign() -> dict[str, int]:
        return {name: steps.store.reports.attempt_counts(name)["claimed"] for name in (one, two, three)}

    assert len(steps.claim(*plans, ceiling=9).attempt_ids) == 9
    assert open_by_campaign() == {one: 2, two: 6, three: 1}
    assert len(steps.claim(*plans, ceiling=17).attempt_ids) == 8
    assert open_by_campaign() == {one: 4, two: 12, three: 1}


def test_a_number_is_in_one_open_attempt_over_all_campaigns(steps: Steps) -> None:
    one, two = steps.campaign("one", phone(1), phone(2)), steps.campaign("two", phone(1), phone(2), phone(3))
    claimed = steps.claim(plan(one), plan(two))
    assert sorted(steps.dialed_numbers(claimed.attempt_ids)) == [phone(1), phone(2), phone(3)]
    assert steps.claim(plan(one), plan(two)).attempt_ids == []
    first = next(a for a in claimed.attempt_ids if steps.attempt_row(a)["phone"] == phone(1))
    assert steps.store.attempts.give_back(first, A.CLAIMED, "paused", 0, NOW + HOUR, NOW)
    again = steps.claim(plan(one), plan(two))
    assert steps.dialed_numbers(again.attempt_ids) == [phone(1)], "the other campaign's turn"


def test_a_campaign_at_its_cap_does_not_keep_another_from_the_numbers_they_share(steps: Steps) -> None:
    numbers = [phone(number) for number in range(10)]
    capped, free = steps.campaign("capped", *numbers), steps.campaign("free", *numbers)
    plans = (plan(capped, cap=1), plan(free))
    for _ in range(3):
        steps.claim(*plans, ceiling=10)
    assert steps.store.reports.attempt_counts(capped)["claimed"] == 1
    assert steps.store.reports.attempt_counts(free)["claimed"] == 9


@pytest.mark.parametrize("cap", [1, 3])
def test_the_rolling_cap_defers_until_the_oldest_attempt_is_a_day_old(steps: Steps, cap: int) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    moments = [NOW + number * HOUR for number in range(cap)]
    for moment in moments:
        attempt_id = steps.attempt(campaign_id, A.ENDED, moment)
        assert steps.settle(attempt_id, RetryAt(moment), "no_answer", now=moment)
    other = steps.campaign("autumn", phone(1))  # the cap is the number's, not the campaign's
    now, day = moments[-1] + HOUR, timedelta(days=1)
    before = steps.happened()
    for name in (campaign_id, other):
        claimed = steps.claim(plan(name, gate=gate(Cap(cap, 24))), now=now)
        assert (claimed.attempt_ids, claimed.refused) == ([], {"over_cap": 1})
        assert steps.lead_row(phone(1), name)["next_attempt_at"] == to_ms(moments[0] + day)
    assert steps.happened() == before, "deferring is no change of state"
    due = moments[0] + day
    assert (
        steps.claim(plan(campaign_id, gate=gate(Cap(cap, 24))), now=due - timedelta(seconds=1)) == Claimed()
    )
    assert len(steps.claim(plan(campaign_id, gate=gate(Cap(cap, 24))), now=due).attempt_ids) == 1


def test_attempts_that_never_rang_do_not_count_under_the_cap(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    for _ in range(3):
        steps.attempt(campaign_id, A.NOT_PLACED)
    assert len(steps.claim(plan(campaign_id, gate=gate(Cap(1, 24)))).attempt_ids) == 1


def test_hundreds_of_groups_are_probed_in_their_order(steps: Steps) -> None:
    campaign_id = steps.campaign("spring")
    steps.load_leads(
        campaign_id, [new_lead(n, phone(n), priority=n, zones=f"Zone/{n % 7}") for n in range(450)]
    )
    segments = steps.store.campaigns.segments([campaign_id])[campaign_id]
    ranked = claim_order(dict.fromkeys(segments, CLOSES))
    claimed = steps.claim(plan(campaign_id, *ranked), ceiling=420)
    assert steps.dialed_numbers(claimed.attempt_ids) == [phone(number) for number in range(420)]
