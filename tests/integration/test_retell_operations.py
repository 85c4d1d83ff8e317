"""The table of operations against Retell's SDK: what it says, and what goes over the wire."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import retell as sdk

from campaigns.retell import RetellClient, RetellError, RetellUnavailable
from campaigns.retell.operations import OPERATIONS, Danger, Operation, Paging
from tests.recording import Recorder, Sent, recording

KEY = "key_0123456789abcdef"
#: The table at the end of the project's notes on Retell's API, row by row.
NAMED = (
    "list-voices get-voice "
    "list-agents get-agent create-agent update-agent publish-agent-version delete-agent "
    "list-retell-llms get-retell-llm create-retell-llm update-retell-llm delete-retell-llm "
    "list-conversation-flows get-conversation-flow create-conversation-flow update-conversation-flow "
    "delete-conversation-flow list-calls get-call update-call delete-call stop-call "
    "create-phone-call create-batch-call create-web-call "
    "list-phone-numbers get-phone-number create-phone-number import-phone-number update-phone-number "
    "delete-phone-number list-knowledge-bases get-knowledge-base create-knowledge-base delete-knowledge-base "
    "add-knowledge-base-sources delete-knowledge-base-source get-concurrency"
)
ALL = [pytest.param(operation, id=name) for name, operation in OPERATIONS.items()]
SENT = [param for param in ALL if param.values[0].danger is not Danger.RINGS]


@dataclass(frozen=True)
class Known:
    """What the SDK's source says about one request."""

    resource: str
    function: str
    query: frozenset[str]
    form: bool
    has_body: bool


def known() -> dict[tuple[str, str], Known]:
    """(method, path) -> the SDK's method for it, read from the source of its resources."""
    found: dict[tuple[str, str], Known] = {}
    for file in sorted((Path(inspect.getfile(sdk)).parent / "resources").glob("*.py")):
        for kind in ast.parse(file.read_text()).body:
            bases = [ast.unparse(base) for base in getattr(kind, "bases", [])]
            if bases != ["SyncAPIResource"]:
                continue
            for function in kind.body:  # type: ignore[attr-defined]
                for call in ast.walk(function):
                    if (
                        isinstance(call, ast.Call)
                        and isinstance(call.func, ast.Attribute)
                        and call.func.attr in ("_get", "_post", "_patch", "_put", "_delete")
                    ):
                        path = next(n.value for n in ast.walk(call.args[0]) if isinstance(n, ast.Constant))
                        given = {keyword.arg: keyword.value for keyword in call.keywords}
                        found.setdefault(
                            (call.func.attr[1:].upper(), str(path)),
                            Known(
                                file.stem,
                                function.name,
                                _query(given["options"]),
                                "files" in given,
                                "body" in given,
                            ),
                        )
    assert len(found) > 80
    return found


def _query(options: ast.expr) -> frozenset[str]:
    for keyword in ast.walk(options):
        if isinstance(keyword, ast.keyword) and keyword.arg == "query":
            return frozenset(str(n.value) for n in ast.walk(keyword.value) if isinstance(n, ast.Constant))
    return frozenset()


KNOWN = known()


def of_sdk(operation: Operation) -> Known:
    return KNOWN[operation.method, operation.path]


def method_of(client: sdk.Retell, operation: Operation) -> Callable[..., Any]:
    says = of_sdk(operation)
    method: Callable[..., Any] = getattr(getattr(client, says.resource), says.function)
    return method


def required(theirs: sdk.Retell, operation: Operation) -> set[str]:
    """The arguments that the SDK's method cannot do without."""
    parameters = inspect.signature(method_of(theirs, operation)).parameters
    return {name for name, parameter in parameters.items() if parameter.default is parameter.empty}


@pytest.fixture(scope="module")
def one_server() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


@pytest.fixture
def server(one_server: Recorder) -> Recorder:
    """Empty, and answering everything with an object."""
    one_server.sent.clear()
    one_server.answer = lambda sent: (200, {})
    return one_server


