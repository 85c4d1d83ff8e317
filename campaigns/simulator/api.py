"""The HTTP API over an engine: one request in, one reply (or a fault) out, without any network.

The same router serves the HTTP server and the in-process transport, so both behave alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from campaigns.simulator.config import Agent, Number
from campaigns.simulator.engine import Engine
from campaigns.simulator.faults import Fault
from campaigns.simulator.ledger import ring
from campaigns.simulator.requests import Refused, bad

JSON_HEADERS = (("content-type", "application/json"),)
_MESSAGES = {
    400: "Invalid request format, please check API reference.",
    401: "API key is missing or invalid.",
    402: "Trial has ended, please add payment method.",
    403: "Forbidden.",
    404: "The requested resource was not found.",
    422: "Cannot find requested asset under given api key.",
    429: "Account rate limited, please throttle your requests.",
    500: "An unexpected server error occurred.",
}
_MODIFIED_MS = 1_735_718_400_000


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request; the names of headers are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, to be sent after `delay` real seconds."""

    status: int
    body: bytes = b""
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Drop:
    """No answer: the connection is closed, or with `reset` torn down by a TCP RST."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer for so many real seconds (None: until the client gives up); then the connection is closed."""

    seconds: float | None = None


Answer = Reply | Drop | Hang
Handler = Callable[["Api", Request, str], tuple[int, Any]]


class Api:
    """Routes requests to an engine. `handle` may be called from several threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.last_key = ""
        """The key of the last request that was let in; signs the webhooks where none is configured."""

    def handle(self, request: Request) -> Answer:
        """Answer a request. Never raises for anything a client can send."""
        with self.engine.lock:
            if request.path.startswith("/_simulator/"):
                # Without a configured key the server is reachable from this machine only.
                if self.engine.config.api_key is not None and not self._authorised(request):
                    return _error(401, _MESSAGES[401])
                return _control(self.engine, request)
            return self._serve(request)

    def _serve(self, request: Request) -> Answer:
        ledger = self.engine.ledger
        found = _route(request.method, request.path)
        if found is None:
            ledger.refusals["unknown:404"] += 1
            return _error(404, f"Cannot {request.method} {request.path}")
        endpoint, handler, argument = found
        ledger.requests[endpoint] += 1
        if not self._authorised(request):
            ledger.refusals[f"{endpoint}:unauthorised"] += 1
            return _error(401, _MESSAGES[401])
        fault = self.engine.faults.draw(endpoint)
        if fault is not None and not fault.after:
            return self._strike(endpoint, fault, None)
        try:
            status, answer = handler(self, request, argument)
        except Refused as refusal:
            ledger.refusals[f"{endpoint}:{refusal.why}"] += 1
            return _error(refusal.status, refusal.message)
        reply = Reply(status, b"" if status == 204 else _dump(answer))
        return reply if fault is None else self._strike(endpoint, fault, reply)

    def _strike(self, endpoint: str, fault: Fault, reply: Reply | None) -> Answer:
        self.engine.ledger.faults[f"{endpoint}:{_name(fault)}"] += 1
        return _disturb(fault, reply)

    def _authorised(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        wanted = self.engine.config.api_key
        if scheme.lower() != "bearer" or not key or (wanted is not None and key != wanted):
            return False
        self.last_key = key
        return True


def _disturb(fault: Fault, reply: Reply | None) -> Answer:
    """What the client gets instead; `reply` is the proper answer, if the work was done."""
    if fault.kind in ("drop", "reset"):
        return Drop(reset=fault.kind == "reset")
    if fault.kind == "hang":
        return Hang(fault.seconds)
    if fault.kind == "status":
        return _error(fault.status, _MESSAGES.get(fault.status, "Simulated fault."))
    assert reply is not None  # slow and malformed come after the work only
    if fault.kind == "slow":
        return Reply(reply.status, reply.body, delay=fault.seconds or 0.0)
    return Reply(reply.status, reply.body[: len(reply.body) // 2] or b"{")


def _name(fault: Fault) -> str:
    kind = str(fault.status) if fault.kind == "status" else fault.kind
    return f"{kind}_{'after' if fault.after else 'before'}"


def _create_phone_call(api: Api, request: Request, _: str) -> tuple[int, Any]:
    return 201, api.engine.create_phone_call(_body(request))


def _create_batch_call(api: Api, request: Request, _: str) -> tuple[int, Any]:
    return 201, api.engine.create_batch_call(_body(request))


def _get_call(api: Api, _: Request, call_id: str) -> tuple[int, Any]:
    return 200, api.engine.get_call(call_id)


def _stop_call(api: Api, _: Request, call_id: str) -> tuple[int, Any]:
    api.engine.stop_call(call_id)
    return 204, None


def _list_calls(api: Api, request: Request, _: str) -> tuple[int, Any]:
    return 200, api.engine.list_calls(_body(request))


def _list_calls_v2(api: Api, request: Request, _: str) -> tuple[int, Any]:
    return 200, api.engine.list_calls_v2(_body(request))


def _concurrency(api: Api, _: Request, __: str) -> tuple[int, Any]:
    return 200, api.engine.concurrency()


def _list_numbers(api: Api, request: Request, _: str) -> tuple[int, Any]:
    return 200, _page([_show_number(number) for number in api.engine.account.numbers.values()], request)


def _get_number(api: Api, _: Request, number: str) -> tuple[int, Any]:
    return 200, _show_number(api.engine.account.number(number))


def _list_agents(api: Api, request: Request, _: str) -> tuple[int, Any]:
    agents = list(api.engine.account.agents.values())
    criteria = _body(request).get("filter_criteria") or {}
    if not isinstance(criteria, dict):
        raise bad("filter_criteria must be an object")
    text = str(criteria.get("query") or "").lower()
    channel = criteria.get("channel")
    voice = not isinstance(channel, dict) or channel.get("value") == "voice"
    shown = [
        {
            "agent_id": agent.agent_id,
            "agent_name": agent.name,
            "channel": "voice",
            "is_suspended": False,
            "is_transfer_agent": False,
            "tags": {},
            "user_modified_timestamp": _MODIFIED_MS,
        }
        for agent in agents
        if voice and (text in agent.name.lower() or text in agent.agent_id.lower())
    ]
    return 200, _page(shown, request)


def _get_agent(api: Api, _: Request, agent_id: str) -> tuple[int, Any]:
    return 200, _show_agent(api.engine.account.agent(agent_id))


# The endpoints: (method, path up to an argument) -> (name, handler). A path that ends in / takes an argument.
_ROUTES: dict[tuple[str, str], tuple[str, Handler]] = {
    ("POST", "/v2/create-phone-call"): ("create-phone-call", _create_phone_call),
    ("POST", "/create-batch-call"): ("create-batch-call", _create_batch_call),
    ("GET", "/v2/get-call/"): ("get-call", _get_call),
    ("POST", "/v2/stop-call/"): ("stop-call", _stop_call),
    ("POST", "/v3/list-calls"): ("list-calls", _list_calls),
    ("POST", "/v2/list-calls"): ("list-calls", _list_calls_v2),
    ("GET", "/get-concurrency"): ("get-concurrency", _concurrency),
    ("GET", "/v2/list-phone-numbers"): ("list-phone-numbers", _list_numbers),
    ("GET", "/get-phone-number/"): ("get-phone-number", _get_number),
    ("POST", "/v2/list-agents"): ("list-agents", _list_agents),
    ("GET", "/get-agent/"): ("get-agent", _get_agent),
}


def _route(method: str, path: str) -> tuple[str, Handler, str] | None:
    exact = _ROUTES.get((method, path))
    if exact is not None:
        return None if path.endswith("/") else (*exact, "")
    stem, slash, argument = path.rpartition("/")
    found = _ROUTES.get((method, stem + slash))
    return None if found is None else (*found, argument)


def _control(engine: Engine, request: Request) -> Reply:
    """The simulator's own endpoints, for whoever runs it."""
    match request.method, request.path.removeprefix("/_simulator/"):
        case "GET", "health":
            return Reply(200, _dump({"ok": True}))
        case "GET", "ledger":
            summary = engine.summary()
            if request.query.get("rings"):
                now_ms = engine.advance()
                summary["rings_list"] = [ring(call, now_ms) for call in engine.calls if call.rang]
            return Reply(200, _dump(summary))
        case "GET", "calls":
            now_ms = engine.advance()
            return Reply(
                200, _dump({"now_ms": now_ms, "items": [call.show(now_ms) for call in engine.calls]})
            )
        case "POST", "settings":
            try:
                changes = _body(request)
                scripts = changes.pop("script", {})
                engine.configure(changes)
                for number, outcomes in scripts.items():
                    engine.script(number, *outcomes)
            except (ValueError, AttributeError, TypeError) as error:
                return _error(400, str(error))
            except Refused as refusal:
                return _error(refusal.status, refusal.message)
            return Reply(200, _dump({"ok": True}))
        case "POST", "reset":
            engine.reset()
            return Reply(200, _dump({"ok": True}))
        case _:
            return _error(404, f"Cannot {request.method} {request.path}")


