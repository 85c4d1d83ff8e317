"""Batch mode, finding out: unknown answers and tasks without a call ring nobody twice and lose nobody."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from batch_world import (
    BATCH,
    EAST,
    START,
    BatchWorld,
    minute_of_day,
)
from services_world import WORKSPACE

from campaigns.store import Batch


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[BatchWorld]:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=60.0) as made:
        yield made


def error(status: int) -> httpx.Response:
    return httpx.Response(status, json={"status": "error", "message": f"told {status}"})


def test_who_looks_at_the_same_moment_counts_as_one_search(world: BatchWorld) -> None:
    world.campaign()
    world.wire.trouble.append(httpx.ReadTimeout("no answer"))
    world.send()
    world.clock.at += timedelta(minutes=10)
    rows = world.store.batches

    def taken() -> Batch:
        # As if another batch had come due meanwhile: all are taken then.
        with world.store.database.write() as connection:
            connection.exec_driver_sql("UPDATE batches SET lease_until_real = NULL")
        [batch] = rows.take_due(WORKSPACE, world.clock.at, 30_000)
        return batch

    first, second = taken(), taken()
    for looked in (first, second):
        rows.look_again(looked, 1_000, empty=True)
    assert taken().searches == 1
    rows.look_again(taken(), 1_000, empty=True)
    rows.look_again(first, 1_000, empty=True)  # a late one
    assert taken().searches == 2


@pytest.mark.parametrize(
    ("trouble", "lag"), [("dropped", 0.0), ("dropped", 90.0), ("died", 0.0), ("killed", 90.0), ("500", 0.0)]
)
def test_an_unknown_answer_rings_nobody_twice_and_loses_nobody(
    tmp_path: Path, migrated_sqlite: Path, trouble: str, lag: float
) -> None:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=900.0, listing_lag=lag) as world:
        # Another batch later shows that the list is not lagging: without it an operator would have to decide.
        campaign = world.campaign(zones=[EAST] * 3)
        world.wire.trouble.append(error(500) if trouble == "500" else trouble)
        world.send()
        if trouble in ("dropped", "500"):
            assert world.states() == {"ambiguous": 3}
        else:
            assert world.states() == {"dialing": 3}
        world.tick(60)  # the lease of a dead sender is over
        for minute in range(15):
            if minute == 7:
                witness = world.campaign("later", [EAST] * 3, first=100)
            for _ in range(4):
                world.tick(15)
        world.run([campaign, witness], 3, 30)
        assert set(world.rings.values()) == {1}
        assert len(world.rings) == 6
        assert world.lead_counts(campaign) == {"reached": 3}
        arrived = trouble in ("dropped", "died")
        first = world.states()
        assert first == ({"settled": 6} if arrived else {"settled": 6, "not_placed": 3})
        for one in (campaign, witness):
            world.holds(one)


def test_a_second_delivery_after_a_lost_answer_sends_nothing(world: BatchWorld) -> None:
    world.campaign()
    [batch_id] = world.pace().batch_ids
    world.wire.trouble.append("dropped")
    world.deliver(batch_id)
    world.deliver(batch_id)
    for _ in range(40):
        world.tick(15)
        world.deliver(batch_id)
    assert len(world.wire.sent) == 1
    assert set(world.rings.values()) == {1}


def test_without_proof_an_operator_decides(world: BatchWorld) -> None:
    campaign = world.campaign()
    world.wire.trouble.append(httpx.ReadTimeout("no answer"))
    world.send()
    for _ in range(20):
        world.tick(180)
    assert world.states() == {"ambiguous": 4}, "for an hour nobody concludes anything"
    for _ in range(30):
        world.tick(180)
    assert world.states() == {"unresolved": 4}
    assert world.lead_counts(campaign) == {"held": 4}
    assert {lead["hold_code"] for lead in world.leads()} == {"unresolved_attempt"}
    assert not world.wire.sent


@pytest.mark.parametrize("status", [429, 503])
def test_not_now_is_not_refused(world: BatchWorld, status: int) -> None:
    campaign = world.campaign()
    world.wire.trouble.append(error(429) if status == 429 else httpx.ConnectError("no route"))
    world.send()
    assert world.states() == {"not_placed": 4}
    assert not any(a["charged"] for a in world.attempts)
    world.run([campaign], 1)
    assert world.lead_counts(campaign) == {"reached": 4}


def test_one_bad_task_is_found_by_halving(tmp_path: Path, migrated_sqlite: Path) -> None:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=30.0) as world:
        campaign = world.campaign(zones=[EAST] * 20)
        with world.store.database.write() as connection:
            connection.exec_driver_sql("UPDATE leads SET agent_id = 'agent_gone' WHERE line = 7")
        world.run([campaign], 2)
        assert world.lead_counts(campaign) == {"reached": 19, "held": 1}
        [held] = [lead for lead in world.leads() if lead["state"] == "held"]
        assert (held["line"], held["hold_code"]) == (7, "dial_refused")
        world.holds(campaign)


def test_a_task_that_retell_left_out_is_found_out_and_held_in_the_end(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=30.0, batch_bad_task="skip") as world:
        campaign = world.campaign(zones=[EAST] * 20)
        with world.store.database.write() as connection:
            connection.exec_driver_sql("UPDATE leads SET agent_id = 'agent_gone' WHERE line = 7")
        world.run([campaign], 2, 5)
        assert world.lead_counts(campaign) == {"reached": 19, "held": 1}
        [held] = [lead for lead in world.leads() if lead["state"] == "held"]
        assert (held["line"], held["hold_code"]) == (7, "not_dialed_in_batch")
        returned = [a for a in world.attempts if a["state"] == "not_placed"]
        assert {a["refusal"] for a in returned} >= {"refused_in_batch"}
        told = [event["detail"] or "" for event in world.store.listings.events(campaign.id, 1_000)]
        assert any("Retell took 19 of 20 tasks" in text for text in told)


def crowded(world: BatchWorld) -> None:
    """Others take every line before Retell has dialed anything of the batch."""
    world.engine.configure({"foreign": 20})


def test_what_the_window_closed_upon_is_held_with_the_evidence(world: BatchWorld) -> None:
    campaign = world.campaign(zones=[EAST] * 6)
    [batch_id] = world.pace().batch_ids
    crowded(world)
    world.deliver(batch_id)
    for _ in range(40):
        world.tick(10)
    assert world.rings.total() == 0
    assert world.states()["dialing"] == 6, "no call, but no list that shows later calls either"
    world.engine.configure({"foreign": 0})
    world.engine.configure({"mean_call": 900.0})
    witness = world.campaign("later", [EAST] * 3, first=100)
    world.run([campaign, witness], 2, 20)
    returned = [a for a in world.attempts if a["refusal"] == "left_in_batch"]
    assert len(returned) == 6
    assert not any(a["charged"] for a in returned)
    [first] = [row for row in world.batches if row["id"] == batch_id]
    assert (first["state"], first["left_over"]) == ("over", 6)
    assert world.lead_counts(campaign) == {"held": 6}
    assert {lead["hold_code"] for lead in world.leads() if lead["state"] == "held"} == {"left_in_batch"}
    assert world.rings.total() == 3, "the witness alone"
    world.holds(campaign)


def test_what_a_cancelled_campaign_left_over_ends_as_cancelled(world: BatchWorld) -> None:
    campaign = world.campaign(zones=[EAST] * 6)
    [batch_id] = world.pace().batch_ids
    crowded(world)
    world.deliver(batch_id)
    assert world.store.campaigns.cancel(campaign.id, world.clock.at)
    world.clock.at += timedelta(minutes=7)
    world.engine.configure({"foreign": 0, "mean_call": 900.0})
    witness = world.campaign("later", [EAST] * 3, first=100, mode="phone")
    world.run([campaign, witness], 2, 20)
    assert {a["refusal"] for a in world.attempts if a["batch_id"]} == {"left_in_batch"}
    assert world.lead_counts(campaign) == {"cancelled": 6}


def test_a_week_later_what_was_left_over_is_hung_up(world: BatchWorld) -> None:
    """Retell reads a window by its weekday: tasks that were left over may ring when it opens again."""
    test_what_the_window_closed_upon_is_held_with_the_evidence(world)
    world.clock.at = START + timedelta(days=7)
    rung = world.rings.total()
    for _ in range(30):
        world.tick(2)
    again = [call for call in world.engine.calls if call.created_ms > (START.timestamp() + 86400) * 1000]
    assert len(again) == 6
    assert world.rings.total() == rung + 6
    assert set(world.rings.values()) == {1}, "nobody was dialed beside it"
    assert {call.stopped_ms is not None for call in again} == {True}
    assert max((call.stopped_ms or 0) - call.created_ms for call in again) <= 5_000
    for _ in range(40):
        world.tick(15)
    [watched] = [row for row in world.batches if row["left_over"]]
    assert watched["reopens_at"] == (START + timedelta(days=14)).timestamp() * 1000


def test_a_count_of_none_gives_nobody_back(world: BatchWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retell may tell of a batch before it has counted its tasks."""
    inner = world.wire.handle_request

    def uncounted(request: httpx.Request) -> httpx.Response:
        answer = inner(request)
        if request.url.path != BATCH:
            return answer
        return httpx.Response(answer.status_code, json={**json.loads(answer.read()), "total_task_count": 0})

    monkeypatch.setattr(world.wire, "handle_request", uncounted)
    campaign = world.campaign(zones=(EAST,) * 30)
    for _ in range(60):
        world.tick()
    assert not [attempt for attempt in world.attempts if attempt["refusal"] == "refused_in_batch"]
    world.run([campaign], 1)
    assert max(world.rings.values()) == 1
    world.holds(campaign)


