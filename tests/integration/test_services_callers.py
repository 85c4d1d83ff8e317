"""Pools of from-numbers in a whole world: providers' buckets, rest, cap and numbers that the account gave up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from services_world import START, WORKSPACE, World, phone

from campaigns.cli.view import plain_line
from campaigns.domain.states import CampaignState
from campaigns.retell import PhoneNumber, RetellUnavailable
from campaigns.services import dispatch
from campaigns.services.account_numbers import LIST_AGAIN_MS, LIST_MS, keep_numbers_fresh, note_numbers
from campaigns.services.callers import pool, pool_cps
from campaigns.services.dial import CPS_PATIENCE, Dialed
from campaigns.services.explain import explain
from campaigns.services.looking import Looker
from campaigns.services.report import status

TWILIO, TELNYX, TRUNK = "+14155550100", "+12125550101", "+13125550102"
NOT_OURS = "+13105550199"


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def said(world: World, number: int) -> dict[str, str]:
    [found] = explain(world.store, WORKSPACE, phone(number), world.clock.now())
    return {line.what: line.says for line in found.lines} | {"why": found.why}


def test_each_provider_has_a_bucket_of_its_own_at_the_campaigns_rate_and_never_above_its_limit(
    world: World,
) -> None:
    campaign = world.campaign("spring", 1, 2, 3, from_numbers=(TWILIO, TELNYX, TRUNK), cps=8.0, number_cap=1)
    for attempt_id in world.pace():
        assert world.dial(attempt_id).dialed is Dialed.PLACED
    assert sorted(world.limiter.asked) == [
        (f"{WORKSPACE}:custom", 8.0, CPS_PATIENCE),
        (f"{WORKSPACE}:retell-telnyx", 8.0, CPS_PATIENCE),
        (f"{WORKSPACE}:retell-twilio", 5.0, CPS_PATIENCE),
    ]
    assert pool_cps(campaign.options, pool(campaign.options, world.store.numbers.known(WORKSPACE))) == 21.0
    assert world.requests["list-phone-numbers"] == 1, "asked once, not for each dial"
    assert "5 from retell-twilio numbers" in said(world, 1)["calls per second"]


def test_the_list_is_asked_for_again_when_it_is_old_and_where_a_limit_hangs_on_it(world: World) -> None:
    world.campaign("spring", 1, 2, 3)
    world.pace()
    assert "list-phone-numbers" not in world.requests, "without calls per second the types do not matter"
    keep_numbers_fresh(world.context)
    keep_numbers_fresh(world.context)
    assert world.requests["list-phone-numbers"] == 1
    world.sql(f"UPDATE workspaces SET numbers_real = numbers_real - {LIST_MS + 1}")
    keep_numbers_fresh(world.context)
    assert world.requests["list-phone-numbers"] == 2


def test_a_list_that_could_not_be_read_is_asked_for_a_minute_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an hour later: until then two providers dial at the pace of one."""
    asked: list[int] = []

    def away() -> list[PhoneNumber]:
        asked.append(1)
        raise RetellUnavailable("Retell is away", "wait")

    monkeypatch.setattr(world.context.retell, "list_phone_numbers", away)
    keep_numbers_fresh(world.context)
    keep_numbers_fresh(world.context)
    assert len(asked) == 1
    world.sql(f"UPDATE workspaces SET numbers_real = numbers_real - {LIST_AGAIN_MS + 1}")
    keep_numbers_fresh(world.context)
    assert len(asked) == 2


def test_numbers_whose_types_cannot_be_read_share_one_bucket(world: World) -> None:
    world.campaign("spring", 1, 2, from_numbers=(TWILIO, TELNYX), cps=2.0)
    world.sql("UPDATE workspaces SET numbers_real = CAST(strftime('%s', 'now') AS INTEGER) * 1000")
    for attempt_id in world.pace():
        world.dial(attempt_id)
    assert {key for key, _, _ in world.limiter.asked} == {f"{WORKSPACE}:unknown"}


@pytest.mark.parametrize("reason", ["marked_as_spam", "network_blocked"])
def test_a_number_rests_and_the_lead_is_called_again_from_another(world: World, reason: str) -> None:
    campaign = world.campaign(
        "spring", 1, from_numbers=(TWILIO, TELNYX), number_rest="6h", retry="blocked:2h", max_attempts=3
    )
    first = world.claim()
    number = world.attempt(first)["from_number"]
    world.finish_call(first, reason)
    known = world.store.numbers.known(WORKSPACE)[number]
    assert known.resting_until == world.clock.now() + timedelta(hours=6)
    assert known.rest_reason == reason
    world.after(hours=1)
    assert world.attempt(world.claim())["from_number"] != number
    assert status(world.store, campaign, world.clock.now()).attempts["settled"] == 1


