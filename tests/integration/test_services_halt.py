"""Pausing everything, hanging up, and a further pass over leads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from services_world import WORKSPACE, World, phone

from campaigns.domain.states import AttemptState, CampaignState
from campaigns.retell import CreatePhoneCall, Placed
from campaigns.services.halt import PATIENCE, Halted, stop_calls


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


class Passing:
    """Real time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.during: list[Callable[[], None]] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.during:
            self.during.pop(0)()

    def monotonic(self) -> float:
        return self.now


def halt(world: World, passing: Passing | None = None, only: list[str] | None = None) -> Halted:
    passing = passing or Passing()
    return stop_calls(
        world.store,
        world.context.retell,
        WORKSPACE,
        world.clock.now,
        only,
        sleep=passing.sleep,
        monotonic=passing.monotonic,
    )


def test_everything_is_paused_in_one_step_and_nothing_is_dialed_any_more(world: World) -> None:
    running = world.campaign("spring", 1, 2)
    waiting = world.campaign("autumn", 3, launch=False, start_at="2026-12-09T15:00:00Z")
    world.store.campaigns.launch(waiting.id, world.clock.now())
    tripped = world.campaign("winter", 4)
    world.store.campaigns.trip(tripped.id, "trouble", world.clock.now(), world.clock.now())
    draft = world.campaign("draft", 5, launch=False)
    claimed = world.pace()
    assert len(claimed) == 2
    paused = world.store.campaigns.pause_all("stop", world.clock.now())
    assert sorted(paused) == sorted([running.id, waiting.id, tripped.id])
    assert world.store.campaigns.pause_all("stop", world.clock.now()) == []
    for attempt_id in claimed:
        world.dial(attempt_id)
    assert world.rings == []
    assert world.pace() == []
    assert world.campaign_now(tripped).resume_at is None
    assert world.campaign_now(draft).state == CampaignState.DRAFT


def test_calls_in_progress_are_hung_up_and_their_results_collected(world: World) -> None:
    spring = world.campaign("spring", 1, 2, retry="none")
    world.campaign("autumn", 3)
    world.dial_all()
    world.store.campaigns.pause(spring.id, "stop", world.clock.now())
    halted = halt(world, only=[spring.id])
    assert len(halted.stopped) == 2
    assert halted.failed == {}
    world.after(minutes=2)
    world.poll_and_settle()
    assert world.counts(spring) == {"settled": 2}
    assert world.requests["stop-call"] == 2
    assert {one["outcome"] for one in map(world.lead, (1, 2))} == {"stopped"}
    # The other campaign's call went on to its own end.
    assert world.lead(3)["outcome"] != "stopped"


def test_a_dial_that_is_on_its_way_is_hung_up_when_it_arrives(world: World) -> None:
    spring = world.campaign("spring", 1)
    claimed = world.claim()
    passing = Passing()
    order = world.store.attempts.dial_order(claimed)
    assert order is not None
    world.sql(f"UPDATE attempts SET state = 'dialing', dialing_at = claimed_at WHERE id = '{claimed}'")

    def arrives() -> None:
        """The answer comes while we wait."""
        request = CreatePhoneCall(from_number=order.from_number, to_number=order.phone)
        verdict = world.context.retell.create_phone_call(request)
        assert isinstance(verdict, Placed)
        assert world.store.attempts.place(claimed, AttemptState.DIALING, verdict.call_id, world.clock.now())

    passing.during.append(arrives)
    world.store.campaigns.pause(spring.id, "stop", world.clock.now())
    halted = halt(world, passing)
    assert len(halted.stopped) == 1
    assert halted.unknown == 0


def test_what_cannot_be_hung_up_or_is_unknown_is_said(world: World) -> None:
    world.campaign("spring", 1, 2)
    first, second = world.pace()
    world.dial(first)
    world.wire.instead.append(httpx.ReadTimeout("no answer"))
    world.dial(second)
    world.engine.configure({"faults": "stop_500_before=1"})
    passing = Passing()
    halted = halt(world, passing)
    assert halted.stopped == []
    assert list(halted.failed) == [world.attempt(first)["call_id"]]
    assert halted.unknown == 1
    assert passing.now >= PATIENCE


# -- recycling


def test_a_further_pass_keeps_history_and_begins_the_budget_anew(world: World) -> None:
    campaign = world.campaign("spring", 1, 2, retry="no_answer:1h", max_attempts=2)
    world.engine.script(phone(2), "user_hangup")
    for _ in range(2):
        world.engine.script(phone(1), "dial_no_answer")
        world.dial_all()
        world.after(hours=1.1)
        world.poll_and_settle()
    assert world.lead(1)["state"] == "exhausted"
    world.pace()
    assert world.campaign_now(campaign).state == CampaignState.COMPLETED
    assert world.store.returns.recycle(campaign.id, ["busy"], world.clock.now()) == 0
    assert world.store.returns.recycle(campaign.id, ["no_answer", "machine"], world.clock.now()) == 1
    assert world.store.returns.recycle(campaign.id, ["no_answer"], world.clock.now()) == 0
    assert (world.lead(1)["state"], world.lead(1)["attempts"]) == ("pending", 2)
    assert world.lead(2)["state"] == "reached"
    assert world.store.campaigns.launch(campaign.id, world.clock.now())
    # The third attempt of the day is within the cap, and a retry of its own follows: a fourth, which the cap defers.
    world.engine.script(phone(1), "dial_no_answer")
    assert len(world.dial_all()) == 1
    world.after(hours=1.1)
    world.poll_and_settle()
    lead = world.lead(1)
    assert (lead["state"], lead["attempts"]) == ("pending", 3)
    assert world.pace() == []
    world.after(hours=24)
    assert len(world.dial_all()) == 1
    told = [one["detail"] for one in world.store.listings.events(campaign.id, 200)]
    assert told.count("recycled") == 1
