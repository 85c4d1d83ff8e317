"""list-calls: filters of both API versions, sorting, paging.

A filter is checked and turned into a `Query` once; string equality, `in` and the ids of a batch then narrow
the calls by index, so that asking for 50 ids among 50,000 calls costs 50 look-ups.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from campaigns.simulator.calls import Call
from campaigns.simulator.plans import REASONS
from campaigns.simulator.requests import Refused, bad

DEFAULT_LIMIT, MAX_LIMIT = 50, 1000

Check = Callable[[Any], bool]
Accessor = Callable[[Call, int], Any]


def _bad(message: str) -> Refused:
    return bad(message, "bad_filter")


def _analysis(name: str) -> Accessor:
    return lambda call, now_ms: (call.analysis(now_ms) or {}).get(name)


_FIELDS: dict[str, Accessor] = {
    "call_id": lambda call, _: call.call_id,
    "batch_call_id": lambda call, _: call.batch_call_id,
    "agent_id": lambda call, _: call.agent_id,
    "version": lambda call, _: call.agent_version,
    "from_number": lambda call, _: call.from_number,
    "to_number": lambda call, _: call.to_number,
    "call_status": lambda call, now_ms: call.status(now_ms),
    "call_type": lambda call, _: "phone_call",
    "direction": lambda call, _: "outbound",
    "data_storage_setting": lambda call, _: "everything",
    "agent_tag": lambda call, _: None,
    "disconnection_reason": lambda call, now_ms: call.disconnection_reason(now_ms),
    "user_sentiment": _analysis("user_sentiment"),
    "call_successful": _analysis("call_successful"),
    "in_voicemail": _analysis("in_voicemail"),
    "start_timestamp": lambda call, now_ms: call.start_timestamp(now_ms),
    "end_timestamp": lambda call, now_ms: (
        call.ends_ms() if call.over(now_ms) and call.start_timestamp(now_ms) is not None else None
    ),
    "duration_ms": lambda call, now_ms: call.duration_ms(now_ms),
    "combined_cost": lambda call, now_ms: (call.cost(now_ms) or {}).get("combined_cost"),
    "e2e_latency_p50": lambda call, _: None,
}
_KEYED: dict[str, Accessor] = {
    "metadata": lambda call, _: call.metadata or {},
    "dynamic_variables": lambda call, _: call.dynamic_variables or {},
    "custom_analysis_data": lambda call, now_ms: (call.analysis(now_ms) or {}).get(
        "custom_analysis_data", {}
    ),
    "custom_attributes": lambda call, _: {},
}
_INDEXED = {"call_id", "batch_call_id", "to_number"}

_STRING: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda value, wanted: value == wanted,
    "ne": lambda value, wanted: value != wanted,
    "sw": lambda value, wanted: value.startswith(wanted),
    "ew": lambda value, wanted: value.endswith(wanted),
    "co": lambda value, wanted: wanted in value,
}
_NUMBER: dict[str, Callable[[float, float], bool]] = {
    "eq": lambda value, wanted: value == wanted,
    "ne": lambda value, wanted: value != wanted,
    "gt": lambda value, wanted: value > wanted,
    "ge": lambda value, wanted: value >= wanted,
    "lt": lambda value, wanted: value < wanted,
    "le": lambda value, wanted: value <= wanted,
}
_ENUMS: dict[str, frozenset[str]] = {
    "call_status": frozenset({"not_connected", "ongoing", "ended", "error"}),
    "call_type": frozenset({"web_call", "phone_call"}),
    "direction": frozenset({"inbound", "outbound"}),
    "data_storage_setting": frozenset({"everything", "everything_except_pii", "basic_attributes_only"}),
    "user_sentiment": frozenset({"Negative", "Positive", "Neutral", "Unknown"}),
    "disconnection_reason": frozenset(REASONS),
}
_TYPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("batch_call_id", "from_number", "to_number"), ("string",)),
    "call_id": ("string", "enum"),
    **dict.fromkeys((*_ENUMS, "agent_tag"), ("enum",)),
    **dict.fromkeys(("call_successful", "in_voicemail"), ("boolean",)),
    **dict.fromkeys(
        ("start_timestamp", "end_timestamp", "duration_ms", "combined_cost", "e2e_latency_p50"),
        ("number", "range"),
    ),
}
_KEYED_TYPES = ("string", "enum", "number", "range", "boolean", "present")


@dataclass(slots=True)
class Query:
    """What a request asks for, checked."""

    checks: list[Callable[[Call, int], bool]] = field(default_factory=list)
    narrow: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """(index, values): only calls with one of the values can match."""
    limit: int = DEFAULT_LIMIT
    descending: bool = True
    skip: int = 0
    after: tuple[int, int] | None = None
    """The sort key of the last call of the page before."""
    include_total: bool = False

    def matches(self, call: Call, now_ms: int) -> bool:
        """Whether the call fulfils every condition."""
        return all(check(call, now_ms) for check in self.checks)


def query_v3(body: dict[str, Any]) -> Query:
    """Read the body of POST /v3/list-calls. Raises Refused."""
    query = _paging(body)
    key = body.get("pagination_key")
    if key is not None:
        query.after = _decode(key)
    skip = body.get("skip", 0)
    if type(skip) is not int or skip < 0:
        raise _bad("skip must be a whole number of at least 0")
    query.skip, query.include_total = skip, body.get("include_total") is True
    criteria = body.get("filter_criteria", {})
    if not isinstance(criteria, dict):
        raise _bad("filter_criteria must be an object")
    for name, condition in criteria.items():
        if name == "agent":
            _agent_filter(query, condition)
        elif name in _KEYED:
            for item in _list(name, condition):
                _typed_filter(query, name, item, keyed=True)
        elif name in _TYPES:
            _typed_filter(query, name, condition, keyed=False)
        else:
            raise _bad(f"filter_criteria.{name} is not a known filter")
    return query


def query_v2(body: dict[str, Any], after: Callable[[str], tuple[int, int] | None]) -> Query:
    """Read the body of POST /v2/list-calls; `after` tells the sort key of a call id. Raises Refused."""
    query = _paging(body)
    key = body.get("pagination_key")
    if key is not None:
        query.after = after(str(key))
        if query.after is None:
            raise _bad("pagination_key is not the id of a call")
    criteria = body.get("filter_criteria", {})
    if not isinstance(criteria, dict):
        raise _bad("filter_criteria must be an object")
    for name, condition in criteria.items():
        group, dot, key_name = name.partition(".")
        if dot and group in ("metadata", "dynamic_variables"):
            values = [_text(value) for value in _scalars(name, condition)]
            _typed_filter(
                query, group, {"type": "enum", "op": "in", "value": values, "key": key_name}, keyed=True
            )
        elif _TYPES.get(name, ())[-1:] == ("range",):
            _thresholds(query, name, condition)
        elif name in _FIELDS:
            _one_of(query, name, _scalars(name, condition))
        else:
            raise _bad(f"filter_criteria.{name} is not a known filter")
    return query


def _paging(body: dict[str, Any]) -> Query:
    limit = body.get("limit", DEFAULT_LIMIT)
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise _bad(f"limit must be a whole number from 1 to {MAX_LIMIT}")
    order = body.get("sort_order", "descending")
    if order not in ("ascending", "descending"):
        raise _bad("sort_order must be ascending or descending")
    return Query(limit=limit, descending=order == "descending")


def _typed_filter(query: Query, name: str, condition: Any, *, keyed: bool) -> None:
    where = f"filter_criteria.{name}"
    if not isinstance(condition, dict):
        raise _bad(f"{where} must be an object with type, op and value")
    kind, key = condition.get("type"), condition.get("key")
    allowed = _KEYED_TYPES if keyed else _TYPES[name]
    if kind not in allowed:
        raise _bad(f"{where}.type must be one of {', '.join(allowed)}")
    if keyed and not (isinstance(key, str) and key):
        raise _bad(f"{where}.key must name a field")
    check = _check(where, kind, condition, _ENUMS.get(name))
    if keyed:
        access = _KEYED[name]
        query.checks.append(lambda call, now_ms: check(access(call, now_ms).get(key)))
    else:
        access = _FIELDS[name]
        query.checks.append(lambda call, now_ms: check(access(call, now_ms)))
    index = f"metadata.{key}" if name == "metadata" else name
    if name in _INDEXED or name == "metadata":
        if kind == "enum":
            query.narrow.append((index, tuple(condition["value"])))
        elif kind == "string" and condition["op"] == "eq":
            query.narrow.append((index, (condition["value"],)))


def _check(where: str, kind: str, condition: dict[str, Any], enum: frozenset[str] | None) -> Check:
    """The test of one typed condition on a field's value; an absent value fulfils nothing but `np`."""
    op, wanted = condition.get("op"), condition.get("value")
    if kind == "string":
        if op not in _STRING or not isinstance(wanted, str):
            raise _bad(f"{where} needs op {'|'.join(_STRING)} and a string as value")
        compare = _STRING[op]
        return lambda value: value is not None and compare(_text(value), wanted)
    if kind == "number":
        if op not in _NUMBER or not _is_number(wanted):
            raise _bad(f"{where} needs op {'|'.join(_NUMBER)} and a number as value")
        relation = _NUMBER[op]
        return lambda value: _is_number(value) and relation(value, wanted)  # type: ignore[arg-type]
    if kind == "range":
        if op != "bt" or not isinstance(wanted, list) or len(wanted) != 2 or not all(map(_is_number, wanted)):
            raise _bad(f"{where} needs op bt and [lowest, highest] as value")
        low, high = wanted
        return lambda value: _is_number(value) and low <= value <= high
    if kind == "boolean":
        if op != "eq" or not isinstance(wanted, bool):
            raise _bad(f"{where} needs op eq and true or false as value")
        return lambda value: value is wanted
    if kind == "present":
        if op not in ("pr", "np"):
            raise _bad(f"{where} needs op pr|np")
        return lambda value: (value is not None) == (op == "pr")
    if op != "in" or not isinstance(wanted, list) or not all(isinstance(item, str) for item in wanted):
        raise _bad(f"{where} needs op in and a list of strings as value")
    values = frozenset(wanted)
    if enum is not None and not values <= enum:
        raise _bad(f"{where}.value must be among {', '.join(sorted(enum))}")
    return lambda value: value is not None and _text(value) in values


