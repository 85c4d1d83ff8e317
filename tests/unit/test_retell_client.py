"""The real client over a fake transport: dials once, reads with patience, never shows the key."""

from __future__ import annotations

import json
import logging
import pickle
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from campaigns.retell import (
    BatchPlaced,
    BatchTask,
    CreateBatchCall,
    CreatePhoneCall,
    Deferred,
    NeverSent,
    Placed,
    Refused,
    RetellClient,
    RetellError,
    RetellKeyRefused,
    RetellLimited,
    RetellNotFound,
    RetellPaymentRequired,
    RetellRefused,
    RetellUnavailable,
    Unknown,
)

KEY = "key_0123456789abcdef"
DIAL = CreatePhoneCall(from_number="+14155550100", to_number="+14155550101", metadata={"attempt_id": "a1"})
BATCH = CreateBatchCall(from_number="+14155550100", tasks=[BatchTask(to_number="+14155550101")])
Handler = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers by script and keeps what it was asked."""

    def __init__(self, *script: httpx.Response | Exception | Handler) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.script[min(len(self.requests), len(self.script)) - 1]
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, httpx.Response) else step(request)

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]

    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


def client_of(server: Handler, **options: Any) -> RetellClient:
    options.setdefault("sleep", lambda seconds: None)
    return RetellClient(KEY, "http://retell.test", transport=httpx.MockTransport(server), **options)


def answer(status: int, value: Any = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=value, headers=headers)


TROUBLE: list[tuple[Any, type]] = [
    *[(answer(status, {"message": "no"}), Refused) for status in (400, 401, 402, 403, 404, 422)],
    *[(answer(status, {}), Unknown) for status in (302, 307, 408, 409, 500, 502, 503, 504, 599)],
    (answer(429, {"message": "slow"}), Deferred),
    (answer(201, {}), Unknown),
    (httpx.Response(201, content=b"{"), Unknown),
    (
        httpx.Response(200, stream=httpx.ByteStream(b"not gzip"), headers={"content-encoding": "gzip"}),
        Unknown,
    ),
    (answer(201, {"call_id": "c", "metadata": {"attempt_id": "another"}}), Unknown),
    *[(kind("x"), NeverSent) for kind in (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)],
    *[
        (kind("x"), Unknown)
        for kind in (
            httpx.ReadError,
            httpx.WriteError,
            httpx.ReadTimeout,
            httpx.WriteTimeout,
            httpx.RemoteProtocolError,
            httpx.LocalProtocolError,
            httpx.ProxyError,
            httpx.CloseError,
        )
    ],
    (RuntimeError("a bug below"), Unknown),
    (OSError("a bug below"), Unknown),
]


@pytest.mark.parametrize(("trouble", "expected"), TROUBLE, ids=lambda value: repr(value)[:40])
def test_a_dial_is_sent_once_whatever_happens(trouble: Any, expected: type) -> None:
    def forbidden(seconds: float) -> None:
        raise AssertionError("a dial never waits to try again")

    make = (lambda request: trouble) if isinstance(trouble, httpx.Response) else trouble
    server = Server(make)
    with client_of(server, sleep=forbidden) as client:
        assert type(client.create_phone_call(DIAL)) is expected
    assert len(server.requests) == 1
    if isinstance(trouble, httpx.Response) and trouble.status_code < 300:
        return
    trouble = httpx.Response(trouble.status_code, content=trouble.content) if make is not trouble else trouble
    server = Server(trouble)
    with client_of(server, sleep=forbidden) as client:
        assert type(client.create_batch_call(BATCH)) is expected
    assert len(server.requests) == 1


def test_a_placed_call() -> None:
    server = Server(answer(201, {"call_id": "call_1", "metadata": {"attempt_id": "a1"}}))
    with client_of(server) as client:
        verdict = client.create_phone_call(DIAL)
    assert isinstance(verdict, Placed)
    assert verdict.call_id == "call_1"
    (request,) = server.requests
    assert (request.method, request.url.path) == ("POST", "/v2/create-phone-call")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(request.content) == json.loads(DIAL.body())


def test_a_placed_batch() -> None:
    server = Server(answer(201, {"batch_call_id": "batch_1", "scheduled_timestamp": 1735718400}))
    with client_of(server) as client:
        verdict = client.create_batch_call(BATCH)
    assert isinstance(verdict, BatchPlaced)
    assert verdict.batch.scheduled_timestamp == 1735718400000
    assert server.paths == ["/create-batch-call"]


def test_a_request_that_cannot_be_written_is_never_sent() -> None:
    server = Server(answer(201, {"call_id": "call_1"}))
    odd = CreatePhoneCall(from_number="+1", to_number="+2", metadata={"x": object()})
    with client_of(server) as client:
        assert isinstance(client.create_phone_call(odd), NeverSent)
    assert server.requests == []


class Drip(httpx.SyncByteStream):
    def __init__(self, tick: Callable[[], None], chunk: bytes = b" ") -> None:
        self.tick, self.chunk, self.closed = tick, chunk, False

    def __iter__(self) -> Iterator[bytes]:
        while not self.closed:
            self.tick()
            yield self.chunk

    def close(self) -> None:
        self.closed = True


def test_a_dripping_body_is_bounded() -> None:
    clock = [100.0]

    def tick() -> None:
        clock[0] += 1.0

    drip = Drip(tick)
    server = Server(httpx.Response(201, stream=drip))
    with client_of(server, now=lambda: clock[0], dial_timeout=15.0) as client:
        assert isinstance(client.create_phone_call(DIAL), Unknown)
        assert client.longest_dial == 30.0
    assert drip.closed
    assert clock[0] <= 132.0


def test_an_endless_body_is_bounded() -> None:
    server = Server(httpx.Response(201, stream=Drip(lambda: None, b" " * 2**20)))
    with client_of(server) as client:
        assert isinstance(client.create_phone_call(DIAL), Unknown)


@pytest.mark.parametrize("trouble", [408, 429, 500, 503, httpx.ReadTimeout("x"), httpx.ConnectError("x")])
def test_reading_is_repeated_and_then_given_up(trouble: int | Exception) -> None:
    naps: list[float] = []
    step = trouble if isinstance(trouble, Exception) else answer(trouble, {"message": "later"})
    server = Server(step, step, answer(200, {"current_concurrency": 3}))
    with client_of(server, sleep=naps.append, rng=random.Random(1)) as client:
        assert client.get_concurrency().current_concurrency == 3
    assert len(naps) == 2
    assert 0 <= naps[0] <= 0.2
    assert 0 <= naps[1] <= 0.4
    server = Server(step)
    with client_of(server) as client, pytest.raises(RetellError) as caught:
        client.get_concurrency()
    assert len(server.requests) == 4
    assert caught.value.remedy
    assert isinstance(caught.value, RetellRefused if trouble in (408, 429) else RetellUnavailable)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RetellRefused),
        (401, RetellKeyRefused),
        (402, RetellPaymentRequired),
        (403, RetellRefused),
        (404, RetellNotFound),
        (422, RetellNotFound),
    ],
)
def test_a_refusal_is_not_repeated(status: int, kind: type[RetellRefused]) -> None:
    server = Server(answer(status, {"status": "error", "message": "no such call"}))
    with client_of(server) as client, pytest.raises(kind) as caught:
        client.get_call("call_1")
    assert len(server.requests) == 1
    assert caught.value.status == status
    assert "no such call" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.status) == (str(caught.value), status)


def test_retry_after_is_honoured_or_given_up_on() -> None:
    naps: list[float] = []
    server = Server(answer(429, {}, **{"retry-after": "2"}), answer(200, {}))
    with client_of(server, sleep=naps.append) as client:
        client.get_concurrency()
    assert 2.0 <= naps[0] <= 2.2
    server = Server(answer(429, {}, **{"retry-after": "120"}))
    with client_of(server) as client, pytest.raises(RetellLimited) as caught:
        client.get_concurrency()
    assert len(server.requests) == 1
    assert caught.value.retry_after == 120.0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"call_id":null}', b"\xff"])
def test_an_unreadable_answer_is_unavailable(content: bytes) -> None:
    with client_of(Server(httpx.Response(200, content=content))) as client, pytest.raises(RetellUnavailable):
        client.get_call("call_1")


def test_the_clock_is_compared_with_every_answer_that_has_a_date() -> None:
    dates = [None, timedelta(hours=-1), None, timedelta(minutes=20), timedelta(0)]

    def server(_: httpx.Request) -> httpx.Response:
        by = dates.pop(0)
        headers = {} if by is None else {"date": format_datetime(datetime.now(UTC) + by, usegmt=True)}
        return httpx.Response(200, json={}, headers=headers)

    with client_of(server) as client:
        seen = []
        while dates:
            client.get_concurrency()
            seen.append(client.clock_ahead)
    assert seen[0] is None
    assert seen[1:] == [pytest.approx(by, abs=2) for by in (3600, 3600, -1200, 0)]


def test_stop_call_and_paths() -> None:
    server = Server(answer(500), httpx.Response(204), answer(200, {"phone_number": "+14155550100"}))
    with client_of(server) as client:
        client.stop_call("call_1")
        client.get_phone_number("+14155550100")
        for odd in ("", ".", ".."):
            with pytest.raises(RetellError):
                client.get_call(odd)
    assert server.paths == ["/v2/stop-call/call_1"] * 2 + ["/get-phone-number/+14155550100"]
    assert b"%2B14155550100" in server.requests[2].url.raw_path


# -- lists


def calls_server(total: int, *, v3: bool = True) -> Server:
    def serve(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        old = request.url.path == "/v2/list-calls"
        if not old and not v3:
            return answer(404, {"message": "no route"})
        ids = [f"call_{number}" for number in range(total)]
        chosen = body["filter_criteria"].get("call_id")
        if chosen is not None:
            chosen = chosen if old else chosen["value"]
            assert 0 < len(chosen) <= 1000
            ids = [name for name in ids if name in set(chosen)]
        key = body.get("pagination_key")
        start = 0 if key is None else (ids.index(key) + 1 if old else int(key))
        page = [{"call_id": name} for name in ids[start : start + body["limit"]]]
        if old:
            return answer(200, page)
        end = start + len(page)
        more = end < len(ids)
        return answer(
            200, {"items": page, "has_more": more, **({"pagination_key": str(end)} if more else {})}
        )

    return Server(serve)


@pytest.mark.parametrize("v3", [True, False])
def test_all_pages_are_followed(v3: bool) -> None:
    server = calls_server(2500, v3=v3)
    with client_of(server) as client:
        calls = client.list_calls()
        assert [call.call_id for call in calls] == [f"call_{number}" for number in range(2500)]
        assert calls.malformed == 0
        assert server.paths == ["/v3/list-calls"] * (3 if v3 else 1) + ["/v2/list-calls"] * (0 if v3 else 3)
        before = len(server.requests)
        assert len(client.list_calls(limit=7)) == 7
        assert server.paths[before:] == ["/v3/list-calls" if v3 else "/v2/list-calls"]
        assert len(client.list_calls(call_ids=[f"call_{number}" for number in range(2400)])) == 2400
        before = len(server.requests)
        assert client.list_calls(call_ids=[]) == []
        assert client.list_calls(metadata={"attempt_id": []}) == []
        assert len(server.requests) == before


def test_metadata_values_are_asked_for_in_chunks() -> None:
    server = Server(answer(200, {"items": [{"call_id": "c"}, {"oops": 1}], "has_more": False}))
    with client_of(server) as client:
        calls = client.list_calls(metadata={"attempt_id": [str(number) for number in range(1500)], "k": "v"})
    assert [call.call_id for call in calls] == ["c"]
    assert calls.malformed == 2
    sizes = [len(body["filter_criteria"]["metadata"][0]["value"]) for body in server.bodies()]
    assert sizes == [1000, 500]
    assert server.bodies()[1]["filter_criteria"]["metadata"][1] == {
        "key": "k",
        "type": "string",
        "op": "eq",
        "value": "v",
    }


@pytest.mark.parametrize("key", ["same", None])
def test_a_list_without_an_end_proves_nothing(key: str | None) -> None:
    server = Server(answer(200, {"items": [{"call_id": "c"}], "has_more": True, "pagination_key": key}))
    with client_of(server) as client, pytest.raises(RetellUnavailable):
        client.list_calls()
    assert len(server.requests) <= 2


def test_a_missing_list_is_an_error_when_v2_is_missing_too() -> None:
    server = Server(answer(404, {"message": "nothing here"}))
    with client_of(server) as client:
        for _ in range(2):
            with pytest.raises(RetellNotFound):
                client.list_calls()
    assert server.paths == ["/v3/list-calls", "/v2/list-calls"] * 2


def test_numbers_and_agents_in_both_forms() -> None:
    new = Server(
        answer(200, {"items": [{"phone_number": "+1"}, {}], "has_more": True, "pagination_key": "k"}),
        answer(200, {"items": [{"phone_number": "+2"}], "has_more": False}),
        answer(200, {"items": [{"agent_id": "agent_1", "agent_name": "A"}], "has_more": False}),
        answer(200, {"agent_id": "agent_1", "max_call_duration_ms": 60000}),
    )
    with client_of(new) as client:
        assert [number.phone_number for number in client.list_phone_numbers()] == ["+1", "+2"]
        assert [agent.agent_id for agent in client.list_agents()] == ["agent_1"]
        assert client.get_agent("agent_1").max_call_duration_ms == 60000
    assert new.requests[1].url.params["pagination_key"] == "k"
    assert [request.method for request in new.requests] == ["GET", "GET", "POST", "GET"]
    old = Server(
        answer(404),
        answer(200, [{"phone_number": "+1"}]),
        answer(405),
        answer(200, [{"agent_id": "agent_1"}]),
    )
    with client_of(old) as client:
        assert [number.phone_number for number in client.list_phone_numbers()] == ["+1"]
        assert [agent.agent_id for agent in client.list_agents()] == ["agent_1"]
    assert old.paths == ["/v2/list-phone-numbers", "/list-phone-numbers", "/v2/list-agents", "/list-agents"]


# -- the key


def test_the_key_never_shows(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    escaped = '"' + "".join(f"\\u{ord(letter):04x}" for letter in KEY) + '"'
    shown: list[str] = []
    for step in (
        answer(401, {"message": f"bad key Bearer {KEY}"}),
        httpx.Response(401, content=f'{{"message":{escaped}}}'.encode()),
        answer(422, {"error": {"headers": [f"Bearer {KEY}"]}}),
        httpx.Response(500, text="<p>" + "x" * 392 + KEY),
        answer(429, {"message": KEY}),
        httpx.ReadError(f"read {KEY}"),
        httpx.ConnectError(f"connect {KEY}"),
    ):
        with client_of(Server(step)) as client:
            shown += [repr(client), str(client.__dict__), repr(client._http.headers)]
            shown += [repr(client.create_phone_call(DIAL)), repr(client.create_batch_call(BATCH))]
            with pytest.raises(RetellError) as caught:
                client.get_call("call_1")
            shown += [str(caught.value), repr(caught.value), repr(caught.value.args)]
    text = "\n".join([*shown, caplog.text])
    assert KEY not in text
    assert KEY[:12] not in text


@pytest.mark.parametrize("key", ["", " ", "key_a\nb", "key_ä", "key a"])
def test_an_unusable_key_is_named_but_not_shown(key: str) -> None:
    with pytest.raises(RetellError) as caught:
        RetellClient(key)
    assert "RETELL_API_KEY" in str(caught.value)
    assert "key_a" not in str(caught.value)
    assert RetellClient("key_a\n", transport=httpx.MockTransport(Server())).close() is None


@pytest.mark.parametrize("url", ["", "retell.test", "ftp://x", "http://", "http://a:b@host", "http://h/?a=1"])
def test_an_unusable_base_url(url: str) -> None:
    with pytest.raises(RetellError, match="RETELL_BASE_URL"):
        RetellClient(KEY, url)


# -- threads and processes


def test_threads_share_one_client() -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        name = json.loads(request.content)["metadata"]["attempt_id"]
        return answer(201, {"call_id": f"call_{name}", "metadata": {"attempt_id": name}})

    def dial(number: int) -> bool:
        request = CreatePhoneCall(from_number="+1", to_number="+2", metadata={"attempt_id": str(number)})
        verdict = client.create_phone_call(request)
        return isinstance(verdict, Placed) and verdict.call_id == f"call_{number}"

    server = Server(echo)
    with client_of(server) as client, ThreadPoolExecutor(16) as pool:
        assert all(pool.map(dial, range(400)))
    assert len(server.requests) == 400


def test_a_forked_client_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(answer(201, {"call_id": "c"}))
    with client_of(server) as client:
        monkeypatch.setattr("os.getpid", lambda: -1)
        assert isinstance(client.create_phone_call(DIAL), NeverSent)
        with pytest.raises(RetellError):
            client.get_concurrency()
    assert server.requests == []
