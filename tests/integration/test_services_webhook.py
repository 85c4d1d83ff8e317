"""Webhooks are hints: in any order, any number of times or never, beside a poller or not, the books end the same."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services_world import FROM, WORKSPACE, World, phone
from store_steps import empty

from campaigns.domain.outcomes import DISPOSITIONS
from campaigns.retell import Call
from campaigns.services import results
from campaigns.services.webhook import ANALYZED, ENDED, STARTED, Received, receive
from campaigns.simulator.faults import Fault
from campaigns.store import Store
from campaigns.store.schema import metadata

EVENTS = (STARTED, ENDED, ANALYZED)
#: Everything of an attempt's row but ids and our own times.
KEPT = ("state", "call_id", "outcome", "charged", "disconnection_reason", "in_voicemail", "duration_ms", "cost_cents",
        "sentiment", "summary", "recording_url", "transcript", "analysis", "ended_at", "lease_until_real")  # fmt: skip


@pytest.fixture
def world(store: Store) -> Iterator[World]:
    made = World(store, webhook_url="http://receiver.invalid/", concurrency=1000, numbers=(), accept_any=True)
    yield made
    made.context.retell.close()


def everything(world: World) -> dict[str, list[Any]]:
    with world.store.database.read() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for table in metadata.sorted_tables
        }


def emptied(world: World) -> World:
    """Without rows and without calls, for the next of many cases."""
    with world.store.database.write() as connection:
        empty(connection)
    world.store.workspaces.ensure(WORKSPACE)
    world.engine.reset()
    return world


def hear(world: World, event: str, call: dict[str, Any]) -> Received:
    return receive(world.context, event, Call.model_validate(call))


def dialed(world: World, reason: str, number: int = 1, state: str = "placed", **options: Any) -> str:
    """An attempt of a campaign of its own whose call exists, and that the books have in a state."""
    world.campaign(f"campaign {number}", number, **{"profile": "none", "windows": (), **options})
    world.engine.script(phone(number), reason)
    if state != "placed":
        world.engine.faults.next("create-phone-call", Fault("drop"))
    attempt_id = world.claim()
    world.dial(attempt_id)
    if state == "dialing":
        world.sql(f"UPDATE attempts SET state = 'dialing', refusal = NULL WHERE id = '{attempt_id}'")
    elif state == "unresolved":
        now = world.clock.now()
        assert world.store.attempts.give_up(
            attempt_id, world.attempt(attempt_id)["state"], "why", "remedy", now
        )
    assert world.attempt(attempt_id)["state"] == state
    return attempt_id


def told(world: World, attempt_id: str) -> dict[str, dict[str, Any]]:
    """The webhooks of the attempt's call, an hour later: event -> call."""
    world.after(hours=1)
    return {
        each["event"]: each["call"]
        for each in world.engine.take_events()
        if each["call"]["metadata"]["attempt_id"] == attempt_id
    }


def kept(world: World, attempt_id: str) -> dict[str, Any]:
    row = world.attempt(attempt_id)
    return {name: row[name] for name in KEPT}


# -- each event by itself


def test_an_end_frees_the_line_an_analysis_decides_the_lead_and_nothing_is_asked(world: World) -> None:
    attempt_id = dialed(world, "hidden_voicemail", retry="machine:4h")
    events = told(world, attempt_id)
    before = world.requests
    assert hear(world, STARTED, events[STARTED]) == Received(ours=True)
    assert world.attempt(attempt_id)["state"] == "placed"
    assert hear(world, ENDED, events[ENDED]) == Received(ours=True, changed=True, freed=True)
    assert world.attempt(attempt_id)["state"] == "ended"
    assert world.store.attempts.holding_ids(WORKSPACE) == set()
    assert world.lead(1)["state"] == "in_flight"
    assert hear(world, ANALYZED, events[ANALYZED]) == Received(ours=True, changed=True)
    row = world.attempt(attempt_id)
    assert (row["state"], row["outcome"]) == ("settled", "machine")
    assert row["transcript"]
    assert world.lead(1)["state"] == "pending"
    assert world.requests == before


def test_a_call_that_never_connected_is_settled_at_its_end(world: World) -> None:
    attempt_id = dialed(world, "dial_busy")
    events = told(world, attempt_id)
    assert STARTED not in events
    assert hear(world, ENDED, events[ENDED]) == Received(ours=True, changed=True, freed=True)
    assert world.attempt(attempt_id)["outcome"] == "busy"
    before = everything(world)
    assert hear(world, ANALYZED, events[ANALYZED]) == Received(ours=True)
    assert everything(world) == before


