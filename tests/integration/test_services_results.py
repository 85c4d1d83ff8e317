"""Polling and settling: slots come free at once, outcomes when they are known, leads by the policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from services_world import START, WORKSPACE, World, phone

from campaigns.domain.clock import from_ms
from campaigns.domain.outcomes import DISPOSITIONS
from campaigns.domain.states import CampaignState
from campaigns.retell import Call, CallAnalysis
from campaigns.services import results, webhook
from campaigns.settings import SIMULATOR
from campaigns.simulator.faults import Fault


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite, analysis_delay=(30.0, 30.0)) as made:
        yield made


def end_of(world: World, attempt_id: str) -> timedelta:
    """From now until the call of a placed attempt is over."""
    [call] = [call for call in world.engine.calls if call.attempt_id == attempt_id]
    ends = call.ends_ms()
    assert ends is not None
    return timedelta(milliseconds=ends - int(world.clock.now().timestamp() * 1000))


def placed(world: World, reason: str, number: int = 1, **options: object) -> str:
    """The attempt of a new campaign's only lead, placed, about to end for a reason."""
    world.campaign(f"campaign {number}", number, **options)
    world.engine.script(phone(number), reason)
    attempt_id = world.claim()
    world.dial(attempt_id)
    return attempt_id


def test_a_slot_is_free_before_the_analysis_the_lead_is_decided_after_it(world: World) -> None:
    attempt_id = placed(world, "agent_hangup")
    assert world.poll() == (0, [])
    ended_at = world.clock.now() + end_of(world, attempt_id)
    world.clock.at = ended_at + timedelta(seconds=2)
    assert world.poll() == (1, [])
    row = world.attempt(attempt_id)
    assert (row["state"], row["ended_at"]) == ("ended", round(ended_at.timestamp() * 1000))
    assert world.store.attempts.holding_ids(WORKSPACE) == set()
    assert world.lead(1)["state"] == "in_flight"
    assert world.requests.get("get-call") is None

    world.after(seconds=30)
    assert world.poll_and_settle() == 1
    row = world.attempt(attempt_id)
    assert (row["state"], row["outcome"], row["charged"]) == ("settled", "human", True)
    assert row["transcript"]
    assert row["summary"]
    assert row["cost_cents"] > 0
    assert row["recording_url"].startswith("https://")
    lead = world.lead(1)
    assert (lead["state"], lead["attempts"], lead["outcome"]) == ("reached", 1, "human")
    assert world.transitions(attempt_id) == ["claimed", "dialing", "placed", "ended", "settled"]
    assert world.poll() == (0, [])


def test_an_analysis_that_never_comes_is_waited_for_until_its_deadline(world: World) -> None:
    world.engine.configure({"faults": "analysis_never=1"})
    attempt_id = placed(world, "user_hangup")
    world.after(seconds=1).clock.at += end_of(world, attempt_id)
    assert world.poll() == (1, [])
    world.clock.at += results.ANALYSIS_DEADLINE - timedelta(seconds=2)
    assert world.poll() == (0, [])
    world.after(seconds=3)
    assert world.poll_and_settle() == 1
    assert world.attempt(attempt_id)["outcome"] == "human"
    assert world.attempt(attempt_id)["in_voicemail"] is None


def test_voicemail_by_the_analysis_is_a_machine_and_retried(world: World) -> None:
    attempt_id = placed(world, "hidden_voicemail", retry="machine:4h")
    world.after(minutes=10)
    world.poll_and_settle()
    row = world.attempt(attempt_id)
    assert (row["disconnection_reason"], row["outcome"]) == ("user_hangup", "machine")
    assert world.lead(1)["state"] == "pending"
    assert world.due(1) == START + timedelta(hours=4)


@pytest.mark.parametrize("reason", ["dial_no_answer", "dial_busy", "user_declined", "invalid_destination"])
def test_a_call_that_never_connected_settles_at_once_without_another_request(
    world: World, reason: str
) -> None:
    attempt_id = placed(world, reason)
    world.after(minutes=1)
    assert world.poll_and_settle() == 1
    assert world.attempt(attempt_id)["outcome"] == DISPOSITIONS[reason].outcome
    assert "get-call" not in world.requests