@pytest.mark.parametrize(
    "ahead",
    [-1200.0, 1200.0, *(pytest.param(ahead, marks=pytest.mark.chaos) for ahead in (-180.0, 180.0))],
)
def test_another_clock_rings_nobody_outside_their_hours_nor_twice(
    tmp_path: Path, migrated_sqlite: Path, ahead: float
) -> None:
    """Windows are wall minutes, which Retell reads by its own clock: whatever ours says, it rings inside of them."""
    begin = START.replace(hour=13, minute=55)  # five minutes before nine in New York, by our clock
    with BatchWorld.made(
        tmp_path, migrated_sqlite, mean_call=200.0, start=begin, ahead=ahead, concurrency=8
    ) as world:
        windows = ("Mon-Fri 09:00-10:00",)
        world.campaign(zones=[EAST] * 16, windows=windows)
        # Its calls are what shows that a list does not lag.
        world.campaign("phone", [EAST] * 400, first=1_000, mode="phone", profile="none", windows=())
        world.wire.trouble.append("dropped")
        for _ in range(180):
            world.tick(30)
        batched = [call for call in world.engine.calls if call.rang and call.batch_call_id is not None]
        for call in batched:
            assert 540 <= minute_of_day(call.created_ms, EAST) < 600
        assert max(Counter(call.to_number for call in batched).values(), default=0) <= 1
        if ahead > -1200:
            assert len(batched) >= 6