def test_the_status_in_a_webhook_decides_nothing(world: World) -> None:
    """A documented sample of call_ended still says `registered`."""
    attempt_id = dialed(world, "user_hangup")
    events = told(world, attempt_id)
    assert not hear(world, STARTED, events[STARTED] | {"call_status": "ended"}).changed
    assert world.attempt(attempt_id)["state"] == "placed"
    assert hear(world, ENDED, events[ENDED] | {"call_status": "registered"}).freed
    assert world.attempt(attempt_id)["state"] == "ended"


def test_what_a_webhook_lacks_is_read_and_asked_for_once(world: World) -> None:
    attempt_id = dialed(world, "user_hangup")
    events = told(world, attempt_id)
    partial = {key: value for key, value in events[ANALYZED].items() if key != "transcript"}
    assert hear(world, ANALYZED, partial) == Received(ours=True, changed=True, freed=True, settle=attempt_id)
    assert hear(world, ANALYZED, partial) == Received(ours=True)
    assert results.settle(world.context, attempt_id)
    assert world.attempt(attempt_id)["transcript"]


def test_without_the_analysis_the_poller_waits_for_it(world: World) -> None:
    attempt_id = dialed(world, "hidden_voicemail")
    events = told(world, attempt_id)
    assert hear(world, ANALYZED, {**events[ANALYZED], "call_analysis": 7}).settle is None
    assert world.attempt(attempt_id)["state"] == "ended"
    assert world.poll_and_settle() == 1
    assert world.attempt(attempt_id)["outcome"] == "machine"


def test_text_that_no_database_takes_is_kept_without_its_bad_characters(world: World) -> None:
    """JSON may carry a NUL, which PostgreSQL refuses, and half a surrogate pair, which nobody can encode."""
    attempt_id = dialed(world, "user_hangup")
    call = told(world, attempt_id)[ANALYZED]
    bad = "a\x00b\ud800c"
    call["transcript"] = call["recording_url"] = bad
    call["call_analysis"] = {
        "call_summary": bad,
        "custom_analysis_data": {bad: [bad, {"deep": bad}, 7, None]},
    }
    assert hear(world, ANALYZED, call).changed
    row = world.attempt(attempt_id)
    assert {row["transcript"], row["recording_url"], row["summary"]} == {"ab?c"}
    assert json.loads(row["analysis"]) == {"ab?c": ["ab?c", {"deep": "ab?c"}, 7, None]}


@pytest.mark.parametrize("number", [10**17, 2**63, 10**40, -1])
def test_a_time_that_cannot_be_stops_nothing(world: World, number: int) -> None:
    attempt_id = dialed(world, "user_hangup")
    call = told(world, attempt_id)[ANALYZED]
    call["start_timestamp"] = call["end_timestamp"] = number
    assert hear(world, ANALYZED, call).changed
    row = world.attempt(attempt_id)
    assert (row["state"], row["outcome"]) == ("settled", "human")
    assert row["ended_at"] == world.clock.now().timestamp() * 1000


@pytest.mark.parametrize("event", ["transfer_started", "transcript_updated", "call_rings", ""])
def test_other_events_change_nothing(world: World, event: str) -> None:
    attempt_id = dialed(world, "user_hangup", state="ambiguous")
    call = told(world, attempt_id)[ANALYZED]
    before = everything(world)
    assert hear(world, event, call) == Received()
    assert everything(world) == before


def test_calls_of_others_change_nothing(world: World) -> None:
    attempt_id = dialed(world, "user_hangup")
    call = told(world, attempt_id)[ANALYZED]
    before = everything(world)
    world.store.workspaces.ensure("simulator")
    elsewhere = type(world.context)(**{**world.context.__dict__, "workspace": "simulator"})
    assert receive(elsewhere, ANALYZED, Call.model_validate(call)) == Received()
    theirs = ("0" * 32, "order 7", "a\x00b", "\ud800")
    for changed in (
        *({"metadata": {"attempt_id": one}} for one in theirs),
        {"metadata": None, "call_id": "call_of_others"},
    ):
        assert hear(world, ANALYZED, call | changed) == Received()
    world.sql("DELETE FROM workspaces WHERE name = 'simulator'")
    assert everything(world) == before


def test_without_metadata_the_call_id_tells_whose_it_is(world: World) -> None:
    attempt_id = dialed(world, "user_hangup")
    call = told(world, attempt_id)[ANALYZED]
    assert hear(world, ANALYZED, call | {"metadata": "?"}).changed
    assert world.attempt(attempt_id)["state"] == "settled"


# -- calls that nobody knew of


@pytest.mark.parametrize("state", ["dialing", "ambiguous", "unresolved"])
def test_any_event_proves_that_the_call_exists(world: World, state: str) -> None:
    attempt_id = dialed(world, "user_hangup", state=state)
    events = told(world, attempt_id)
    assert hear(world, STARTED, events[STARTED]) == Received(ours=True, changed=True)
    row = world.attempt(attempt_id)
    assert (row["state"], row["call_id"]) == ("placed", events[STARTED]["call_id"])
    assert world.lead(1)["state"] == "in_flight"
    assert not world.reconcile().anything
    assert world.poll_and_settle() == 1
    assert world.rings == [phone(1)]


