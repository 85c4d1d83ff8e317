"""A call's life is decided once and only goes forward."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retell.types import PhoneCallResponse

from campaigns.simulator.calls import Call
from campaigns.simulator.plans import (
    BENCH_OUTCOMES,
    DEFAULT_OUTCOMES,
    HIDDEN_VOICEMAIL,
    REASONS,
    Pace,
    Plan,
    parse_outcomes,
    plan_call,
)

ORDER = {"registered": 0, "ongoing": 1, "ended": 2, "not_connected": 2, "error": 2}
FOLLOWS = {
    "registered": {"registered", "ongoing", "ended", "not_connected", "error"},
    "ongoing": {"ongoing", "ended", "error"},
}
outcomes = st.sampled_from(sorted(REASONS | {"human", HIDDEN_VOICEMAIL}))


def call_with(plan: Plan, **values: object) -> Call:
    defaults: dict[str, object] = {
        "call_id": "call_1",
        "seq": 0,
        "from_number": "+14155550100",
        "to_number": "+14155550123",
        "agent_id": "agent",
        "agent_version": 1,
        "agent_name": "Agent",
        "created_ms": 1_000_000,
        "created_real": 1000.0,
        "plan": plan,
    }
    return Call(**{**defaults, **values})  # type: ignore[arg-type]


def plan_of(outcome: str | None = None, nth: int = 0, seed: int = 0, pace: Pace | None = None) -> Plan:
    return plan_call(seed, "+14155550123", nth, DEFAULT_OUTCOMES, pace or Pace(), outcome=outcome)


def test_reasons_are_exactly_those_of_the_sdk() -> None:
    annotation = PhoneCallResponse.model_fields["disconnection_reason"].annotation
    literal = next(part for part in get_args(annotation) if get_args(part))
    assert set(get_args(literal)) == REASONS


@given(
    outcomes,
    st.integers(0, 3),
    st.lists(st.integers(0, 4_000_000), min_size=2),
    st.none() | st.integers(0, 200_000),
)
def test_the_status_only_goes_forward(outcome: str, nth: int, offsets: list[int], stop: int | None) -> None:
    call = call_with(plan_of(outcome, nth))
    if stop is not None and not call.over(call.created_ms + stop):
        call.stopped_ms = call.created_ms + stop
    before = "registered"
    for offset in sorted(offsets):
        status = call.status(call.created_ms + offset)
        assert status in FOLLOWS.get(before, {before})
        assert ORDER[status] >= ORDER[before]
        before = status


@given(outcomes, st.integers(0, 3), st.integers(0, 4_000_000))
def test_what_is_shown_fits_the_status(outcome: str, nth: int, offset: int) -> None:
    call = call_with(plan_of(outcome, nth))
    now = call.created_ms + offset
    shown = call.show(now)
    over = shown["call_status"] in ("ended", "not_connected", "error")
    assert ("disconnection_reason" in shown) == over
    assert ("call_cost" in shown) == over
    assert "call_analysis" not in shown or over
    assert ("start_timestamp" in shown) == (call.start_timestamp(now) is not None)
    if shown["call_status"] == "not_connected":
        assert "start_timestamp" not in shown
        assert "duration_ms" not in shown
        assert shown["call_cost"]["combined_cost"] == 0
    if "duration_ms" in shown:
        assert shown["duration_ms"] == shown["end_timestamp"] - shown["start_timestamp"]
    costs = sum(product["cost"] for product in shown.get("call_cost", {}).get("product_costs", []))
    assert costs == pytest.approx(shown.get("call_cost", {}).get("combined_cost", 0), abs=0.01)


def test_a_plan_depends_on_nothing_but_seed_number_and_count() -> None:
    assert plan_of() == plan_of()
    assert plan_of("dial_busy").status == "not_connected"
    plans = {plan_of(nth=nth) for nth in range(20)}
    assert len(plans) == 20
    assert plan_of(seed=1) != plan_of(seed=2)


def test_a_fault_changes_nothing_but_itself() -> None:
    number = "+14155550123"
    plain = plan_call(0, number, 0, DEFAULT_OUTCOMES, Pace())
    stuck = plan_call(0, number, 0, DEFAULT_OUTCOMES, Pace(), never_ends=1.0, analysis_never=1.0)
    assert stuck.endless
    assert stuck.analysis_ms is None
    assert (stuck.reason, stuck.ring_ms, stuck.talk_ms) == (plain.reason, plain.ring_ms, plain.talk_ms)


def test_the_default_mix_is_realistic() -> None:
    plans = [plan_call(7, f"+1415{number:07d}", 0, DEFAULT_OUTCOMES, Pace()) for number in range(4000)]
    reasons = Counter(plan.reason for plan in plans)
    human = [
        plan for plan in plans if plan.reason in ("user_hangup", "agent_hangup") and not plan.in_voicemail
    ]
    assert len(human) / 4000 == pytest.approx(0.38, abs=0.03)
    assert reasons["dial_no_answer"] / 4000 == pytest.approx(0.22, abs=0.03)
    assert reasons["voicemail_reached"] / 4000 == pytest.approx(0.16, abs=0.03)
    assert sum((plan.talk_ms or 0) for plan in human) / len(human) / 1000 == pytest.approx(100, rel=0.1)
    assert any(plan.reason == "user_hangup" and plan.in_voicemail for plan in plans)
    assert reasons["user_requested_dnc"] > 0


def test_a_bench_call_lasts_about_the_mean() -> None:
    pace = Pace(mean_call=3.0)
    plans = [plan_call(1, f"+1415{number:07d}", 0, BENCH_OUTCOMES, pace) for number in range(1000)]
    assert {plan.status for plan in plans} == {"ended"}
    assert sum(plan.end_ms or 0 for plan in plans) / 1000 == pytest.approx(3000, rel=0.05)


def test_speed_divides_durations() -> None:
    slow, fast = plan_of("user_hangup"), plan_of("user_hangup", pace=Pace(speed=10))
    assert slow.end_ms is not None
    assert fast.end_ms == pytest.approx(slow.end_ms / 10, abs=2)


def test_outcomes_are_read_and_refused() -> None:
    assert parse_outcomes("human=40, dial_busy = 2.5") == {"human": 40, "dial_busy": 2.5}
    assert parse_outcomes("") == {}
    with pytest.raises(ValueError, match=r"unknown outcome 'humans'; known: human, hidden_voicemail"):
        parse_outcomes("humans=3")
    with pytest.raises(ValueError, match="NAME=WEIGHT"):
        parse_outcomes("human")
    with pytest.raises(ValueError, match="above 0"):
        parse_outcomes("human=0")
    with pytest.raises(ValueError, match="at least 0"):
        parse_outcomes("human=-1")


def test_a_callback_names_a_time() -> None:
    call = call_with(plan_of("user_requested_callback"))
    analysis = call.show(call.created_ms + 10_000_000)["call_analysis"]
    assert analysis["custom_analysis_data"]["callback_time"].endswith("Z")
    assert not analysis["in_voicemail"]


def test_a_record_survives_the_file() -> None:
    call = call_with(plan_of("user_hangup"), metadata={"attempt_id": "a"}, stopped_ms=1_000_005)
    assert Call.from_json(call.to_json()) == call
