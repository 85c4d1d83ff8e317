"""Signatures of webhooks: Retell's own vector, and everything that must not pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retell.lib.webhook_auth import symmetric

from campaigns.retell import webhooks

KEY = "key_test"
BODY = b'{"event":"call_ended","call":{"call_id":"call_1"}}'
AT = 1735718400000
DIGEST = "7e3fe2d12da9b122b62b528900125897265eaed1812ad1df742103557d918bd5"
HEADER = f"v={AT},d={DIGEST}"


def test_signs_the_documented_vector() -> None:
    assert webhooks.sign(BODY, KEY, at_ms=AT) == HEADER


@pytest.mark.parametrize("now_ms", [AT, AT + webhooks.TOLERANCE_MS, AT - webhooks.TOLERANCE_MS])
def test_accepts_within_five_minutes(now_ms: int) -> None:
    webhooks.verify(BODY, KEY, HEADER, now_ms=now_ms)


@pytest.mark.parametrize("now_ms", [AT + webhooks.TOLERANCE_MS + 1, AT - webhooks.TOLERANCE_MS - 1])
def test_refuses_a_replay(now_ms: int) -> None:
    with pytest.raises(webhooks.SignatureExpired, match="more than 300 s"):
        webhooks.verify(BODY, KEY, HEADER, now_ms=now_ms)


@pytest.mark.parametrize("header", [None, ""])
def test_refuses_a_missing_header(header: str | None) -> None:
    with pytest.raises(webhooks.SignatureMissing):
        webhooks.verify(BODY, KEY, header, now_ms=AT)


@pytest.mark.parametrize(
    "header",
    [
        "nonsense",
        f"v={AT}",
        f"d={DIGEST},v={AT}",
        f"v={AT},d={DIGEST.upper()}",
        f"v={AT},d={DIGEST[:-1]}",
        f"v=-1,d={DIGEST}",
        f"v=١٢٣,d={DIGEST}",
        f"{HEADER}\n",
        f" {HEADER}",
        f"v={'9' * 5000},d={DIGEST}",
    ],
)
def test_refuses_a_malformed_header(header: str) -> None:
    with pytest.raises(webhooks.SignatureMalformed):
        webhooks.verify(BODY, KEY, header, now_ms=AT)


@pytest.mark.parametrize(
    ("body", "key", "header"),
    [
        (BODY + b" ", KEY, HEADER),
        (BODY, "key_other", HEADER),
        (BODY, KEY, f"v={AT + 1},d={DIGEST}"),
    ],
)
def test_refuses_what_this_key_did_not_sign(body: bytes, key: str, header: str) -> None:
    with pytest.raises(webhooks.SignatureMismatch):
        webhooks.verify(body, key, header, now_ms=AT)


def test_an_empty_key_verifies_nothing() -> None:
    with pytest.raises(ValueError, match="RETELL_API_KEY"):
        webhooks.verify(BODY, "", HEADER, now_ms=AT)
    with pytest.raises(ValueError, match="API key"):
        webhooks.sign(BODY, "")


def test_the_wall_clock_is_the_default() -> None:
    webhooks.verify(BODY, KEY, webhooks.sign(BODY, KEY))


@given(st.text(), st.text(min_size=1), st.integers(0, 10**14))
def test_agrees_with_the_official_library(text: str, key: str, at_ms: int) -> None:
    try:
        body = text.encode()
        key.encode()
    except UnicodeEncodeError:
        return
    signature = webhooks.sign(body, key, at_ms=at_ms)
    assert signature == symmetric["sign"](text, key, at_ms)
    assert symmetric["verify"](text, key, signature, {"timestamp": at_ms})
    webhooks.verify(body, key, symmetric["sign"](text, key, at_ms), now_ms=at_ms)
