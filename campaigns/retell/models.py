"""Retell's requests and answers, in Retell's own field names.

Requests are strict: a wrong type is a bug of ours and shows before anything is sent. Answers are tolerant: an
optional field of an unexpected type is read as absent, an unknown enum value stays a plain string, unknown
fields are ignored, because an answer about a call that is ringing must never be thrown away over a detail.
Timestamps are integer milliseconds since the Unix epoch, durations are milliseconds, costs are cents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
Id = Annotated[str, Field(min_length=1)]
Token = Annotated[str, Field(pattern=r"^[!->@-~]+$")]


def _whole(value: Any) -> Any:
    # Several of Retell's integers are declared "number", and JSON writers may add a fraction.
    return round(value) if isinstance(value, float) and abs(value) < 1e18 else value


Whole = Annotated[int, BeforeValidator(_whole)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True)

    def body(self) -> bytes:
        """The JSON body. Fields that are None are left out; nulls inside free-form objects stay."""
        return self.model_dump_json(exclude_none=True).encode()


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="wrap")
    @classmethod
    def _tolerate(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            if not isinstance(data, dict):
                raise
            bad = {problem["loc"][0] for problem in error.errors(include_url=False) if problem["loc"]}
            # What is required and bad fails again below; only optional fields are given up.
            return handler({name: value for name, value in data.items() if name not in bad})


class BatchTask(_Request):
    """One call of a batch. `retell_llm_dynamic_variables` are text only; `metadata` is kept below 50 kB."""

    to_number: Id
    override_agent_id: str | None = None
    override_agent_version: int | str | None = None
    agent_override: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    retell_llm_dynamic_variables: dict[str, str] | None = None
    custom_sip_headers: dict[str, str] | None = None
    ignore_e164_validation: bool | None = None


class CreatePhoneCall(BatchTask):
    """One call, dialed at once. Numbers are E.164.

    `idempotency_key`: Retell answers the same key with the same call for up to one hour, where it knows the
    field; nothing may rely on it alone. `honor_internal_dnc`: Retell refuses contacts it has marked.
    """

    from_number: Id
    idempotency_key: str | None = None
    honor_internal_dnc: bool | None = None


class TimeWindow(_Request):
    """Half open, in minutes since local midnight: 0 <= start < end <= 1440."""

    start: Whole = Field(ge=0, lt=1440)
    end: Whole = Field(gt=0, le=1440)

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.start >= self.end:
            raise ValueError("a window must start before it ends and may not cross midnight: split it in two")
        return self


class CallTimeWindow(_Request):
    """When a batch may dial. `timezone` (IANA) has no default here: Retell's is Los Angeles.

    `day` absent or empty means every day.
    """

    windows: list[TimeWindow] = Field(min_length=1)
    timezone: Id
    day: list[Day] | None = None


class CreateBatchCall(_Request):
    """A batch. `trigger_timestamp` in milliseconds, absent = now; `reserved_concurrency` stays free of it."""

    from_number: Id
    tasks: list[BatchTask] = Field(min_length=1)
    name: str | None = None
    trigger_timestamp: int | None = None
    reserved_concurrency: int | None = Field(default=None, ge=0)
    call_time_window: CallTimeWindow | None = None

    @field_validator("trigger_timestamp")
    @classmethod
    def _in_milliseconds(cls, value: int | None) -> int | None:
        # A time in seconds would lie in 1970 and dial the whole batch at once, outside every window.
        if value is not None and not 1e11 <= value < 1e14:
            raise ValueError("trigger_timestamp is in milliseconds since the Unix epoch")
        return value


class BatchCall(_Answer):
    """What Retell says about a new batch: no call ids. `scheduled_timestamp` in milliseconds."""

    batch_call_id: Token
    name: str | None = None
    from_number: str | None = None
    scheduled_timestamp: Whole | None = None
    total_task_count: Whole | None = None
    call_time_window: CallTimeWindow | None = None

    @field_validator("scheduled_timestamp")
    @classmethod
    def _to_milliseconds(cls, value: int | None) -> int | None:
        # The unit is undocumented and the example is in seconds, so the magnitude decides.
        if value is None or value <= 0:
            return None
        if value < 10**11:
            return value * 1000
        while value >= 10**14:
            value //= 1000
        return value


class Concurrency(_Answer):
    """How many calls the workspace may hold at once. `current_concurrency` counts all of its calls."""

    current_concurrency: Whole | None = None
    concurrency_limit: Whole | None = None
    base_concurrency: Whole | None = None
    purchased_concurrency: Whole | None = None
    concurrency_purchase_limit: Whole | None = None
    remaining_purchase_limit: Whole | None = None
    concurrency_burst_enabled: bool | None = None
    concurrency_burst_limit: Whole | None = None
    reserved_inbound_concurrency: Whole | None = None

    def ceiling(self, burst: bool = False, reserve: int = 0) -> int | None:
        """How many calls outbound work may hold at once, never below 0; None if Retell does not tell.

        `burst`: the operator accepts the surcharge; it counts only where the workspace has burst enabled. `reserve`:
        lines that the operator keeps free.
        """
        limit = self.concurrency_limit
        if limit is None and self.base_concurrency is not None:
            limit = self.base_concurrency + (self.purchased_concurrency or 0)
        if burst and self.concurrency_burst_enabled and (self.concurrency_burst_limit or 0) > (limit or 0):
            limit = self.concurrency_burst_limit
        if limit is None:
            return None
        return max(0, limit - max(0, self.reserved_inbound_concurrency or 0) - reserve)


class CallAnalysis(_Answer):
    """Arrives after the call has ended."""

    call_summary: str | None = None
    in_voicemail: bool | None = None
    user_sentiment: str | None = None
    call_successful: bool | None = None
    custom_analysis_data: dict[str, Any] | None = None


class CallCost(_Answer):
    """`combined_cost` in cents; `total_duration_unit_price` in cents per second."""

    combined_cost: float | None = None
    total_duration_seconds: float | None = None
    total_duration_unit_price: float | None = None
    product_costs: list[dict[str, Any]] | None = None


class Call(_Answer):
    """A call. Only `call_id` is certain; items of a v3 list have no transcript.

    `call_status` is registered, ongoing, ended, not_connected, error, or one Retell adds later. Likewise
    `disconnection_reason`.
    """

    call_id: Token
    call_type: str | None = None
    call_status: str | None = None
    direction: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    agent_id: str | None = None
    agent_name: str | None = None
    agent_version: int | str | None = None
    metadata: dict[str, Any] | None = None
    retell_llm_dynamic_variables: dict[str, Any] | None = None
    collected_dynamic_variables: dict[str, Any] | None = None
    start_timestamp: Whole | None = None
    end_timestamp: Whole | None = None
    transfer_end_timestamp: Whole | None = None
    duration_ms: Whole | None = None
    disconnection_reason: str | None = None
    transfer_destination: str | None = None
    call_analysis: CallAnalysis | None = None
    call_cost: CallCost | None = None
    transcript: str | None = None
    recording_url: str | None = None
    public_log_url: str | None = None
    telephony_identifier: dict[str, Any] | None = None

    @property
    def attempt_id(self) -> str | None:
        """The runner's own id of the attempt, from the metadata it sent along."""
        value = (self.metadata or {}).get("attempt_id")
        return value if isinstance(value, str) and value else None


