"""Batch mode, lines: with both modes together, reserves, caps and bursts, never above the ceiling."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from batch_world import (
    CENTRAL,
    EAST,
    MOUNTAIN,
    START,
    WEST,
    BatchWorld,
    minute_of_day,
    number,
    real_time_of,
)
from services_world import FROM, WORKSPACE

from campaigns.services.report import status
from campaigns.store import Store


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[BatchWorld]:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=60.0) as made:
        yield made


def error(status: int) -> httpx.Response:
    return httpx.Response(status, json={"status": "error", "message": f"told {status}"})


def test_both_modes_together_stay_within_the_lines(tmp_path: Path, migrated_sqlite: Path) -> None:
    with BatchWorld.made(
        tmp_path, migrated_sqlite, mean_call=60.0, concurrency=10, reserved_inbound=2, foreign=1
    ) as world:
        both = [
            world.campaign("batch", [EAST] * 40, batch_horizon="3m"),
            world.campaign("phone", [EAST] * 40, first=1_000, mode="phone", weight=1.0),
        ]
        by_mode = []
        peak = 0
        for _ in range(90):
            world.tick(2)
            live = [call for call in world.engine.calls if not call.over(world.engine.advance())]
            peak = max(peak, len(live))
            batched = sum(call.batch_call_id is not None for call in live)
            by_mode.append((batched, len(live) - batched))
        assert peak == 7
        assert not any("concurrency" in why for why in world.engine.ledger.refusals), "nobody was crowded out"
        shared = [one for one in by_mode[20:] if min(one) >= 2]
        assert len(shared) > 35, "neither starves"
        world.run(both, 2, 15)
        for campaign in both:
            world.holds(campaign)
        assert world.engine.summary()["peak_concurrency"] <= 7


def test_bursts_are_no_lines_for_batches(tmp_path: Path, migrated_sqlite: Path) -> None:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=60.0, concurrency=4, burst=True) as world:
        campaign = world.campaign(zones=[EAST] * 20)
        world.send()
        assert world.wire.sent[0]["reserved_concurrency"] == 8, "Retell would dial on all 12"
        world.run([campaign], 1)
        assert world.engine.summary()["peak_concurrency"] == 4


def test_the_operators_reserve_is_left_free(tmp_path: Path, migrated_sqlite: Path) -> None:
    with BatchWorld.made(
        tmp_path, migrated_sqlite, mean_call=60.0, concurrency=12, reserved_inbound=2
    ) as world:
        world.store.workspaces.set_reserve(WORKSPACE, 4, START)
        campaign = world.campaign(zones=[EAST] * 120, batch_horizon="2m")
        world.send()
        assert {sent["reserved_concurrency"] for sent in world.wire.sent} == {6}, "the operator's and inbound"
        for _ in range(15):
            world.tick(4)
        assert world.engine.summary()["peak_concurrency"] == 6
        before = len(world.wire.sent)
        world.store.workspaces.set_reserve(WORKSPACE, 7, world.clock.at)
        live = []
        for _ in range(60):
            world.tick(4)
            now = world.engine.advance()
            live.append(sum(not call.over(now) for call in world.engine.calls))
        later = world.wire.sent[before:]
        assert later
        assert {sent["reserved_concurrency"] for sent in later} == {9}
        assert max(live[40:]) == 3, "a horizon and a call later the batches of before are over"
        world.store.workspaces.set_reserve(WORKSPACE, 10, world.clock.at)
        rest = len(world.wire.sent)
        for _ in range(40):
            world.tick(4)
        assert len(world.wire.sent) == rest, "no line is left"
        assert (
            "reserve of 10 lines" in status(world.store, world.now(campaign), world.clock.at).next_event.what
        )
        world.store.workspaces.set_reserve(WORKSPACE, 0, world.clock.at)
        world.run([campaign], 1)
        assert world.engine.summary()["peak_concurrency"] == 10
        world.holds(campaign)


def test_a_campaigns_own_cap_holds(world: BatchWorld) -> None:
    campaign = world.campaign(zones=[EAST] * 12, concurrency=3)
    world.send()
    assert world.wire.sent[0]["reserved_concurrency"] == 17
    world.run([campaign], 1)
    assert world.engine.summary()["peak_concurrency"] == 3


def test_a_numbers_cap_and_its_rest_hold(world: BatchWorld) -> None:
    world.campaign(zones=[EAST] * 8, number_cap=3)
    [batch_id] = world.pace().batch_ids
    assert world.states() == {"claimed": 3}
    with world.store.database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO from_numbers (workspace, number, resting_until, rest_reason) VALUES ('acme', '"
            f"{FROM}', {int(START.timestamp() * 1000) + 3_600_000}, 'marked as spam')"
        )
    world.deliver(batch_id)
    assert not world.wire.sent
    assert {attempt["refusal"] for attempt in world.attempts} == {"number_not_free"}


def test_between_batches_nobody_asks_for_the_lines(world: BatchWorld) -> None:
    world.campaign(zones=[EAST] * 30)
    world.send()
    asked = world.engine.ledger.requests["get-concurrency"]
    for _ in range(20):
        world.tick(1)
    assert world.engine.ledger.requests["get-concurrency"] == asked
    assert world.states()["dialing"] > 0
    assert world.store.recovery.overdue_dials(WORKSPACE, 1_000) == [], (
        "nor is a task looked for as a lost dial"
    )


def test_on_either_database(store: Store) -> None:
    """The same rows by the same steps: what was lost, what was left over, what was suppressed meanwhile."""
    world = BatchWorld(store, mean_call=120.0, concurrency=4)
    unset = real_time_of(world.clock)
    try:
        both = [
            world.campaign("batch", [EAST, CENTRAL] * 5, batch_horizon="3m"),
            world.campaign("phone", [EAST] * 4, first=100, mode="phone"),
        ]
        world.wire.trouble.extend(["dropped", error(429)])
        world.send()
        world.tick(5)
        store.imports.suppress([number(9)], "operator", "asked by mail", world.clock.at)
        store.campaigns.pause(both[0].id, "lunch", world.clock.at)
        world.tick(30)
        store.campaigns.resume(both[0].id, world.clock.at)
        world.run(both, 5, 20)
        assert set(world.rings.values()) == {1}
        assert len(world.rings) == 13
        assert world.lead_counts(both[0]) == {"reached": 9, "suppressed": 1}
        for campaign in both:
            world.holds(campaign)
            store.batches.of_campaign(campaign.id)
        assert store.batches.load(WORKSPACE).held == 0
    finally:
        unset()
        world.context.retell.close()


def test_a_thousand_leads_over_four_zones(tmp_path: Path, migrated_sqlite: Path) -> None:
    begin = START.replace(hour=13, minute=58)  # two minutes before nine in New York
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=60.0, start=begin) as world:
        windows = ("Mon-Fri 09:00-09:14", "Mon-Fri 13:00-16:00")  # closes upon some of each zone
        campaign = world.campaign(zones=[EAST, CENTRAL, MOUNTAIN, WEST] * 250, windows=windows)
        world.run([campaign], 12, 20)
        assert world.lead_counts(campaign) == {"reached": 1000}
        assert set(world.rings.values()) == {1}
        assert len(world.rings) == 1000
        zones = {lead["phone"]: lead["zones"] for lead in world.leads()}
        for call in world.engine.calls:
            minute = minute_of_day(call.created_ms, zones[call.to_number])
            assert 540 <= minute < 550 or 780 <= minute < 955, (minute, zones[call.to_number])
        requests = {name: n for name, n in world.engine.ledger.requests.items() if name != "get-call"}
        assert sum(requests.values()) <= 500, requests
        assert world.engine.ledger.requests["get-call"] == 1000, "a transcript each"
        world.holds(campaign)
