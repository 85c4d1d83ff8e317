"""Requests have the field names of Retell's own SDK; answers are read whatever they hold."""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import ValidationError
from retell.types import batch_call_create_batch_call_params as batch_params
from retell.types import call_create_phone_call_params as call_params
from retell.types import call_list_params

from campaigns.retell import (
    BatchCall,
    BatchTask,
    Call,
    CallFilter,
    CallPage,
    CallTimeWindow,
    Concurrency,
    CreateBatchCall,
    CreatePhoneCall,
    PhoneNumber,
    TimeWindow,
)

FULL: dict[str, Any] = {
    "to_number": "+14155550101",
    "override_agent_id": "agent_1",
    "override_agent_version": "latest",
    "agent_override": {"agent": {"voicemail_option": None}},
    "metadata": {"attempt_id": "a1", "note": None},
    "retell_llm_dynamic_variables": {"name": "Ann"},
    "custom_sip_headers": {"X-A": "b"},
    "ignore_e164_validation": False,
}


def test_the_names_are_those_of_the_sdk() -> None:
    assert set(CreatePhoneCall.model_fields) == set(call_params.CallCreatePhoneCallParams.__annotations__)
    assert set(CreateBatchCall.model_fields) == set(
        batch_params.BatchCallCreateBatchCallParams.__annotations__
    )
    assert set(BatchTask.model_fields) == set(batch_params.Task.__annotations__)
    assert set(CallTimeWindow.model_fields) == set(batch_params.CallTimeWindow.__annotations__)
    assert set(TimeWindow.model_fields) == set(batch_params.CallTimeWindowWindow.__annotations__)


def test_the_body_keeps_nulls_inside_and_leaves_absent_fields_out() -> None:
    call = CreatePhoneCall(from_number="+14155550100", idempotency_key="a1", honor_internal_dnc=True, **FULL)
    assert json.loads(call.body()) == {
        "from_number": "+14155550100",
        "idempotency_key": "a1",
        "honor_internal_dnc": True,
        **FULL,
    }
    assert json.loads(CreatePhoneCall(from_number="+1", to_number="+2").body()) == {
        "from_number": "+1",
        "to_number": "+2",
    }


def test_a_batch_body() -> None:
    batch = CreateBatchCall(
        from_number="+14155550100",
        tasks=[BatchTask(**FULL)],
        trigger_timestamp=1735718400000,
        reserved_concurrency=0,
        call_time_window=CallTimeWindow(
            windows=[TimeWindow(start=540, end=1440)], timezone="America/New_York", day=["Monday"]
        ),
    )
    assert json.loads(batch.body()) == {
        "from_number": "+14155550100",
        "tasks": [FULL],
        "trigger_timestamp": 1735718400000,
        "reserved_concurrency": 0,
        "call_time_window": {
            "windows": [{"start": 540, "end": 1440}],
            "timezone": "America/New_York",
            "day": ["Monday"],
        },
    }


@pytest.mark.parametrize(
    "build",
    [
        lambda: CreatePhoneCall(from_number="+1", to_number=""),
        lambda: CreatePhoneCall(from_number="+1", to_number="+2", retell_llm_dynamic_variables={"age": 7}),  # type: ignore[dict-item]
        lambda: CreateBatchCall(from_number="+1", tasks=[]),
        lambda: CreateBatchCall(
            from_number="+1", tasks=[BatchTask(to_number="+2")], trigger_timestamp=1735718400
        ),
        lambda: TimeWindow(start=600, end=600),
        lambda: TimeWindow(start=0, end=1441),
        lambda: CallTimeWindow(windows=[], timezone="America/New_York"),
    ],
)
def test_a_wrong_request_is_never_built(build: Any) -> None:
    with pytest.raises(ValidationError):
        build()


