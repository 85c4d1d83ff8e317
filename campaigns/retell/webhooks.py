"""Retell's webhooks: their signatures, and what is in them.

Retell sends `X-Retell-Signature: v={unix ms},d={hex}` with every webhook, where d is the HMAC-SHA256 of the
raw body followed by the digits of v, keyed with the workspace's API key. The receiver must check the bytes as
they came: a body that was parsed and written again has another digest.

    SignatureError
    ├── SignatureMissing     no header
    ├── SignatureMalformed   a header of another form
    ├── SignatureExpired     signed too long ago, or in the future: a replay, or a clock that is wrong
    └── SignatureMismatch    not signed with this key, or the body was changed
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time

from pydantic import ValidationError

from .models import Webhook

SIGNATURE_HEADER = "X-Retell-Signature"
TOLERANCE_MS = 5 * 60 * 1000
"""How far a signature's time may lie from ours, in milliseconds, either way."""

# [0-9] and not \d, which also takes digits of other scripts; int() would read those and the digest would not.
_FORM = re.compile(r"v=([0-9]{1,15}),d=([0-9a-f]{64})")


class SignatureError(ValueError):
    """The webhook is not to be trusted; the text says why."""


class SignatureMissing(SignatureError):
    """The request has no signature header."""


class SignatureMalformed(SignatureError):
    """The header is not `v={unix ms},d={64 hex digits}`."""


class SignatureExpired(SignatureError):
    """The signature is older, or younger, than the tolerance."""


class SignatureMismatch(SignatureError):
    """Another key signed it, or the body is not the one that was signed."""


def sign(body: bytes, key: str, *, at_ms: int | None = None) -> str:
    """The value of the signature header for a raw body.

    `key` is the API key, `at_ms` the Unix time in milliseconds (now, if absent). Raises ValueError for an
    empty key.
    """
    stamp = str(_now_ms() if at_ms is None else at_ms)
    return f"v={stamp},d={_digest(body, key, stamp)}"


def verify(
    body: bytes, key: str, header: str | None, *, now_ms: int | None = None, tolerance_ms: int = TOLERANCE_MS
) -> None:
    """Return if the header is the signature of exactly this body; raise a SignatureError otherwise.

    `now_ms` is the Unix time in milliseconds (the wall clock, if absent): signatures live in real time, also
    in a simulated run. The digests are compared in constant time. Raises ValueError for an empty key, which
    would otherwise accept what anybody signs.
    """
    if not key:
        raise ValueError("webhooks cannot be verified without the API key (set RETELL_API_KEY)")
    if not header:
        raise SignatureMissing(f"the request has no {SIGNATURE_HEADER} header")
    match = _FORM.fullmatch(header)
    if match is None:
        raise SignatureMalformed(f"{SIGNATURE_HEADER} is not v={{unix ms}},d={{64 hex digits}}")
    stamp, digest = match.groups()
    if not hmac.compare_digest(_digest(body, key, stamp), digest):
        raise SignatureMismatch("the body was not signed with this API key")
    age_ms = (_now_ms() if now_ms is None else now_ms) - int(stamp)
    if abs(age_ms) > tolerance_ms:
        raise SignatureExpired(
            f"signed {abs(age_ms) / 1000:.0f} s {'ago' if age_ms > 0 else 'in the future'}, "
            f"more than {tolerance_ms / 1000:.0f} s: a replay, or a wrong clock"
        )


def read(body: bytes) -> Webhook | None:
    """The event and its call, read tolerantly as every answer of Retell; None for a body without them.

    Verify first: this trusts what it reads.
    """
    try:
        return Webhook.model_validate(json.loads(body))
    except (ValidationError, ValueError, RecursionError):
        return None


def _digest(body: bytes, key: str, stamp: str) -> str:
    if not key:
        raise ValueError("webhooks cannot be signed without the API key")
    return hmac.new(key.encode(), body + stamp.encode(), hashlib.sha256).hexdigest()


def _now_ms() -> int:
    return int(time.time() * 1000)
