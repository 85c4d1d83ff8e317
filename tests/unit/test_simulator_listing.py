"""list-calls in both versions: every filter, sorting, paging, and what is refused."""

from __future__ import annotations

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
from campaigns.simulator.transport import SimulatorTransport

OUTCOMES = [
    "user_hangup",
    "dial_no_answer",
    "voicemail_reached",
    "dial_busy",
    "user_requested_callback",
    "error_asr",
]


class World:
    """A simulator that made thirty calls over a while, and a client of it."""

    def __init__(self, calls: int = 30) -> None:
        self.seconds = 1_780_000_000.0
        clock = ScaledClock(
            datetime.fromtimestamp(self.seconds, UTC), 1.0, self.seconds, lambda: self.seconds
        )
        self.engine = Engine(SimulatorConfig(concurrency=100_000, seed=4), clock, lambda: self.seconds)
        self.http = httpx.Client(
            transport=SimulatorTransport(Api(self.engine)),
            base_url="http://simulator.invalid",
            headers={"Authorization": "Bearer key_test"},
        )
        for number in range(calls):
            to_number = f"+141555501{number:02d}"
            self.engine.script(to_number, OUTCOMES[number % len(OUTCOMES)])
            self.engine.create_phone_call(
                {
                    "from_number": "+14155550100" if number % 2 else "+12125550101",
                    "to_number": to_number,
                    "metadata": {"attempt_id": f"a{number}", "odd": bool(number % 2), "n": number},
                    "retell_llm_dynamic_variables": {"name": f"Lead {number}"},
                }
            )
            self.seconds += 7

    def find(self, body: dict[str, Any] | None = None, **criteria: Any) -> dict[str, Any]:
        answer = self.http.post(
            "/v3/list-calls", json={"limit": 1000, "filter_criteria": criteria} | (body or {})
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def attempts(self, **criteria: Any) -> set[str]:
        return {item["metadata"]["attempt_id"] for item in self.find(**criteria)["items"]}

    def where(self, wanted: Any) -> set[str]:
        now = self.engine.advance()
        return {str(call.attempt_id) for call in self.engine.calls if wanted(call.show(now))}


@pytest.fixture(scope="module")
def world() -> World:
    made = World()
    made.seconds += 40
    return made


def string(value: str, op: str = "eq") -> dict[str, Any]:
    return {"type": "string", "op": op, "value": value}


def among(*values: str) -> dict[str, Any]:
    return {"type": "enum", "op": "in", "value": list(values)}


CASES: list[tuple[dict[str, Any], Any]] = [
    ({}, lambda call: True),
    ({"call_status": among("ended")}, lambda call: call["call_status"] == "ended"),
    (
        {"call_status": among("not_connected", "error")},
        lambda call: call["call_status"] in ("not_connected", "error"),
    ),
    (
        {"disconnection_reason": among("dial_busy")},
        lambda call: call.get("disconnection_reason") == "dial_busy",
    ),
    ({"from_number": string("+14155550100")}, lambda call: call["from_number"] == "+14155550100"),
    ({"from_number": string("+1415", "sw")}, lambda call: call["from_number"].startswith("+1415")),
    ({"to_number": string("5", "ew")}, lambda call: call["to_number"].endswith("5")),
    ({"to_number": string("011", "co")}, lambda call: "011" in call["to_number"]),
    ({"to_number": string("+14155550103")}, lambda call: call["to_number"] == "+14155550103"),
    ({"to_number": string("+14155550103", "ne")}, lambda call: call["to_number"] != "+14155550103"),
    (
        {"metadata": [{"key": "attempt_id", **string("a3")}]},
        lambda call: call["metadata"]["attempt_id"] == "a3",
    ),
    (
        {"metadata": [{"key": "attempt_id", **among("a3", "a4", "zz")}]},
        lambda call: call["metadata"]["n"] in (3, 4),
    ),
    (
        {"metadata": [{"key": "attempt_id", **string("a1", "sw")}]},
        lambda c: c["metadata"]["attempt_id"][:2] == "a1",
    ),
    (
        {"metadata": [{"key": "n", "type": "number", "op": "ge", "value": 7}]},
        lambda call: call["metadata"]["n"] >= 7,
    ),
    (
        {"metadata": [{"key": "n", "type": "range", "op": "bt", "value": [2, 5]}]},
        lambda c: 2 <= c["metadata"]["n"] <= 5,
    ),
    (
        {"metadata": [{"key": "odd", "type": "boolean", "op": "eq", "value": True}]},
        lambda call: call["metadata"]["odd"],
    ),
    ({"metadata": [{"key": "n", "type": "present", "op": "pr"}]}, lambda call: True),
    ({"metadata": [{"key": "x", "type": "present", "op": "pr"}]}, lambda call: False),
    ({"metadata": [{"key": "n", "type": "number", "op": "gt", "value": 10**400}]}, lambda call: False),
    ({"metadata": [{"key": "x", "type": "present", "op": "np"}]}, lambda call: True),
    (
        {
            "metadata": [
                {"key": "odd", **string("true")},
                {"key": "n", "type": "number", "op": "lt", "value": 9},
            ]
        },
        lambda call: call["metadata"]["odd"] and call["metadata"]["n"] < 9,
    ),
    (
        {"dynamic_variables": [{"key": "name", **string("Lead 2")}]},
        lambda call: call["retell_llm_dynamic_variables"]["name"] == "Lead 2",
    ),
    (
        {"custom_analysis_data": [{"key": "do_not_call", "type": "boolean", "op": "eq", "value": False}]},
        lambda call: (
            call.get("call_analysis", {}).get("custom_analysis_data", {}).get("do_not_call") is False
        ),
    ),
    (
        {"in_voicemail": {"type": "boolean", "op": "eq", "value": True}},
        lambda c: _analysis(c).get("in_voicemail") is True,
    ),
    ({"user_sentiment": among("Unknown")}, lambda call: _analysis(call).get("user_sentiment") == "Unknown"),
    (
        {"call_successful": {"type": "boolean", "op": "eq", "value": True}},
        lambda c: _analysis(c).get("call_successful"),
    ),
    (
        {"duration_ms": {"type": "number", "op": "gt", "value": 20_000}},
        lambda call: call.get("duration_ms", 0) > 20_000,
    ),
    (
        {"start_timestamp": {"type": "range", "op": "bt", "value": [1_780_000_050_000, 1_780_000_150_000]}},
        lambda call: 1_780_000_050_000 <= call.get("start_timestamp", 0) <= 1_780_000_150_000,
    ),
    ({"combined_cost": {"type": "number", "op": "eq", "value": 0}}, lambda c: _cost(c) == 0),
    ({"call_type": among("phone_call")}, lambda call: True),
    ({"direction": among("inbound")}, lambda call: False),
    ({"agent": [{"agent_id": "agent_simulator_sales"}]}, lambda call: True),
    ({"agent": [{"agent_id": "agent_simulator_sales", "version": [99]}]}, lambda call: False),
    ({"agent_tag": among("prod")}, lambda call: False),
    ({"batch_call_id": string("batch_call_x")}, lambda call: False),
]


def _analysis(call: dict[str, Any]) -> dict[str, Any]:
    return dict(call.get("call_analysis", {}))


def _cost(call: dict[str, Any]) -> float | None:
    cost = call.get("call_cost")
    return None if cost is None else float(cost["combined_cost"])


@pytest.mark.parametrize(("criteria", "wanted"), CASES, ids=[str(criteria)[:60] for criteria, _ in CASES])
def test_a_filter_finds_exactly_what_it_says(world: World, criteria: dict[str, Any], wanted: Any) -> None:
    assert world.attempts(**criteria) == world.where(wanted)


def test_by_ids_and_without_transcript(world: World) -> None:
    ids = [call.call_id for call in world.engine.calls[:5]]
    found = world.find(call_id=among(*ids, "call_unknown"))
    assert {item["call_id"] for item in found["items"]} == set(ids)
    assert not any("transcript" in item or "transcript_object" in item for item in found["items"])
    assert found["has_more"] is False
    assert "pagination_key" not in found


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_pages_cover_everything_once_and_in_order(world: World, order: str) -> None:
    seen: list[dict[str, Any]] = []
    body: dict[str, Any] = {"limit": 7, "sort_order": order, "include_total": True}
    while True:
        page = world.find(body)
        assert page["total"] == 30
        seen += page["items"]
        if not page["has_more"]:
            break
        body["pagination_key"] = page["pagination_key"]
    assert len({item["call_id"] for item in seen}) == len(seen) == 30
    starts = [item["start_timestamp"] for item in seen if "start_timestamp" in item]
    assert starts == sorted(starts, reverse=order == "descending")


def test_limits_and_skip(world: World) -> None:
    answer = world.http.post("/v3/list-calls", json={})
    assert len(answer.json()["items"]) == 30
    assert len(world.find({"limit": 10, "skip": 25})["items"]) == 5


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "many"},
        {"skip": -1},
        {"sort_order": "up"},
        {"pagination_key": "%%%"},
        {"filter_criteria": []},
        {"filter_criteria": {"call_ids": among("x")}},
        {"filter_criteria": {"agent_id": among("x")}},
        {"filter_criteria": {"call_id": ["call_1"]}},
        {"filter_criteria": {"call_id": {"type": "enum", "op": "in", "value": "call_1"}}},
        {"filter_criteria": {"call_id": {"type": "enum", "op": "in", "value": [{}]}}},
        {"filter_criteria": {"call_id": {"type": "number", "op": "eq", "value": 3}}},
        {"filter_criteria": {"call_status": among("registered")}},
        {"filter_criteria": {"disconnection_reason": among("bored")}},
        {"filter_criteria": {"metadata": {"key": "x", **string("y")}}},
        {"filter_criteria": {"metadata": [string("y")]}},
        {"filter_criteria": {"metadata": [{"key": "x", "type": "string", "op": "in", "value": "y"}]}},
        {"filter_criteria": {"start_timestamp": {"type": "range", "op": "bt", "value": [1]}}},
        {"filter_criteria": {"start_timestamp": {"type": "number", "op": "bt", "value": 1}}},
        {"filter_criteria": {"start_timestamp": {"lower_threshold": 1}}},
        {"filter_criteria": {"in_voicemail": {"type": "boolean", "op": "eq", "value": "yes"}}},
        {"filter_criteria": {"metadata": [{"key": "x", "type": "present", "op": "eq"}]}},
        {"filter_criteria": {"agent": [{}]}},
        {"filter_criteria": {"agent": [{"agent_id": "x", "version": [{}]}]}},
        {"filter_criteria": {"tool_calls": [{"name": "x"}]}},
    ],
)
def test_a_bad_filter_is_refused(world: World, body: dict[str, Any]) -> None:
    answer = world.http.post("/v3/list-calls", json=body)
    assert answer.status_code == 400
    assert answer.json()["status"] == "error"