def _body(request: Request) -> dict[str, Any]:
    if not request.body.strip():
        return {}
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        raise bad("the body is not JSON") from None
    if not isinstance(body, dict):
        raise bad("the body must be an object")
    return body


def _page(items: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    try:
        limit, start = int(request.query.get("limit", 50)), int(request.query.get("pagination_key", 0))
    except ValueError:
        raise bad("limit must be a whole number, and pagination_key one that a list gave") from None
    if not 1 <= limit <= 1000 or start < 0:
        raise bad("limit must be a whole number from 1 to 1000")
    if request.query.get("sort_order") == "descending":
        items = items[::-1]
    more = len(items) > start + limit
    page: dict[str, Any] = {"items": items[start : start + limit], "has_more": more}
    if more:
        page["pagination_key"] = str(start + limit)
    return page


def _show_number(number: Number) -> dict[str, Any]:
    return {
        "phone_number": number.number,
        "phone_number_type": number.type,
        "phone_number_pretty": number.number,
        "nickname": number.nickname,
        "outbound_agents": [{"agent_id": number.agent_id, "weight": 1}],
        "inbound_agents": [],
        "last_modification_timestamp": _MODIFIED_MS,
    }


def _show_agent(agent: Agent) -> dict[str, Any]:
    return {
        "agent_id": agent.agent_id,
        "agent_name": agent.name,
        "version": agent.version,
        "is_published": True,
        "response_engine": {"type": "retell-llm", "llm_id": "llm_simulator", "version": agent.version},
        "voice_id": "voice_simulator",
        "language": "en-US",
        "ring_duration_ms": 30000,
        "max_call_duration_ms": 3600000,
        "last_modification_timestamp": _MODIFIED_MS,
    }


def _error(status: int, message: str) -> Reply:
    return Reply(status, _dump({"status": "error", "message": message}))


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def parse_query(text: str) -> dict[str, str]:
    """The parameters of a query string; of a repeated one the last."""
    return dict(parse_qsl(text, keep_blank_values=True))