def _agent_filter(query: Query, condition: Any) -> None:
    agents: list[tuple[str, frozenset[Any]]] = []
    for item in _list("agent", condition):
        if not isinstance(item, dict) or not isinstance(item.get("agent_id"), str):
            raise _bad("filter_criteria.agent needs objects with agent_id")
        agents.append((item["agent_id"], frozenset(_scalars("agent", item.get("version") or []))))
    query.checks.append(
        lambda call, _: any(
            call.agent_id == agent and (not versions or call.agent_version in versions)
            for agent, versions in agents
        )
    )


def _one_of(query: Query, name: str, wanted: list[Any]) -> None:
    allowed = _ENUMS.get(name)
    if allowed is not None and not set(wanted) <= allowed:
        raise _bad(f"filter_criteria.{name} must be among {', '.join(sorted(allowed))}")
    access = _FIELDS[name]
    query.checks.append(lambda call, now_ms: access(call, now_ms) in wanted)
    if name in _INDEXED:
        query.narrow.append((name, tuple(map(str, wanted))))


def _thresholds(query: Query, name: str, condition: Any) -> None:
    if not isinstance(condition, dict) or not condition.keys() <= {"lower_threshold", "upper_threshold"}:
        raise _bad(f"filter_criteria.{name} takes lower_threshold and upper_threshold")
    if not all(map(_is_number, condition.values())):
        raise _bad(f"filter_criteria.{name}: a threshold must be a number")
    low, high = condition.get("lower_threshold"), condition.get("upper_threshold")
    access = _FIELDS[name]

    def check(call: Call, now_ms: int) -> bool:
        value = access(call, now_ms)
        return value is not None and (low is None or value >= low) and (high is None or value <= high)

    query.checks.append(check)


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _bad(f"filter_criteria.{name} must be a list")
    return value