def test_one_request_looks_at_all_open_calls(world: World) -> None:
    world.campaign("spring", *range(1, 20))
    world.dial_all()
    before = world.requests.get("list-calls", 0)
    world.poll()
    assert world.requests["list-calls"] == before + 1
    world.after(hours=1)
    world.poll()
    assert world.requests["list-calls"] == before + 2
    assert "get-call" not in world.requests


def test_without_open_calls_nothing_is_asked(world: World) -> None:
    world.campaign("spring", 1, launch=False)
    assert world.poll() == (0, [])
    assert world.requests == {}


def test_a_connected_call_costs_two_requests_and_its_share_of_the_polls(world: World) -> None:
    world.campaign("spring", *range(1, 61))
    polls = 0
    while world.store.campaigns.listed(WORKSPACE, (CampaignState.RUNNING,)):
        world.dial_all()
        world.after(seconds=20)
        polls += bool(world.store.results.open_calls(WORKSPACE))
        world.poll_and_settle()
    calls = len(world.rings)
    requests = world.requests
    assert calls == 60
    assert (requests["create-phone-call"], requests["get-call"], requests["list-calls"]) == (60, 60, polls)
    assert polls / calls < 1


def test_only_one_of_all_who_ask_polls(world: World) -> None:
    placed(world, "user_hangup")
    world.sql("UPDATE workspaces SET next_poll_real = NULL")
    assert results.poll(world.context) is not None
    assert results.poll(world.context) is None


def test_an_attempt_is_settled_by_one_worker_only(world: World) -> None:
    attempt_id = placed(world, "user_hangup")
    world.after(hours=1)
    assert world.poll() == (1, [attempt_id])
    assert world.poll() == (0, [])
    assert results.settle(world.context, attempt_id)
    assert not results.settle(world.context, attempt_id)
    assert world.lead(1)["attempts"] == 1


def test_the_retry_is_measured_from_the_dial(world: World) -> None:
    placed(world, "dial_no_answer", retry="no_answer:30m,2h", max_attempts=5)
    world.after(minutes=20)
    world.poll_and_settle()
    assert world.due(1) == START + timedelta(minutes=30)
    assert world.pace() == []
    world.clock.at = START + timedelta(minutes=30)
    world.finish_call(world.claim(), "dial_no_answer")
    assert world.due(1) == START + timedelta(minutes=150)
    world.clock.at = START + timedelta(minutes=150)
    world.finish_call(world.claim(), "dial_no_answer")
    lead = world.lead(1)
    assert (lead["state"], lead["attempts"]) == ("exhausted", 3)


def test_a_limit_met_by_a_call_costs_no_attempt_and_lowers_the_ceiling(world: World) -> None:
    world.engine.configure({"foreign": 4})
    world.campaign("spring", 1, 2, 3, max_attempts=1)
    ids = world.pace()
    for attempt_id in ids[:2]:
        world.dial(attempt_id)
    world.engine.configure({"overflow": "error", "foreign": 18})
    world.dial(ids[2])
    world.after(seconds=1)
    assert world.poll_and_settle() == 1
    row = world.attempt(ids[2])
    assert (row["outcome"], row["charged"]) == ("platform_error", False)
    assert (world.lead(3)["state"], world.lead(3)["attempts"]) == ("pending", 0)
    account = world.store.workspaces.account(WORKSPACE)
    assert account.shrunk_to is not None
    assert account.ceiling() == account.foreign + 2
    assert world.rings == [phone(1), phone(2)]


