"""Endpoints, limits and faults, through a real httpx client and a clock that only moves when told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.domain.clock import ScaledClock
from campaigns.simulator.api import Api
from campaigns.simulator.config import SimulatorConfig
from campaigns.simulator.engine import Engine
from campaigns.simulator.faults import Fault
from campaigns.simulator.transport import SimulatorTransport

FROM, TO = "+14155550100", "+14155550123"


class World:
    """A simulator, a client of it, and the time of both."""

    def __init__(self, **settings: Any) -> None:
        self.seconds = 1_780_000_000.0
        clock = ScaledClock(
            datetime.fromtimestamp(self.seconds, UTC), 1.0, self.seconds, lambda: self.seconds
        )
        self.engine = Engine(SimulatorConfig(**settings), clock, lambda: self.seconds)
        self.waited: list[float] = []
        self.http = httpx.Client(
            transport=SimulatorTransport(Api(self.engine), self.waited.append),
            base_url="http://simulator.invalid",
            headers={"Authorization": "Bearer key_test"},
            timeout=5,
        )

    def after(self, seconds: float) -> World:
        self.seconds += seconds
        return self

    def dial(self, to: str = TO, **more: Any) -> httpx.Response:
        body = {"from_number": FROM, "to_number": to, **more}
        return self.http.post("/v2/create-phone-call", json=body)

    def call(self, call_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/v2/get-call/{call_id}")
        assert answer.status_code == 200
        return dict(answer.json())

    def used(self) -> int:
        return int(self.http.get("/get-concurrency").json()["current_concurrency"])

    def listed(self, **criteria: Any) -> list[str]:
        answer = self.http.post("/v3/list-calls", json={"filter_criteria": criteria})
        assert answer.status_code == 200, answer.text
        return [item["call_id"] for item in answer.json()["items"]]

    def ledger(self) -> dict[str, Any]:
        return dict(self.http.get("/_simulator/ledger", params={"rings": "1"}).json())


def test_a_call_lives_its_life() -> None:
    world = World()
    world.engine.script(TO, "user_hangup")
    answer = world.dial(metadata={"attempt_id": "a1"}, retell_llm_dynamic_variables={"name": "Ann"})
    assert answer.status_code == 201
    call = answer.json()
    assert call["call_status"] == "registered"
    assert call["agent_id"] == "agent_simulator_sales"
    assert call["metadata"] == {"attempt_id": "a1"}
    assert world.used() == 1
    plan = world.engine.calls[0].plan
    ring, talk, analysis = plan.ring_ms / 1000, (plan.talk_ms or 0) / 1000, (plan.analysis_ms or 0) / 1000
    assert world.after(ring + 0.01).call(call["call_id"])["call_status"] == "ongoing"
    ended = world.after(talk).call(call["call_id"])
    assert ended["call_status"] == "ended"
    assert ended["disconnection_reason"] == "user_hangup"
    assert ended["duration_ms"] == plan.talk_ms
    assert ended["transcript"].startswith("Agent: ")
    assert "call_analysis" not in ended
    assert world.used() == 0
    analysed = world.after(analysis).call(call["call_id"])
    assert analysed["call_analysis"]["in_voicemail"] is False
    assert analysed["call_cost"]["combined_cost"] > 0


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"to_number": "555-0123"}, 400),
        ({"to_number": "+0155550123"}, 400),
        ({"to_number": ""}, 400),
        ({"to_number": None}, 400),
        ({"from_number": "+19995550000"}, 422),
        ({"from_number": 5}, 400),
        ({"override_agent_id": "agent_nobody"}, 422),
        ({"override_agent_id": 7}, 400),
        ({"override_agent_version": True}, 400),
        ({"agent_override": "x"}, 400),
        ({"metadata": "x"}, 400),
        ({"metadata": {"x": "y" * 50_001}}, 400),
        ({"retell_llm_dynamic_variables": {"n": 1}}, 400),
        ({"custom_sip_headers": ["x"]}, 400),
        ({"idempotency_key": 5}, 400),
    ],
)
def test_a_bad_request_is_refused_and_rings_nobody(changes: dict[str, Any], status: int) -> None:
    world = World()
    answer = world.dial(**changes)
    assert answer.status_code == status
    assert answer.json()["status"] == "error"
    assert answer.json()["message"]
    assert world.ledger()["rings"] == 0
    assert sum(world.ledger()["refusals"].values()) == 1


def test_the_fine_print_of_a_request() -> None:
    world = World()
    assert (
        world.dial("sip-extension-12", from_number="+13125550102", ignore_e164_validation=True).status_code
        == 201
    )
    assert world.dial("sip-extension-12", ignore_e164_validation=True).status_code == 400
    answer = world.dial(override_agent_id="agent_simulator_service", override_agent_version=7)
    assert (answer.json()["agent_id"], answer.json()["agent_version"]) == ("agent_simulator_service", 7)
    assert world.http.post("/v2/create-phone-call", content=b"{").status_code == 400
    assert world.http.post("/v2/create-phone-call", content=b"[]").status_code == 400
    assert world.http.get("/v2/create-phone-call").status_code == 404
    assert world.http.get("/v2/get-call/call_unknown").status_code == 422
    lenient = World(accept_any=True)
    assert lenient.dial(from_number="+19995550000", override_agent_id="agent_any").status_code == 201


def test_a_key_is_needed() -> None:
    world = World(api_key="key_test")
    for header in (
        {"Authorization": "Bearer "},
        {"Authorization": "Basic x"},
        {"Authorization": "Bearer other"},
    ):
        assert world.http.get("/get-concurrency", headers=header).status_code == 401
    assert world.http.get("/get-concurrency").status_code == 200
    anybody = World()
    assert anybody.http.get("/get-concurrency", headers={"Authorization": "Bearer other"}).status_code == 200
    assert anybody.http.get("/get-concurrency", headers={"Authorization": ""}).status_code == 401


def test_the_control_endpoints_need_the_key_where_there_is_one() -> None:
    stranger = {"Authorization": "Bearer other"}
    assert World(api_key="key_test").http.post("/_simulator/reset", headers=stranger).status_code == 401
    assert World().http.post("/_simulator/reset", headers={"Authorization": ""}).status_code == 200


def test_over_the_concurrency_limit_429() -> None:
    world = World(concurrency=3, foreign=1, reserved_inbound=1)
    assert world.dial().status_code == 201
    refused = world.dial()
    assert refused.status_code == 429
    assert world.ledger()["refusals"] == {"create-phone-call:concurrency": 1}
    world.http.post("/_simulator/settings", json={"foreign": 0}).raise_for_status()
    assert world.dial().status_code == 201
    assert world.dial().status_code == 429
    world.after(4000)
    assert world.dial().status_code == 201


def test_over_the_concurrency_limit_as_a_call_that_fails() -> None:
    world = World(concurrency=1, overflow="error")
    world.dial()
    answer = world.dial("+14155550124", metadata={"attempt_id": "a2"})
    assert answer.status_code == 201
    assert answer.json()["call_status"] == "registered"
    call = world.call(answer.json()["call_id"])
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "concurrency_limit_reached")
    assert "start_timestamp" not in call
    ledger = world.ledger()
    assert (ledger["rings"], ledger["peak_concurrency"]) == (1, 1)


def test_what_get_concurrency_tells() -> None:
    world = World(concurrency=100, burst=True, reserved_inbound=5, foreign=7)
    world.dial()
    assert world.http.get("/get-concurrency").json() == {
        "current_concurrency": 8,
        "concurrency_limit": 100,
        "base_concurrency": 20,
        "purchased_concurrency": 80,
        "concurrency_purchase_limit": 100,
        "remaining_purchase_limit": 20,
        "concurrency_burst_enabled": True,
        "concurrency_burst_limit": 300,
        "reserved_inbound_concurrency": 5,
    }
    assert World(concurrency=10).http.get("/get-concurrency").json()["concurrency_burst_limit"] == 0


def test_calls_per_second_are_counted_in_real_time() -> None:
    world = World(cps=2)
    assert [world.dial().status_code for _ in range(3)] == [201, 201, 429]
    assert world.after(0.99).dial().status_code == 429
    assert world.after(0.02).dial().status_code == 201
    assert world.ledger()["refusals"] == {"create-phone-call:cps": 2}
    assert world.ledger()["peak_dials_per_second"] == 2


def test_a_key_makes_one_call_for_an_hour() -> None:
    world = World(concurrency=1)
    first = world.dial(idempotency_key="k1").json()["call_id"]
    again = world.dial(idempotency_key="k1")
    assert (again.status_code, again.json()["call_id"]) == (201, first)
    assert world.after(3599).dial(idempotency_key="k1").json()["call_id"] == first
    assert world.ledger()["rings"] == 1
    assert world.ledger()["idempotent_replays"] == 2
    assert world.after(2).dial(idempotency_key="k1").json()["call_id"] != first
    forgetful = World(ignore_idempotency=True)
    ids = {forgetful.dial(idempotency_key="k1").json()["call_id"] for _ in range(2)}
    assert len(ids) == 2


def test_a_refused_dial_leaves_its_key_free() -> None:
    world = World(concurrency=0)
    assert world.dial(idempotency_key="k1").status_code == 429
    world.engine.configure({"concurrency": 1})
    assert world.dial(idempotency_key="k1").status_code == 201


def test_stopping_a_call() -> None:
    world = World()
    world.engine.script(TO, "user_hangup", "user_hangup")
    ringing, talking = (world.dial().json()["call_id"] for _ in range(2))
    assert world.http.post(f"/v2/stop-call/{ringing}").status_code == 204
    world.after(30)
    answer = world.http.post(f"/v2/stop-call/{talking}")
    assert (answer.status_code, answer.content) == (204, b"")
    stopped = world.call(talking)
    assert (stopped["call_status"], stopped["disconnection_reason"]) == ("ended", "manual_stopped")
    assert world.call(ringing)["call_status"] == "not_connected"
    assert world.used() == 0
    assert world.after(100).call(talking) | {"call_analysis": 0} == stopped | {"call_analysis": 0}
    assert world.http.post(f"/v2/stop-call/{talking}").status_code == 204
    assert world.http.post("/v2/stop-call/call_unknown").status_code == 422


def test_a_list_may_lag_behind() -> None:
    world = World(faults="lag=3s")
    call_id = world.dial().json()["call_id"]
    assert world.call(call_id)["call_id"] == call_id
    assert world.listed() == []
    assert world.after(2.9).listed(call_id={"type": "string", "op": "eq", "value": call_id}) == []
    assert world.after(0.2).listed() == [call_id]


def test_a_list_may_hide_what_rings() -> None:
    world = World(list_registered=False)
    world.engine.script(TO, "dial_no_answer")
    call_id = world.dial().json()["call_id"]
    assert world.listed() == []
    assert world.after(31).listed() == [call_id]


@pytest.mark.parametrize(
    ("fault", "error", "rings"),
    [
        (Fault("drop", after=False), httpx.RemoteProtocolError, 0),
        (Fault("drop"), httpx.RemoteProtocolError, 1),
        (Fault("reset", after=False), httpx.ReadError, 0),
        (Fault("reset"), httpx.ReadError, 1),
        (Fault("hang", after=False), httpx.ReadTimeout, 0),
        (Fault("hang"), httpx.ReadTimeout, 1),
        (Fault("hang", seconds=60), httpx.ReadTimeout, 1),
        (Fault("hang", seconds=1), httpx.RemoteProtocolError, 1),
        (Fault("slow", seconds=60), httpx.ReadTimeout, 1),
    ],
)
def test_a_connection_that_fails(fault: Fault, error: type[Exception], rings: int) -> None:
    world = World()
    world.engine.faults.next("create-phone-call", fault)
    with pytest.raises(error):
        world.dial()
    assert world.ledger()["rings"] == rings
    assert world.dial().status_code == 201


@pytest.mark.parametrize(
    ("fault", "status", "rings"),
    [
        (Fault("status", after=False, status=500), 500, 0),
        (Fault("status", after=True, status=500), 500, 1),
        (Fault("status", after=False, status=402), 402, 0),
        (Fault("status", after=False, status=429), 429, 0),
        (Fault("malformed"), 201, 1),
        (Fault("slow", seconds=2), 201, 1),
    ],
)
def test_an_answer_that_is_wrong_or_late(fault: Fault, status: int, rings: int) -> None:
    world = World()
    world.engine.faults.next("create-phone-call", fault)
    answer = world.dial()
    assert answer.status_code == status
    assert world.ledger()["rings"] == rings
    assert world.waited == ([2] if fault.kind == "slow" else [])
    if fault.kind == "malformed":
        with pytest.raises(json.JSONDecodeError):
            answer.json()


@pytest.mark.parametrize("fault", ["drop_after", "500_after", "hang", "slow", "malformed", "reset"])
def test_a_refusal_is_told_whatever_else_goes_wrong(fault: str) -> None:
    """Otherwise a dial of which nobody knows would be one that never rang, where `after` says that it did."""
    world = World(concurrency=0, faults=f"{fault}=100%")
    assert world.dial().status_code == 429
    ledger = world.ledger()
    assert (ledger["rings"], ledger["faults"]) == (0, {})
    assert ledger["refusals"] == {"create-phone-call:concurrency": 1}


def test_faults_by_chance_and_changed_while_running() -> None:
    world = World(concurrency=1000, faults="500_before=50%,list_500=100%,never_ends=100%")
    statuses = [world.dial().status_code for _ in range(200)]
    assert 60 < statuses.count(500) < 140
    assert world.http.post("/v3/list-calls", json={}).status_code == 500
    assert world.after(100_000).used() == statuses.count(201)
    assert world.http.post("/_simulator/settings", json={"faults": "dorp=1"}).status_code == 400
    assert world.http.post("/_simulator/settings", json={"seed": 1}).status_code == 400
    world.http.post(
        "/_simulator/settings", json={"faults": "", "script": {TO: ["dial_busy"]}}
    ).raise_for_status()
    assert world.http.post("/v3/list-calls", json={}).status_code == 200
    expected = {"create-phone-call:500_before": statuses.count(500), "list-calls:500_before": 1}
    assert world.ledger()["faults"] == expected


def test_an_analysis_that_never_comes() -> None:
    world = World(faults="analysis_never=100%")
    call_id = world.dial().json()["call_id"]
    shown = world.after(100_000).call(call_id)
    assert "disconnection_reason" in shown
    assert "call_analysis" not in shown


def test_numbers_and_agents() -> None:
    world = World()
    page = world.http.get("/v2/list-phone-numbers", params={"limit": 2}).json()
    assert (len(page["items"]), page["has_more"]) == (2, True)
    rest = world.http.get("/v2/list-phone-numbers", params={"pagination_key": page["pagination_key"]}).json()
    assert (len(rest["items"]), rest["has_more"]) == (1, False)
    types = {item["phone_number_type"] for item in page["items"] + rest["items"]}
    assert types == {"retell-twilio", "retell-telnyx", "custom"}
    assert world.http.get(f"/get-phone-number/{FROM}").json()["phone_number"] == FROM
    assert world.http.get("/get-phone-number/+19995550000").status_code == 422
    agents = world.http.post("/v2/list-agents", json={"filter_criteria": {"query": "SALES"}}).json()
    assert [agent["agent_id"] for agent in agents["items"]] == ["agent_simulator_sales"]
    assert world.http.get("/get-agent/agent_simulator_sales").json()["version"] == 3
    assert world.http.get("/get-agent/agent_nobody").status_code == 422
    assert world.http.get("/v2/list-phone-numbers", params={"limit": "x"}).status_code == 400


def test_reset_forgets_calls_and_keeps_settings() -> None:
    world = World(concurrency=1)
    world.dial(idempotency_key="k")
    world.http.post("/_simulator/reset").raise_for_status()
    assert world.ledger()["rings"] == 0
    assert world.used() == 0
    assert [world.dial(idempotency_key="k").status_code, world.dial().status_code] == [201, 429]
    assert world.http.get("/_simulator/nothing").status_code == 404
    assert world.http.get("/_simulator/calls").json()["items"][0]["to_number"] == TO


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(0, 3),
    st.sampled_from(["429", "error"]),
    st.lists(st.tuples(st.floats(0, 90), st.integers(0, 9), st.booleans()), max_size=60),
)
def test_concurrency_never_exceeds_the_limit(
    limit: int, foreign: int, overflow: str, steps: list[tuple[float, int, bool]]
) -> None:
    world = World(concurrency=limit, foreign=foreign, overflow=overflow)
    for seconds, number, stop in steps:
        answer = world.after(seconds).dial(f"+1415555012{number}")
        assert world.used() <= max(limit, foreign)
        if stop and answer.status_code == 201:
            world.http.post(f"/v2/stop-call/{answer.json()['call_id']}")
    ledger = world.ledger()
    assert ledger["peak_concurrency"] <= max(0, limit - foreign)
    assert ledger["peak_total_concurrency"] <= max(limit, foreign)
    open_calls = sum(call.rang and not call.over(world.engine.advance()) for call in world.engine.calls)
    assert world.used() == open_calls + foreign


@settings(max_examples=30, deadline=None)
@given(st.permutations([f"+1415555012{digit}" for digit in range(6)]))
def test_outcomes_do_not_depend_on_the_order(numbers: list[str]) -> None:
    world = World(seed=9, concurrency=100)
    for number in numbers * 2:
        world.after(1).dial(number)
    reference = World(seed=9, concurrency=100)
    for number in sorted(numbers * 2):
        reference.dial(number)
    assert _plans(world) == _plans(reference)


def _plans(world: World) -> dict[str, list[object]]:
    plans: dict[str, list[object]] = {}
    for call in world.engine.calls:
        plans.setdefault(call.to_number, []).append(call.plan)
    return plans
