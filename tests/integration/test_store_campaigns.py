"""Campaign rows: made once, moved by guarded steps, completed only when nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from store_steps import EAST, NOW, WEST, WORKSPACE, Steps, phone, plan

from campaigns.domain.entities import CampaignOptions
from campaigns.domain.retry import Hold, Reached, RetryAt
from campaigns.domain.states import CAMPAIGN_TRANSITIONS, AttemptState, CampaignState
from campaigns.store.events import real_ms
from campaigns.store.names import campaign_names

C = CampaignState
LATER = NOW + timedelta(hours=1)

#: name -> (method, sources, target); the campaign has no leads, so that it can be completed.
MOVES: dict[str, tuple[Callable[[Steps, str], bool], set[CampaignState], CampaignState]] = {
    "launch": (
        lambda s, c: s.store.campaigns.launch(c, LATER),
        {C.DRAFT, C.SCHEDULED, C.COMPLETED},
        C.RUNNING,
    ),
    "pause": (lambda s, c: s.store.campaigns.pause(c, "lunch", LATER), {C.RUNNING, C.SCHEDULED}, C.PAUSED),
    "resume": (lambda s, c: s.store.campaigns.resume(c, LATER), {C.PAUSED}, C.RUNNING),
    "cancel": (
        lambda s, c: s.store.campaigns.cancel(c, LATER),
        {C.DRAFT, C.SCHEDULED, C.RUNNING, C.PAUSED},
        C.CANCELLED,
    ),
    "complete": (lambda s, c: s.store.campaigns.complete_if_done(c, LATER), {C.RUNNING}, C.COMPLETED),
}


def _in_state(steps: Steps, state: CampaignState) -> str:
    campaign_id = steps.draft()
    rows = steps.store.campaigns
    if state is C.SCHEDULED:
        steps.execute("UPDATE campaigns SET state = 'scheduled'")
    elif state is C.CANCELLED:
        assert rows.cancel(campaign_id, NOW)
    elif state is not C.DRAFT:
        assert rows.launch(campaign_id, NOW)
        if state is C.PAUSED:
            assert rows.pause(campaign_id, "lunch", NOW)
        elif state is C.COMPLETED:
            assert rows.complete_if_done(campaign_id, NOW)
    found = rows.get(campaign_id)
    assert found is not None
    assert found.state is state
    return campaign_id


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("state", list(CampaignState))
def test_a_move_wins_once_from_its_sources_and_never_from_elsewhere(
    steps: Steps, name: str, state: CampaignState
) -> None:
    move, sources, target = MOVES[name]
    campaign_id = _in_state(steps, state)
    before, events = steps.everything(), steps.happened()
    won = move(steps, campaign_id)
    assert won is (state in sources)
    if not won:
        assert steps.everything() == before
        return
    assert target in CAMPAIGN_TRANSITIONS[state]
    assert steps.happened() == [*events, ("campaign", state, target)]
    after = steps.everything()
    assert move(steps, campaign_id) is False
    assert steps.everything() == after


def test_a_name_is_taken_once(steps: Steps) -> None:
    rows = steps.store.campaigns
    options = CampaignOptions(agents=("a",), from_numbers=("+15550100",), windows=("daily 9-17",), cps=2.5)
    made = rows.create("spring", WORKSPACE, options, NOW)
    assert made is not None
    assert rows.create("spring", WORKSPACE, CampaignOptions(), NOW) is None
    assert rows.get(made.id) == rows.by_name("spring") == made
    assert (made.state, made.reason, made.options, made.created_at) == (C.DRAFT, None, options, NOW)
    assert made.launched_at is made.finished_at is None
    assert rows.get("none") is None
    assert rows.by_name("none") is None
    assert steps.happened() == [("campaign", None, "draft")]


def test_campaigns_are_listed_in_the_order_they_were_made(steps: Steps) -> None:
    rows = steps.store.campaigns
    for number, (name, workspace) in enumerate([("one", WORKSPACE), ("two", "globex"), ("three", WORKSPACE)]):
        assert rows.create(name, workspace, CampaignOptions(), NOW + timedelta(seconds=number))
    three = rows.by_name("three")
    assert three
    assert rows.launch(three.id, NOW)
    assert [found.name for found in rows.listed()] == ["one", "two", "three"]
    assert [found.name for found in rows.listed(WORKSPACE)] == ["one", "three"]
    assert [found.name for found in rows.listed(states=[C.RUNNING])] == ["three"]
    assert rows.listed("globex", [C.RUNNING]) == []


def test_options_can_be_changed(steps: Steps) -> None:
    campaign_id = steps.draft()
    changed = CampaignOptions(concurrency=7, profile="none")
    steps.store.campaigns.set_options(campaign_id, changed, NOW)
    found = steps.store.campaigns.get(campaign_id)
    assert found
    assert found.options == changed
    last = steps.store.listings.events(campaign_id, 10)[-1]
    assert (last["from_state"], last["to_state"]) == ("draft", "draft")
    assert last["detail"] == "concurrency none -> 7; profile us-sales -> none"
    before = steps.everything()
    steps.store.campaigns.set_options(campaign_id, changed, NOW)
    assert steps.everything() == before


def test_what_a_new_campaign_has_of_its_own_is_recorded(steps: Steps) -> None:
    made = steps.store.campaigns.create("lifted", WORKSPACE, CampaignOptions(profile="none"), NOW)
    assert made
    assert [event["detail"] for event in steps.store.listings.events(made.id, 10)] == [
        "profile us-sales -> none"
    ]


def test_the_times_and_reason_of_a_campaign_follow_its_state(steps: Steps) -> None:
    rows = steps.store.campaigns
    campaign_id = steps.draft()

    def look() -> tuple[object, ...]:
        found = rows.get(campaign_id)
        assert found
        return found.state, found.reason, found.launched_at, found.running_since, found.finished_at

    assert look() == (C.DRAFT, None, None, None, None)
    rows.launch(campaign_id, NOW)
    assert look() == (C.RUNNING, None, NOW, NOW, None)
    rows.pause(campaign_id, "lunch", NOW)
    assert look() == (C.PAUSED, "lunch", NOW, NOW, None)
    assert steps.store.listings.events(campaign_id, 1)[::-1][0]["detail"] == "lunch"
    rows.resume(campaign_id, LATER)
    assert look() == (C.RUNNING, None, NOW, LATER, None)
    rows.complete_if_done(campaign_id, LATER)
    assert look() == (C.COMPLETED, None, NOW, LATER, LATER)
    rows.launch(campaign_id, LATER)
    assert look() == (C.RUNNING, None, LATER, LATER, None)
    rows.pause(campaign_id, "again", LATER)
    rows.cancel(campaign_id, LATER)
    assert look() == (C.CANCELLED, None, LATER, LATER, LATER)


def test_a_draft_without_a_file_can_be_discarded(steps: Steps) -> None:
    rows = steps.store.campaigns
    empty, filled = steps.draft("empty"), steps.draft("filled")
    steps.load(filled, phone(1))
    assert rows.discard_draft(empty)
    assert not rows.discard_draft(empty)
    assert not rows.discard_draft(filled)
    launched = steps.campaign("launched")
    assert not rows.discard_draft(launched)
    assert [found.id for found in rows.listed()] == sorted([filled, launched])
    assert steps.store.listings.events(empty, 10)[::-1] == []
    assert steps.draft("empty")  # the name is free again


def test_segments_are_what_a_claim_must_probe(steps: Steps) -> None:
    one, two = steps.draft("one"), steps.draft("two")
    steps.load(one, phone(1), phone(2))
    steps.load(one, phone(3), zones=WEST, priority=2)
    found = steps.store.campaigns.segments([one, two])
    assert {name: sorted(listed) for name, listed in found.items()} == {
        one: [(WEST, "US-NY", 2), (EAST, "US-NY", 5)],
        two: [],
    }
    assert steps.store.campaigns.segments([]) == {}


def test_cancelling_takes_the_waiting_leads_along_and_leaves_calls_alone(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2), phone(3), phone(4))
    other = steps.campaign("autumn", phone(9))
    reached = steps.attempt(campaign_id, AttemptState.SETTLED)
    held = steps.attempt(campaign_id, AttemptState.UNRESOLVED)
    calling = steps.attempt(campaign_id, AttemptState.PLACED)
    before = len(steps.happened())
    asked = real_ms()
    assert steps.store.campaigns.cancel(campaign_id, LATER)
    states = {row["phone"]: row["state"] for row in steps.store.reports.leads(campaign_id)}
    expected = {reached: "reached", held: "cancelled", calling: "in_flight"}
    assert {attempt: states[steps.attempt_row(attempt)["phone"]] for attempt in expected} == expected
    assert sorted(states.values()) == ["cancelled", "cancelled", "in_flight", "reached"]
    assert steps.lead_of(held)["hold_code"] is None
    assert steps.attempt_row(calling)["state"] == "placed"
    assert steps.store.reports.lead_counts(other)["pending"] == 1
    assert sorted(steps.happened()[before:]) == [
        ("campaign", "running", "cancelled"),
        ("lead", "held", "cancelled"),
        ("lead", "pending", "cancelled"),
    ]
    for event in steps.store.listings.events(campaign_id, 3)[::-1]:
        assert event["at_real"] >= asked, "real time, not the business time of a simulated run"


@pytest.mark.parametrize("state", [s for s in AttemptState if s not in ("settled", "unresolved")])
def test_a_campaign_with_anything_open_is_not_completed(steps: Steps, state: AttemptState) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    assert not steps.store.campaigns.complete_if_done(campaign_id, LATER)  # a pending lead
    steps.attempt(campaign_id, state)
    before = steps.everything()
    assert not steps.store.campaigns.complete_if_done(campaign_id, LATER)
    assert steps.everything() == before


@pytest.mark.parametrize("state", [AttemptState.SETTLED, AttemptState.UNRESOLVED])
def test_a_campaign_with_final_and_held_leads_is_completed(steps: Steps, state: AttemptState) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    steps.attempt(campaign_id, state)
    assert steps.store.campaigns.complete_if_done(campaign_id, LATER)


@pytest.mark.parametrize(
    ("decision", "state"),
    [
        (RetryAt(LATER), "cancelled"),
        (Reached(), "reached"),
        (Hold("unknown_outcome", "look at the call"), "held"),
    ],
)
def test_a_call_in_progress_at_the_cancellation_still_ends_in_the_books(
    steps: Steps, decision: Reached | RetryAt | Hold, state: str
) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    attempt_id = steps.attempt(campaign_id, AttemptState.PLACED)
    assert steps.store.campaigns.cancel(campaign_id, LATER)
    assert steps.end(attempt_id)
    assert steps.settle(attempt_id, decision, "human" if state == "reached" else "no_answer")
    assert steps.lead_row(phone(1))["state"] == state
    assert steps.claim(plan(campaign_id)).attempt_ids == []


def test_start_and_end_are_instants_and_guard_the_moves(steps: Steps) -> None:
    rows = steps.store.campaigns
    campaign_id = steps.draft()
    steps.load(campaign_id, phone(1), phone(2))
    rows.set_options(
        campaign_id,
        CampaignOptions(timezone=EAST, start_at="2026-03-10 12:00", end_at="2026-03-10 13:00"),
        NOW,
    )
    assert rows.launch(campaign_id, NOW)
    found = rows.get(campaign_id)
    assert found is not None
    assert (found.state, found.start_at, found.end_at) == (
        C.SCHEDULED, NOW + timedelta(hours=1), NOW + timedelta(hours=2),
    )  # fmt: skip
    assert rows.start_due(WORKSPACE, NOW + timedelta(minutes=59)) == []
    assert rows.start_due("other", LATER) == []
    assert rows.start_due(WORKSPACE, LATER) == [campaign_id]
    assert rows.expire(campaign_id, LATER) == 0
    end = NOW + timedelta(hours=2)
    assert [one.id for one in rows.past_end(WORKSPACE, end)] == [campaign_id]
    assert rows.expire(campaign_id, end) == 2
    assert rows.expire(campaign_id, end) == 0
    assert rows.complete_if_done(campaign_id, end)
    assert rows.past_end(WORKSPACE, end) == []


@pytest.mark.parametrize(("mode", "ahead"), [("phone", 0), ("batch", 60)])
def test_in_batch_mode_a_campaign_runs_just_before_its_start(steps: Steps, mode: str, ahead: int) -> None:
    rows = steps.store.campaigns
    campaign_id = steps.draft()
    options = CampaignOptions(timezone=EAST, start_at="2026-03-10 12:00", mode=mode)
    rows.set_options(campaign_id, options, NOW)
    assert rows.launch(campaign_id, NOW)
    start = NOW + timedelta(hours=1)
    assert rows.start_due(WORKSPACE, start - timedelta(seconds=ahead + 1)) == []
    assert rows.start_due(WORKSPACE, start - timedelta(seconds=ahead)) == [campaign_id]


def test_names_for_the_shell(steps: Steps, url: str) -> None:
    assert campaign_names(url) == []
    for hours, name in enumerate(("spring", "summer", "fall")):
        steps.store.campaigns.create(name, WORKSPACE, CampaignOptions(), NOW + timedelta(hours=hours))
    steps.execute("UPDATE campaigns SET archived_at = 1 WHERE name = 'summer'")
    assert campaign_names(url) == ["fall", "spring"]


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:1/none", "mysql://localhost/x", "nonsense"])
def test_a_database_that_is_none_has_no_names(url: str) -> None:
    assert campaign_names(url) == []
