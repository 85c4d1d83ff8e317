"""When dials fail for a reason that is ours, the campaign pauses and says why; one bad lead is only held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from services_world import WORKSPACE, World

from campaigns.domain.states import CampaignState
from campaigns.services import dispatch
from campaigns.services.dial import REFUSALS_PER_LEAD
from campaigns.simulator.faults import Fault


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def error(status: int, message: str = "no such agent") -> httpx.Response:
    return httpx.Response(status, json={"status": "error", "message": message})


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "RETELL_API_KEY"), (402, "payment"), (403, "permissions")]
)
def test_a_refusal_of_the_account_pauses_at_once(world: World, status: int, remedy: str) -> None:
    campaign = world.campaign("spring", *range(1, 9))
    ids = world.pace()
    world.wire.instead.append(error(status, "not today"))
    world.dial(ids[0])
    paused = world.campaign_now(campaign)
    assert paused.state is CampaignState.PAUSED
    assert paused.reason is not None
    for part in (str(status), "not today", remedy):
        assert part in paused.reason
    for attempt_id in ids[1:]:
        world.dial(attempt_id)
    assert world.wire.dials == 1
    assert world.counts(campaign) == {"not_placed": 8}
    assert world.lead_counts(campaign) == {"pending": 8}


def test_a_pause_of_one_campaign_leaves_the_others_alone(world: World) -> None:
    bad, good = world.campaign("bad", 1, 2), world.campaign("good", 3, 4)
    ids = sorted(world.pace(), key=lambda one: world.attempt(one)["campaign_id"] != bad.id)
    world.wire.instead.append(error(402))
    for attempt_id in ids:
        world.dial(attempt_id)
    assert world.campaign_now(bad).state is CampaignState.PAUSED
    assert world.campaign_now(good).state is CampaignState.RUNNING
    assert world.counts(good) == {"placed": 2}


def test_five_refusals_in_a_row_pause(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 9))
    ids = world.pace()
    world.wire.instead.extend(error(422) for _ in range(5))
    for attempt_id in ids[:4]:
        world.after(seconds=1).dial(attempt_id)
    assert world.campaign_now(campaign).state is CampaignState.RUNNING
    world.dial(ids[4])
    paused = world.campaign_now(campaign)
    assert paused.state is CampaignState.PAUSED
    assert paused.reason is not None
    assert "no such agent" in paused.reason
    assert "5" in paused.reason


def test_a_resume_starts_counting_anew(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 9))
    world.wire.instead.extend(error(422) for _ in range(6))
    for attempt_id in world.pace()[:5]:
        world.dial(attempt_id)
    assert world.campaign_now(campaign).state is CampaignState.PAUSED
    world.reconcile()
    world.after(minutes=5)
    world.store.campaigns.resume(campaign.id, world.clock.now())
    world.after(seconds=1)
    world.dial(world.pace()[0])
    assert world.campaign_now(campaign).state is CampaignState.RUNNING


def test_one_bad_lead_among_good_ones_is_held_after_three_refusals(world: World) -> None:
    campaign = world.campaign("spring", 1, *range(10, 30), concurrency=3)
    refused = 0
    for _ in range(12):
        for attempt_id in world.pace():
            if world.attempt(attempt_id)["phone"].endswith("0001"):
                world.wire.instead.append(error(422, "number not allowed"))
                refused += 1
            world.dial(attempt_id)
        world.after(minutes=10)
        world.poll_and_settle()
    lead = world.lead(1)
    assert refused == REFUSALS_PER_LEAD
    assert (lead["state"], lead["hold_code"], lead["attempts"]) == ("held", "dial_refused", 0)
    assert "number not allowed" in lead["hold_remedy"]
    assert world.campaign_now(campaign).state in (CampaignState.RUNNING, CampaignState.COMPLETED)
    assert world.lead_counts(campaign) == {"held": 1, "reached": 20}


def test_a_short_list_of_bad_leads_pauses_rather_than_spins(world: World) -> None:
    campaign = world.campaign("spring", 1)
    world.wire.instead.append(error(422))
    world.dial(world.claim())
    paused = world.campaign_now(campaign)
    assert (paused.state, world.lead(1)["state"]) == (CampaignState.PAUSED, "pending")
    assert "no such agent" in str(paused.reason)


def test_an_unreachable_retell_pauses_nothing(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 9))
    world.wire.instead.extend(httpx.ConnectError("no route") for _ in range(8))
    for attempt_id in world.pace():
        world.dial(attempt_id)
    assert world.campaign_now(campaign).state is CampaignState.RUNNING
    assert world.lead_counts(campaign) == {"pending": 8}


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refused_snapshot_pauses_the_running_campaigns(world: World, status: int) -> None:
    running, draft = world.campaign("running", 1), world.campaign("draft", 2, launch=False)
    world.engine.faults.next("get-concurrency", Fault("status", after=False, status=status))
    assert world.pace() == []
    assert world.campaign_now(running).state is CampaignState.PAUSED
    assert world.campaign_now(draft).state is CampaignState.DRAFT
    assert world.store.workspaces.account(WORKSPACE).trouble
    assert world.campaign_now(running).reason


def test_our_own_trouble_on_a_call_pauses_with_the_reason(world: World) -> None:
    campaign = world.campaign("spring", 1, 2)
    first, second = world.pace()
    world.engine.script(world.attempt(first)["phone"], "no_valid_payment")
    world.dial(first)
    world.after(seconds=30)
    assert world.poll_and_settle() == 1
    paused = world.campaign_now(campaign)
    assert paused.state is CampaignState.PAUSED
    assert "no_valid_payment" in str(paused.reason)
    row = world.attempt(first)
    assert (row["outcome"], row["charged"]) == ("config_error", False)
    assert world.lead(1)["state"] == "pending"
    assert world.dial(second).dialed == "given_back"


def test_without_a_number_to_call_from_the_campaign_pauses(world: World) -> None:
    campaign = world.campaign("spring", 1, from_numbers=())
    assert world.pace() == []
    assert world.campaign_now(campaign).reason == dispatch.NO_FROM_NUMBER
