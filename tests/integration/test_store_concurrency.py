"""Many at once, threads and processes, on both databases: limits hold and nobody is claimed twice."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from store_steps import EVIDENCE, NOW, WORKSPACE, Steps, phone, plan

from campaigns.domain.retry import RetryAt
from campaigns.domain.states import AttemptState
from campaigns.store import Store
from campaigns.store.schema import attempts, leads

A = AttemptState
LEADS, CEILING = 90, 7


def _due(steps: Steps, campaign_id: str) -> bool:
    return any(when <= NOW for _, when in steps.store.reports.earliest_pending(campaign_id))


def _claim_until_dry(steps: Steps, campaign_ids: list[str], deadline: float) -> tuple[list[str], int]:
    """Claim and give lines free again until no lead is left; (claimed attempts, most lines ever seen held)."""
    mine: list[str] = []
    most = 0
    while time.monotonic() < deadline:
        plans = [plan(campaign_id) for campaign_id in campaign_ids]
        won = steps.claim(*plans, ceiling=CEILING).attempt_ids
        most = max(most, steps.held_slots())
        mine.extend(won)
        for attempt_id in won:  # the call is over at once: its lead is final, its line free
            steps.dial(attempt_id)
            assert steps.store.attempts.place(attempt_id, A.DIALING, f"call_{attempt_id}", NOW)
            assert steps.store.attempts.give_up(attempt_id, A.PLACED, "test", "look", NOW)
        if not won and not any(_due(steps, name) for name in campaign_ids):
            return mine, most
    raise TimeoutError("leads were left unclaimed")


def _check(steps: Steps, results: list[tuple[list[str], int]]) -> None:
    claimed = [attempt_id for mine, _ in results for attempt_id in mine]
    assert len(claimed) == len(set(claimed)) == LEADS
    assert max(most for _, most in results) <= CEILING
    per_lead = Counter(row["lead_id"] for row in steps.rows(sa.select(attempts)))
    assert set(per_lead.values()) == {1}
    assert steps.happened("lead").count(("lead", "pending", "in_flight")) == LEADS


def _two_campaigns(steps: Steps) -> list[str]:
    half = LEADS // 2
    return [
        steps.campaign("one", *map(phone, range(half))),
        steps.campaign("two", *map(phone, range(half, LEADS))),
    ]


def test_threads_never_claim_above_the_ceiling_nor_a_lead_twice(steps: Steps) -> None:
    names = _two_campaigns(steps)
    deadline = time.monotonic() + 40
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(_claim_until_dry, steps, names, deadline) for _ in range(4)]
        _check(steps, [one.result() for one in running])


def _process(url: str, names: list[str], results: Any) -> None:
    store = Store.open(url)
    try:
        results.put(_claim_until_dry(Steps(store), names, time.monotonic() + 40))
    finally:
        store.close()


def test_processes_never_claim_above_the_ceiling_nor_a_lead_twice(steps: Steps, url: str) -> None:
    names = _two_campaigns(steps)
    spawn = multiprocessing.get_context("spawn")
    results = spawn.SimpleQueue()
    workers = [spawn.Process(target=_process, args=(url, names, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    _check(steps, [results.get() for _ in workers])
    results.close()


def _all_at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        start.wait(10)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [one.result(30) for one in [pool.submit(run, act) for act in acts]]


@pytest.mark.parametrize("step", ["dial", "place", "end", "settle", "give_back"])
def test_of_many_who_try_the_same_step_one_wins(steps: Steps, step: str) -> None:
    source = {"dial": A.CLAIMED, "end": A.PLACED, "settle": A.ENDED}.get(step, A.DIALING)
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), source)
    order = steps.store.attempts.dial_order(attempt_id)
    assert order is not None
    rows = steps.store.attempts
    act = {
        "dial": lambda: rows.begin_dial(order, EVIDENCE, NOW, 1000),
        "place": lambda: rows.place(attempt_id, A.DIALING, "call_1", NOW),
        "end": lambda: steps.end(attempt_id),
        "settle": lambda: steps.settle(attempt_id, RetryAt(NOW), "busy"),
        "give_back": lambda: rows.give_back(attempt_id, A.DIALING, "no", 0, NOW, NOW),
    }[step]
    before = len(steps.happened("attempt"))
    assert sorted(_all_at_once([act] * 6)) == [False] * 5 + [True]
    assert len(steps.happened("attempt")) == before + 1


def test_one_poller_gets_the_turn_and_one_settler_the_attempt(steps: Steps) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), A.ENDED)
    turns = _all_at_once([lambda: steps.store.workspaces.take_poll_turn(WORKSPACE)] * 6)
    assert sorted(turns) == [False] * 5 + [True]
    settlers = _all_at_once([lambda: steps.store.results.take_settling_turn([attempt_id], 60_000)] * 6)
    assert sorted(settlers) == [[]] * 5 + [[attempt_id]]


def _consistent(steps: Steps) -> None:
    """Every lead's state is where its events end, and in flight exactly while an attempt of it is open."""
    open_leads = {row["lead_id"] for row in steps.rows(sa.select(attempts)) if row["state"] in
                  ("claimed", "dialing", "ambiguous", "placed", "ended")}  # fmt: skip
    rows = steps.rows(sa.select(leads))
    assert {row["id"] for row in rows if row["state"] == "in_flight"} == open_leads
    with steps.store.database.read() as connection:
        for row in rows:
            told = connection.execute(
                sa.text(
                    "SELECT from_state, to_state FROM events WHERE subject = 'lead' AND lead_id = :id ORDER BY id"
                ),
                {"id": row["id"]},
            ).all()
            state = "pending"
            for source, target in told:
                assert source == state
                state = target
            assert state == row["state"]


