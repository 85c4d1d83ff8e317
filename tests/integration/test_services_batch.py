"""Batch mode: what is sent, what is found out, and everything that must not ring."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from batch_world import BATCH, CENTRAL, EAST, MOUNTAIN, START, WEST, BatchWorld, number, real_time_of
from services_world import FROM, WORKSPACE

from campaigns.domain.entities import Campaign, Evidence
from campaigns.retell import BatchVerdict, CreateBatchCall
from campaigns.services import batch, batch_calls, dispatch
from campaigns.services.dial import Dialed, dial, gate_of
from campaigns.services.halt import Halted, stop_calls
from campaigns.services.launch import begin_and_end
from campaigns.services.reconcile import reconcile
from campaigns.services.report import status
from campaigns.store import Batch, Store

OTHER = "+13125550102"


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[BatchWorld]:
    with BatchWorld.made(tmp_path, migrated_sqlite, mean_call=60.0) as made:
        yield made


def error(status: int) -> httpx.Response:
    return httpx.Response(status, json={"status": "error", "message": f"told {status}"})


# -- what is sent


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


# -- a start that lies ahead


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


# -- lines


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


# -- what is not known


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


@pytest.mark.parametrize("status", [429, 503])
def test_not_now_is_not_refused(world: BatchWorld, status: int) -> None:
    campaign = world.campaign()
    world.wire.trouble.append(error(429) if status == 429 else httpx.ConnectError("no route"))
    world.send()
    assert world.states() == {"not_placed": 4}
    assert not any(a["charged"] for a in world.attempts)
    world.run([campaign], 1)
    assert world.lead_counts(campaign) == {"reached": 4}


# -- what never becomes a call


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


# -- within the horizon


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


# -- another clock than Retell's


@pytest.mark.parametrize("ahead", [-1200.0, -180.0, 180.0, 1200.0])
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
            assert 540 <= _minute(call.created_ms, EAST) < 600
        assert max(Counter(call.to_number for call in batched).values(), default=0) <= 1
        if ahead > -1200:
            assert len(batched) >= 6


# -- the whole


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
            minute = _minute(call.created_ms, zones[call.to_number])
            assert 540 <= minute < 550 or 780 <= minute < 955, (minute, zones[call.to_number])
        requests = {name: n for name, n in world.engine.ledger.requests.items() if name != "get-call"}
        assert sum(requests.values()) <= 500, requests
        assert world.engine.ledger.requests["get-call"] == 1000, "a transcript each"
        world.holds(campaign)


def _minute(ms: int, zone: str) -> int:
    local = datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone))
    return local.hour * 60 + local.minute


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
