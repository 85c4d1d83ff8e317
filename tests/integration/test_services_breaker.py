"""A campaign whose dials break at the platform pauses itself, and tries again by itself, gently."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from services_world import World

from campaigns.domain.entities import Campaign
from campaigns.domain.states import CampaignState
from campaigns.domain.trouble import (
    BREAKER_LEAST,
    BREAKER_WINDOW,
    FIRST_PAUSE,
    GENTLE_CALLS,
    GENTLE_SUCCESSES,
    INVALID_LEAST,
    LATE,
    LONGEST_PAUSE,
    RecentDial,
    breaker_trips,
    mostly_invalid,
    pause_length,
)
from campaigns.services.breaker import watch_over
from campaigns.services.report import status
from campaigns.simulator.faults import Fault

AWAY = httpx.ConnectError("no route to host")


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def dial(world: World, ids: list[str], *failures: bool) -> None:
    """Dial one attempt per word; a failing one cannot be sent."""
    for attempt_id, fails in zip(ids, failures, strict=False):
        if fails:
            world.wire.instead.append(AWAY)
        world.dial(attempt_id)


def break_down(world: World, campaign: Campaign) -> Campaign:
    """Let dials fail until the breaker trips."""
    for _ in range(10):
        ids = world.pace()
        dial(world, ids, *[True] * len(ids))
        watch_over(world.context)
        now = world.campaign_now(campaign)
        if now.state is CampaignState.PAUSED:
            return now
        world.after(seconds=10)
    raise AssertionError("the breaker did not trip")


def wait_for_the_next_try(world: World, campaign: Campaign) -> None:
    resume_at = world.campaign_now(campaign).resume_at
    assert resume_at is not None
    world.clock.at = resume_at
    assert watch_over(world.context) == 1
    assert world.campaign_now(campaign).state is CampaignState.RUNNING


# -- tripping


def test_over_half_of_five_dials_trip_it_with_reason_and_last_failures(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 11))
    ids = world.pace()
    dial(world, ids, True, False, True, False)
    assert watch_over(world.context) == 0
    dial(world, ids[4:], True)
    assert watch_over(world.context) == 1
    paused = world.campaign_now(campaign)
    assert (paused.state, paused.trips) == (CampaignState.PAUSED, 1)
    assert paused.resume_at == world.clock.now() + FIRST_PAUSE
    assert paused.reason is not None
    assert paused.reason.startswith("3 of the last 5 dials failed at the platform")
    assert "no route to host" in paused.reason
    assert watch_over(world.context) == 0
    shown = status(world.store, paused, world.clock.now())
    assert shown.next_event.at == paused.resume_at
    assert "no route to host" in shown.next_event.what
    assert world.pace() == []


def test_half_is_not_over_half(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 11))
    dial(world, world.pace(), True, False, True, False, True, False)
    assert watch_over(world.context) == 0
    assert world.campaign_now(campaign).state is CampaignState.RUNNING


def test_dials_that_left_the_window_do_not_count(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 21))
    dial(world, world.pace(), True, True, True, True)
    world.clock.at += BREAKER_WINDOW + timedelta(seconds=1)
    world.reconcile()
    dial(world, world.pace(), True, True)
    assert watch_over(world.context) == 0
    assert world.campaign_now(campaign).state is CampaignState.RUNNING


def test_the_window_is_real_time_on_a_fast_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.clock, "speed", 60.0)
    campaign = world.campaign("spring", *range(1, 21))
    dial(world, world.pace(), True, True, True, True)
    world.after(minutes=90)  # 90 real seconds
    world.reconcile()
    dial(world, world.pace(), True, True)
    assert watch_over(world.context) == 1
    paused = world.campaign_now(campaign)
    assert paused.resume_at == world.clock.now() + 60 * FIRST_PAUSE
    world.clock.at += 60 * FIRST_PAUSE - timedelta(seconds=1)
    assert watch_over(world.context) == 0
    world.after(seconds=1)
    assert watch_over(world.context) == 1
    assert world.campaign_now(campaign).state is CampaignState.RUNNING


def test_unknown_answers_and_calls_that_break_count(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 7))
    ids = world.pace()
    for attempt_id in ids[:3]:
        world.engine.faults.next("create-phone-call", Fault("status", after=False, status=500))
        world.dial(attempt_id)
    for attempt_id in ids[3:]:
        world.engine.script(world.attempt(attempt_id)["phone"], "error_asr")
        world.dial(attempt_id)
    world.after(seconds=100)
    assert world.poll_and_settle() == 3
    assert watch_over(world.context) == 1
    reason = str(world.campaign_now(campaign).reason)
    assert reason.startswith("6 of the last 6 dials")
    assert "error_asr" in reason
    assert "500" in reason


def test_a_full_account_is_no_failure(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 9), retry="none")
    for number, attempt_id in enumerate(world.pace()):
        world.engine.script(world.attempt(attempt_id)["phone"], "concurrency_limit_reached")
        world.dial(attempt_id)
        assert number < 8
    world.after(seconds=5)
    assert world.poll_and_settle() == 8
    assert watch_over(world.context) == 0
    assert world.campaign_now(campaign).state is CampaignState.RUNNING


def test_limits_refusals_and_late_workers_are_no_failures() -> None:
    passed = RecentDial("placed", None, None, None, None)
    others = [
        RecentDial("not_placed", None, None, 429, "too many"),
        RecentDial("not_placed", None, None, 422, "no such agent"),
        RecentDial("not_placed", None, None, 0, LATE),
        RecentDial("claimed", None, None, None, None),
        RecentDial("settled", "platform_error", "concurrency_limit_reached", None, None),
        RecentDial("settled", "no_answer", "dial_no_answer", None, None),
    ]
    assert breaker_trips(others * 10) is None
    assert breaker_trips([RecentDial("not_placed", None, None, 0, "away")] * (BREAKER_LEAST - 1)) is None
    broken = [RecentDial("unresolved", None, None, None, "lost")] * BREAKER_LEAST
    assert breaker_trips([*broken, *[passed] * BREAKER_LEAST]) is None
    reason = breaker_trips([*broken, *[passed] * (BREAKER_LEAST - 1)])
    assert reason == "5 of the last 9 dials failed at the platform: lost"


def test_other_campaigns_go_on(world: World) -> None:
    broken = world.campaign("broken", *range(1, 6), concurrency=5)
    well = world.campaign("well", *range(10, 15))
    for attempt_id in world.pace():
        if world.attempt(attempt_id)["campaign_id"] == broken.id:
            world.wire.instead.append(AWAY)
        world.dial(attempt_id)
    assert watch_over(world.context) == 1
    assert world.campaign_now(broken).state is CampaignState.PAUSED
    assert world.campaign_now(well).state is CampaignState.RUNNING


# -- trying again


def test_it_tries_again_gently_and_success_forgets(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 21), retry="none")
    break_down(world, campaign)
    wait_for_the_next_try(world, campaign)
    assert world.campaign_now(campaign).reason is None
    first = world.pace()
    assert len(first) == GENTLE_CALLS
    assert world.pace() == []
    dial(world, first, False, False)
    assert watch_over(world.context) == 0
    world.after(minutes=30)  # long calls: the window shows two dials at most
    world.poll_and_settle()
    again = world.pace()
    assert len(again) == GENTLE_CALLS
    dial(world, again, False)
    assert GENTLE_SUCCESSES == 3
    assert watch_over(world.context) == 1
    assert world.campaign_now(campaign).trips == 0
    assert len(world.pace()) > GENTLE_CALLS


def test_a_smaller_cap_of_the_campaign_stays(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 9), concurrency=1)
    break_down(world, campaign)
    wait_for_the_next_try(world, campaign)
    assert len(world.pace()) == 1


def test_pauses_in_a_row_double_up_to_the_longest(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 9), max_attempts=30)
    pauses = []
    for trips in range(1, 7):
        paused = break_down(world, campaign)
        assert paused.trips == trips
        assert paused.resume_at is not None
        pauses.append((paused.resume_at - world.clock.now()) / FIRST_PAUSE)
        wait_for_the_next_try(world, campaign)
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE / FIRST_PAUSE]
    assert pause_length(1000) == LONGEST_PAUSE


def test_failures_from_before_the_pause_are_atoned_for(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 21))
    break_down(world, campaign)
    wait_for_the_next_try(world, campaign)
    dial(world, world.pace(), True, True)
    assert watch_over(world.context) == 0
    assert world.campaign_now(campaign).state is CampaignState.RUNNING


# -- the operator


def test_an_operator_pause_during_a_breaker_pause_lasts(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 9))
    break_down(world, campaign)
    assert world.store.campaigns.pause(campaign.id, "paused by the operator", world.clock.now())
    world.after(hours=1)
    assert watch_over(world.context) == 0
    paused = world.campaign_now(campaign)
    assert (paused.state, paused.reason) == (CampaignState.PAUSED, "paused by the operator")
    assert paused.resume_at is None


def test_an_operator_resume_clears_it(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 9))
    break_down(world, campaign)
    world.after(seconds=20)
    assert world.store.campaigns.resume(campaign.id, world.clock.now())
    resumed = world.campaign_now(campaign)
    assert (resumed.state, resumed.trips, resumed.resume_at) == (CampaignState.RUNNING, 0, None)
    assert len(world.pace()) > GENTLE_CALLS
    assert watch_over(world.context) == 0


def test_a_cancel_during_a_breaker_pause_is_final(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 9))
    break_down(world, campaign)
    assert world.store.campaigns.cancel(campaign.id, world.clock.now())
    world.after(hours=1)
    assert watch_over(world.context) == 0
    assert world.campaign_now(campaign).state is CampaignState.CANCELLED


# -- numbers that do not exist


def test_mostly_invalid_destinations_pause_for_good(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 16), retry="none")
    ids = world.pace()
    for attempt_id in ids[:INVALID_LEAST]:
        world.engine.script(world.attempt(attempt_id)["phone"], "invalid_destination")
        world.dial(attempt_id)
    world.after(seconds=30)
    assert world.poll_and_settle() == INVALID_LEAST
    assert watch_over(world.context) == 1
    paused = world.campaign_now(campaign)
    assert (paused.state, paused.resume_at, paused.trips) == (CampaignState.PAUSED, None, 0)
    assert "invalid destination" in str(paused.reason)
    world.after(hours=2)
    assert watch_over(world.context) == 0
    assert world.store.campaigns.resume(campaign.id, world.clock.now())
    assert watch_over(world.context) == 0  # counted anew


def test_some_invalid_destinations_are_a_list_as_lists_are() -> None:
    bad = RecentDial("settled", "invalid_number", "invalid_destination", None, None)
    good = RecentDial("settled", "human", "user_hangup", None, None)
    running = RecentDial("placed", None, None, None, None)
    assert mostly_invalid([bad] * (INVALID_LEAST - 1) + [running] * 20) is None
    assert mostly_invalid([bad, good] * INVALID_LEAST) is None
    assert mostly_invalid([bad] * (INVALID_LEAST + 1) + [good] * INVALID_LEAST) is not None
