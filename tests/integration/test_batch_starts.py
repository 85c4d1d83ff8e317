"""Batch mode, a campaign with a start: its first batch leaves just before it and rings from it on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from batch_world import (
    EAST,
    START,
    BatchWorld,
)
from services_world import WORKSPACE

from campaigns.domain.entities import Campaign
from campaigns.services.launch import begin_and_end
from campaigns.services.report import status


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[BatchWorld]:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=60.0) as made:
        yield made


BEGINS = START + timedelta(minutes=30)


BEGINS_MS = int(BEGINS.timestamp() * 1000)


def starting(world: BatchWorld, at: datetime = BEGINS, **options: object) -> Campaign:
    return world.campaign(start_at=at.isoformat(), **{"zones": [EAST] * 30, **options})  # type: ignore[arg-type]


def test_a_batch_is_sent_just_before_the_start_and_rings_from_it_on(world: BatchWorld) -> None:
    campaign = starting(world)
    phone = starting(world, name="phone", mode="phone", first=100)
    world.clock.at = BEGINS - timedelta(seconds=70)
    while world.clock.at < BEGINS - timedelta(seconds=1):
        world.tick(1)
        early = world.clock.at < BEGINS - timedelta(seconds=60)
        assert world.now(campaign).state == ("scheduled" if early else "running")
        assert world.now(phone).state == "scheduled"
        assert bool(world.wire.sent) is not early
        assert {row["campaign_id"] for row in world.attempts} <= {campaign.id}
        shown = status(world.store, world.now(campaign), world.clock.at).next_event
        assert (shown.at, shown.what) == (BEGINS, "dialing begins")
    [sent] = world.wire.sent
    assert sent["trigger_timestamp"] == BEGINS_MS
    assert sent["call_time_window"]["windows"] == [{"start": 630, "end": 635}]
    assert not world.engine.calls
    assert world.batches[0]["begins_at"] == BEGINS_MS
    world.run([campaign, phone], 1)
    created = {call.batch_call_id is None: call.created_ms for call in reversed(world.engine.calls)}
    assert created[False] == BEGINS_MS
    assert created[True] >= BEGINS_MS
    for one in (campaign, phone):
        world.holds(one)


def test_a_start_within_a_minute_is_not_written_from_that_minutes_beginning(world: BatchWorld) -> None:
    campaign = starting(world, BEGINS + timedelta(seconds=20))
    world.clock.at = BEGINS - timedelta(seconds=10)
    world.tick(1)
    [sent] = world.wire.sent
    assert sent["trigger_timestamp"] == BEGINS_MS + 60_000
    assert sent["call_time_window"]["windows"] == [{"start": 631, "end": 635}]
    world.run([campaign], 1)
    assert min(call.created_ms for call in world.engine.calls) == BEGINS_MS + 60_000
    world.holds(campaign)


def test_a_window_that_opens_after_the_start_is_waited_for(world: BatchWorld) -> None:
    opens = BEGINS + timedelta(seconds=60)
    campaign = starting(world, BEGINS + timedelta(seconds=20), windows=("Mon-Fri 10:31-20:00",))
    world.clock.at = opens - timedelta(seconds=61)
    world.tick(0)
    assert (world.now(campaign).state, world.wire.sent) == ("running", [])
    world.tick(1)
    [sent] = world.wire.sent
    assert sent["trigger_timestamp"] == BEGINS_MS + 60_000
    world.run([campaign], 1)
    assert min(call.created_ms for call in world.engine.calls) == BEGINS_MS + 60_000


@pytest.mark.parametrize("how", ["pause", "cancel", "later", "phone"])
def test_before_the_start_it_can_be_stopped(world: BatchWorld, how: str) -> None:
    campaign = starting(world)
    world.clock.at = BEGINS - timedelta(seconds=30)
    begin_and_end(world.store, WORKSPACE, world.clock.at)
    [batch_id] = world.pace().batch_ids
    later = BEGINS + timedelta(minutes=20)
    change = {"later": {"start_at": later.isoformat()}, "phone": {"mode": "phone"}}.get(how, {})
    if how == "pause":
        assert world.store.campaigns.pause(campaign.id, "wait", world.clock.at)
    elif how == "cancel":
        assert world.store.campaigns.cancel(campaign.id, world.clock.at)
    world.store.campaigns.set_options(campaign.id, replace(campaign.options, **change), world.clock.at)
    world.deliver(batch_id)
    sent = bool(world.wire.sent)
    assert sent is (how == "phone"), "sent with the start for which it was claimed"
    if how != "phone":
        assert {row["refusal"] for row in world.attempts} == {
            "before_start" if how == "later" else "not_running"
        }
    for _ in range(29):
        world.tick(1)
    assert not world.engine.calls
    assert not any(row["dialing_at"] and row["dialing_at"] < BEGINS_MS for row in world.attempts)
    if how == "pause":
        assert world.store.campaigns.resume(campaign.id, world.clock.at)
        assert world.now(campaign).state == "scheduled"
    if how != "cancel":
        world.run([campaign], 1)
        first = later if how == "later" else BEGINS
        assert min(call.created_ms for call in world.engine.calls) >= first.timestamp() * 1000
        world.holds(campaign)