@pytest.fixture(scope="module")
def theirs(one_server: Recorder) -> Iterator[sdk.Retell]:
    with sdk.Retell(api_key=KEY, base_url=one_server.url, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def client(one_server: Recorder) -> Iterator[RetellClient]:
    with RetellClient(KEY, one_server.url, sleep=lambda seconds: None) as made:
        yield made


# -- the table


def test_every_row_is_there_under_the_name_of_its_path() -> None:
    assert sorted(OPERATIONS) == sorted(NAMED.split(" "))
    for name, operation in OPERATIONS.items():
        assert name == operation.name
        assert name in operation.path.split("/")


@pytest.mark.parametrize("operation", ALL)
def test_a_row_says_what_the_sdk_does(operation: Operation, theirs: sdk.Retell) -> None:
    says = of_sdk(operation)
    assert frozenset(parameter.name for parameter in operation.in_query) == says.query
    assert operation.form == says.form
    assert operation.takes_body == says.has_body
    assert set(operation.required) == required(theirs, operation) - set(operation.in_path)
    assert (operation.paging is Paging.QUERY) == ("pagination_key" in says.query)
    assert operation.summary.endswith(".")


def test_what_cannot_be_taken_back_is_marked() -> None:
    marked = {name: operation.danger for name, operation in OPERATIONS.items() if operation.danger}
    deleting = {name for name in OPERATIONS if name.startswith("delete-")}
    assert {name for name, danger in marked.items() if danger is Danger.DELETES} == deleting
    assert {name for name, danger in marked.items() if danger is Danger.BUYS} == {"create-phone-number"}
    assert {name for name, danger in marked.items() if danger is Danger.HANGS_UP} == {"stop-call"}
    ringing = {"create-phone-call", "create-batch-call"}
    assert {name for name, danger in marked.items() if danger is Danger.RINGS} == ringing
    for name, operation in OPERATIONS.items():
        reading = name.startswith(("list-", "get-")) or name == "stop-call"
        assert operation.repeatable == reading, name


# -- on the wire


#: Ids with letters that mean something in a path, and everything a query knows.
PATHS = {
    "phone_number": "+14155550100", "agent_id": "agent_1", "llm_id": "llm/../1", "voice_id": "11labs-Ann ü",
    "call_id": "call?x=1#y", "conversation_flow_id": "flow_1", "knowledge_base_id": "kb_1", "source_id": "src 1",
}  # fmt: skip
QUERY = {
    "limit": 7, "pagination_key": "k=/+ 1", "sort_order": "ascending", "version": "latest", "force_delete": True,
}  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "list-agents": {"filter_criteria": {"query": "sales"}},
    "create-agent": {"voice_id": "11labs-Ann", "response_engine": {"type": "retell-llm", "llm_id": "llm_1"}},
    "update-agent": {"agent_name": "Zoë"},
    "publish-agent-version": {"version": 3},
    "create-retell-llm": {"general_prompt": "Be kind."},
    "update-retell-llm": {"general_prompt": "Be brief."},
    "create-conversation-flow": {
        "model_choice": {"type": "cascading", "model": "gpt-4.1"}, "nodes": [], "start_speaker": "agent",
    },
    "update-conversation-flow": {"global_prompt": "Be kind."},
    "list-calls": {"limit": 5, "filter_criteria": {"agent": [{"agent_id": "agent_1"}]}},
    "update-call": {"metadata": {"customer": "c1"}},
    "create-web-call": {"agent_id": "agent_1", "metadata": {"a": None}},
    "create-phone-number": {"area_code": 415, "outbound_agents": [{"agent_id": "agent_1", "weight": 1}]},
    "import-phone-number": {"phone_number": "+14155550100", "termination_uri": "x.pstn.twilio.com"},
    "update-phone-number": {"nickname": "front desk"},
    "create-knowledge-base": {
        "knowledge_base_name": "menu", "enable_auto_refresh": True, "max_chunk_size": 900,
        "knowledge_base_texts": [{"title": "a", "text": "x"}, {"title": "b", "text": "y"}],
        "knowledge_base_urls": ["https://example.com/?a=1&b=2"],
    },
    "add-knowledge-base-sources": {"knowledge_base_texts": [{"title": "a", "text": "ü"}]},
}  # fmt: skip
FILE = ("menu.txt", b"soup \x00\xff", "text/plain")


def arguments(operation: Operation) -> dict[str, Any]:
    query = {parameter.name: QUERY[parameter.name] for parameter in operation.in_query}
    return {**{name: PATHS[name] for name in operation.in_path}, **query}


@pytest.mark.parametrize("operation", SENT)
def test_it_sends_what_the_sdk_sends(
    operation: Operation, server: Recorder, client: RetellClient, theirs: sdk.Retell
) -> None:
    body = BODIES.get(operation.name)
    assert (body is not None) == operation.takes_body
    files = [("knowledge_base_files", FILE)] if operation.form else []
    assert client.perform(operation, arguments(operation), body, files) == {}
    uploads = {"knowledge_base_files": [FILE]} if files else {}
    method_of(theirs, operation)(**arguments(operation), **(body or {}), **uploads)
    ours, wanted = server.sent
    assert (ours.method, ours.query) == (wanted.method, wanted.query)
    assert unquote(ours.path) == unquote(wanted.path)
    assert ours.path.count("/") == operation.path.count("/")
    assert ours.headers["authorization"] == f"Bearer {KEY}" == wanted.headers["authorization"]
    if operation.form:
        assert ours.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert sorted(ours.parts) == sorted(wanted.parts)
    else:
        assert ours.json == wanted.json
        assert ours.headers.get("content-type") == ("application/json" if body is not None else None)