def test_a_webhook_before_the_answer_of_the_dial(world: World) -> None:
    """The telephone rings, and its webhook is here, while the POST is still on its way back."""
    campaign = world.campaign("spring", 1)
    world.engine.script(phone(1), "user_hangup")
    attempt_id = world.claim()
    heard = []

    def on_its_way_back() -> None:
        [call] = world.engine.calls
        heard.append(hear(world, STARTED, call.show(call.connected_ms() or 0)))

    world.wire.after = on_its_way_back
    world.dial(attempt_id)
    assert heard == [Received(ours=True, changed=True)]
    assert world.transitions(attempt_id) == ["claimed", "dialing", "placed"]
    assert world.campaign_now(campaign).state == "running"


def test_a_call_given_up_as_endless_is_settled_when_its_end_comes(world: World) -> None:
    attempt_id = dialed(world, "user_hangup")
    events = told(world, attempt_id)
    now = world.clock.now()
    assert world.store.attempts.give_up(attempt_id, world.attempt(attempt_id)["state"], "stuck", "look", now)
    assert not hear(world, STARTED, events[STARTED]).changed
    assert world.lead(1)["state"] == "held"
    assert hear(world, ANALYZED, events[ANALYZED]).freed
    assert world.attempt(attempt_id)["outcome"] == "human"
    assert world.lead(1)["state"] == "reached"


def test_two_calls_for_one_attempt_sound_the_alarm_once(world: World) -> None:
    attempt_id = dialed(world, "user_hangup")
    campaign = world.store.campaigns.by_name("campaign 1")
    assert campaign is not None
    second = {"from_number": FROM, "to_number": phone(1), "metadata": {"attempt_id": attempt_id}}
    other = world.engine.create_phone_call(second)["call_id"]
    first = world.attempt(attempt_id)["call_id"]
    events = {
        (e["call"]["call_id"], e["event"]): e["call"] for e in world.after(hours=1).engine.take_events()
    }
    assert hear(world, STARTED, events[other, STARTED]) == Received(ours=True)
    paused = world.campaign_now(campaign)
    assert paused.state == "paused"
    assert all(call_id in (paused.reason or "") for call_id in (first, other))
    # The operator has looked at both: what comes later of the same calls does not pause again.
    assert world.store.campaigns.resume(campaign.id, world.clock.now())
    assert hear(world, ANALYZED, events[other, ANALYZED]) == Received(ours=True)
    assert world.attempt(attempt_id)["state"] == "placed"
    assert world.campaign_now(campaign).state == "running"
    assert hear(world, ANALYZED, events[first, ANALYZED]).freed
    assert world.attempt(attempt_id)["call_id"] == first


@pytest.mark.parametrize("state", ["claimed", "not_placed"])
def test_a_call_of_an_attempt_that_was_never_sent_sounds_the_alarm(world: World, state: str) -> None:
    """As after a restored backup, which has forgotten the dial: its lead would be rung a second time."""
    campaign = world.campaign("spring", 1)
    attempt_id = world.claim()
    if state == "not_placed":
        now = world.clock.now()
        assert world.store.attempts.give_back(
            attempt_id, world.attempt(attempt_id)["state"], "stale", 0, now, now
        )
    made = world.engine.create_phone_call(
        {"from_number": FROM, "to_number": phone(1), "metadata": {"attempt_id": attempt_id}}
    )
    assert hear(world, STARTED, made) == Received(ours=True)
    now_paused = world.campaign_now(campaign)
    assert (now_paused.state, made["call_id"] in (now_paused.reason or "")) == ("paused", True)
    assert world.attempt(attempt_id)["state"] == state
    assert world.dial_all() == []


def test_an_answer_with_another_call_than_the_webhook_sounds_the_alarm(world: World) -> None:
    campaign = world.campaign("spring", 1)
    attempt_id = world.claim()

    def another() -> None:
        made = world.engine.create_phone_call(
            {"from_number": FROM, "to_number": phone(1), "metadata": {"attempt_id": attempt_id}}
        )
        hear(world, STARTED, made)

    world.wire.before = another
    world.dial(attempt_id)
    assert world.campaign_now(campaign).state == "paused"
    assert "two calls" in (world.campaign_now(campaign).reason or "")


# -- every order


def expected(world: World, attempt_id: str) -> dict[str, Any]:
    """What the books must have in the end, from the call itself."""
    [call] = [call for call in world.engine.calls if call.attempt_id == attempt_id]
    whole = results.result_of(Call.model_validate(call.show(int(world.clock.now().timestamp() * 1000))))
    return {name: value for name, value in asdict(whole).items() if name in KEPT}