def test_an_unknown_reason_holds_the_lead(world: World) -> None:
    attempt_id = placed(world, "dial_busy")
    original = world.engine._show

    def newer(*args: object, **options: object) -> dict[str, object]:
        shown = original(*args, **options)  # type: ignore[arg-type]
        return {**shown, "disconnection_reason": "brand_new"} if "disconnection_reason" in shown else shown

    world.engine._show = newer  # type: ignore[method-assign]
    world.after(minutes=5)
    assert world.poll_and_settle() == 1
    row, lead = world.attempt(attempt_id), world.lead(1)
    assert (row["outcome"], row["disconnection_reason"]) == ("unknown", "brand_new")
    assert (lead["state"], lead["hold_code"]) == ("held", "unknown_outcome")
    assert lead["hold_remedy"]


def test_do_not_call_on_a_call_ends_everything_everywhere(world: World) -> None:
    attempt_id = placed(world, "user_requested_dnc", retry="no_answer:1m")
    other = world.campaign("other", 1, 2)
    draft = world.campaign("draft", 1, launch=False)
    world.after(hours=1)
    world.poll_and_settle()
    assert world.attempt(attempt_id)["outcome"] == "do_not_call"
    assert world.lead_counts(other) == {"suppressed": 1, "pending": 1}
    assert world.lead_counts(draft) == {"suppressed": 1}
    later = world.campaign("later", 1)
    assert [world.attempt(one)["phone"] for one in world.pace()] == [phone(2)]
    assert world.lead_counts(later) == {"suppressed": 1}


def test_a_simulated_request_puts_nobody_on_the_list_of_the_real_campaigns(world: World) -> None:
    """Who rehearses a list with --simulate would lose, for good, whom the simulator has ask not to be called."""
    simulated = replace(world.context, workspace=SIMULATOR)
    attempt_id = placed(world, "user_requested_dnc", retry="no_answer:1m")
    world.after(hours=1)
    world.poll()
    assert results.settle(simulated, attempt_id)
    assert (world.attempt(attempt_id)["outcome"], world.lead(1)["state"]) == ("do_not_call", "reached")
    late, told = settled_unanalysed(world, 2, dnc_field="opted_out")
    assert results.hear_late(simulated, late, told)
    assert world.store.suppressions.counts() == {}


def test_a_callback_comes_before_everybody_else(world: World) -> None:
    world.campaign("spring", *range(1, 4), concurrency=1, retry="callback:1h")
    world.finish_call(world.claim(), "user_requested_callback")
    lead = world.lead(1)
    assert (lead["state"], lead["priority"], lead["outcome"]) == ("pending", 0, "callback")
    assert world.attempt(world.claim())["phone"] == phone(1)


def test_a_result_of_a_cancelled_campaign_is_still_written_down(world: World) -> None:
    attempt_id = placed(world, "dial_no_answer")
    [campaign] = world.store.campaigns.listed(WORKSPACE)
    world.store.campaigns.cancel(campaign.id, world.clock.now())
    world.after(hours=1)
    assert world.poll_and_settle() == 1
    assert world.attempt(attempt_id)["state"] == "settled"
    assert world.lead(1)["state"] == "cancelled"


def test_polling_goes_on_while_paused(world: World) -> None:
    placed(world, "dial_no_answer")
    [campaign] = world.store.campaigns.listed(WORKSPACE)
    world.store.campaigns.pause(campaign.id, "lunch", world.clock.now())
    world.after(hours=1)
    assert world.poll_and_settle() == 1
    assert world.lead(1)["state"] == "pending"
    assert world.pace() == []


def test_a_list_that_cannot_be_had_loses_nothing(world: World) -> None:
    attempt_id = placed(world, "user_hangup")
    world.after(hours=1)
    world.engine.configure({"faults": "list_500=1"})
    assert world.poll() == (0, [])
    assert world.attempt(attempt_id)["state"] == "placed"
    assert world.store.workspaces.account(WORKSPACE).trouble
    world.engine.configure({"faults": ""})
    assert world.poll_and_settle() == 1


