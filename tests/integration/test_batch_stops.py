"""Batch mode, stopping: nothing rings later than the horizon, and what is not wanted any more is hung up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from batch_world import (
    EAST,
    BatchWorld,
)
from services_world import WORKSPACE

from campaigns.domain.entities import Campaign
from campaigns.services.halt import Halted, stop_calls


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[BatchWorld]:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=60.0) as made:
        yield made


def stop(world: BatchWorld, *campaigns: Campaign) -> Halted:
    ticks = iter(range(0, 10_000, 5))
    return stop_calls(
        world.store,
        world.context.retell,
        WORKSPACE,
        world.clock.now,
        [one.id for one in campaigns],
        sleep=lambda _: None,
        monotonic=lambda: next(ticks),
    )


@pytest.mark.parametrize("how", ["pause", "cancel"])
@pytest.mark.parametrize("seen", [True, False])
def test_an_emergency_stop_hangs_up_what_rings_and_what_comes_to_ring(
    world: BatchWorld, how: str, seen: bool
) -> None:
    campaign = world.campaign(zones=[EAST] * 30)
    other = world.campaign("other", [EAST] * 3, first=100, mode="phone", concurrency=1)
    world.send()
    world.clock.at += timedelta(seconds=4)
    if seen:
        world.look()
    move = world.store.campaigns.pause if how == "pause" else world.store.campaigns.cancel
    assert move(*((campaign.id, "stop") if how == "pause" else (campaign.id,)), world.clock.at)  # type: ignore[operator]
    batched = [call for call in world.engine.calls if call.batch_call_id is not None]
    ringing = {call.call_id for call in batched if not call.over(world.engine.advance())}
    assert len(ringing) >= 15
    halted = stop(world, campaign)
    assert set(halted.stopped) == ringing, "also those that no look had shown"
    assert halted.unknown == 0
    assert halted.waiting == 30 - len(batched) > 0
    ends_at = world.batches[0]["ends_at"]
    assert halted.until is not None
    assert halted.until.timestamp() * 1000 == ends_at
    assert halted.open_ends
    for _ in range(30):
        world.tick(2)
    calls = [call for call in world.engine.calls if call.batch_call_id is not None]
    later = [call for call in calls if call not in batched]
    assert later, "Retell cannot be told to leave them"
    assert max((call.stopped_ms or 1 << 60) - call.created_ms for call in later) <= 5_000
    told = [event["detail"] or "" for event in world.store.listings.events(campaign.id, 10_000)]
    assert sum("an operator stopped the campaign's calls" in text for text in told) == len(ringing) + len(
        later
    )
    assert stop(world, campaign).stopped == []
    if how == "cancel":
        world.run([campaign, other], 3)
        assert world.lead_counts(campaign).keys() <= {"reached", "cancelled", "exhausted"}
    else:
        # What is sent after a resume is wanted again.
        assert world.store.campaigns.resume(campaign.id, world.clock.at)
        world.run([campaign, other], 3)
    stopped = [call for call in world.engine.calls if call.stopped_ms is not None]
    assert len(stopped) == len(ringing) + len(later)
    assert not any(call.batch_call_id is None for call in stopped), "another campaign's calls go on"
    world.holds(campaign)


def test_what_is_claimed_at_an_emergency_stop_is_not_sent_after_a_resume(world: BatchWorld) -> None:
    campaign = world.campaign(zones=[EAST] * 4)
    [batch_id] = world.pace().batch_ids
    assert world.store.campaigns.pause(campaign.id, "stop", world.clock.at)
    assert not stop(world, campaign).open_ends
    assert world.store.campaigns.resume(campaign.id, world.clock.at)
    world.deliver(batch_id)
    assert not world.wire.sent
    world.run([campaign], 1)
    assert not any(call.stopped_ms for call in world.engine.calls)
    assert world.lead_counts(campaign) == {"reached": 4}


@pytest.mark.parametrize("how", ["pause", "cancel"])
def test_after_the_horizon_nothing_rings(world: BatchWorld, how: str) -> None:
    campaign = world.campaign(zones=[EAST] * 200)
    for _ in range(12):
        world.tick(10)
    stopped = world.clock.at
    if how == "pause":
        world.store.campaigns.pause(campaign.id, "by hand", stopped)
    else:
        world.store.campaigns.cancel(campaign.id, stopped)
    for _ in range(30):
        world.tick(30)
    last = max(call.created_ms for call in world.engine.calls) / 1000
    assert 0 < last - stopped.timestamp() <= 300
    assert 50 < world.rings.total() < 200
    assert "dialing" not in world.states()


def test_a_number_that_is_suppressed_while_it_waits_is_hung_up_when_it_shows(world: BatchWorld) -> None:
    campaign = world.campaign(zones=[EAST] * 40, retry="no_answer:10m")
    world.send()
    world.tick(1)
    last = world.attempts[39]
    assert last["phone"] not in world.rings, "it waits for a line"
    world.store.imports.suppress([last["phone"]], "operator", "asked by mail", world.clock.at)
    world.run([campaign], 2)
    [call] = [call for call in world.engine.calls if call.to_number == last["phone"]]
    assert call.stopped_ms is not None
    assert call.stopped_ms - call.created_ms <= 5_000
    [row] = [a for a in world.attempts if a["id"] == last["id"]]
    assert row["stopped_at"] is not None
    assert row["disconnection_reason"] == "manual_stopped"
    assert world.lead_counts(campaign) == {"reached": 39, "suppressed": 1}
    assert len([call for call in world.engine.calls if call.stopped_ms is not None]) == 1
    world.holds(campaign)