class Webhook(_Answer):
    """What Retell posts when something happens to a call: call_started, call_ended, call_analyzed, or another event."""

    event: Id
    call: Call


class CallPage(BaseModel):
    """One page of calls. `malformed` counts the items that had no readable call id and were left out.

    Where `malformed` is above 0, the absence of a call from the page proves nothing. For the same reason the
    page around the items is read strictly: a broken `has_more` must not look like the end of the list.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    items: list[Call]
    has_more: bool
    pagination_key: str | None = None
    malformed: int = 0

    @staticmethod
    def shape_of_array(items: Any, limit: int) -> dict[str, Any]:
        """The bare array that v2 answers, as a page. Raises ValueError if it is none.

        Its key is the last call's id, and only a full page can have another one after it.
        """
        if not isinstance(items, list):
            raise ValueError("not a list")
        last = items[-1] if items else None
        key = last.get("call_id") if isinstance(last, dict) else None
        return {"items": items, "has_more": len(items) >= limit, "pagination_key": key}

    @model_validator(mode="before")
    @classmethod
    def _skip_malformed(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("items"), list):
            return data
        calls: list[Call] = []
        for item in data["items"]:
            try:
                calls.append(Call.model_validate(item))
            except ValidationError:
                continue
        more = {"has_more": bool(data.get("pagination_key")), **data}
        return {**more, "items": calls, "malformed": len(data["items"]) - len(calls)}


class Calls(list[Call]):
    """Calls that were found. Where `malformed` is above 0, a call's absence proves nothing."""

    def __init__(self, calls: Iterable[Call] = (), malformed: int = 0) -> None:
        super().__init__(calls)
        self.malformed = malformed


