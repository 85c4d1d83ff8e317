"""An unknown dial is sent again only on proof that nobody rang, and then once, under the same key."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from services_world import FROM, WORKSPACE, World, phone
from store_steps import EVIDENCE

from campaigns.domain.clock import from_ms
from campaigns.domain.entities import CampaignOptions
from campaigns.domain.recovery import EMPTY_SEARCHES, KEY_SECONDS, LONGEST_RING, MOST_SENDS, SEND_MARGIN
from campaigns.domain.states import AttemptState, CampaignState
from campaigns.retell import Calls
from campaigns.services import reconcile
from campaigns.services.dial import Dialed, lease_ms, redial
from campaigns.simulator.faults import Fault

NEVER_MADE = Fault("drop", after=False)
DROPPED = Fault("drop")
LIST = "/v3/list-calls"


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def old_enough(world: World) -> float:
    """Seconds after which no first sender can be on its way."""
    return lease_ms(world.context.dial_timeout) / 1000 + world.context.retell.longest_dial + SEND_MARGIN


def age(world: World, attempt_id: str, seconds: float, *, first: float | None = None) -> None:
    world.sql(
        f"UPDATE attempts SET dialing_real = dialing_real - {round(seconds * 1000)},"
        f" first_sent_real = first_sent_real - {round((first or seconds) * 1000)} WHERE id = '{attempt_id}'"
    )
    world.watched(attempt_id, seconds)


def doubtful(world: World, **options: Any) -> tuple[str, str]:
    """(an attempt with everything for a second send after one more empty search, a younger one that rings)."""
    world.campaign("spring", 1, 2, **{"retry": "none", **options})
    first, second = world.pace()
    world.engine.faults.next("create-phone-call", NEVER_MADE)
    assert world.dial(first).dialed is Dialed.UNKNOWN
    assert world.dial(second).dialed is Dialed.PLACED
    age(world, first, old_enough(world) + 1)
    searched(world, first, EMPTY_SEARCHES - 1)
    return first, second


def searched(world: World, attempt_id: str, times: int) -> None:
    world.sql(f"UPDATE attempts SET searches = {times} WHERE id = '{attempt_id}'")


def change_options(world: World, **changes: Any) -> None:
    [campaign] = world.store.campaigns.listed(WORKSPACE)
    options = {"from_numbers": (FROM,), "windows": ("Mon-Fri 09:00-20:00",), "retry": "none", **changes}
    world.store.campaigns.set_options(campaign.id, CampaignOptions(**options), world.clock.now())


def assert_not_sent_again(world: World, attempt_id: str) -> None:
    dials = world.wire.dials
    assert world.reconcile().sent_again == 0
    row = world.attempt(attempt_id)
    assert (row["state"], row["sends"], world.wire.dials) == ("ambiguous", 1, dials)
    assert row["lease_until_real"] > 0  # it is looked for again
    assert attempt_id in world.store.attempts.holding_ids(WORKSPACE)


class Rewritten(httpx.BaseTransport):
    """The simulator's lists with something done to their items."""

    def __init__(self, inner: httpx.BaseTransport, change: Any) -> None:
        self._inner, self._change = inner, change

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        if request.url.path != LIST:
            return answer
        page = json.loads(answer.read())
        self._change(page["items"])
        return httpx.Response(200, json=page)


# -- with the proof


def test_with_proof_the_same_attempt_is_sent_again_exactly_once(world: World) -> None:
    first, second = doubtful(world)
    assert world.reconcile().sent_again == 1
    row = world.attempt(first)
    assert (row["state"], row["sends"], row["searches"], row["charged"]) == ("placed", 2, 0, True)
    assert world.transitions(first) == ["claimed", "dialing", "ambiguous", "dialing", "placed"]
    [call] = [call for call in world.engine.calls if call.to_number == world.attempt(first)["phone"]]
    assert (call.idempotency_key, call.attempt_id, call.call_id) == (first, first, row["call_id"])
    assert not world.reconcile().anything
    for attempt_id in (first, second):  # messages that come again
        assert world.dial(attempt_id).dialed is Dialed.DROPPED
    assert world.wire.dials == 3
    world.after(hours=1)
    assert world.poll_and_settle() == 2
    assert world.lead(1)["state"] == world.lead(2)["state"] == "reached"
    assert sorted(world.rings) == [phone(1), phone(2)]