def test_cancelling_while_calls_are_claimed_and_settled_leaves_no_lead_waiting(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(30)))
    ended = [steps.attempt(campaign_id, A.ENDED) for _ in range(8)]
    acts: list[Callable[[], Any]] = [
        lambda attempt_id=attempt_id: steps.settle(attempt_id, RetryAt(NOW + timedelta(hours=1)), "busy")
        for attempt_id in ended
    ]
    acts.insert(4, lambda: steps.store.campaigns.cancel(campaign_id, NOW))
    acts += [lambda: len(steps.claim(plan(campaign_id), ceiling=9).attempt_ids) >= 0] * 2
    assert all(_all_at_once(acts))
    counts = steps.store.reports.lead_counts(campaign_id)
    assert counts["pending"] == 0, "a settled lead went back to a campaign that was cancelled meanwhile"
    _consistent(steps)


def test_suppressing_while_leads_are_claimed_never_touches_one_in_flight(steps: Steps) -> None:
    names = [steps.campaign(f"c{n}", *map(phone, range(n * 20, n * 20 + 20))) for n in range(2)]
    acts: list[Callable[[], Any]] = [
        lambda number=number: steps.store.imports.suppress([phone(number)], "import", "asked", NOW)
        for number in range(40)[::7]
    ]
    acts += [lambda: steps.claim(*map(plan, names), ceiling=40)] * 2
    _all_at_once(acts)
    _consistent(steps)


def _while_uncommitted(steps: Steps, sql: str, act: Callable[[], Any]) -> Any:
    """What `act` returns when it starts while another's change is made but not yet committed."""
    with ThreadPoolExecutor(1) as pool:
        with steps.store.database.write() as connection:
            connection.execute(sa.text(sql))
            running = pool.submit(act)
            time.sleep(0.3)  # until it waits for the change; it may not finish before
            assert not running.done()
        return running.result(30)


def test_a_lead_claimed_in_this_moment_is_not_suppressed_under_its_call(steps: Steps) -> None:
    steps.campaign("spring", phone(1))
    before = steps.happened()
    _while_uncommitted(
        steps,
        "UPDATE leads SET state = 'in_flight'",
        lambda: steps.store.imports.suppress([phone(1)], "import", "asked", NOW),
    )
    assert steps.lead_row(phone(1))["state"] == "in_flight"
    assert steps.happened() == before


def test_a_lead_suppressed_in_this_moment_is_not_claimed(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    claimed = _while_uncommitted(
        steps,
        f"UPDATE leads SET state = 'suppressed' WHERE phone = '{phone(1)}'",
        lambda: steps.claim(plan(campaign_id)),
    )
    assert steps.dialed_numbers(claimed.attempt_ids) == [phone(2)]
    assert steps.lead_row(phone(1))["state"] == "suppressed"


@pytest.mark.parametrize("way", ["settle", "give_back"])
def test_a_campaign_cancelled_in_this_moment_takes_its_returning_leads_along(steps: Steps, way: str) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    attempt_id = steps.attempt(campaign_id, A.ENDED if way == "settle" else A.DIALING)
    rows = steps.store.attempts
    won = _while_uncommitted(
        steps,
        "UPDATE campaigns SET state = 'cancelled', finished_at = 1",
        lambda: (
            steps.settle(attempt_id, RetryAt(NOW), "busy")
            if way == "settle"
            else rows.give_back(attempt_id, A.DIALING, "429", 429, NOW, NOW)
        ),
    )
    assert won is True
    assert steps.lead_row(phone(1))["state"] == "cancelled"


def test_a_campaign_paused_in_this_moment_claims_nothing(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    claimed = _while_uncommitted(
        steps,
        "UPDATE campaigns SET state = 'paused', reason = 'lunch'",
        lambda: steps.claim(plan(campaign_id)),
    )
    assert claimed.attempt_ids == []
    assert steps.lead_row(phone(1))["state"] == "pending"