def test_filters_have_the_shapes_of_the_sdk() -> None:
    wanted = CallFilter(
        call_ids=["c1"], metadata={"attempt_id": ["a", "b"], "k": "v"}, batch_call_id="b1", started_after=5
    )
    typed = wanted.typed()
    assert typed == {
        "call_id": {"type": "enum", "op": "in", "value": ["c1"]},
        "batch_call_id": {"type": "string", "op": "eq", "value": "b1"},
        "metadata": [
            {"key": "attempt_id", "type": "enum", "op": "in", "value": ["a", "b"]},
            {"key": "k", "type": "string", "op": "eq", "value": "v"},
        ],
        "start_timestamp": {"type": "number", "op": "ge", "value": 5},
    }
    assert set(typed) <= set(call_list_params.FilterCriteria.__annotations__)
    shapes = {
        "call_id": call_list_params.FilterCriteriaCallIDEnumFilter,
        "batch_call_id": call_list_params.FilterCriteriaBatchCallID,
        "start_timestamp": call_list_params.FilterCriteriaStartTimestampNumberFilter,
    }
    pairs = [(shapes[name], typed[name]) for name in shapes] + [
        (call_list_params.FilterCriteriaMetadataEnumFilter, typed["metadata"][0]),
        (call_list_params.FilterCriteriaMetadataStringFilter, typed["metadata"][1]),
    ]
    for shape, value in pairs:
        hints = get_type_hints(shape)
        assert set(value) <= set(hints)
        for name in ("op", "type"):
            assert value[name] in get_args(hints[name])
    assert wanted.arrays() == {
        "call_id": ["c1"],
        "batch_call_id": ["b1"],
        "metadata.attempt_id": ["a", "b"],
        "metadata.k": ["v"],
        "start_timestamp": {"lower_threshold": 5},
    }
    assert CallFilter().typed() == CallFilter().arrays() == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1735718400, 1735718400000),
        (1735718400.0, 1735718400000),
        (1735718400000, 1735718400000),
        (1735718400000000, 1735718400000),
        (0, None),
        (None, None),
        ("soon", None),
    ],
)
def test_a_batch_time_is_in_milliseconds(given: object, expected: int | None) -> None:
    batch = BatchCall.model_validate(
        {"batch_call_id": "b1", "scheduled_timestamp": given, "total_task_count": 2.0}
    )
    assert batch.scheduled_timestamp == expected
    assert batch.total_task_count == 2


@pytest.mark.parametrize(
    ("fields", "burst", "expected"),
    [
        ({}, False, None),
        ({"concurrency_limit": 20}, False, 20),
        ({"base_concurrency": 20, "purchased_concurrency": 5}, False, 25),
        ({"concurrency_limit": 20, "reserved_inbound_concurrency": 5}, False, 15),
        ({"concurrency_limit": 5, "reserved_inbound_concurrency": 9}, False, 0),
        (
            {"concurrency_limit": 20, "concurrency_burst_limit": 60, "concurrency_burst_enabled": True},
            True,
            60,
        ),
        (
            {"concurrency_limit": 20, "concurrency_burst_limit": 60, "concurrency_burst_enabled": True},
            False,
            20,
        ),
        (
            {"concurrency_limit": 20, "concurrency_burst_limit": 0, "concurrency_burst_enabled": True},
            True,
            20,
        ),
        (
            {"concurrency_limit": 20, "concurrency_burst_limit": 60, "concurrency_burst_enabled": False},
            True,
            20,
        ),
        ({"concurrency_limit": None, "current_concurrency": "many"}, False, None),
    ],
)
def test_ceiling(fields: dict[str, Any], burst: bool, expected: int | None) -> None:
    assert Concurrency.model_validate(fields).ceiling(burst) == expected


def test_the_operators_reserve_is_not_in_the_ceiling() -> None:
    lines = Concurrency(concurrency_limit=20, reserved_inbound_concurrency=5)
    assert [lines.ceiling(reserve=reserve) for reserve in (0, 5, 15, 16)] == [15, 10, 0, 0]
    assert Concurrency().ceiling(reserve=3) is None


def test_one_malformed_call_does_not_lose_the_others() -> None:
    page = CallPage.model_validate(
        {
            "items": [{"call_id": "c1"}, {"call_id": None}, "junk", None, {"call_id": "c2", "metadata": 3}],
            "has_more": False,
        }
    )
    assert [call.call_id for call in page.items] == ["c1", "c2"]
    assert page.malformed == 3


@pytest.mark.parametrize("answer", [{"items": []} | {"has_more": {}}, {"has_more": False}, [], None])
def test_a_broken_page_is_not_the_end_of_a_list(answer: object) -> None:
    with pytest.raises(ValidationError):
        CallPage.model_validate(answer)


def test_both_forms_of_outbound_agents() -> None:
    old = PhoneNumber.model_validate(
        {"phone_number": "+1", "outbound_agent_id": "a1", "outbound_agents": None}
    )
    new = PhoneNumber.model_validate(
        {
            "phone_number": "+1",
            "outbound_agents": [{"agent_id": "a2", "weight": 1}],
            "phone_number_type": "new-kind",
        }
    )
    assert old.outbound_agent_ids == ("a1",)
    assert new.outbound_agent_ids == ("a2",)
    assert PhoneNumber(phone_number="+1").outbound_agent_ids == ()


def test_attempt_id_of_a_call() -> None:
    assert Call.model_validate({"call_id": "c", "metadata": {"attempt_id": "a"}}).attempt_id == "a"
    assert Call.model_validate({"call_id": "c", "metadata": {"attempt_id": 3}}).attempt_id is None
