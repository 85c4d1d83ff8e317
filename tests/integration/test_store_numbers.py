"""Pools of from-numbers and shares of agents, as claims make them, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from fractions import Fraction

import pytest
import sqlalchemy as sa
from store_steps import EAST, NOW, WEST, WORKSPACE, Steps, group, new_lead, phone, plan

from campaigns.domain.caller_ids import Caller
from campaigns.domain.split import Variant
from campaigns.domain.states import AttemptState as A
from campaigns.store import as_known
from campaigns.store.schema import events

ONE, TWO, THREE = "+14155550100", "+12125550101", "+13125550102"
POOL = (
    Caller(ONE, "415", frozenset({"US-CA"})),
    Caller(TWO, "212", frozenset({"US-NY"})),
    Caller(THREE, "312", frozenset({"US-IL"})),
)
PLAIN = tuple(Caller(number) for number in (ONE, TWO, THREE))


def used(steps: Steps, attempt_ids: list[str]) -> dict[str, str]:
    rows = [steps.attempt_row(attempt_id) for attempt_id in attempt_ids]
    return {row["phone"]: row["from_number"] for row in rows}


def counts(steps: Steps, attempt_ids: list[str]) -> list[int]:
    numbers = list(used(steps, attempt_ids).values())
    return [numbers.count(number) for number in (ONE, TWO, THREE)]


def test_numbers_take_turns_over_claims_and_campaigns(steps: Steps) -> None:
    first = steps.campaign("spring", *map(phone, range(4)))
    other = steps.campaign("autumn", *map(phone, range(100, 102)))
    at_first = steps.claim(plan(first, callers=PLAIN, room=1)).attempt_ids
    assert counts(steps, at_first) == [1, 0, 0]
    at_second = steps.claim(plan(other, callers=PLAIN), now=NOW + timedelta(seconds=1)).attempt_ids
    assert counts(steps, at_second) == [0, 1, 1], "what another campaign used counts"
    at_third = steps.claim(plan(first, callers=PLAIN), now=NOW + timedelta(seconds=2)).attempt_ids
    assert counts(steps, at_third) == [1, 1, 1]


def test_local_presence_goes_by_area_code_then_by_place(steps: Steps) -> None:
    campaign_id = steps.campaign("spring")
    steps.load_leads(
        campaign_id,
        [
            new_lead(2, "+14155551000", jurisdictions="US-CA"),
            new_lead(3, "+12135551000", jurisdictions="US-CA"),  # Los Angeles: the same state
            new_lead(4, "+12125551000", jurisdictions="US-NY"),
            new_lead(5, "+14155551001", jurisdictions="US-NY"),  # a number of California, a zip of New York
            new_lead(6, "+17025551000", jurisdictions="US-NV"),
        ],
    )
    groups = [group(EAST, 5, places=places) for places in ("US-CA", "US-NY", "US-NV")]
    claimed = steps.claim(plan(campaign_id, groups, callers=POOL)).attempt_ids
    assert used(steps, claimed) == {
        "+14155551000": ONE, "+12135551000": ONE, "+12125551000": TWO, "+14155551001": ONE, "+17025551000": THREE,
    }  # fmt: skip


def test_a_lead_is_called_from_the_same_number_again_while_that_may_be_used(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(6)))
    before = {}
    for attempt_id in steps.claim(plan(campaign_id, callers=PLAIN)).attempt_ids:
        row = steps.attempt_row(attempt_id)
        before[row["phone"]] = row["from_number"]
        steps.finish(attempt_id)
    again = steps.claim(plan(campaign_id, callers=PLAIN), now=NOW + timedelta(hours=1)).attempt_ids
    assert used(steps, again) == before
    for attempt_id in again:
        steps.finish(attempt_id, now=NOW + timedelta(hours=1))
    without_one = [as_known(one, None) for one in PLAIN[1:]]
    moved = used(
        steps, steps.claim(plan(campaign_id, callers=without_one), now=NOW + timedelta(hours=2)).attempt_ids
    )
    assert all(moved[number] == before[number] for number in moved if before[number] != ONE)
    assert all(moved[number] != ONE for number in moved)


def test_the_cap_counts_over_all_campaigns_for_24_hours(steps: Steps) -> None:
    first = steps.campaign("spring", *map(phone, range(10)))
    other = steps.campaign("autumn", *map(phone, range(100, 110)))
    capped = {"callers": PLAIN[:2], "number_cap": 3}
    claimed = steps.claim(plan(first, **capped, room=4)).attempt_ids
    assert counts(steps, claimed) == [2, 2, 0]
    later = NOW + timedelta(hours=1)
    assert counts(steps, steps.claim(plan(other, **capped), now=later).attempt_ids) == [1, 1, 0]
    leads = steps.store.reports.lead_counts(other)
    assert (leads["pending"], leads["in_flight"]) == (8, 2), "the others wait, and nothing is charged to them"
    assert steps.claim(plan(first, **capped), plan(other, **capped), now=later).attempt_ids == []
    # Not placed is not used.
    assert steps.store.attempts.give_back(claimed[0], A.CLAIMED, "paused", 0, NOW, NOW)
    left = [one.left for one in steps.store.numbers.callers(WORKSPACE, PLAIN[:2], 3, later)]
    assert sorted(left) == [0, 1]
    assert sum(steps.store.numbers.used(WORKSPACE, [ONE, TWO], later).values()) == 5
    # Without a cap of its own another campaign may still use them.
    assert len(steps.claim(plan(first, callers=PLAIN[:2], room=2), now=later).attempt_ids) == 2
    day = NOW + timedelta(hours=24)
    assert len(steps.claim(plan(other, **capped), now=day).attempt_ids) == 2, (
        "those of an hour later still count"
    )


def test_two_campaigns_of_one_claim_share_what_a_cap_leaves(steps: Steps) -> None:
    first = steps.campaign("spring", *map(phone, range(10)))
    other = steps.campaign("autumn", *map(phone, range(100, 110)))
    capped = {"callers": PLAIN[:1], "number_cap": 5}
    claimed = steps.claim(plan(first, **capped), plan(other, **capped)).attempt_ids
    assert len(claimed) == 5


def test_a_number_rests_and_is_free_again(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(4)))
    [attempt_id] = steps.claim(plan(campaign_id, callers=PLAIN[:1], room=1)).attempt_ids
    until = NOW + timedelta(hours=4)
    steps.finish(attempt_id, rest=("marked_as_spam", until))
    row = steps.store.numbers.known(WORKSPACE)[ONE]
    assert (row.resting_until, row.rest_reason) == (until, "marked_as_spam")
    resting = as_known(PLAIN[0], row)
    assert steps.claim(plan(campaign_id, callers=[resting])).attempt_ids == []
    assert counts(steps, steps.claim(plan(campaign_id, callers=[resting, PLAIN[1]], room=1)).attempt_ids) == [
        0,
        1,
        0,
    ]
    assert len(steps.claim(plan(campaign_id, callers=[resting], room=1), now=until).attempt_ids) == 1
    said = [row["detail"] for row in steps.rows(sa.select(events)) if row["subject"] == "campaign"]
    assert f"{ONE} rests until 2026-03-10 19:00 UTC: marked_as_spam" in said


def test_the_list_of_numbers(steps: Steps) -> None:
    numbers = steps.store.numbers
    steps.campaign("spring")
    assert numbers.take_listing_turn(WORKSPACE, 60_000)
    assert not numbers.take_listing_turn(WORKSPACE, 60_000), "one asks, not all"
    numbers.note_list(WORKSPACE, {ONE: "retell-twilio", TWO: "custom"}, dialing={THREE})
    known = numbers.known(WORKSPACE)
    assert {number: (one.type, one.listed) for number, one in known.items()} == {
        ONE: ("retell-twilio", True), TWO: ("custom", True), THREE: (None, False),
    }  # fmt: skip
    assert all(0 <= (one.read_ms or 0) < 60_000 for one in known.values())
    assert not numbers.refuse(WORKSPACE, ONE, NOW), "it is in the list"
    assert numbers.refuse(WORKSPACE, THREE, NOW)
    assert not numbers.refuse(WORKSPACE, THREE, NOW)
    assert as_known(Caller(THREE), numbers.known(WORKSPACE)[THREE]).gone
    numbers.note_list(WORKSPACE, {THREE: "custom"})
    assert not as_known(Caller(THREE), numbers.known(WORKSPACE)[THREE]).gone, "bought again"
    assert numbers.known(WORKSPACE)[ONE].listed is False


AGENTS = (Variant("agent_a", Fraction(2)), Variant("agent_b"))


@pytest.mark.parametrize("room", [1, 2, 5, 40])
def test_agents_share_every_zone_by_weight_whatever_the_size_of_claims(steps: Steps, room: int) -> None:
    campaign_id = steps.campaign("spring")
    east = [new_lead(n, phone(n)) for n in range(20)]
    west = [new_lead(n, phone(n), zones=WEST, jurisdictions="US-CA") for n in range(20, 40)]
    own = [new_lead(40, phone(40), agent_id="agent_own")]
    steps.load_leads(campaign_id, [*east, *west, *own])
    groups = [group(EAST), group(WEST, places="US-CA")]
    given: dict[str, tuple[str, str]] = {}
    while claimed := steps.claim(plan(campaign_id, groups, agents=AGENTS, room=room)).attempt_ids:
        for attempt_id in claimed:
            row = steps.attempt_row(attempt_id)
            zones = steps.lead_row(row["phone"], campaign_id)["zones"]
            given[row["phone"]] = (zones, row["agent_id"])
        for zones in (EAST, WEST):
            agents = [agent for where, agent in given.values() if where == zones and agent != "agent_own"]
            assert abs(agents.count("agent_a") - len(agents) * 2 / 3) < 1
    assert len(given) == 41
    assert given[phone(40)] == (EAST, "agent_own")


def test_a_lead_keeps_its_agent(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(9)))
    first = steps.claim(plan(campaign_id, agents=AGENTS)).attempt_ids
    agents = {steps.attempt_row(a)["phone"]: steps.attempt_row(a)["agent_id"] for a in first}
    for attempt_id in first:
        assert steps.store.attempts.give_back(attempt_id, A.CLAIMED, "paused", 0, NOW, NOW)
    turned = (AGENTS[1], AGENTS[0], Variant("agent_c"))
    again = steps.claim(plan(campaign_id, agents=turned)).attempt_ids
    assert {steps.attempt_row(a)["phone"]: steps.attempt_row(a)["agent_id"] for a in again} == agents


def test_shares_hold_with_several_workers_that_claim_at_once(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(60)))

    def work(_: int) -> list[str]:
        found: list[str] = []
        for _ in range(4):
            found += steps.claim(
                plan(campaign_id, agents=AGENTS, callers=PLAIN, number_cap=9, room=2)
            ).attempt_ids
        return found

    with ThreadPoolExecutor(4) as pool:
        claimed = [attempt_id for ids in pool.map(work, range(4)) for attempt_id in ids]
    agents = [steps.attempt_row(attempt_id)["agent_id"] for attempt_id in claimed]
    assert abs(agents.count("agent_a") - len(agents) * 2 / 3) < 1
    assert len(claimed) == 27, "three numbers of nine calls each"
    assert counts(steps, claimed) == [9, 9, 9]