def test_a_clock_set_forward_is_no_proof_that_the_sender_is_gone(world: World) -> None:
    """By the machine's clock minutes have passed since the send; this process has known of it for a moment."""
    first, _ = doubtful(world)
    world.context.watched.clear()
    assert_not_sent_again(world, first)
    world.watched(first, old_enough(world) - 1)
    assert_not_sent_again(world, first)
    world.watched(first, 1)
    assert world.reconcile().sent_again == 1


def test_three_searches_of_its_own_come_first(world: World) -> None:
    first, _ = doubtful(world)
    searched(world, first, 0)
    for _ in range(EMPTY_SEARCHES - 1):
        assert_not_sent_again(world, first)
    assert world.reconcile().sent_again == 1


def test_a_witness_that_talks_is_enough_once_ours_cannot_ring_any_more(world: World) -> None:
    first, second = doubtful(world)
    talking(world, second)
    assert_not_sent_again(world, first)
    age(world, first, LONGEST_RING)
    assert world.reconcile().sent_again == 1


def talking(world: World, attempt_id: str) -> None:
    [call] = [call for call in world.engine.calls if call.attempt_id == attempt_id]
    connected = call.connected_ms()
    assert connected is not None
    world.clock.at = from_ms(connected + 1)


# -- without a single condition of it


def too_young(world: World, first: str, second: str) -> None:
    age(world, first, -3)


def searched_too_little(world: World, first: str, second: str) -> None:
    searched(world, first, EMPTY_SEARCHES - 2)


def witness_older(world: World, first: str, second: str) -> None:
    age(world, second, old_enough(world) + 60)


def witness_over(world: World, first: str, second: str) -> None:
    world.after(hours=1)


def list_lags(world: World, first: str, second: str) -> None:
    world.engine.configure({"listing_lag": 3600.0})


def list_hides_what_rings(world: World, first: str, second: str) -> None:
    world.engine.configure({"list_registered": False})


def list_fails(world: World, first: str, second: str) -> None:
    world.engine.configure({"faults": "list_500=1"})


def key_expired(world: World, first: str, second: str) -> None:
    age(world, first, 0, first=KEY_SECONDS)


def item_unreadable(world: World, first: str, second: str) -> None:
    world.wire._inner = Rewritten(world.wire._inner, lambda items: items.append({"call_id": None}))


def witness_unreadable(world: World, first: str, second: str) -> None:
    world.wire._inner = Rewritten(world.wire._inner, lambda items: items[0].update(metadata="gone"))


def window_closed(world: World, first: str, second: str) -> None:
    change_options(world, windows=("Mon-Fri 18:00-20:00",))


def paused(world: World, first: str, second: str) -> None:
    [campaign] = world.store.campaigns.listed(WORKSPACE)
    assert world.store.campaigns.pause(campaign.id, "lunch", world.clock.now())


def cancelled(world: World, first: str, second: str) -> None:
    [campaign] = world.store.campaigns.listed(WORKSPACE)
    assert world.store.campaigns.cancel(campaign.id, world.clock.now())


def suppressed(world: World, first: str, second: str) -> None:
    world.store.imports.suppress([world.attempt(first)["phone"]], "test", "asked", world.clock.now())


def no_turn(world: World, first: str, second: str) -> None:
    change_options(world, cps=1.0)
    world.limiter.answers.append((False, 4.0))


def limiter_away(world: World, first: str, second: str) -> None:
    change_options(world, cps=1.0)
    world.limiter.answers.append(redis.ConnectionError("gone"))


CONDITIONS = [
    too_young, searched_too_little, witness_older, witness_over, list_lags, list_hides_what_rings, key_expired,
    item_unreadable, witness_unreadable, window_closed, paused, cancelled, suppressed, no_turn, limiter_away,
]  # fmt: skip