def test_a_call_that_the_list_does_not_show_is_asked_for_by_its_id(world: World) -> None:
    world.engine.configure({"listing_lag": 3600.0})
    attempt_id = placed(world, "dial_busy")
    world.after(seconds=10)
    assert world.poll() == (0, [])
    assert "get-call" not in world.requests
    world.after(minutes=1)
    assert world.poll_and_settle() == 1
    assert world.attempt(attempt_id)["outcome"] == "busy"


def test_a_call_that_cannot_be_read_is_settled_later_or_at_last_without(world: World) -> None:
    attempt_id = placed(world, "user_hangup")
    world.after(hours=1)
    world.engine.configure({"faults": "get_500=1"})
    ended, ready = world.poll()
    assert (ended, ready) == (1, [attempt_id])
    world.sql(f"UPDATE attempts SET ended_at = {int(world.clock.now().timestamp() * 1000)}")
    assert not results.settle(world.context, attempt_id)
    assert world.attempt(attempt_id)["state"] == "ended"
    world.clock.at += results.TRANSCRIPT_DEADLINE + timedelta(seconds=1)
    assert results.settle(world.context, attempt_id)
    row = world.attempt(attempt_id)
    assert (row["outcome"], row["transcript"]) == ("human", None)
    assert row["summary"]


def test_a_dropped_connection_on_reading_is_repeated(world: World) -> None:
    placed(world, "user_hangup")
    world.after(hours=1)
    world.engine.faults.next("list-calls", Fault("drop"), Fault("status", status=500))
    assert world.poll_and_settle() == 1


# -- what the callee asked for, by configured fields of the analysis


def analysed(world: World, attempt_id: str, **fields: object) -> None:
    """The call is over, and its analysis says this."""
    [call] = [call for call in world.engine.calls if call.attempt_id == attempt_id]
    world.clock.at += end_of(world, attempt_id) + timedelta(seconds=40)
    assert world.poll()[0] == 1
    told = world.context.retell.get_call(call.call_id)
    assert told.call_analysis is not None
    analysis = told.call_analysis.model_copy(update={"custom_analysis_data": fields})
    assert results.settle(world.context, attempt_id, told.model_copy(update={"call_analysis": analysis}))


def test_a_request_in_the_analysis_is_a_do_not_call_request_everywhere(world: World) -> None:
    other = world.campaign("other", 1, launch=False)
    attempt_id = placed(world, "agent_hangup", dnc_field="opted_out")
    analysed(world, attempt_id, opted_out=True)
    assert world.attempt(attempt_id)["outcome"] == "do_not_call"
    assert world.store.suppressions.find(phone(1)) is not None
    assert world.lead_counts(other) == {"suppressed": 1}


def settled_unanalysed(world: World, number: int = 1, **options: object) -> tuple[str, Call]:
    """An answered call that was settled when its analysis was due, and what its provider tells of it later."""
    world.engine.configure({"faults": "analysis_never=1"})
    attempt_id = placed(world, "agent_hangup", number, **options)
    world.clock.at += end_of(world, attempt_id) + timedelta(seconds=1)
    assert world.poll()[0] == 1
    world.after(seconds=results.ANALYSIS_DEADLINE.total_seconds() + 1)
    assert world.poll_and_settle() == 1
    assert world.attempt(attempt_id)["analysis"] is None
    [call] = [call for call in world.engine.calls if call.attempt_id == attempt_id]
    told = world.context.retell.get_call(call.call_id)
    analysis = {"call_summary": "wants no calls", "custom_analysis_data": {"opted_out": "yes"}}
    return attempt_id, told.model_copy(update={"call_analysis": CallAnalysis.model_validate(analysis)})


def test_a_request_in_an_analysis_that_comes_too_late_still_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_id, told = settled_unanalysed(world, dnc_field="opted_out")
    other = world.campaign("other", 1, launch=False)
    asked = world.requests.get("list-calls", 0)
    assert results.look_for_late_analyses(world.context) == 0
    assert world.requests["list-calls"] == asked + 1
    monkeypatch.setattr(world.context.retell, "list_calls", lambda **_: [told])
    assert results.look_for_late_analyses(world.context) == 1
    row = world.attempt(attempt_id)
    assert (row["state"], row["outcome"], row["summary"]) == ("settled", "human", "wants no calls")
    assert world.store.suppressions.find(phone(1)) is not None
    assert world.lead_counts(other) == {"suppressed": 1}
    # Nothing is left to look for, and what was heard is not heard again.
    monkeypatch.undo()
    assert results.look_for_late_analyses(world.context) == 0
    assert world.requests["list-calls"] == asked + 1
    assert not results.hear_late(world.context, attempt_id, told)


