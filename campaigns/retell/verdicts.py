"""What is known after a dial. Pure: an answer or an exception goes in, a value comes out.

    Placed       a call id came back
    NeverSent    no byte of the request left: nobody rings
    Refused      Retell said no (4xx): nobody rings
    Deferred     Retell said not now (429): nobody rings, the attempt is not charged
    Unknown      it may be ringing: never dial again on this alone, look for the call first

Everything that is not proof of silence is Unknown, also what nobody has thought of yet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from .errors import remedy_for
from .models import BatchCall, Call

LONGEST_PAUSE = 300.0
"""Seconds; the most of a Retry-After that is honoured."""

_MESSAGE_LENGTH = 400


@dataclass(frozen=True, slots=True)
class Placed:
    """Retell made the call."""

    call_id: str
    call: Call


@dataclass(frozen=True, slots=True)
class BatchPlaced:
    """Retell took the batch. Its calls have no ids yet: look for them by batch id or metadata."""

    batch: BatchCall


@dataclass(frozen=True, slots=True)
class NeverSent:
    """The request never left this machine."""

    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Retell refused with an HTTP `status` of 400-499."""

    status: int
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """Retell refused for now. `retry_after`: seconds, 0-300, or None where Retell did not say."""

    retry_after: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The call may have been placed."""

    why: str


NotPlaced = NeverSent | Refused | Deferred | Unknown
Verdict = Placed | NotPlaced
BatchVerdict = BatchPlaced | NotPlaced
Hide = Callable[[str], str]

# A failed write is absent on purpose: part of the request may have arrived, and httpx still reads an answer.
# So are LocalProtocolError and ProxyError: both can follow bytes that left, and neither says so.
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)

# 408 and 409 may follow a request that was acted upon. 460 and 499 are a load balancer's words for "the
# caller hung up": they tell of the connection, not of the request.
_UNKNOWN_STATUSES = frozenset({408, 409, 460, 499})


def verdict_of_error(error: BaseException, *, hide: Hide = str) -> NeverSent | Unknown:
    """The verdict when a dial ended in an exception. `hide` masks what may not be shown in a text."""
    why = hide(f"{type(error).__name__}: {error}".rstrip(": "))[:_MESSAGE_LENGTH]
    return NeverSent(why) if isinstance(error, _NEVER_SENT) else Unknown(why)


def verdict_of_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    attempt_id: str | None = None,
    hide: Hide = str,
) -> Verdict:
    """The verdict when create-phone-call was answered.

    `attempt_id`: what was sent as `metadata.attempt_id`; an answer that names another one is no answer to
    this dial. `headers` are looked up case-insensitively if the mapping is (as httpx.Headers is).
    """
    if not 200 <= status < 300:
        return _refusal(status, headers, body, hide)
    try:
        call = Call.model_validate(read_json(body))
    except ValueError:
        return Unknown(f"Retell answered {status} without a readable call id")
    if attempt_id is not None and call.attempt_id not in (None, attempt_id):
        return Unknown(f"the answer is about another attempt, call {call.call_id}")
    return Placed(call.call_id, call)


def batch_verdict_of_response(
    status: int, headers: Mapping[str, str], body: bytes, *, hide: Hide = str
) -> BatchVerdict:
    """The verdict when create-batch-call was answered: the same table, with a batch id for a call id."""
    if not 200 <= status < 300:
        return _refusal(status, headers, body, hide)
    try:
        return BatchPlaced(BatchCall.model_validate(read_json(body)))
    except ValueError:
        return Unknown(f"Retell answered {status} without a readable batch id")


def _refusal(status: int, headers: Mapping[str, str], body: bytes, hide: Hide) -> NotPlaced:
    message = message_of(body, hide)
    if status == 429:
        return Deferred(retry_after_of(headers), message)
    if 400 <= status < 500 and status not in _UNKNOWN_STATUSES:
        return Refused(status, message, remedy_for(status))
    return Unknown(f"Retell answered {status}: {message}" if message else f"Retell answered {status}")


def read_json(body: bytes) -> Any:
    """The JSON value of a body. Raises ValueError for whatever cannot be read, however it is broken."""
    try:
        # No database stores a NUL or half a surrogate pair, and no call may be lost over its transcript.
        value = json.loads(body.replace(rb"\u0000", rb"\ufffd"))
        if rb"\ud" in body or rb"\uD" in body:
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        return value
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def message_of(body: bytes, hide: Hide = str) -> str:
    """The text of an error body: Retell's `message`, or the beginning of whatever came. Masked by `hide`."""
    try:
        value = read_json(body)
    except ValueError:
        value = body.decode("utf-8", "replace")
    if isinstance(value, dict):
        for name in ("message", "error_message", "error", "detail"):
            if value.get(name):
                value = value[name]
                break
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    # Masked before it is cut: half a key is still a leak.
    return hide(" ".join(text.split()))[:_MESSAGE_LENGTH]


def retry_after_of(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """The pause a Retry-After header asks for, in seconds from 0 to 300; None without a readable one.

    A date is taken relative to the answer's own Date, so that a wrong clock here does no harm.
    """
    text = (headers.get("retry-after") or headers.get("Retry-After") or "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        until = http_date(text)
        if until is None:
            return None
        sent = http_date(headers.get("date") or headers.get("Date") or "")
        seconds = (until - (sent or now or datetime.now(UTC))).total_seconds()
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_PAUSE)


def http_date(text: str) -> datetime | None:
    """The instant of an HTTP Date, None where it cannot be read."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
