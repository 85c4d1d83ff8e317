"""One dial: everything that must stop it, and what each answer of Retell does to the rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import redis
from services_world import START, WORKSPACE, World, phone

from campaigns.domain.states import CampaignState
from campaigns.retell import RetellClient
from campaigns.services.dial import CPS_PATIENCE, DEFERRED_BACKOFF, FENCE_SECONDS, Dialed, lease_ms
from campaigns.simulator.faults import Fault


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def error(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"status": "error", "message": f"told {status}"}, headers=headers)


def test_a_dial_sends_what_the_call_must_carry(world: World) -> None:
    campaign = world.campaign(launch=False, agents=("agent_simulator_sales",), agent_version="3")
    world.add_leads(campaign, 1, cells=(phone(1), "Ann"), metadata={"crm": "7", "attempt_id": "forged"})
    world.store.campaigns.launch(campaign.id, START)
    attempt_id = world.claim()
    assert world.dial(attempt_id).dialed is Dialed.PLACED
    [call] = world.engine.calls
    assert (call.to_number, call.agent_id, call.agent_version) == (phone(1), "agent_simulator_sales", 3)
    assert call.idempotency_key == attempt_id
    assert call.dynamic_variables == {"name": "Ann"}
    assert call.metadata == {
        "crm": "7",
        "attempt_id": attempt_id,
        "lead_id": str(world.lead(1)["id"]),
        "campaign_id": campaign.id,
    }
    row = world.attempt(attempt_id)
    assert (row["state"], row["call_id"], row["charged"]) == ("placed", call.call_id, True)
    assert world.transitions(attempt_id) == ["claimed", "dialing", "placed"]
    assert world.lead(1)["state"] == "in_flight"


def test_a_message_delivered_twice_dials_once(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    assert world.dial(attempt_id).dialed is Dialed.PLACED
    for _ in range(3):
        assert world.dial(attempt_id).dialed is Dialed.DROPPED
    assert world.dial("no such attempt").dialed is Dialed.DROPPED
    assert world.wire.dials == 1
    assert world.rings == [phone(1)]


def test_the_row_is_committed_before_anything_leaves(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    seen = []
    world.wire.before = lambda: seen.append(world.attempt(attempt_id)["state"])
    world.dial(attempt_id)
    assert seen == ["dialing"]


def test_a_second_worker_on_the_way_is_dropped(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    seen = []
    world.wire.before = lambda: seen.append(world.dial(attempt_id).dialed)
    assert world.dial(attempt_id).dialed is Dialed.PLACED
    assert seen == [Dialed.DROPPED]
    assert world.wire.dials == 1


def not_placed(world: World, attempt_id: str) -> str:
    row = world.attempt(attempt_id)
    assert row["state"] == "not_placed"
    assert not row["charged"]
    assert world.wire.dials == 0
    return str(row["refusal"])


def test_paused_between_claim_and_dial(world: World) -> None:
    campaign = world.campaign("spring", 1)
    attempt_id = world.claim()
    world.store.campaigns.pause(campaign.id, "lunch", START)
    assert world.dial(attempt_id).dialed is Dialed.GIVEN_BACK
    assert not_placed(world, attempt_id) == "not_running"
    assert world.lead(1)["state"] == "pending"
    world.store.campaigns.resume(campaign.id, START)
    world.dial(world.claim())
    assert world.wire.dials == 1


def test_cancelled_between_claim_and_dial(world: World) -> None:
    campaign = world.campaign("spring", 1)
    attempt_id = world.claim()
    world.store.campaigns.cancel(campaign.id, START)
    assert world.dial(attempt_id).dialed is Dialed.GIVEN_BACK
    assert not_placed(world, attempt_id) == "not_running"
    assert world.lead(1)["state"] == "cancelled"


def test_suppressed_between_claim_and_dial(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    world.store.imports.suppress([phone(1)], "operator", "asked by mail", START)
    assert world.dial(attempt_id).dialed is Dialed.GIVEN_BACK
    assert not_placed(world, attempt_id) == "suppressed"
    assert world.lead(1)["state"] == "suppressed"


def test_window_closed_between_claim_and_dial(world: World) -> None:
    world.campaign("spring", 1)
    world.after(hours=9, minutes=54)  # 19:54 in New York
    attempt_id = world.claim()
    world.after(minutes=1)
    assert world.dial(attempt_id).dialed is Dialed.GIVEN_BACK
    assert not_placed(world, attempt_id) == "window_closed"
    assert world.lead(1)["state"] == "pending"
    assert world.due(1) == START + timedelta(hours=23)  # 09:00 on the next day
    assert world.pace() == []


def test_a_zone_that_is_not_known_any_more_is_held(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    world.sql("UPDATE leads SET zones = ''")
    assert world.dial(attempt_id).dialed is Dialed.GIVEN_BACK
    assert not_placed(world, attempt_id) == "unknown_timezone"
    lead = world.lead(1)
    assert (lead["state"], lead["hold_code"]) == ("held", "unknown_timezone")
    assert "time zone" in lead["hold_remedy"]


@pytest.mark.parametrize("how", ["pause", "suppress", "cancel"])
def test_stopped_while_waiting_for_its_turn(world: World, how: str) -> None:
    """What happens after the rows were read is seen by the commit itself."""
    campaign = world.campaign("spring", 1, cps=1.0)
    attempt_id = world.claim()
    world.limiter.answers.append((True, 1.5))

    def stop(seconds: float) -> None:
        if how == "pause":
            world.store.campaigns.pause(campaign.id, "lunch", START)
        elif how == "cancel":
            world.store.campaigns.cancel(campaign.id, START)
        else:
            world.store.imports.suppress([phone(1)], "operator", "asked", START)

    object.__setattr__(world.context, "sleep", stop)
    assert world.dial(attempt_id).dialed in (Dialed.DROPPED, Dialed.GIVEN_BACK)
    not_placed(world, attempt_id)
    expected = {"pause": "pending", "cancel": "cancelled", "suppress": "suppressed"}[how]
    assert world.lead(1)["state"] == expected


def test_a_window_that_closes_while_waiting_for_a_turn(world: World) -> None:
    world.campaign("spring", 1, cps=1.0)
    world.after(hours=9, minutes=54, seconds=59)
    attempt_id = world.claim()
    world.limiter.answers.append((True, 1.5))
    object.__setattr__(world.context, "sleep", lambda seconds: world.after(seconds=seconds))
    assert world.dial(attempt_id).dialed is Dialed.GIVEN_BACK
    assert not_placed(world, attempt_id) == "window_closed"


def test_a_worker_that_slept_gives_the_attempt_back(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    times = iter([100.0, *[100.0 + FENCE_SECONDS + 0.1] * 5])
    assert world.dial(attempt_id, awake=lambda: next(times)).dialed is Dialed.GIVEN_BACK
    assert not_placed(world, attempt_id) == "woke_up_late"
    assert world.lead(1)["state"] == "pending"
    assert world.transitions(attempt_id) == ["claimed", "dialing", "not_placed"]


def test_a_worker_that_slept_before_its_commit_judges_the_window_anew(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()

    def asleep() -> float:
        world.after(hours=10)
        return 100.0

    assert world.dial(attempt_id, awake=asleep).dialed is Dialed.GIVEN_BACK
    assert not_placed(world, attempt_id) == "window_closed"


def test_turns_under_the_calls_per_second(world: World) -> None:
    world.campaign("spring", 1, 2, cps=2.0)
    first, second = world.pace()
    world.limiter.answers.extend([(True, 0.5), (False, 7.0)])
    assert world.dial(first).dialed is Dialed.PLACED
    assert world.slept == [0.5]
    later = world.dial(second)
    assert later.dialed is Dialed.LATER
    assert 0 < later.again_in <= 7.0
    assert world.attempt(second)["state"] == "claimed"
    assert world.limiter.asked == [(f"{WORKSPACE}:retell-twilio", 2.0, CPS_PATIENCE)] * 2
    assert world.dial(second).dialed is Dialed.PLACED


def test_without_a_limit_no_turn_is_asked_for(world: World) -> None:
    world.campaign("spring", 1)
    world.dial(world.claim())
    assert world.limiter.asked == []


def test_without_the_limiter_nothing_is_dialed(world: World) -> None:
    world.campaign("spring", 1, cps=2.0)
    attempt_id = world.claim()
    world.limiter.answers.append(redis.ConnectionError("away"))
    assert world.dial(attempt_id).dialed is Dialed.GIVEN_BACK
    assert not_placed(world, attempt_id) == "limiter_away"
    assert world.due(1) > START


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_never_sent(world: World, failure: type[Exception]) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    world.wire.instead.append(failure("no route"))
    assert world.dial(attempt_id).dialed is Dialed.GIVEN_BACK
    row = world.attempt(attempt_id)
    assert (row["state"], row["charged"], row["refusal_status"]) == ("not_placed", False, 0)
    assert "no route" in row["refusal"]
    assert START < world.due(1) < START + timedelta(minutes=1)


def test_a_429_waits_as_asked_and_lowers_the_ceiling(world: World) -> None:
    campaign = world.campaign("spring", 1, 2, 3, 4)
    ids = world.pace()
    for attempt_id in ids[:2]:
        world.dial(attempt_id)
    world.wire.instead.append(error(429, **{"retry-after": "40"}))
    assert world.dial(ids[2]).dialed is Dialed.GIVEN_BACK
    row = world.attempt(ids[2])
    assert (row["state"], row["charged"], row["refusal_status"]) == ("not_placed", False, 429)
    wait = world.due(3) - START
    assert timedelta(seconds=40) <= wait <= timedelta(seconds=60)
    account = world.store.workspaces.account(WORKSPACE)
    assert account.shrunk_to == account.ceiling() == 3  # four were held when the 429 came
    assert account.age_ms is None  # asked anew at once
    assert world.campaign_now(campaign).state is CampaignState.RUNNING


def test_a_429_without_advice_waits_a_moment(world: World) -> None:
    world.campaign("spring", 1)
    world.wire.instead.append(error(429))
    world.dial(world.claim())
    wait = (world.due(1) - START).total_seconds()
    assert DEFERRED_BACKOFF <= wait <= 2 * DEFERRED_BACKOFF


@pytest.mark.parametrize("status", [400, 404, 422])
def test_refused(world: World, status: int) -> None:
    campaign = world.campaign("spring", 1, 2, 3, 4, 5, 6)
    attempt_id = world.pace()[0]
    world.wire.instead.append(error(status))
    assert world.dial(attempt_id).dialed is Dialed.GIVEN_BACK
    row = world.attempt(attempt_id)
    assert (row["state"], row["charged"], row["refusal_status"]) == ("not_placed", False, status)
    assert f"told {status}" in row["refusal"]
    assert world.due(1) > START
    assert world.campaign_now(campaign).state is CampaignState.RUNNING


UNKNOWN = [
    httpx.ReadTimeout("slow"),
    httpx.ReadError("reset"),
    httpx.WriteError("broken pipe"),
    httpx.RemoteProtocolError("gone"),
    error(500),
    error(503),
    error(408),
    error(409),
    httpx.Response(201, content=b'{"call_id": "ca'),
    httpx.Response(201, json={"call_id": ""}),
]


@pytest.mark.parametrize("answer", UNKNOWN, ids=str)
def test_an_unknown_verdict_holds_its_slot_and_is_never_dialed_again(
    world: World, answer: httpx.Response | Exception
) -> None:
    campaign = world.campaign("spring", 1)
    attempt_id = world.claim()
    world.wire.instead.append(answer)
    assert world.dial(attempt_id).dialed is Dialed.UNKNOWN
    row = world.attempt(attempt_id)
    assert (row["state"], row["charged"], row["call_id"]) == ("ambiguous", True, None)
    assert row["lease_until_real"] > 0
    assert world.store.attempts.holding_ids(WORKSPACE) == {attempt_id}
    assert world.dial(attempt_id).dialed is Dialed.DROPPED
    assert world.pace() == []
    assert world.lead(1)["state"] == "in_flight"
    assert world.campaign_now(campaign).state is CampaignState.RUNNING
    assert world.wire.dials == 1


def test_a_late_answer_settles_an_attempt_that_was_doubted_meanwhile(world: World) -> None:
    world.campaign("spring", 1, 2)
    placed, refused = world.pace()
    world.wire.before = lambda: world.store.attempts.doubt(placed, "lease ran out", START, 0) and None
    assert world.dial(placed).dialed is Dialed.PLACED
    assert world.attempt(placed)["state"] == "placed"
    world.wire.before = lambda: world.store.attempts.doubt(refused, "lease ran out", START, 0) and None
    world.wire.instead.append(error(422))
    assert world.dial(refused).dialed is Dialed.GIVEN_BACK
    assert world.attempt(refused)["state"] == "not_placed"


def test_the_lease_outlasts_the_longest_dial(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    world.engine.faults.next("create-phone-call", Fault("drop"))
    world.wire.before = lambda: leases.append(world.attempt(attempt_id))
    leases: list[dict[str, int]] = []
    world.dial(attempt_id)
    lasts = leases[0]["lease_until_real"] - leases[0]["dialing_real"]
    client = world.context.retell
    assert isinstance(client, RetellClient)
    assert lasts == lease_ms(world.context.dial_timeout) >= client.longest_dial * 1000 + 5_000