class Listing(BaseModel):
    """One page of anything else, its items not yet read."""

    items: list[Any]
    has_more: bool
    pagination_key: str | None = None


class CallFilter(BaseModel):
    """Conditions on calls, all of which must hold; None sets no condition.

    `metadata`: top-level key to the value, or the values, that match. `started_after`: ms since the epoch,
    inclusive. Never by status: Retell's filter does not know `registered`.
    """

    call_ids: Sequence[str] | None = None
    metadata: Mapping[str, str | Sequence[str]] = {}
    batch_call_id: str | None = None
    started_after: int | None = None

    def typed(self) -> dict[str, Any]:
        """As POST /v3/list-calls takes it."""
        criteria: dict[str, Any] = {}
        if self.call_ids is not None:
            criteria["call_id"] = _is(list(self.call_ids))
        if self.batch_call_id is not None:
            criteria["batch_call_id"] = _is(self.batch_call_id)
        if self.metadata:
            criteria["metadata"] = [{"key": key, **_is(value)} for key, value in self.metadata.items()]
        if self.started_after is not None:
            criteria["start_timestamp"] = {"type": "number", "op": "ge", "value": self.started_after}
        return criteria

    def arrays(self) -> dict[str, Any]:
        """As POST /v2/list-calls took it."""
        criteria: dict[str, Any] = {}
        if self.call_ids is not None:
            criteria["call_id"] = list(self.call_ids)
        if self.batch_call_id is not None:
            criteria["batch_call_id"] = [self.batch_call_id]
        for key, value in self.metadata.items():
            criteria[f"metadata.{key}"] = [value] if isinstance(value, str) else list(value)
        if self.started_after is not None:
            criteria["start_timestamp"] = {"lower_threshold": self.started_after}
        return criteria


def _is(value: str | Sequence[str]) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": "string", "op": "eq", "value": value}
    return {"type": "enum", "op": "in", "value": list(value)}


class WeightedAgent(_Answer):
    """An agent bound to a number; the weights of one list add up to 1."""

    agent_id: Id
    agent_version: int | str | None = None
    weight: float | None = None


class PhoneNumber(_Answer):
    """A number of the workspace. `phone_number_type`: retell-twilio, retell-telnyx or custom."""

    phone_number: Id
    phone_number_type: str | None = None
    nickname: str | None = None
    outbound_agents: list[WeightedAgent] | None = None
    outbound_agent_id: str | None = None
    outbound_agent_version: int | str | None = None
    allowed_outbound_country_list: list[str] | None = None

    @property
    def outbound_agent_ids(self) -> tuple[str, ...]:
        """The agents that may speak on outbound calls, whichever of the two forms Retell answered in."""
        if self.outbound_agents:
            return tuple(agent.agent_id for agent in self.outbound_agents)
        return (self.outbound_agent_id,) if self.outbound_agent_id else ()


class Agent(_Answer):
    """A voice agent. Items of a list have little more than the id and the name."""

    agent_id: Id
    agent_name: str | None = None
    version: int | str | None = None
    channel: str | None = None
    is_published: bool | None = None
    is_suspended: bool | None = None
    voice_id: str | None = None
    language: str | list[str] | None = None
    timezone: str | None = None
    max_call_duration_ms: Whole | None = None
    ring_duration_ms: Whole | None = None
    webhook_url: str | None = None
    webhook_events: list[str] | None = None
    enable_dnc_detection: bool | None = None
    voicemail_option: dict[str, Any] | None = None
    post_call_analysis_data: list[dict[str, Any]] | None = None