def test_version_two(world: World) -> None:
    def find(**body: Any) -> list[dict[str, Any]]:
        answer = world.http.post("/v2/list-calls", json=body)
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    ids = [call.call_id for call in world.engine.calls]
    assert {item["call_id"] for item in find(filter_criteria={"call_id": ids[:3]})} == set(ids[:3])
    assert any("transcript" in item for item in find())
    assert [item["metadata"]["n"] for item in find(filter_criteria={"metadata.attempt_id": ["a5"]})] == [5]
    assert len(find(filter_criteria={"dynamic_variables.name": ["Lead 1", "Lead 2"]})) == 2
    assert all(
        item["duration_ms"] >= 20_000
        for item in find(filter_criteria={"duration_ms": {"lower_threshold": 20000}})
    )
    assert len(find(filter_criteria={"agent_id": ["agent_simulator_sales"], "version": [3]})) == 30
    assert {
        item["disconnection_reason"] for item in find(filter_criteria={"disconnection_reason": ["dial_busy"]})
    } == {"dial_busy"}
    first = find(limit=20)
    rest = find(limit=20, pagination_key=first[-1]["call_id"])
    assert len({item["call_id"] for item in first + rest}) == 30
    refused: tuple[dict[str, Any], ...] = (
        {"filter_criteria": {"call_id": "x"}},
        {"filter_criteria": {"call_status": ["registered"]}},
        {"filter_criteria": {"unknown": ["x"]}},
        {"filter_criteria": {"duration_ms": {"from": 1}}},
        {"filter_criteria": {"duration_ms": {"lower_threshold": "x"}}},
        {"filter_criteria": {"metadata.x": [{}]}},
        {"pagination_key": "call_unknown"},
    )
    for body in refused:
        assert world.http.post("/v2/list-calls", json=body).status_code == 400


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "op", "value", "key", "enum", "call_id"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    ),
    st.sampled_from(["call_id", "metadata", "agent", "start_timestamp", "call_status", "batch_call_id"]),
)
def test_no_filter_breaks_the_server(value: Any, name: str) -> None:
    world = World(calls=1)
    for path in ("/v3/list-calls", "/v2/list-calls"):
        assert world.http.post(path, json={"filter_criteria": {name: value}}).status_code in (200, 400)
