"""The tallies are those of the rows, whoever writes them; and reading them reads no row."""

from __future__ import annotations

import random
import threading

import pytest
import sqlalchemy as sa
from store_steps import EAST, NOW, WORKSPACE, Steps, phone

from campaigns.domain.entities import CallResult, LeadOutcome
from campaigns.domain.retry import Exhausted, Hold, Reached, RetryAt
from campaigns.domain.states import AttemptState, LeadState

A = AttemptState
DECISIONS = {
    "human": Reached(), "callback": RetryAt(NOW), "no_answer": RetryAt(NOW), "busy": Exhausted("enough"),
    "unknown": Hold("unknown_outcome", "look"), "do_not_call": Exhausted("asked for"),
}  # fmt: skip


def settle_one(steps: Steps, campaign_id: str, outcome: str, successful: bool | None, cents: float) -> None:
    attempt_id = steps.attempt(campaign_id, A.PLACED)
    steps.end(attempt_id, CallResult(cost_cents=cents / 2))
    result = CallResult(cost_cents=cents, successful=successful)
    charged = outcome != "unknown"
    assert steps.store.results.settle(
        attempt_id, result, LeadOutcome(DECISIONS[outcome], outcome, charged), NOW
    )


def test_the_tallies_follow_every_move(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(30)))
    other = steps.campaign("autumn", *map(phone, range(40, 45)))
    steps.load(campaign_id, phone(90), state=LeadState.HELD, hold=("unknown_timezone", "name it"))
    for state in AttemptState:
        steps.attempt(campaign_id, state)
    dice = random.Random(7)
    for outcome in (*DECISIONS, *dice.choices(list(DECISIONS), k=8)):
        settle_one(steps, campaign_id, outcome, dice.choice((True, False, None)), dice.uniform(1, 40))
    reports, tallies = steps.store.reports, steps.store.tallies
    assert tallies.miscounted(campaign_id) == []
    steps.store.imports.suppress([phone(29), phone(42)], "test", "asked", NOW)
    steps.store.returns.release(campaign_id, "unknown_timezone", EAST, NOW)
    assert tallies.miscounted(campaign_id) == tallies.miscounted(other) == []
    steps.store.campaigns.cancel(other, NOW)
    assert tallies.miscounted(other) == []
    tally = tallies.of(campaign_id)
    assert tally.leads == reports.lead_counts(campaign_id)
    assert tally.attempts == reports.attempt_counts(campaign_id)
    assert sum(tally.outcomes.values()) == tally.attempts["settled"]
    assert tallies.of(other).leads == dict.fromkeys(LeadState, 0) | {"cancelled": 4, "suppressed": 1}


def test_a_tally_that_is_wrong_is_found(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(3)))
    settle_one(steps, campaign_id, "human", True, 12.5)
    steps.store.tallies.fold()  # on PostgreSQL each connection counts in rows of its own
    steps.execute("UPDATE lead_tallies SET leads = leads + 1 WHERE state = 'pending'")
    steps.execute("UPDATE attempt_tallies SET cost = cost - 5 WHERE state = 'settled'")
    assert steps.store.tallies.miscounted(campaign_id) == [
        "cost, settled: -5 in the tally", "leads, pending: +1 in the tally",
    ]  # fmt: skip


def test_contacts_and_successes_are_of_leads_not_of_calls(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    settle_one(steps, campaign_id, "callback", False, 10)
    for _ in range(2):
        settle_one(steps, campaign_id, "no_answer", None, 1.00004)
    settle_one(steps, campaign_id, "human", True, 20)
    tally = steps.store.tallies.of(campaign_id)
    assert (tally.dialed, tally.contacted, tally.succeeded) in {(1, 1, 1), (2, 1, 1), (2, 2, 1)}
    contacted = steps.rows(sa.text("SELECT 1 FROM leads WHERE contacted"))  # type: ignore[arg-type]
    assert tally.contacted == len(contacted)
    assert tally.cost_cents == pytest.approx(32.0, abs=1e-9)
    assert tally.outcomes == {"no_answer": 2, "callback": 1, "human": 1}


def test_what_was_not_placed_is_counted_by_its_cause(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(9)))
    refusals = [
        ("window_closed", 0), ("window_closed", 0), ("concurrency 20 of 20", 429), ("no such agent", 422),
        ("[Errno 111] Connection refused", 0),
    ]  # fmt: skip
    for why, status in refusals:
        attempt_id = steps.attempt(campaign_id, A.DIALING)
        assert steps.store.attempts.give_back(attempt_id, A.DIALING, why, status, NOW, NOW)
    assert steps.store.tallies.of(campaign_id).deferrals == {
        "window_closed": 2, "not_sent": 1, "refused_422": 1, "refused_429": 1,
    }  # fmt: skip
    assert steps.store.tallies.miscounted(campaign_id) == []


def test_writers_at_once_and_a_fold_lose_no_count(steps: Steps) -> None:
    ids = [steps.campaign(name, *map(phone, range(80))) for name in ("spring", "autumn")]
    failed: list[BaseException] = []

    def work(part: int) -> None:
        try:
            for n in range(part, 80, 4):
                # In turns the one campaign first and the other: no order of theirs may lead to a deadlock.
                with steps.store.database.write() as connection:
                    for campaign_id in ids if n % 8 < 4 else ids[::-1]:
                        values = {"id": campaign_id, "line": n + 2}
                        connection.execute(sa.text(_EXHAUST), values)
                steps.store.tallies.fold()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    steps.store.tallies.fold()
    for campaign_id in ids:
        assert steps.store.tallies.miscounted(campaign_id) == []
        assert steps.store.tallies.of(campaign_id).leads["exhausted"] == 80
    shards = steps.rows(sa.text("SELECT DISTINCT shard FROM lead_tallies"))  # type: ignore[arg-type]
    assert shards == [{"shard": 0}]


_EXHAUST = "UPDATE leads SET state = 'exhausted', attempts = 1 WHERE campaign_id = :id AND line = :line"


def test_one_statement_may_move_many_rows(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(20)))
    steps.execute("UPDATE leads SET state = 'exhausted', attempts = 2 WHERE id % 2 = 0")
    steps.execute("DELETE FROM leads WHERE state = 'pending'")
    tally = steps.store.tallies.of(campaign_id)
    assert (tally.leads["exhausted"], tally.leads["pending"], tally.dialed) == (10, 0, 10)
    assert steps.store.tallies.miscounted(campaign_id) == []


def test_the_tally_of_several_campaigns_is_that_of_each(steps: Steps) -> None:
    ids = [steps.campaign("spring", phone(1)), steps.campaign("autumn", phone(2), phone(3))]
    found = steps.store.tallies.of_each([*ids, "none"])
    assert [found[one].leads["pending"] for one in (*ids, "none")] == [1, 2, 0]
    assert steps.store.workspaces.account(WORKSPACE).limit is None
