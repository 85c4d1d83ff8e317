"""Campaigns that begin and end by the clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from services_world import FROM, START, WORKSPACE, World, phone

from campaigns.domain.entities import Campaign
from campaigns.domain.errors import CampaignsError
from campaigns.domain.states import CampaignState
from campaigns.services.launch import begin_and_end, launch
from campaigns.services.report import status


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def go(world: World, campaign: Campaign, **options: bool) -> Campaign:
    return launch(
        world.store,
        campaign,
        WORKSPACE,
        world.clock.now(),
        default_cps=1.0,
        numbers=lambda: [FROM],
        **options,
    )


def tick(world: World) -> int:
    return begin_and_end(world.store, WORKSPACE, world.clock.now())


def state(world: World, campaign: Campaign) -> str:
    return world.campaign_now(campaign).state.value


def test_a_campaign_waits_for_its_start_and_dials_from_then_on(world: World) -> None:
    """10:00 in New York now; it starts at 11:30 by the clocks there."""
    made = world.campaign(
        "spring", 1, 2, launch=False, timezone="America/New_York", start_at="2026-12-01 11:30"
    )
    scheduled = go(world, made)
    assert scheduled.state == CampaignState.SCHEDULED
    assert scheduled.start_at == START + timedelta(hours=1, minutes=30)
    shown = status(world.store, scheduled, world.clock.now()).document()
    assert shown["next_event"] == {"at": "2026-12-01T16:30:00Z", "what": "dialing begins"}
    assert tick(world) == 0
    world.after(hours=1, minutes=29, seconds=59)
    assert (tick(world), world.pace()) == (0, [])
    world.after(seconds=1)
    assert tick(world) == 1
    assert tick(world) == 0
    assert state(world, made) == "running"
    assert len(world.pace()) == 2


def test_a_start_that_is_put_off_holds_for_what_is_claimed(world: World) -> None:
    campaign = world.campaign("spring", 1, 2)
    attempt_id = world.pace()[0]
    later = replace(campaign.options, start_at="2026-12-01T16:00:00Z")
    world.store.campaigns.set_options(campaign.id, later, START)
    world.dial(attempt_id)
    refused = world.attempt(attempt_id)
    assert (refused["state"], refused["refusal"], refused["charged"]) == ("not_placed", "before_start", False)
    assert world.lead(1)["next_attempt_at"] == START.timestamp() * 1000 + 3_600_000
    world.add_leads(campaign, 3)
    assert world.pace() == []
    shown = status(world.store, world.campaign_now(campaign), world.clock.now()).next_event
    assert (shown.at, shown.what) == (START + timedelta(hours=1), "dialing begins")
    world.after(hours=1)
    world.reconcile()
    assert len(world.pace()) == 3


def test_two_ticks_at_once_start_it_once(world: World) -> None:
    made = world.campaign("spring", 1, launch=False, start_at="2026-12-01T16:00:00Z")
    go(world, made)
    world.after(hours=2)
    won = [world.store.campaigns.start_due(WORKSPACE, world.clock.now()) for _ in range(2)]
    assert won == [[made.id], []]
    told = world.store.listings.events(made.id, 10)
    moves = [one for one in told if one["subject"] == "campaign" and one["from_state"] != one["to_state"]]
    assert [one["to_state"] for one in moves] == ["draft", "scheduled", "running"]


def test_a_start_can_be_brought_forward(world: World) -> None:
    made = world.campaign("spring", 1, launch=False, start_at="2026-12-09T16:00:00Z")
    waiting = go(world, made)
    assert go(world, waiting).state == CampaignState.SCHEDULED
    assert go(world, waiting, at_once=True).state == CampaignState.RUNNING
    # And it does not wait for that start again after a pause.
    assert world.store.campaigns.pause(made.id, "a word", world.clock.now())
    assert world.store.campaigns.resume(made.id, world.clock.now())
    assert state(world, made) == "running"


def test_paused_before_its_start_it_waits_again_when_resumed(world: World) -> None:
    made = world.campaign("spring", 1, launch=False, start_at="2026-12-01T16:00:00Z")
    go(world, made)
    assert world.store.campaigns.pause(made.id, "a word", world.clock.now())
    world.after(hours=2)
    assert tick(world) == 0
    world.clock.at = START
    assert world.store.campaigns.resume(made.id, world.clock.now())
    assert state(world, made) == "scheduled"
    world.after(hours=2)
    tick(world)
    assert state(world, made) == "running"


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2027-12-31T16:00:00Z", "", "year"),
        ("", "2026-11-30T16:00:00Z", "past"),
        ("2026-12-09T16:00:00Z", "2026-12-08T16:00:00Z", "before"),
    ],
)
def test_a_start_or_an_end_that_cannot_be(world: World, start: str, end: str, words: str) -> None:
    made = world.campaign("spring", 1, launch=False, start_at=start, end_at=end)
    with pytest.raises(CampaignsError, match=words) as error:
        go(world, made)
    assert error.value.remedy
    assert state(world, made) == "draft"


def test_at_its_end_who_was_not_dialed_expires_and_calls_in_progress_finish(world: World) -> None:
    made = world.campaign("spring", 1, 2, 3, end_at="2026-12-01T15:30:00Z", concurrency=1, retry="none")
    [called] = world.dial_all()
    world.after(minutes=29, seconds=59)
    assert tick(world) == 0
    shown = status(world.store, world.campaign_now(made), world.clock.now()).document()
    assert shown["end_at"] == "2026-12-01T15:30:00Z"
    world.after(seconds=1)
    # Before anybody has seen to the end: nobody more is dialed.
    assert world.pace() == []
    assert tick(world) == 1
    assert world.lead_counts(made) == {"expired": 2, "in_flight": 1}
    assert state(world, made) == "running"
    world.after(hours=1)
    assert world.poll_and_settle() == 1
    tick(world)
    assert world.lead_counts(made) == {"expired": 2, "reached": 1}
    assert state(world, made) == "completed"
    assert world.attempt(called)["state"] == "settled"
    assert tick(world) == 0
    expired = [one for one in world.store.listings.events(made.id, 50) if one["to_state"] == "expired"]
    assert len(expired) == 2


def test_nobody_is_claimed_past_the_end_though_nobody_has_seen_to_it(world: World) -> None:
    world.campaign("spring", 1, end_at="2026-12-01T15:30:00Z")
    world.after(minutes=30)
    assert world.pace() == []
    world.campaign("autumn", 2, end_at="2026-12-01T16:30:00Z")
    assert len(world.pace()) == 1


def test_a_claim_from_before_the_end_is_not_dialed_after_it(world: World) -> None:
    made = world.campaign("spring", 1, end_at="2026-12-01T15:30:00Z")
    claimed = world.claim()
    world.after(minutes=30)
    world.dial(claimed)
    assert world.rings == []
    assert world.attempt(claimed)["refusal"] == "campaign_ended"
    tick(world)
    assert world.lead_counts(made) == {"expired": 1}
    assert state(world, made) == "completed"


def test_a_retry_that_would_come_after_the_end_expires(world: World) -> None:
    made = world.campaign("spring", 1, end_at="2026-12-01T15:30:00Z", retry="no_answer:2h")
    world.engine.script(phone(1), "dial_no_answer")
    [attempt] = world.dial_all()
    world.after(minutes=20)
    assert world.poll_and_settle() == 1
    now = world.clock.now()
    told = status(world.store, world.campaign_now(made), now).next_event
    assert (told.at, told.what) == (
        START + timedelta(minutes=30),
        "the campaign ends: 1 waiting leads expire",
    )
    world.after(minutes=10)
    tick(world)
    assert world.lead_counts(made) == {"expired": 1}
    assert world.attempt(attempt)["outcome"] == "no_answer"


@pytest.mark.parametrize("paused", [True, False])
def test_the_end_comes_to_who_is_paused_or_never_started(world: World, paused: bool) -> None:
    made = world.campaign(
        "spring", 1, launch=False, start_at="2026-12-01T16:00:00Z", end_at="2026-12-01T17:00:00Z"
    )
    go(world, made)
    if paused:
        assert world.store.campaigns.pause(made.id, "a word", world.clock.now())
    world.after(hours=5)
    assert tick(world) == 1
    assert state(world, made) == "completed"
    assert world.lead_counts(made) == {"expired": 1}


def test_a_later_end_keeps_the_leads(world: World) -> None:
    made = world.campaign("spring", 1, end_at="2026-12-01T15:30:00Z")
    later = world.campaign_now(made).options
    world.after(minutes=31)
    world.store.campaigns.set_options(
        made.id, type(later)(**{**_fields(later), "end_at": ""}), world.clock.now()
    )
    assert world.store.campaigns.expire(made.id, world.clock.now()) == 0
    assert tick(world) == 0
    assert len(world.pace()) == 1


def _fields(options: object) -> dict[str, object]:
    return {name: getattr(options, name) for name in options.__dataclass_fields__}  # type: ignore[attr-defined]