def _scalars(name: str, value: Any) -> list[Any]:
    if any(isinstance(item, list | dict) for item in _list(name, value)):
        raise _bad(f"filter_criteria.{name} must be a list of plain values")
    return list(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else ("true" if value is True else "false" if value is False else str(value))
    )


class CallIndex:
    """The calls of the account, findable by id, batch, callee, and each top-level entry of their metadata."""

    def __init__(self) -> None:
        self.by_id: dict[str, Call] = {}
        self._by_value: dict[tuple[str, str], list[Call]] = {}

    def add(self, call: Call) -> None:
        """Take a new call in."""
        self.by_id[call.call_id] = call
        entries: list[tuple[str, Any]] = [
            ("to_number", call.to_number),
            ("batch_call_id", call.batch_call_id),
        ]
        entries += [(f"metadata.{key}", value) for key, value in (call.metadata or {}).items()]
        for name, value in entries:
            if isinstance(value, str | int | float):
                self._by_value.setdefault((name, _text(value)), []).append(call)

    def having(self, name: str, value: str) -> Sequence[Call]:
        """The calls with a value in an indexed field, oldest first."""
        if name == "call_id":
            call = self.by_id.get(value)
            return [] if call is None else [call]
        return self._by_value.get((name, value), [])

    def find(
        self, query: Query, now_ms: int, visible: Callable[[Call], bool]
    ) -> tuple[list[Call], bool, int]:
        """(page, whether more follow, number of all matches), sorted, from where the query stands."""
        found = [call for call in self._candidates(query) if visible(call) and query.matches(call, now_ms)]
        found.sort(key=lambda call: sort_key(call, now_ms), reverse=query.descending)
        total = len(found)
        if query.after is not None:
            after = query.after
            found = [
                call
                for call in found
                if (sort_key(call, now_ms) < after if query.descending else sort_key(call, now_ms) > after)
            ]
        found = found[query.skip :]
        return found[: query.limit], len(found) > query.limit, total

    def _candidates(self, query: Query) -> Iterable[Call]:
        best: list[Sequence[Call]] | None = None
        for name, values in query.narrow:
            found = [self.having(name, value) for value in dict.fromkeys(values)]
            if best is None or sum(map(len, found)) < sum(map(len, best)):
                best = found
        if best is None:
            return self.by_id.values()
        return {call.call_id: call for calls in best for call in calls}.values()


def sort_key(call: Call, now_ms: int) -> tuple[int, int]:
    """`start_timestamp`, or for a call that has none the moment it was made; then the order of creation."""
    return (call.start_timestamp(now_ms) or call.created_ms, call.seq)


def page_key(call: Call, now_ms: int) -> str:
    """The opaque `pagination_key` of API version 3 that continues behind this call."""
    start, seq = sort_key(call, now_ms)
    return base64.urlsafe_b64encode(f"{start}:{seq}".encode()).decode()


def _decode(key: Any) -> tuple[int, int]:
    try:
        start, _, seq = base64.urlsafe_b64decode(str(key)).decode().partition(":")
        return int(start), int(seq)
    except (binascii.Error, ValueError):
        raise _bad("pagination_key is not one that a list gave") from None
