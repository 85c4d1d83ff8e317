"""Every way a dial can end has a verdict, also the ways a later httpx invents."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
import pytest

from campaigns.retell import (
    BatchPlaced,
    Deferred,
    NeverSent,
    Placed,
    Refused,
    Unknown,
    batch_verdict_of_response,
    verdict_of_error,
    verdict_of_response,
)
from campaigns.retell.verdicts import message_of, read_json, retry_after_of

# Somebody has to decide about each: a new exception of httpx fails the test below until it stands here.
EXPECTED: dict[str, type[NeverSent] | type[Unknown]] = {
    "ConnectError": NeverSent,
    "ConnectTimeout": NeverSent,
    "PoolTimeout": NeverSent,
    "UnsupportedProtocol": NeverSent,
    "InvalidURL": NeverSent,
    "CloseError": Unknown,
    "CookieConflict": Unknown,
    "DecodingError": Unknown,
    "HTTPError": Unknown,
    "HTTPStatusError": Unknown,
    "LocalProtocolError": Unknown,
    "NetworkError": Unknown,
    "ProtocolError": Unknown,
    "ProxyError": Unknown,
    "ReadError": Unknown,
    "ReadTimeout": Unknown,
    "RemoteProtocolError": Unknown,
    "RequestError": Unknown,
    "RequestNotRead": Unknown,
    "ResponseNotRead": Unknown,
    "StreamClosed": Unknown,
    "StreamConsumed": Unknown,
    "StreamError": Unknown,
    "TimeoutException": Unknown,
    "TooManyRedirects": Unknown,
    "TransportError": Unknown,
    "WriteError": Unknown,
    "WriteTimeout": Unknown,
}


def walk(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(walk(child) for child in kind.__subclasses__()))


ALL = {
    kind
    for root in (
        httpx.HTTPError,
        httpx.TransportError,
        httpx.InvalidURL,
        httpx.StreamError,
        httpx.CookieConflict,
    )
    for kind in walk(root)
    if kind.__module__.split(".")[0] == "httpx"
}


def make(kind: type[BaseException]) -> BaseException:
    error = kind.__new__(kind)
    error.args = ("boom",)
    return error


def test_every_exception_of_httpx_is_decided() -> None:
    assert {kind.__name__ for kind in ALL} == set(EXPECTED)


@pytest.mark.parametrize("kind", sorted(ALL, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_verdict_of_each_exception(kind: type[BaseException]) -> None:
    assert type(verdict_of_error(make(kind))) is EXPECTED[kind.__name__]


@pytest.mark.parametrize("error", [OSError("x"), RuntimeError("x"), MemoryError(), ConnectionResetError()])
def test_anything_else_is_unknown(error: Exception) -> None:
    assert isinstance(verdict_of_error(error), Unknown)


def expected_of(status: int) -> type:
    if status == 429:
        return Deferred
    if 400 <= status < 500 and status not in (408, 409, 460, 499):
        return Refused
    return Placed if 200 <= status < 300 else Unknown


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"<html>", b'{"call_id":"call_1"}', b"\xff\xfe\x00", b"[]", b"null"]
)
def test_every_status_has_a_verdict(body: bytes) -> None:
    for status in range(100, 600):
        expected = expected_of(status)
        if expected is Placed and b"call_1" not in body:
            expected = Unknown
        verdict = verdict_of_response(status, {}, body)
        assert type(verdict) is expected, (status, verdict)
        batch = batch_verdict_of_response(status, {}, body.replace(b"call_id", b"batch_call_id"))
        assert type(batch) is (BatchPlaced if expected is Placed else expected), (status, batch)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
def test_the_refusals_of_the_table(status: int) -> None:
    verdict = verdict_of_response(status, {}, b'{"status":"error","message":"no  such\\n thing"}')
    assert isinstance(verdict, Refused)
    assert (verdict.status, verdict.message) == (status, "no such thing")
    assert verdict.remedy


@pytest.mark.parametrize(
    "body",
    [
        b'{"call_id":""}',
        b'{"call_id":null}',
        b'{"call_id":7}',
        b'{"call_id":"a b"}',
        b'{"call_id":"\\ud800"}',
        b'{"call_id":"call_1"',
        b"[" * 200_000,
        b'{"call_id":"call_1","duration_ms":' + b"9" * 5000 + b"}",
        b'"call_1"',
    ],
)
def test_an_unreadable_success_is_unknown(body: bytes) -> None:
    assert isinstance(verdict_of_response(201, {}, body), Unknown)


def test_a_call_with_odd_details_is_placed() -> None:
    body = {
        "call_id": "call_1",
        "call_status": "teleporting",
        "agent_version": None,
        "duration_ms": "soon",
        "start_timestamp": 1735718400000.0,
        "metadata": ["not", "an", "object"],
        "call_analysis": {"in_voicemail": {"odd": 1}, "call_summary": "fine"},
        "call_cost": "free",
        "brand_new": {"x": 1},
    }
    verdict = verdict_of_response(201, {}, json.dumps(body).encode(), attempt_id="a1")
    assert isinstance(verdict, Placed)
    call = verdict.call
    assert call.call_status == "teleporting"
    assert call.start_timestamp == 1735718400000
    assert call.duration_ms is None
    assert call.metadata is None
    assert call.call_cost is None
    assert call.call_analysis is not None
    assert call.call_analysis.call_summary == "fine"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [({"attempt_id": "a1"}, Placed), ({"attempt_id": "a2"}, Unknown), ({}, Placed), (None, Placed)],
)
def test_an_answer_about_another_attempt_is_unknown(metadata: object, expected: type) -> None:
    body = json.dumps({"call_id": "call_1", "metadata": metadata}).encode()
    assert type(verdict_of_response(201, {}, body, attempt_id="a1")) is expected
    assert type(verdict_of_response(201, {}, body)) is Placed


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"retry-after": "86400"}, 300.0),
        ({"retry-after": "inf"}, 300.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 01 Jan 2025 08:00:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 01 Jan 2025 09:00:30 GMT"}, 300.0),
        ({"retry-after": "Wed, 01 Jan 2020 09:00:30 GMT"}, 0.0),
        (
            {"retry-after": "Tue, 01 Jan 2019 00:00:20 GMT", "date": "Tue, 01 Jan 2019 00:00:00 GMT"},
            20.0,
        ),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_of(headers, now=datetime(2025, 1, 1, 8, tzinfo=UTC)) == seconds
    assert retry_after_of(httpx.Headers(headers), now=datetime(2025, 1, 1, 8, tzinfo=UTC)) == seconds


def test_a_limit_defers() -> None:
    verdict = verdict_of_response(429, {"retry-after": "2"}, b'{"message":"slow down"}')
    assert verdict == Deferred(2.0, "slow down")


def test_messages_are_masked_before_they_are_cut() -> None:
    def hide(text: str) -> str:
        return text.replace("key_secret", "[key]")

    body = json.dumps({"message": "x" * 395 + "key_secret"}).encode()
    assert "key" not in message_of(body, hide).replace("[key]", "").replace("[key", "")
    assert message_of(b'{"error":{"message":"deep"}}') == '{"message": "deep"}'
    assert message_of(b"") == ""


def test_text_that_no_database_stores_is_replaced() -> None:
    value = read_json(b'{"a":"x\\u0000y","b":"\\ud83d\\ude00","c":"\\uD800!"}')
    assert value == {"a": "x\ufffdy", "b": "\U0001f600", "c": "?!"}