def test_every_order_and_every_repetition_comes_to_the_same(world: World) -> None:
    """From each state in which a webhook can find the attempt, against the call itself, row by row."""
    for reason, state in itertools.product(
        ("hidden_voicemail", "dial_no_answer"),
        ("placed", "dialing", "ambiguous", "unresolved"),
    ):
        for order in itertools.permutations(EVENTS):
            attempt_id = dialed(emptied(world), reason, 1, state, retry="none")
            events = told(world, attempt_id)
            freed = [
                hear(world, event, events[event]).freed
                for event in (*order, *reversed(order))
                if event in events
            ]
            assert sum(freed) == 1
            row, want = world.attempt(attempt_id), expected(world, attempt_id)
            assert row["state"] == "settled"
            if reason != "dial_no_answer":  # its analysis says nothing and is not waited for
                analysis = row.pop("analysis")
                assert (analysis is None) == (want.pop("analysis") is None)
                want["ended_at"] = (
                    row["ended_at"] if state != "placed" else want["ended_at"].timestamp() * 1000
                )
                assert {name: row[name] for name in want} == want, (reason, state, order)
            outcome = "machine" if reason == "hidden_voicemail" else "no_answer"
            assert (row["outcome"], row["charged"]) == (outcome, True)
            assert world.lead(1)["attempts"] == 1
    assert "get-call" not in world.requests


STEPS = st.lists(st.sampled_from([*EVENTS, "poll", "settle", "reconcile"]), max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    state=st.sampled_from(["placed", "dialing", "ambiguous"]),
    reason=st.sampled_from(
        ["user_hangup", "hidden_voicemail", "dial_busy", "error_unknown", "never_heard_of"]
    ),
    steps=STEPS,
)
def test_webhooks_beside_a_poller_come_to_the_same_as_the_poller_alone(
    world: World, state: str, reason: str, steps: list[str]
) -> None:
    scripted = "user_hangup" if reason == "never_heard_of" else reason
    attempt_id = dialed(emptied(world), scripted, 1, state)
    events = told(world, attempt_id)
    if reason != scripted:
        for call in events.values():
            call["disconnection_reason"] = reason
    ready: list[str] = []
    for step in steps:
        if step in EVENTS:
            if step in events:
                answer = hear(world, step, events[step])
                ready += [answer.settle] if answer.settle else []
        elif step == "poll":
            ready += world.poll()[1]
        elif step == "settle":
            for one in ready:
                results.settle(world.context, one)
        else:
            world.reconcile()
    # All messages may have been lost; the poller's turn comes again.
    world.reconcile()
    world.reconcile()
    world.sql("UPDATE attempts SET lease_until_real = NULL WHERE state = 'ended'")
    world.poll_and_settle()
    row, lead = world.attempt(attempt_id), world.lead(1)
    moves = world.transitions(attempt_id)
    assert moves[moves.index("placed") :] == ["placed", "ended", "settled"]
    outcome = row["outcome"]
    if reason == "never_heard_of":
        assert outcome in ("unknown", "human")  # as Retell's list or its webhook had it: the first to tell
    else:
        known = "machine" if reason == "hidden_voicemail" else DISPOSITIONS[reason].outcome
        assert outcome == known
    assert lead["attempts"] == (1 if row["charged"] else 0)
    assert world.rings == [phone(1)] * len(world.rings)


def test_webhooks_and_pollers_at_the_same_moment(world: World) -> None:
    """Each call ends once, is settled once, and is charged once, whoever of many threads is first."""
    world.campaign("spring", *range(1, 31), retry="none")
    world.dial_all()
    world.after(hours=2)
    told_now = world.engine.take_events()
    gate = threading.Barrier(4)
    failures: list[BaseException] = []

    def webhooks(deliveries: list[dict[str, Any]]) -> None:
        for each in deliveries:
            hear(world, each["event"], each["call"])

    def poller() -> None:
        for _ in range(5):
            world.poll_and_settle()

    def run(work: Any, *arguments: Any) -> None:
        try:
            gate.wait(10)
            work(*arguments)
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=run, args=(webhooks, told_now)),
        threading.Thread(target=run, args=(webhooks, told_now[::-1])),
        threading.Thread(target=run, args=(webhooks, told_now[1::2] + told_now[::2])),
        threading.Thread(target=run, args=(poller,)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    for number in range(1, 31):
        assert (world.lead(number)["state"], world.lead(number)["attempts"]) == ("reached", 1)
    with world.store.database.read() as connection:
        moves = connection.exec_driver_sql(
            "SELECT to_state, count(*) FROM events WHERE subject = 'attempt' GROUP BY to_state"
        ).all()
    assert dict(map(tuple, moves)) == dict.fromkeys(("claimed", "dialing", "placed", "ended", "settled"), 30)