@pytest.mark.parametrize("missing", CONDITIONS)
def test_without_a_single_condition_it_is_not_sent_again(world: World, missing: Any) -> None:
    first, second = doubtful(world)
    missing(world, first, second)
    assert_not_sent_again(world, first)


def test_a_search_that_fails_is_no_search(world: World) -> None:
    first, second = doubtful(world)
    list_fails(world, first, second)
    world.reconcile()
    row = world.attempt(first)
    assert (row["state"], row["sends"], row["searches"]) == ("ambiguous", 1, EMPTY_SEARCHES - 1)


@pytest.mark.parametrize("stop", [paused, cancelled, suppressed])
def test_what_stops_it_between_the_gate_and_the_commit(
    world: World, stop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = doubtful(world, cps=1.0)

    def reserve(key: str, per_second: float, patience: float) -> tuple[bool, float]:
        stop(world, first, second)
        return True, 0.0

    monkeypatch.setattr(world.limiter, "reserve", reserve)
    assert_not_sent_again(world, first)


def test_a_call_that_shows_up_in_the_same_search_is_adopted(world: World) -> None:
    world.campaign("spring", 1, 2)
    first, second = world.pace()
    world.engine.faults.next("create-phone-call", DROPPED)
    world.dial(first)
    world.dial(second)
    age(world, first, old_enough(world) + 1)
    searched(world, first, EMPTY_SEARCHES)
    done = world.reconcile()
    assert (done.adopted, done.sent_again, world.wire.dials) == (1, 0, 2)


# -- two at once


def test_reconcilers_with_the_same_evidence_send_at_most_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = doubtful(world)
    at_once = 4
    barrier = threading.Barrier(at_once, timeout=20)
    search = world.context.retell.list_calls

    def together(**conditions: Any) -> Calls:
        found = search(**conditions)
        barrier.wait()
        return found

    monkeypatch.setattr(world.context.retell, "list_calls", together)
    world.sql(f"UPDATE attempts SET lease_until_real = 1 WHERE id = '{first}'")
    with ThreadPoolExecutor(at_once) as pool:
        passes = [pool.submit(reconcile.reconcile, world.context) for _ in range(at_once)]
        sent = sum(one.result().sent_again for one in passes)
    assert sent == 1
    row = world.attempt(first)
    assert (row["state"], row["sends"], world.wire.dials) == ("placed", 2, 3)
    assert sorted(world.rings) == [phone(1), phone(2)]


def test_evidence_that_is_out_of_date_sends_nothing(world: World) -> None:
    first, _ = doubtful(world)
    world.sql(f"UPDATE attempts SET lease_until_real = 1 WHERE id = '{first}'")
    [one] = world.store.recovery.unknown_dials(WORKSPACE)
    world.store.attempts.search_again(first, 1000)
    assert not redial(world.context, one)
    assert world.wire.dials == 2


def test_a_call_that_shows_up_at_the_last_moment_is_not_sent_again(world: World) -> None:
    """Its searches and sends are still those of the proof: only its state tells."""
    first, _ = doubtful(world)
    world.sql(f"UPDATE attempts SET lease_until_real = 1 WHERE id = '{first}'")
    [one] = world.store.recovery.unknown_dials(WORKSPACE)
    now = world.context.clock.now()
    assert world.store.attempts.place(first, AttemptState.AMBIGUOUS, "call_late", now)
    order = world.store.attempts.dial_order(first)
    assert order is not None
    assert not world.store.recovery.redial(one, order, EVIDENCE, now, 40_000)
    row = world.attempt(first)
    assert (row["state"], row["sends"], row["call_id"]) == ("placed", 1, "call_late")


# -- what comes back


@pytest.mark.parametrize(
    "answer",
    [
        *(httpx.Response(status, json={"message": "no"}) for status in (400, 401, 402, 422, 429, 500, 503)),
        httpx.Response(201, content=b"{"),
        httpx.ConnectError("no route"),
        httpx.ReadTimeout("nothing came"),
    ],
    ids=str,
)
def test_a_second_send_without_a_call_id_stays_ambiguous(
    world: World, answer: httpx.Response | Exception
) -> None:
    first, _ = doubtful(world)
    world.wire.instead.append(answer)
    assert world.reconcile().sent_again == 1
    row = world.attempt(first)
    assert (row["state"], row["sends"], row["searches"], row["charged"]) == ("ambiguous", 2, 0, True)
    assert "sent again" in row["refusal"]
    assert world.lead(1)["state"] == "in_flight"
    assert world.wire.dials == 3
    assert world.reconcile().sent_again == 0  # the proof must be taken anew
    assert world.wire.dials == 3


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_second_send_refused_for_the_account_pauses_like_a_first(world: World, status: int) -> None:
    first, _ = doubtful(world)
    world.wire.instead.append(httpx.Response(status, json={"message": "no"}))
    world.reconcile()
    [campaign] = world.store.campaigns.listed(WORKSPACE)
    assert campaign.state is CampaignState.PAUSED
    assert f"refused the dial with {status}: no" in str(campaign.reason)
    assert world.attempt(first)["state"] == "ambiguous"
    age(world, first, old_enough(world) + 1)
    searched(world, first, EMPTY_SEARCHES)
    assert world.reconcile().sent_again == 0


def test_a_second_send_refused_for_the_lead_pauses_nothing(world: World) -> None:
    doubtful(world)
    world.wire.instead.append(httpx.Response(422, json={"message": "no"}))
    world.reconcile()
    [campaign] = world.store.campaigns.listed(WORKSPACE)
    assert campaign.state is CampaignState.RUNNING


def test_a_second_send_that_rang_without_an_answer_is_adopted(world: World) -> None:
    first, _ = doubtful(world)
    world.engine.faults.next("create-phone-call", DROPPED)
    assert world.reconcile().sent_again == 1
    assert world.reconcile().adopted == 1
    assert world.attempt(first)["state"] == "placed"
    assert sorted(world.rings) == [phone(1), phone(2)]


def test_an_attempt_is_sent_so_often_and_then_left_to_the_operator(world: World) -> None:
    first, _ = doubtful(world)
    for _ in range(MOST_SENDS + 2):
        world.engine.faults.next("create-phone-call", NEVER_MADE)
        world.reconcile()
        age(world, first, old_enough(world) + 1)
        searched(world, first, EMPTY_SEARCHES)
    assert world.attempt(first)["sends"] == MOST_SENDS
    assert world.wire.dials == 1 + MOST_SENDS
    age(world, first, reconcile.SEARCH_HORIZON)
    assert world.reconcile().unresolved == 1
    assert world.lead(1)["hold_code"] == "unresolved_attempt"
    assert first in world.lead(1)["hold_remedy"]


def test_a_worker_that_slept_after_its_commit_does_not_send(world: World) -> None:
    first, _ = doubtful(world)
    world.sql(f"UPDATE attempts SET lease_until_real = 1 WHERE id = '{first}'")
    [one] = world.store.recovery.unknown_dials(WORKSPACE)
    moments = iter([0.0, 100.0])
    redial(world.context, one, awake=lambda: next(moments))
    assert world.wire.dials == 2
    assert (world.attempt(first)["state"], world.attempt(first)["searches"]) == ("ambiguous", 0)


def test_a_killed_second_sender_is_searched_for_like_a_first(world: World) -> None:
    first, _ = doubtful(world)
    world.sql(f"UPDATE attempts SET lease_until_real = 1 WHERE id = '{first}'")
    [one] = world.store.recovery.unknown_dials(WORKSPACE)
    order = world.store.attempts.dial_order(first)
    assert order is not None
    assert world.store.recovery.redial(one, order, EVIDENCE, world.clock.now(), 40_000)
    assert world.attempt(first)["state"] == "dialing"
    assert world.reconcile().doubted == 1
    assert_doubt_begins_anew(world, first)


def assert_doubt_begins_anew(world: World, attempt_id: str) -> None:
    for _ in range(EMPTY_SEARCHES + 2):
        assert world.reconcile().sent_again == 0
    row = world.attempt(attempt_id)
    assert (row["state"], row["sends"], world.wire.dials) == ("ambiguous", 2, 2)
