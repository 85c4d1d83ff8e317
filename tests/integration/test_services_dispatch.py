"""Pacing: what is claimed is what the account has free for us, for whom it may be called now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from services_world import START, WORKSPACE, World, phone

from campaigns.domain.clock import SystemClock, to_ms
from campaigns.domain.states import CampaignState
from campaigns.services import dispatch
from campaigns.services.forecast import forecast
from campaigns.services.report import status
from campaigns.simulator.faults import Fault

WEST = "America/Los_Angeles"
EAST = "America/New_York"


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite, concurrency=6) as made:
        yield made


def test_the_whole_ceiling_is_claimed_and_not_a_line_more(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 20))
    assert len(world.pace()) == 6
    assert world.pace() == []
    assert world.counts(campaign) == {"claimed": 6}


def test_calls_of_others_and_our_own_are_left_out(world: World) -> None:
    world.engine.configure({"foreign": 2, "reserved_inbound": 1})
    world.campaign("spring", *range(1, 20))
    ids = world.pace()
    assert len(ids) == 3
    for attempt_id in ids:
        world.dial(attempt_id)
    assert world.pace() == []
    account = world.store.workspaces.account(WORKSPACE)
    assert (account.limit, account.reserved_inbound, account.foreign) == (6, 1, 2)
    world.after(hours=2).poll()
    assert len(world.pace()) == 3


@pytest.mark.parametrize("ahead", [3600.0, -3600.0, 90.0])
def test_by_a_wrong_clock_nobody_is_claimed(
    world: World, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    campaign = world.campaign("spring", *range(1, 4), profile="none", windows=())
    monkeypatch.setattr(world.context.retell, "clock_ahead", ahead)
    assert len(world.pace()) == 3, "business time of a simulated run is not this machine's"
    other = world.campaign("autumn", *range(4, 7), profile="none", windows=())
    now = SystemClock().now()
    world.sql(f"UPDATE leads SET next_attempt_at = {to_ms(now) - 1}")
    by_this_clock = replace(world.context, clock=SystemClock())
    world.sql("UPDATE workspaces SET observed_real = NULL")
    assert dispatch.pace(by_this_clock) == dispatch.Paced()
    assert world.counts(other) == {}
    trouble = world.store.workspaces.account(WORKSPACE).trouble or ""
    assert "clock is" in trouble
    assert "nothing is dialed" in trouble
    monkeypatch.setattr(world.context.retell, "clock_ahead", 1.0)
    assert len(dispatch.pace(by_this_clock).attempt_ids) == 3
    assert world.store.workspaces.account(WORKSPACE).trouble is None
    assert world.counts(campaign) == {"claimed": 3}


def test_others_hanging_up_is_believed_after_a_few_looks(world: World) -> None:
    world.engine.configure({"foreign": 4})
    world.campaign("spring", *range(1, 20))
    assert len(world.pace()) == 2
    world.engine.configure({"foreign": 0})
    assert sum(len(world.pace()) for _ in range(6)) == 4
    assert world.engine.ledger.refusals == {}


def test_ambiguous_attempts_hold_their_line_ended_ones_do_not(world: World) -> None:
    world.campaign("spring", *range(1, 20))
    ids = world.pace()
    world.wire.instead.append(httpx.ReadTimeout("slow"))
    for attempt_id in ids:
        world.dial(attempt_id)
    world.after(hours=2)
    ended, _ = world.poll()
    assert ended == 5
    assert len(world.pace()) == 5


def test_a_shrunken_ceiling_holds(world: World) -> None:
    world.campaign("spring", *range(1, 20))
    dispatch.observe_account(world.context)
    world.store.workspaces.shrink(WORKSPACE, 2, 10.0)
    assert len(dispatch.pace(world.context).attempt_ids) == 2


def test_the_operators_reserve_holds_from_the_next_claim_on(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 20))
    world.engine.configure({"reserved_inbound": 1})
    reserve = world.store.workspaces.set_reserve
    reserve(WORKSPACE, 2, START)
    assert len(world.pace()) == 3
    reserve(WORKSPACE, 1, START)
    assert len(world.pace()) == 1
    reserve(WORKSPACE, 5, START)
    assert world.pace() == []
    assert "reserve of 5 lines leaves none" in status(world.store, campaign, START).next_event.what
    assert any("reserve of 5 leaves none" in one for one in forecast(world.store, campaign, START).assumed)
    reserve(WORKSPACE, 0, START)
    assert len(world.pace()) == 1
    assert world.counts(campaign) == {"claimed": 5}


def test_the_campaigns_own_cap_is_below_the_account(world: World) -> None:
    capped = world.campaign("capped", *range(1, 10), concurrency=2)
    other = world.campaign("other", *range(11, 20))
    assert len(world.pace()) == 6
    assert (world.counts(capped), world.counts(other)) == ({"claimed": 2}, {"claimed": 4})


def test_weights_share_the_lines(world: World) -> None:
    heavy = world.campaign("heavy", *range(1, 20), weight=2.0)
    light = world.campaign("light", *range(21, 40))
    world.pace()
    assert (world.counts(heavy), world.counts(light)) == ({"claimed": 4}, {"claimed": 2})


def test_more_campaigns_than_lines_take_turns(world: World) -> None:
    world.engine.configure({"concurrency": 1})
    made = [world.campaign(f"campaign {n}", n * 10 + 1, n * 10 + 2, n * 10 + 3) for n in range(4)]
    for _ in range(4):
        world.dial(world.claim())
        world.after(hours=1)
        world.poll_and_settle()
    assert [sum(world.counts(campaign).values()) for campaign in made] == [1, 1, 1, 1]


def test_claims_stay_close_to_the_calls_per_second(world: World) -> None:
    world.campaign("spring", *range(1, 20), cps=1.0)
    assert len(world.pace()) == 2
    assert world.pace() == []


def test_only_leads_whose_window_is_open_and_whose_time_has_come(world: World) -> None:
    campaign = world.campaign("spring", 1, launch=False)
    world.add_leads(campaign, 2, zones=WEST)
    world.add_leads(campaign, 3, zones=f"{EAST}|{WEST}")
    world.add_leads(campaign, 4, next_attempt_at=START + timedelta(hours=1))
    world.add_leads(campaign, 5, zones="")
    world.store.campaigns.launch(campaign.id, START)
    assert [world.attempt(one)["phone"] for one in world.pace()] == [phone(1)]
    world.after(hours=2)  # 12:00 in the East, 09:00 in the West
    assert {world.attempt(one)["phone"] for one in world.pace()} == {phone(2), phone(3), phone(4)}
    assert world.lead(5)["state"] == "pending"
    assert world.campaign_now(campaign).state is CampaignState.RUNNING


def test_callbacks_then_priority_then_the_window_that_closes_first(world: World) -> None:
    campaign = world.campaign("spring", launch=False)
    for number, changes in enumerate(
        [
            {"zones": WEST, "priority": 5},
            {"zones": EAST, "priority": 5, "next_attempt_at": START - timedelta(hours=1)},
            {"zones": EAST, "priority": 5, "next_attempt_at": START - timedelta(hours=3)},
            {"zones": WEST, "priority": 1},
            {"zones": WEST, "priority": 0},
        ]
    ):
        world.add_leads(campaign, number, **changes)
    world.store.campaigns.launch(campaign.id, START)
    world.after(hours=3)
    order = [world.attempt(one)["phone"] for one in world.pace()]
    assert order == [phone(4), phone(3), phone(2), phone(1), phone(0)]


def test_the_rolling_cap_counts_over_all_campaigns(world: World) -> None:
    for day, name in enumerate(["one", "two", "three"]):
        world.campaign(name, 1)
        world.dial(world.claim())
        world.after(hours=1)
        assert world.poll_and_settle() == 1, day
    fourth = world.campaign("four", 1)
    assert world.pace() == []
    due = world.store.reports.earliest_pending(fourth.id)[0][1]
    assert due == START + timedelta(hours=24)
    assert world.campaign_now(fourth).state is CampaignState.RUNNING
    world.clock.at = due
    assert len(world.pace()) == 1


def test_profile_none_lifts_the_cap(world: World) -> None:
    for name in ("one", "two", "three", "four"):
        world.campaign(name, 1, profile="none", windows=())
        world.dial(world.claim())
        world.after(hours=1)
        assert world.poll_and_settle() == 1


def test_do_not_call_is_asked_again_at_the_claim(world: World) -> None:
    campaign = world.campaign("spring", 1, 2)
    world.sql(
        f"INSERT INTO suppressions (phone, source, reason, added_at) VALUES ('{phone(1)}', 'other process', '', 0)"
    )
    assert [world.attempt(one)["phone"] for one in world.pace()] == [phone(2)]
    assert world.lead_counts(campaign) == {"suppressed": 1, "in_flight": 1}


def test_the_same_number_in_two_campaigns_is_never_dialed_at_once(world: World) -> None:
    one, two = world.campaign("one", 1), world.campaign("two", 1)
    [attempt_id] = world.pace()
    world.dial(attempt_id)
    assert world.pace() == []
    assert sorted([world.counts(one), world.counts(two)], key=len) == [{}, {"placed": 1}]


@pytest.mark.parametrize("state", ["draft", "paused"])
def test_only_running_campaigns_are_paced(world: World, state: str) -> None:
    campaign = world.campaign("spring", 1, launch=state != "draft")
    if state == "paused":
        world.store.campaigns.pause(campaign.id, "lunch", START)
    assert world.pace() == []
    assert world.requests == {}


def test_a_campaign_without_anything_left_completes(world: World) -> None:
    campaign = world.campaign("spring", 1)
    world.dial(world.claim())
    assert world.pace() == []
    assert world.campaign_now(campaign).state is CampaignState.RUNNING
    world.after(hours=1)
    world.poll()
    assert world.pace() == []
    assert world.campaign_now(campaign).state is CampaignState.RUNNING  # ended, not settled
    world.sql("UPDATE attempts SET lease_until_real = NULL")
    world.poll_and_settle()
    assert world.pace() == []
    done = world.campaign_now(campaign)
    assert (done.state, done.finished_at) == (CampaignState.COMPLETED, world.clock.now())


def test_an_unknown_concurrency_stops_dialing(world: World) -> None:
    world.campaign("spring", *range(1, 20))
    world.engine.configure({"faults": "concurrency_500=1"})
    assert world.pace() == []
    account = world.store.workspaces.account(WORKSPACE)
    assert account.limit is None
    assert account.ceiling() == 0
    assert account.trouble
    world.engine.configure({"faults": ""})
    assert len(world.pace()) == 6
    assert world.store.workspaces.account(WORKSPACE).trouble is None


def test_a_recent_snapshot_bridges_a_failure_an_old_one_does_not(world: World) -> None:
    world.campaign("spring", *range(1, 20))
    dispatch.observe_account(world.context)
    world.engine.configure({"faults": "concurrency_500=1"})
    world.sql(f"UPDATE workspaces SET observed_real = observed_real - {dispatch.SNAPSHOT_STALE_MS + 1000}")
    assert dispatch.pace(world.context).attempt_ids == []
    world.sql("UPDATE workspaces SET observed_real = observed_real + 40000")
    assert len(dispatch.pace(world.context).attempt_ids) == 6


def test_a_fresh_snapshot_is_not_asked_for_again(world: World) -> None:
    world.campaign("spring", *range(1, 20))
    for _ in range(5):
        dispatch.pace(world.context)
    assert world.requests == {"get-concurrency": 1}


def test_a_429_on_the_concurrency_is_repeated_by_the_client(world: World) -> None:
    world.campaign("spring", 1)
    world.engine.faults.next("get-concurrency", Fault("status", after=False, status=429))
    assert len(world.pace()) == 1
    assert world.requests == {"get-concurrency": 2}