def test_late_analyses_are_asked_for_in_as_many_requests_as_it_takes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {call.call_id: call for _, call in (settled_unanalysed(world, number) for number in range(1, 6))}
    asked: list[list[str]] = []

    def list_calls(*, call_ids: list[str]) -> list[Call]:
        asked.append(call_ids)
        return [told[call_id] for call_id in call_ids]

    monkeypatch.setattr(results, "LATE_PER_REQUEST", 2)
    monkeypatch.setattr(world.context.retell, "list_calls", list_calls)
    assert results.look_for_late_analyses(world.context) == 5
    assert [len(part) for part in asked] == [2, 2, 1]
    assert {call_id for part in asked for call_id in part} == set(told)
    assert results.look_for_late_analyses(world.context) == 0


def test_a_webhook_brings_an_analysis_late(world: World) -> None:
    attempt_id, told = settled_unanalysed(world, dnc_field="opted_out")
    assert webhook.receive(world.context, webhook.ENDED, told).changed is False
    assert webhook.receive(world.context, webhook.ANALYZED, told).changed is True
    assert world.attempt(attempt_id)["summary"] == "wants no calls"
    assert world.store.suppressions.find(phone(1)) is not None
    assert webhook.receive(world.context, webhook.ANALYZED, told).changed is False


def test_a_late_analysis_is_looked_for_for_some_hours_only(world: World) -> None:
    attempt_id, _ = settled_unanalysed(world)
    since = world.clock.now() - results.LATE_ANALYSIS
    assert [one for one, _ in world.store.results.unanalysed(WORKSPACE, since, 10)] == [attempt_id]
    asked = world.requests["list-calls"]
    world.after(hours=7)
    assert results.look_for_late_analyses(world.context) == 0
    assert world.requests["list-calls"] == asked


def test_a_plain_no_is_none(world: World) -> None:
    attempt_id = placed(world, "agent_hangup", dnc_field="opted_out", callback_field="call_back")
    analysed(world, attempt_id, opted_out=False, call_back="")
    assert world.attempt(attempt_id)["outcome"] == "human"
    assert world.store.suppressions.find(phone(1)) is None


@pytest.mark.parametrize(
    ("wish", "at"),
    [
        ("15:30", START + timedelta(hours=5, minutes=30)),
        ("tomorrow 7am", START + timedelta(hours=23)),  # 09:00, when the window opens
        ("Saturday 12:00", START + timedelta(days=5, hours=23)),  # Monday, there is none on Saturday
    ],
)
def test_a_callback_is_at_the_time_that_was_asked_for_inside_the_window(
    world: World, wish: str, at: object
) -> None:
    attempt_id = placed(world, "agent_hangup", callback_field="call_back", retry="none")
    analysed(world, attempt_id, call_back=wish)
    assert world.attempt(attempt_id)["outcome"] == "callback"
    lead = world.lead(1)
    assert (lead["state"], lead["priority"]) == ("pending", 0)
    assert from_ms(lead["next_attempt_at"]) == at
    world.clock.at = from_ms(lead["next_attempt_at"]) - timedelta(seconds=1)
    assert world.pace() == []
    world.after(seconds=1)
    assert len(world.pace()) == 1


def test_a_callback_never_goes_beyond_the_budget(world: World) -> None:
    attempt_id = placed(world, "agent_hangup", callback_field="call_back", max_attempts=1)
    analysed(world, attempt_id, call_back="15:30")
    assert world.lead(1)["state"] == "reached"