def test_with_the_only_number_at_rest_leads_wait_free_of_charge_and_everybody_says_why(world: World) -> None:
    campaign = world.campaign("spring", 1, 2, retry="none")
    world.store.campaigns.set_options(campaign.id, replace(campaign.options, concurrency=1), START)
    world.finish_call(world.claim(), "marked_as_spam")
    until = world.clock.now() + timedelta(hours=4)
    assert world.pace() == []
    campaign = world.campaign_now(campaign)
    assert campaign.state is CampaignState.RUNNING
    waits = status(world.store, campaign, world.clock.now()).next_event
    assert waits.at == until
    assert waits.what == "a from-number is free again (now 1 resting)"
    seen = Looker(world.store, lambda _: world.clock, "spring").look(5)
    assert "no from-number is free: 1 resting" in plain_line(seen.campaigns[0])
    [waiting] = [n for n in (1, 2) if world.lead(n)["state"] == "pending"]
    assert world.lead(waiting)["attempts"] == 0
    assert "resting" in said(world, waiting)["why"]
    assert world.counts(campaign) == {"settled": 1}
    world.after(hours=4)
    assert len(world.pace()) == 1


def test_no_rest_where_none_is_wanted(world: World) -> None:
    world.campaign("spring", 1, number_rest="none")
    world.finish_call(world.claim(), "marked_as_spam")
    assert world.store.numbers.known(WORKSPACE) == {}


def test_a_claim_made_before_the_rest_is_not_dialed(world: World) -> None:
    world.campaign("spring", 1, 2)
    first, second = world.pace()
    world.finish_call(first, "network_blocked")
    world.sql("UPDATE attempts SET lease_until_real = 9999999999999 WHERE state = 'claimed'")
    assert world.dial(second).dialed is Dialed.GIVEN_BACK
    assert world.attempt(second)["refusal"] == "number_not_free"
    assert world.wire.dials == 1
    assert world.lead(2)["attempts"] == 0


def test_the_cap_holds_right_before_the_post_too(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 6), number_cap=4)
    ids = world.pace()
    assert len(ids) == 4
    world.store.campaigns.set_options(campaign.id, replace(campaign.options, number_cap=2), START)
    dialed = [world.dial(attempt_id).dialed for attempt_id in sorted(ids)]
    assert dialed.count(Dialed.PLACED) == 2
    assert dialed.count(Dialed.GIVEN_BACK) == 2
    waits = status(world.store, world.campaign_now(campaign), world.clock.now()).next_event
    assert waits.at == START + timedelta(hours=24)
    assert "1 at the cap of 24 hours" in waits.what
    assert world.pace() == []
    assert world.after(hours=24).pace() != []


def test_a_number_that_was_given_up_burns_no_leads(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 7), from_numbers=(NOT_OURS, TWILIO), concurrency=2)
    for _ in range(4):
        world.dial_all()
        world.after(hours=1)
        world.poll_and_settle()
    assert world.lead_counts(campaign) == {"reached": 6}
    assert {call.from_number for call in world.engine.calls} == {TWILIO}
    refused = world.store.tallies.of(campaign.id).deferrals
    assert refused == {"number_is_gone": 1}, "refused once, and never called from again"
    assert world.requests["list-phone-numbers"] == 1
    assert world.campaign_now(campaign).trips == 0


def test_a_campaign_with_no_number_left_pauses_and_says_which(world: World) -> None:
    campaign = world.campaign("spring", 1, 2, from_numbers=(NOT_OURS,))
    world.dial_all()
    assert world.after(minutes=1).pace() == []
    paused = world.campaign_now(campaign)
    assert paused.state is CampaignState.PAUSED
    assert NOT_OURS in (paused.reason or "")
    assert "--from" in (paused.reason or "")
    assert world.lead_counts(campaign) == {"pending": 2}
    # Bought again, it may be used as soon as somebody has looked.
    bought = world.context.retell.list_phone_numbers()[0].model_copy(update={"phone_number": NOT_OURS})
    note_numbers(world.store, WORKSPACE, [bought])
    assert world.store.campaigns.resume(campaign.id, world.clock.now())
    assert world.pace() != []


def test_a_number_that_is_only_not_listed_is_tried(world: World) -> None:
    """A list can lack a number that works: only a refusal as well makes it one that is gone."""
    world.campaign("spring", 1, from_numbers=(NOT_OURS,), cps=5.0)
    dispatch.pace(world.context)
    assert world.store.numbers.known(WORKSPACE)[NOT_OURS].listed is False
    assert len(world.store.attempts.holding_ids(WORKSPACE)) == 1


def test_explain_names_the_number_and_the_agent(world: World) -> None:
    world.campaign(
        "spring",
        1,
        from_numbers=(TWILIO, TELNYX),
        number_cap=7,
        agents=("agent_a=2", "agent_b"),
        launch=False,
    )
    found = said(world, 1)
    assert found["from-number"] == f"{TELNYX}, of 2; 7 of 7 calls in 24 hours left"
    assert "agent_a 2" in found["agent"]
