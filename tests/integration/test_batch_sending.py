"""Batch mode, sending: what a batch says, when it leaves, and who is left out of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from batch_world import (
    CENTRAL,
    EAST,
    START,
    WEST,
    BatchWorld,
    number,
)
from services_world import FROM

from campaigns.domain.entities import Evidence
from campaigns.retell import BatchVerdict, CreateBatchCall
from campaigns.services import batch, batch_calls, dispatch
from campaigns.services.dial import Dialed, dial, gate_of
from campaigns.services.reconcile import reconcile

OTHER = "+13125550102"


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[BatchWorld]:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=60.0) as made:
        yield made


def test_a_batch_says_what_it_may(world: BatchWorld) -> None:
    world.clock.at += timedelta(seconds=20)
    campaign = world.campaign(agents=("agent_simulator_sales",), agent_version="3")
    world.send()
    [sent] = world.wire.sent
    assert sent["from_number"] == FROM
    assert sent["reserved_concurrency"] == 16, "of 20 lines it may use one for each of its tasks"
    assert "trigger_timestamp" not in sent
    assert sent["call_time_window"] == {
        "windows": [{"start": 600, "end": 605}],  # the horizon ends at 10:05:20: whole minutes, never later
        "timezone": EAST,
        "day": ["Tuesday"],
    }
    attempts = world.attempts
    assert [task["metadata"]["attempt_id"] for task in sent["tasks"]] == [a["id"] for a in attempts]
    assert {a["state"] for a in attempts} == {"dialing"}
    [row] = world.batches
    assert (row["state"], row["size"], row["taken"], row["lines"]) == ("sent", 4, 4, 4)
    assert {a["batch_id"] for a in attempts} == {row["id"]}
    assert "idempotency_key" not in sent["tasks"][0]
    assert sent["tasks"][0]["override_agent_version"] == 3
    world.run([campaign], 1)
    assert world.states() == {"settled": 4}
    world.holds(campaign)


def test_a_batch_is_one_number_and_one_zone(world: BatchWorld) -> None:
    campaign = world.campaign(zones=[EAST, EAST, CENTRAL, CENTRAL] * 2, from_numbers=(FROM, OTHER))
    world.send()
    groups = {
        (sent["from_number"], sent["call_time_window"]["timezone"], len(sent["tasks"])) for sent in world.wire.sent
    }  # fmt: skip
    assert groups == {(FROM, EAST, 2), (FROM, CENTRAL, 2), (OTHER, EAST, 2), (OTHER, CENTRAL, 2)}
    world.run([campaign], 1)
    world.holds(campaign)


def test_a_window_never_ends_later_than_the_callees(world: BatchWorld) -> None:
    world.campaign(zones=[EAST, f"{EAST}|{WEST}"], windows=("Mon-Fri 09:00-10:08",))
    world.send()
    [sent] = world.wire.sent
    # 10:08 in New York, less the guard of five minutes; in California it is not yet nine.
    assert sent["call_time_window"]["windows"] == [{"start": 600, "end": 603}]
    assert len(sent["tasks"]) == 1


def test_a_lead_of_several_zones_keeps_all_their_windows(world: BatchWorld) -> None:
    world.clock.at += timedelta(hours=9, minutes=51)  # 19:51 in New York, 16:51 in California
    world.campaign(zones=[f"{EAST}|{WEST}"])
    world.send()
    [sent] = world.wire.sent
    assert sent["call_time_window"]["timezone"] == EAST
    assert sent["call_time_window"]["windows"] == [{"start": 1191, "end": 1195}]


def test_a_window_that_opens_soon_is_triggered_at_its_opening(tmp_path: Path, migrated_sqlite: Path) -> None:
    early = START - timedelta(hours=1, seconds=40)  # 08:59:20 in New York
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=60.0, start=early) as world:
        campaign = world.campaign()
        world.send()
        [sent] = world.wire.sent
        assert sent["trigger_timestamp"] == (START.timestamp() - 3600) * 1000
        assert sent["call_time_window"]["windows"] == [{"start": 540, "end": 545}]
        world.run([campaign], 1)
        assert min(call.created_ms for call in world.engine.calls) == sent["trigger_timestamp"]
        world.holds(campaign)


def test_it_is_committed_before_anything_leaves_and_sent_once(world: BatchWorld) -> None:
    world.campaign()
    [batch_id] = world.pace().batch_ids
    seen = []
    inner = world.context.retell.create_batch_call

    def watched(request: object) -> object:
        seen.append((world.batches[0]["state"], world.states()))
        assert batch.send(world.context, batch_id) == 0, "a second delivery has nothing to send"
        return inner(request)  # type: ignore[arg-type]

    world.context.retell.create_batch_call = watched  # type: ignore[method-assign,assignment]
    assert batch.send(world.context, batch_id) == 4
    assert batch.send(world.context, batch_id) == 0
    assert seen == [("sending", {"dialing": 4})]
    assert len(world.wire.sent) == 1


def test_a_sender_that_slept_sends_nothing(world: BatchWorld) -> None:
    world.campaign()
    [batch_id] = world.pace().batch_ids
    ticks = iter([0.0, batch.FENCE_SECONDS + 0.1])
    assert batch.send(world.context, batch_id, awake=lambda: next(ticks)) == 0
    assert not world.wire.sent
    assert world.states() == {"not_placed": 4}
    assert world.batches[0]["state"] == "not_sent"


def slow_answers(world: BatchWorld, monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """Each answer to a batch takes so long, the last for all that follow."""
    inner, waits = world.context.retell.create_batch_call, list(seconds)

    def slowly(request: CreateBatchCall) -> BatchVerdict:
        world.clock.at += timedelta(seconds=waits.pop(0) if len(waits) > 1 else waits[0])
        return inner(request)

    monkeypatch.setattr(world.context.retell, "create_batch_call", slowly)


def test_a_big_claim_outlasts_the_answers_to_its_own_parts(
    tmp_path: Path, migrated_sqlite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=60.0, concurrency=2_000) as world:
        world.campaign(zones=[EAST] * 2_200, batch_horizon="20m")
        slow_answers(world, monkeypatch, 25.0)
        [batch_id] = world.pace().batch_ids
        assert world.states() == {"claimed": dispatch.MOST_CLAIMED}
        parts = []
        inner = world.store.batches.begin

        def begun(*given: Any) -> list[str]:
            # Meanwhile the others do their work.
            reconcile(world.context)
            batch_calls.look(world.context)
            parts.append(len(won := inner(*given)))
            return won

        monkeypatch.setattr(world.store.batches, "begin", begun)
        world.deliver(batch_id)
        assert parts == [500] * 4, "it took 100 seconds, and nothing of it was given back"
        assert world.states()["dialing"] + world.states().get("placed", 0) == dispatch.MOST_CLAIMED


def test_what_is_left_of_a_stale_claim_is_not_sent(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = world.campaign(zones=[EAST, CENTRAL, "America/Detroit"] * 4)
    # Suspended for longer than the lease, after the first part arrived.
    slow_answers(world, monkeypatch, 45.0, 0.0)
    [batch_id] = world.pace().batch_ids
    world.deliver(batch_id)
    assert [len(sent["tasks"]) for sent in world.wire.sent] == [4]
    assert world.states() == {"dialing": 4, "claimed": 8}
    world.deliver(batch_id)
    assert len(world.wire.sent) == 1
    world.tick(1)
    assert {a["refusal"] for a in world.attempts if a["state"] == "not_placed"} == {"stale_claim"}
    world.run([campaign], 1)
    assert set(world.rings.values()) == {1}
    assert world.lead_counts(campaign) == {"reached": 12}
    world.holds(campaign)


def test_a_claim_that_goes_stale_in_the_gate_is_not_begun(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.campaign()
    [batch_id] = world.pace().batch_ids
    inner = world.store.batches.begin

    def late(*given: Any) -> list[str]:
        world.clock.at += timedelta(seconds=41)
        return inner(*given)

    monkeypatch.setattr(world.store.batches, "begin", late)
    world.deliver(batch_id)
    assert not world.wire.sent
    assert world.states() == {"not_placed": 4}
    assert {a["dialing_at"] for a in world.attempts} == {None}
    assert world.batches[0]["state"] == "not_sent"


@pytest.mark.parametrize("how", ["pause", "cancel", "suppress", "close"])
def test_who_may_not_be_dialed_any_more_is_left_out(world: BatchWorld, how: str) -> None:
    if how == "close":
        world.clock.at += timedelta(minutes=54, seconds=58)
    campaign = world.campaign(zones=[EAST, CENTRAL], windows=("Mon-Fri 09:00-11:00",))
    [batch_id] = world.pace().batch_ids
    if how == "pause":
        world.store.campaigns.pause(campaign.id, "lunch", START)
    elif how == "cancel":
        world.store.campaigns.cancel(campaign.id, START)
    elif how == "suppress":
        world.store.imports.suppress([number(0)], "operator", "asked by mail", START)
    else:
        world.clock.at += timedelta(seconds=5)
    world.deliver(batch_id)
    left = [task["to_number"] for sent in world.wire.sent for task in sent["tasks"]]
    assert left == {"suppress": [number(1)], "close": [number(1)]}.get(how, [])
    given_back = [a for a in world.attempts if a["state"] == "not_placed"]
    assert len(given_back) == 2 - len(left)
    assert not any(a["charged"] for a in given_back)


def test_a_stray_message_never_dials_what_is_in_a_batch(world: BatchWorld) -> None:
    world.campaign()
    [batch_id] = world.pace().batch_ids
    claimed = [row["id"] for row in world.attempts]
    for attempt_id in claimed:
        assert dial(world.context, attempt_id).dialed is Dialed.DROPPED
        order = world.store.attempts.dial_order(attempt_id)
        assert order is not None
        evidence = gate_of(world.context, order, START)
        assert isinstance(evidence, Evidence)
        assert not world.store.attempts.begin_dial(order, evidence, START, 1_000), "nor by the rows"
    assert world.states() == {"claimed": 4}
    world.deliver(batch_id)
    for attempt_id in claimed:
        assert dial(world.context, attempt_id).dialed is Dialed.DROPPED
    assert "create-phone-call" not in world.engine.ledger.requests
    assert len(world.wire.sent[0]["tasks"]) == 4


@pytest.mark.parametrize("how", ["pause", "suppress"])
def test_what_happens_after_the_gate_is_seen_by_the_commit(world: BatchWorld, how: str) -> None:
    campaign = world.campaign()
    [batch_id] = world.pace().batch_ids

    def meanwhile() -> float:
        if how == "pause":
            world.store.campaigns.pause(campaign.id, "lunch", START)
        else:
            world.store.imports.suppress([number(0)], "operator", "asked by mail", START)
        return 0.0

    batch.send(world.context, batch_id, awake=meanwhile)
    sent = [task["to_number"] for one in world.wire.sent for task in one["tasks"]]
    assert sent == ([] if how == "pause" else [number(1), number(2), number(3)])
    assert world.batches[0]["state"] == ("not_sent" if how == "pause" else "sent")
    assert "claimed" not in world.states()


def test_a_claim_whose_message_is_lost_is_given_back(world: BatchWorld) -> None:
    world.campaign()
    world.pace()
    world.lost_messages = True
    world.tick(10)
    world.tick(1)
    assert world.states() == {"not_placed": 4}
    assert world.batches[0]["state"] == "not_sent"
    world.lost_messages = False
    world.tick(20)
    assert len(world.wire.sent) == 1
