"""Batch mode under faults in any order: what rings, when, and that every lead is accounted for once it is quiet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from batch_world import EAST, WEST, BatchWorld, number, real_time_of
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from services_world import WORKSPACE
from store_steps import empty

from campaigns.domain.states import AttemptState, CampaignState
from campaigns.store import Store

BRIEF = settings(
    deadline=None,
    max_examples=3,
    stateful_step_count=10,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(BRIEF, max_examples=500, stateful_step_count=25, derandomize=False, print_blob=True)
LEADS = 8
HORIZON = 180
TROUBLE = ("dropped", "died", "killed", "500", "429", "400", "unsent")


def _answer(trouble: str) -> str | httpx.Response | Exception:
    if trouble == "unsent":
        return httpx.ConnectError("no route")
    if trouble.isdigit():
        return httpx.Response(int(trouble), json={"status": "error", "message": f"told {trouble}"})
    return trouble


class BatchCycle(RuleBasedStateMachine):
    def __init__(self, store: Store) -> None:
        super().__init__()
        with store.database.write() as connection:
            empty(connection)
        # Twelve calls: two leads stand in both campaigns.
        self.world = BatchWorld(store, mean_call=150.0, concurrency=5, outcomes="human=3,dial_no_answer=2")
        self.unset = real_time_of(self.world.clock)
        options: dict[str, Any] = {
            "batch_horizon": f"{HORIZON}s",
            "retry": "no_answer:10m",
            "max_attempts": 2,
        }
        self.campaigns = [
            self.world.campaign("batch", [EAST, WEST] * (LEADS // 2), **options),
            self.world.campaign("mixed", [EAST] * 4, first=LEADS - 2, **{**options, "mode": "phone"}),
        ]
        self.messages: list[str] = []
        self.paused_at: datetime | None = None
        self.suppressed: dict[str, int] = {}

    def teardown(self) -> None:
        try:
            self._until_quiet()
        finally:
            self.unset()
            self.world.context.retell.close()

    # -- what happens

    @initialize()
    def begin(self) -> None:
        self.world.tick(1)

    @rule(seconds=st.sampled_from([1, 7, 30, 90]), times=st.integers(1, 4))
    def time_goes_on(self, seconds: int, times: int) -> None:
        for _ in range(times):
            self.world.tick(seconds)

    @rule(trouble=st.sampled_from(TROUBLE))
    def the_next_batch_meets_trouble(self, trouble: str) -> None:
        self.world.wire.trouble.append(_answer(trouble))

    @rule()
    def a_claim_waits_for_its_worker(self) -> None:
        self.messages += self.world.pace().batch_ids

    @rule()
    def messages_come_again(self) -> None:
        self.messages += [row["id"] for row in self.world.batches]
        for batch_id in self.messages:
            self.world.deliver(batch_id)

    @rule()
    def an_operator_pauses(self) -> None:
        if self.world.store.campaigns.pause(self.campaigns[0].id, "by hand", self.world.clock.at):
            self.paused_at = self.world.clock.at

    @rule()
    def an_operator_resumes(self) -> None:
        if self.world.store.campaigns.resume(self.campaigns[0].id, self.world.clock.at):
            self.paused_at = None

    @rule(n=st.integers(0, LEADS - 1))
    def somebody_asks_not_to_be_called(self, n: int) -> None:
        self.world.store.imports.suppress([number(n)], "operator", "by mail", self.world.clock.at)
        self.suppressed.setdefault(number(n), int(self.world.clock.at.timestamp() * 1000))

    @rule(foreign=st.sampled_from([0, 2, 5]))
    def others_use_the_account(self, foreign: int) -> None:
        self.world.engine.configure({"foreign": foreign})

    @rule(lag=st.sampled_from([0.0, 20.0, 100.0]))
    def lists_lag(self, lag: float) -> None:
        self.world.engine.configure({"listing_lag": lag})

    # -- what is promised

    @invariant()
    def nobody_rings_who_must_not(self) -> None:
        world = self.world
        calls = [call for call in world.engine.calls if call.rang]
        rung = Counter(call.attempt_id for call in calls)
        assert not [attempt for attempt, times in rung.items() if times > 1]
        batches = {row["id"]: row for row in world.batches}
        attempts = {row["id"]: row for row in world.attempts}
        for call in calls:
            attempt = attempts[call.attempt_id or ""]
            asked = self.suppressed.get(call.to_number)
            if attempt["batch_id"] is None:
                assert asked is None or call.created_ms <= asked
                continue
            batch = batches[attempt["batch_id"]]
            assert (
                batch["begins_at"] <= call.created_ms < batch["ends_at"] <= batch["sent_at"] + HORIZON * 1000
            )
            assert asked is None or batch["sent_at"] <= asked, "sent before it was asked for, or not at all"
            assert attempt["state"] not in ("claimed", "not_placed"), "what the books gave up rings"
        if self.paused_at is not None:
            batched = [call for call in calls if call.batch_call_id is not None]
            last = max((call.created_ms for call in batched), default=0) / 1000
            assert last <= self.paused_at.timestamp() + HORIZON

    @invariant()
    def the_lines_hold(self) -> None:
        summary = self.world.engine.summary()
        assert summary["peak_concurrency"] <= 5

    def _until_quiet(self) -> None:
        """No more trouble: everything comes to a final account, with an operator's word where nobody else knows."""
        world = self.world
        world.wire.trouble.clear()
        world.engine.configure({"foreign": 0, "listing_lag": 0.0})
        for round_ in range(120):
            for campaign in self.campaigns:
                world.store.campaigns.resume(campaign.id, world.clock.at)
            self.paused_at = None
            world.tick(30 if round_ < 20 else 240)
            self._resolve()
            counts = [world.lead_counts(one) for one in self.campaigns]
            if not any(count.keys() & {"pending", "in_flight"} for count in counts):
                break
            world.leave_out_quiet_hours(self.campaigns)  # a number at its cap waits for tomorrow
        self.nobody_rings_who_must_not()
        accounts = {"reached", "exhausted", "suppressed", "held"}
        for campaign in self.campaigns:
            assert world.lead_counts(campaign).keys() <= accounts, world.lead_counts(campaign)
            world.holds(campaign)
        assert world.store.attempts.holding_ids(WORKSPACE) == set()
        assert world.store.batches.load(WORKSPACE).held == 0

    def _resolve(self) -> None:
        attempts, now = self.world.store.attempts, self.world.clock.at
        for row in self.world.attempts:
            if row["state"] != AttemptState.UNRESOLVED:
                continue
            calls = [call for call in self.world.engine.calls if call.attempt_id == row["id"]]
            if calls:
                attempts.place(row["id"], AttemptState.UNRESOLVED, calls[0].call_id, now)
            else:
                attempts.give_back(row["id"], AttemptState.UNRESOLVED, "not placed, by hand", 0, now, now)
            for campaign in self.campaigns:
                if self.world.now(campaign).state == CampaignState.COMPLETED:
                    self.world.store.campaigns.launch(campaign.id, now)


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('batch_machine') / 'campaigns.db'}")
    yield store
    store.close()


def test_batches_under_faults_in_any_order(one_store: Store) -> None:
    run_state_machine_as_test(lambda: BatchCycle(one_store), settings=BRIEF)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_five_hundred_batch_cycles(one_store: Store) -> None:
    run_state_machine_as_test(lambda: BatchCycle(one_store), settings=LONG)