def test_a_form_without_files_is_a_form_all_the_same(server: Recorder, client: RetellClient) -> None:
    client.perform(OPERATIONS["create-knowledge-base"], {}, {"knowledge_base_name": "menu"})
    assert server.sent[0].parts == [("knowledge_base_name", None, b"menu")]


@pytest.mark.parametrize("name", ["create-phone-call", "create-batch-call"])
def test_nothing_rings_through_the_table(name: str, server: Recorder, client: RetellClient) -> None:
    with pytest.raises(RetellError, match="campaigns run"):
        client.perform(OPERATIONS[name], {}, {"from_number": "+14155550100", "to_number": "+14155550101"})
    with pytest.raises(RetellError, match="campaigns run"):
        client.perform_all(OPERATIONS[name])
    assert server.sent == []


@pytest.mark.parametrize("status", [500, 429, None])
@pytest.mark.parametrize("operation", SENT)
def test_reading_is_repeated_and_nothing_else(
    operation: Operation, status: int | None, server: Recorder, client: RetellClient
) -> None:
    def answer(_: Sent) -> Any:
        if len(server.sent) > 1:
            return 200, {"items": [], "has_more": False}
        return None if status is None else (status, {"status": "error", "message": "no"})

    server.answer = answer
    if operation.repeatable:
        client.perform(operation, arguments(operation), BODIES.get(operation.name))
        assert len(server.sent) == 2
        return
    with pytest.raises(RetellError) as raised:
        client.perform(operation, arguments(operation), BODIES.get(operation.name))
    assert len(server.sent) == 1
    if status in (500, None):
        assert "look before you try again" in raised.value.remedy


def test_what_was_never_sent_may_be_tried_again() -> None:
    away = RetellClient(KEY, "http://127.0.0.1:1")
    with away, pytest.raises(RetellUnavailable) as raised:
        away.perform(OPERATIONS["create-phone-number"], {}, {"area_code": 415})
    assert "RETELL_BASE_URL" in raised.value.remedy


@pytest.mark.parametrize("name", [name for name, one in OPERATIONS.items() if one.paging])
def test_all_pages_are_followed(name: str, server: Recorder, client: RetellClient) -> None:
    operation = OPERATIONS[name]

    def answer(sent: Sent) -> Any:
        keys = (sent.json or {}) if operation.paging is Paging.BODY else sent.query
        page = int(keys.get("pagination_key", "0"))
        more = {"pagination_key": str(page + 1)} if page < 2 else {}
        return 200, {"items": [{"n": page}], "has_more": page < 2, **more}

    server.answer = answer
    body = {"filter_criteria": {"x": 1}} if operation.takes_body else None
    assert client.perform_all(operation, {}, body) == {
        "items": [{"n": 0}, {"n": 1}, {"n": 2}],
        "has_more": False,
    }
    assert len(server.sent) == 3
    for sent in server.sent:
        assert not operation.takes_body or sent.json["filter_criteria"] == {"x": 1}


def test_a_list_without_an_end_is_an_error(server: Recorder, client: RetellClient) -> None:
    server.answer = lambda sent: (200, {"items": [], "has_more": True, "pagination_key": "same"})
    with pytest.raises(RetellUnavailable, match="does not end"):
        client.perform_all(OPERATIONS["list-calls"])
    server.answer = lambda sent: (200, [1, 2])
    with pytest.raises(RetellUnavailable, match="not a page"):
        client.perform_all(OPERATIONS["list-calls"])


@pytest.mark.parametrize("voice", ["", ".", ".."])
def test_an_id_that_would_climb_to_another_operation(
    voice: str, server: Recorder, client: RetellClient
) -> None:
    with pytest.raises(RetellError, match="not an id"):
        client.perform(OPERATIONS["get-voice"], {"voice_id": voice})
    assert server.sent == []


def test_an_empty_answer_and_one_that_is_no_json(server: Recorder, client: RetellClient) -> None:
    server.answer = lambda sent: (204, None)
    assert client.perform(OPERATIONS["delete-agent"], {"agent_id": "agent_1"}) is None
    server.answer = lambda sent: (200, json.loads('"text"'))
    assert client.perform(OPERATIONS["get-agent"], {"agent_id": "agent_1"}) == "text"
