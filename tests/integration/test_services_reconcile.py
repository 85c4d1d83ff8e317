"""What a crash, a lost message or an unknown answer left behind is put right, and nobody is rung twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from services_world import FROM, START, WORKSPACE, World, phone
from store_steps import EVIDENCE

from campaigns.domain.states import AttemptState, CampaignState
from campaigns.retell import CreatePhoneCall, Verdict
from campaigns.services import reconcile
from campaigns.services.dial import Dialed
from campaigns.simulator.faults import Fault

DROPPED = Fault("drop")
NEVER_MADE = Fault("drop", after=False)


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def unknown(world: World, fault: Fault, number: int = 1) -> str:
    """An attempt whose dial got no answer."""
    world.campaign(f"campaign {number}", number)
    attempt_id = world.claim()
    world.engine.faults.next("create-phone-call", fault)
    assert world.dial(attempt_id).dialed is Dialed.UNKNOWN
    return attempt_id


def killed_while_dialing(world: World, attempt_id: str, *, rang: bool) -> None:
    """A worker that committed and was killed: before the request left, or before its answer came."""
    order = world.store.attempts.dial_order(attempt_id)
    assert order is not None
    assert world.store.attempts.begin_dial(order, EVIDENCE, world.clock.now(), 40_000)
    if rang:
        world.engine.create_phone_call(
            {"from_number": FROM, "to_number": order.phone, "metadata": {"attempt_id": attempt_id}}
        )


def test_nothing_to_do_is_nothing_done(world: World) -> None:
    world.campaign("spring", 1, 2)
    for attempt_id in world.pace()[:1]:
        world.dial(attempt_id)
    assert not reconcile.reconcile(world.context).anything
    assert "list-calls" not in world.requests


def test_a_claim_whose_message_was_lost_is_given_back(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    assert not reconcile.reconcile(world.context).anything
    assert world.reconcile().freed_claims == 1
    row = world.attempt(attempt_id)
    assert (row["state"], row["refusal"], row["charged"]) == ("not_placed", "stale_claim", False)
    assert world.lead(1)["state"] == "pending"
    # The message turns up after all: it does nothing.
    assert world.dial(attempt_id).dialed is Dialed.DROPPED
    assert world.wire.dials == 0
    assert world.claim() != attempt_id


def test_a_call_that_rang_without_an_answer_is_adopted_once(world: World) -> None:
    attempt_id = unknown(world, DROPPED)
    [call] = world.engine.calls
    assert world.reconcile().adopted == 1
    row = world.attempt(attempt_id)
    assert (row["state"], row["call_id"], row["charged"]) == ("placed", call.call_id, True)
    assert not world.reconcile().anything
    assert world.transitions(attempt_id) == ["claimed", "dialing", "ambiguous", "placed"]
    world.after(hours=1)
    assert world.poll_and_settle() == 1
    assert world.lead(1)["state"] == "reached"
    assert world.rings == [phone(1)]


@pytest.mark.parametrize("rang", [True, False])
def test_a_worker_killed_between_commit_and_answer(world: World, rang: bool) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    killed_while_dialing(world, attempt_id, rang=rang)
    assert world.dial(attempt_id).dialed is Dialed.DROPPED
    assert not reconcile.reconcile(world.context).anything  # its lease is not over: it may still answer
    assert world.reconcile().doubted == 1
    done = world.reconcile()
    assert done.adopted == rang
    assert world.attempt(attempt_id)["state"] == ("placed" if rang else "ambiguous")
    assert world.wire.dials == 0
    assert len(world.rings) == rang


def overdue(world: World, attempt_id: str) -> None:
    world.sql(
        f"UPDATE attempts SET dialing_real = dialing_real - {reconcile.OVERDUE_MS + 1000} WHERE id = '{attempt_id}'"
    )


def test_an_overdue_dial_that_rang_is_taken_over_before_its_lease_ends(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    killed_while_dialing(world, attempt_id, rang=True)
    assert not reconcile.reconcile(world.context).anything  # its answer is not overdue
    overdue(world, attempt_id)
    assert reconcile.reconcile(world.context).adopted == 1
    assert world.transitions(attempt_id) == ["claimed", "dialing", "placed"]
    assert not world.reconcile().anything
    assert len(world.rings) == 1


def test_of_an_overdue_dial_that_is_not_found_nothing_is_concluded(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    killed_while_dialing(world, attempt_id, rang=False)
    overdue(world, attempt_id)
    for _ in range(5):
        assert not reconcile.reconcile(world.context).anything
    row = world.attempt(attempt_id)
    assert (row["state"], row["searches"]) == ("dialing", 0)


@pytest.mark.parametrize("fault", [None, DROPPED], ids=["answer", "no answer"])
def test_the_sender_of_an_overdue_dial_may_come_back(world: World, fault: Fault | None) -> None:
    """It was only slow: its call is in the books when its own answer arrives, or does not."""
    world.campaign("spring", 1)
    attempt_id = world.claim()
    world.engine.faults.next("create-phone-call", fault)
    real = world.context.retell.create_phone_call

    def slowly(request: CreatePhoneCall) -> Verdict:
        verdict = real(request)
        overdue(world, attempt_id)
        assert reconcile.reconcile(world.context).adopted == 1
        return verdict

    world.context.retell.create_phone_call = slowly  # type: ignore[method-assign]
    world.dial(attempt_id)
    assert world.transitions(attempt_id) == ["claimed", "dialing", "placed"]
    assert len(world.rings) == 1


def test_a_call_that_is_over_is_adopted_too(world: World) -> None:
    attempt_id = unknown(world, DROPPED)
    world.after(hours=1)
    assert world.reconcile().adopted == 1
    assert world.poll_and_settle() == 1
    assert world.attempt(attempt_id)["outcome"] == "human"


def test_a_search_comes_when_it_is_due_and_all_at_once(world: World) -> None:
    for number in (1, 2, 3):
        unknown(world, NEVER_MADE, number)
    later = (
        "UPDATE attempts SET lease_until_real = lease_until_real + 30000"  # a slow machine may take its time
    )
    world.sql(later)
    reconcile.reconcile(world.context)
    assert "list-calls" not in world.requests
    world.reconcile()
    assert world.requests["list-calls"] == 1
    world.sql(later)
    reconcile.reconcile(world.context)
    assert world.requests["list-calls"] == 1


def test_searches_become_rarer(world: World) -> None:
    attempt_id = unknown(world, NEVER_MADE)
    waits = []
    for _ in range(9):
        world.sql("UPDATE attempts SET lease_until_real = 1")
        reconcile.reconcile(world.context)
        row = world.attempt(attempt_id)
        waits.append(row["lease_until_real"] / 1000 - time.time())
    assert row["searches"] == 9
    assert waits[-1] > 4 * waits[0] > 0
    assert max(waits) <= reconcile.SEARCH_LONGEST_MS / 1000


def test_without_proof_an_unknown_dial_keeps_its_line_and_is_not_sent_again(world: World) -> None:
    attempt_id = unknown(world, NEVER_MADE)
    for _ in range(6):
        assert not world.reconcile().anything
    assert world.attempt(attempt_id)["state"] == "ambiguous"
    assert world.store.attempts.holding_ids(WORKSPACE) == {attempt_id}
    assert world.wire.dials == 1
    assert world.rings == []


def test_a_list_that_lags_is_no_proof_of_absence(world: World) -> None:
    world.engine.configure({"listing_lag": 3600.0})
    attempt_id = unknown(world, DROPPED)
    for _ in range(4):
        world.reconcile()
    assert world.attempt(attempt_id)["state"] == "ambiguous"
    world.engine.configure({"listing_lag": 0.0})
    assert world.reconcile().adopted == 1
    assert world.rings == [phone(1)]


def test_a_search_that_fails_proves_nothing(world: World) -> None:
    attempt_id = unknown(world, DROPPED)
    world.sql("UPDATE attempts SET dialing_real = 1")
    world.engine.configure({"faults": "list_500=1"})
    assert not world.reconcile().anything
    assert world.attempt(attempt_id)["state"] == "ambiguous"
    world.engine.configure({"faults": ""})
    assert world.reconcile().adopted == 1


def test_beyond_the_horizon_an_operator_decides(world: World) -> None:
    attempt_id = unknown(world, NEVER_MADE)
    world.reconcile()
    world.sql("UPDATE attempts SET dialing_real = dialing_real - 7200000")
    world.watched(attempt_id, 7200)
    assert world.reconcile().unresolved == 1
    row, lead = world.attempt(attempt_id), world.lead(1)
    assert row["state"] == "unresolved"
    assert (lead["state"], lead["hold_code"]) == ("held", "unresolved_attempt")
    assert f"campaigns resolve {attempt_id}" in lead["hold_remedy"]
    assert world.store.attempts.holding_ids(WORKSPACE) == set()
    assert not world.reconcile().anything
    assert world.wire.dials == 1


def test_two_calls_for_one_attempt_sound_the_alarm(world: World) -> None:
    attempt_id = unknown(world, DROPPED)
    killed = {"from_number": FROM, "to_number": phone(1), "metadata": {"attempt_id": attempt_id}}
    world.engine.create_phone_call(killed)
    world.reconcile()
    [campaign] = world.store.campaigns.listed(WORKSPACE)
    assert campaign.state is CampaignState.PAUSED
    for call in world.engine.calls:
        assert call.call_id in str(campaign.reason)
    row = world.attempt(attempt_id)
    assert row["state"] == "placed"
    assert row["call_id"] in {call.call_id for call in world.engine.calls}


def test_a_call_that_never_ends_is_left_to_an_operator(world: World) -> None:
    world.engine.configure({"faults": "never_ends=1"})
    world.campaign("spring", 1)
    attempt_id = world.claim()
    world.dial(attempt_id)
    world.clock.at += reconcile.STUCK_AFTER - timedelta(seconds=1)
    assert not world.reconcile().anything
    assert world.poll() == (0, [])
    world.after(seconds=2)
    assert world.reconcile().unresolved == 1
    assert world.attempt(attempt_id)["state"] == "unresolved"
    lead = world.lead(1)
    assert (lead["state"], lead["hold_code"]) == ("held", "unresolved_attempt")
    assert world.attempt(attempt_id)["call_id"] in lead["hold_remedy"]


def test_a_long_call_that_is_over_is_left_to_the_poller(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    world.dial(attempt_id)
    world.after(days=1)
    assert not world.reconcile().anything
    assert world.attempt(attempt_id)["state"] == "placed"
    assert world.poll_and_settle() == 1


def test_a_clock_set_forward_does_not_give_up_a_dial_that_was_just_sent(world: World) -> None:
    attempt_id = unknown(world, DROPPED)
    world.engine.configure({"listing_lag": 36000.0})
    world.sql("UPDATE attempts SET dialing_real = dialing_real - 3600000")  # an hour ago by the new time
    assert not world.reconcile().anything
    world.engine.configure({"listing_lag": 0.0})
    assert world.reconcile().adopted == 1
    assert world.attempt(attempt_id)["state"] == "placed"


def test_an_operator_who_finds_the_call_puts_it_on_its_way_again(world: World) -> None:
    attempt_id = unknown(world, DROPPED)
    world.engine.configure({"listing_lag": 36000.0})
    world.sql("UPDATE attempts SET dialing_real = dialing_real - 7200000")
    world.watched(attempt_id, 7200)
    assert world.reconcile().unresolved == 1
    [call] = world.engine.calls
    assert world.store.attempts.place(attempt_id, AttemptState.UNRESOLVED, call.call_id, world.clock.now())
    world.engine.configure({"listing_lag": 0.0})
    world.after(hours=1)
    assert world.poll_and_settle() == 1
    assert world.lead(1)["state"] == "reached"


def test_many_crashes_ring_everybody_once(world: World) -> None:
    """Half of the answers lost, messages delivered three times, reconciling in between: one ring per attempt."""
    campaign = world.campaign("spring", *range(1, 31), retry="none")
    dropped = 0
    for _ in range(12):
        for position, attempt_id in enumerate(world.pace()):
            if position % 2:
                world.engine.faults.next("create-phone-call", DROPPED)
                dropped += 1
            for _ in range(3):
                world.dial(attempt_id)
        world.reconcile()
        world.after(minutes=20)
        world.poll_and_settle()
    assert dropped > 10
    assert sorted(world.rings) == sorted(phone(number) for number in range(1, 31))
    assert world.lead_counts(campaign) == {"reached": 30}
    assert world.counts(campaign) == {"settled": 30}


def test_a_late_call_of_an_attempt_that_was_never_sent_is_not_ours(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    world.wire.instead.append(httpx.ConnectError("no route"))
    assert world.dial(attempt_id).dialed is Dialed.GIVEN_BACK
    assert not world.reconcile().anything
    assert world.due(1) > START
