"""The official client drives every endpoint over real HTTP, and its models accept every answer as it is.

The client itself is lenient: it builds its models without validating. So each raw answer is validated again,
without coercion, and may have no field that the SDK does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from retell import APIStatusError, AuthenticationError, Retell
from retell.types import (
    AgentListResponse,
    AgentResponse,
    BatchCallResponse,
    CallListResponse,
    ConcurrencyRetrieveResponse,
    PhoneCallResponse,
    PhoneNumberListResponse,
    PhoneNumberResponse,
)

from campaigns.domain.clock import ScaledClock
from campaigns.simulator.config import SimulatorConfig
from campaigns.simulator.engine import Engine
from campaigns.simulator.plans import REASONS
from campaigns.simulator.server import Running, running

FROM, TO = "+14155550100", "+14155550123"


def strict(model: type[BaseModel], raw: Any) -> None:
    """Validate without coercion, and refuse fields that the SDK's model does not have."""
    shown = model.model_validate(raw, strict=True)
    assert_known(shown, raw)


def assert_known(model: Any, raw: Any) -> None:
    if isinstance(model, BaseModel):
        assert not model.model_extra, f"{type(model).__name__} does not know {model.model_extra}"
        for name, value in raw.items():
            assert_known(getattr(model, name, None), value)
    elif isinstance(model, list):
        for item, value in zip(model, raw, strict=True):
            assert_known(item, value)


class Time:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 1_780_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def time() -> Time:
    return Time()


@pytest.fixture(scope="module")
def started(time: Time) -> Iterator[Running]:
    clock = ScaledClock(datetime.fromtimestamp(time.seconds, UTC), 1.0, time.seconds, time)
    engine = Engine(SimulatorConfig(concurrency=100, api_key="key_test"), clock, time)
    with running(engine) as server:
        yield server


@pytest.fixture
def server(started: Running) -> Running:
    with started.engine.lock:
        started.engine.reset()
    return started


@pytest.fixture
def sdk(server: Running) -> Iterator[Retell]:
    with Retell(api_key="key_test", base_url=server.url, max_retries=0, timeout=5) as client:
        yield client


@pytest.fixture
def raw(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"Authorization": "Bearer key_test"}, timeout=5) as client:
        yield client


def test_the_whole_life_of_a_call(server: Running, sdk: Retell, raw: httpx.Client, time: Time) -> None:
    server.engine.script(TO, "user_hangup")
    created = sdk.call.create_phone_call(
        from_number=FROM,
        to_number=TO,
        override_agent_id="agent_simulator_service",
        metadata={"attempt_id": "a1"},
        retell_llm_dynamic_variables={"name": "Ann"},
        custom_sip_headers={"X-Lead": "7"},
        idempotency_key="a1",
    )
    assert created.call_status == "registered"
    seen = set()
    for _ in range(100):
        call = sdk.call.retrieve(created.call_id)
        seen.add(call.call_status)
        strict(PhoneCallResponse, raw.get(f"/v2/get-call/{created.call_id}").json())
        time.seconds += 5
    assert seen == {"registered", "ongoing", "ended"}
    assert isinstance(call, PhoneCallResponse)
    assert call.call_analysis is not None
    assert call.call_cost is not None
    assert call.call_cost.combined_cost > 0
    assert call.transcript


@pytest.mark.parametrize("reason", sorted(REASONS | {"hidden_voicemail"}))
def test_every_outcome_is_one_the_sdk_knows(
    server: Running, raw: httpx.Client, time: Time, reason: str
) -> None:
    server.engine.script(TO, reason)
    body = {"from_number": FROM, "to_number": TO, "metadata": {"attempt_id": "a"}}
    answer = raw.post("/v2/create-phone-call", json=body)
    assert answer.status_code == 201
    strict(PhoneCallResponse, answer.json())
    for seconds in (1, 25, 30, 5000):
        time.seconds += seconds
        strict(PhoneCallResponse, raw.get(f"/v2/get-call/{answer.json()['call_id']}").json())
        strict(CallListResponse, raw.post("/v3/list-calls", json={}).json())
    shown = raw.get(f"/v2/get-call/{answer.json()['call_id']}").json()
    assert shown["disconnection_reason"] == ("user_hangup" if reason == "hidden_voicemail" else reason)


def test_lists(sdk: Retell, raw: httpx.Client, time: Time) -> None:
    for number in range(8):
        sdk.call.create_phone_call(
            from_number=FROM, to_number=f"+1415555012{number}", metadata={"attempt_id": f"a{number}"}
        )
        time.seconds += 20
    page = sdk.call.list(
        limit=3,
        sort_order="ascending",
        include_total=True,
        filter_criteria={
            "metadata": [
                {"type": "enum", "op": "in", "value": [f"a{n}" for n in range(5)], "key": "attempt_id"}
            ],
            "from_number": {"type": "string", "op": "eq", "value": FROM},
            "call_type": {"type": "enum", "op": "in", "value": ["phone_call"]},
        },
    )
    assert (len(page.items), page.has_more, page.total) == (3, True, 5)
    assert page.pagination_key
    rest = sdk.call.list(
        limit=3,
        sort_order="ascending",
        pagination_key=page.pagination_key,
        filter_criteria={
            "metadata": [
                {"type": "enum", "op": "in", "value": [f"a{n}" for n in range(5)], "key": "attempt_id"}
            ]
        },
    )
    assert (len(rest.items), rest.has_more) == (2, False)
    strict(CallListResponse, raw.post("/v3/list-calls", json={"include_total": True, "limit": 2}).json())
    calls = raw.post("/v2/list-calls", json={}).json()
    TypeAdapter(list[PhoneCallResponse]).validate_python(calls, strict=True)
    assert len(calls) == 8


def test_stop(sdk: Retell, raw: httpx.Client) -> None:
    call = sdk.call.create_phone_call(from_number=FROM, to_number=TO)
    sdk.call.stop(call.call_id)
    assert sdk.call.retrieve(call.call_id).disconnection_reason == "manual_stopped"
    strict(PhoneCallResponse, raw.get(f"/v2/get-call/{call.call_id}").json())


def test_batch(sdk: Retell, raw: httpx.Client, time: Time) -> None:
    batch = sdk.batch_call.create_batch_call(
        from_number=FROM,
        name="Spring",
        reserved_concurrency=2,
        trigger_timestamp=time.seconds * 1000,
        tasks=[{"to_number": TO, "metadata": {"attempt_id": "a1"}}],
        call_time_window={"windows": [{"start": 0, "end": 1440}], "timezone": "America/New_York"},
    )
    assert batch.total_task_count == 1
    time.seconds += 1
    found = sdk.call.list(
        filter_criteria={"batch_call_id": {"type": "string", "op": "eq", "value": batch.batch_call_id}}
    )
    assert [item.to_number for item in found.items if item.call_type == "phone_call"] == [TO]
    body = {
        "from_number": FROM,
        "tasks": [{"to_number": TO}],
        "call_time_window": {"windows": [{"start": 0, "end": 60}], "day": ["Monday"]},
    }
    strict(BatchCallResponse, raw.post("/create-batch-call", json=body).json())


def test_concurrency_numbers_and_agents(sdk: Retell, raw: httpx.Client) -> None:
    assert sdk.concurrency.retrieve().concurrency_limit == 100
    strict(ConcurrencyRetrieveResponse, raw.get("/get-concurrency").json())
    assert {item.phone_number_type for item in sdk.phone_number.list().items} == {
        "retell-twilio",
        "retell-telnyx",
        "custom",
    }
    strict(PhoneNumberListResponse, raw.get("/v2/list-phone-numbers?limit=1").json())
    assert sdk.phone_number.retrieve(FROM).phone_number == FROM
    strict(PhoneNumberResponse, raw.get(f"/get-phone-number/{FROM}").json())
    assert len(sdk.agent.list(limit=1, filter_criteria={"query": "agent"}).items) == 1
    strict(AgentListResponse, raw.post("/v2/list-agents", json={}).json())
    agent = sdk.agent.retrieve("agent_simulator_sales")
    assert agent.agent_id == "agent_simulator_sales"
    strict(AgentResponse, raw.get("/get-agent/agent_simulator_sales").json())


def test_errors_are_the_ones_the_sdk_expects(server: Running, sdk: Retell) -> None:
    with pytest.raises(APIStatusError) as unknown:
        sdk.call.retrieve("call_unknown")
    assert unknown.value.status_code == 422
    assert unknown.value.response.json()["status"] == "error"
    with (
        Retell(api_key="key_wrong", base_url=server.url, max_retries=0) as stranger,
        pytest.raises(AuthenticationError),
    ):
        stranger.concurrency.retrieve()


def test_the_check_of_this_file_is_strict() -> None:
    class Known(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int

    with pytest.raises(AssertionError):
        strict(Known, {"a": 1, "b": 2})
    with pytest.raises(ValidationError):
        strict(Known, {"a": "1"})
