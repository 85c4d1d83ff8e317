"""POST /webhooks/retell: verify the bytes as they came, take them in, answer before Retell's ten seconds are over.

204  taken in, or nothing of ours: do not send it again
401  not signed with our key, or not now: nothing was changed
408  the body did not come in time
413  the body is larger than any call
503  it could not be kept: send it again
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Protocol

import anyio
import structlog
from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from campaigns.retell import Webhook, webhooks
from campaigns.services.context import Context
from campaigns.services.webhook import Received, receive

log = structlog.get_logger(__name__)

#: A call of two hours with three transcripts, word by word, takes about 3 MB.
MOST_BYTES = 8 * 1024 * 1024
BODY_SECONDS = 5.0
#: As many as the database has connections for on SQLite; more would only wait there.
THREADS = 8
#: Refusals are logged once in so many seconds: strangers must not be able to fill the disk.
_QUIET_SECONDS = 10.0


class Hints(Protocol):
    """Tells the workers that there is something to do. Must not block: hints may be lost."""

    def pace(self) -> None: ...

    def settle(self, attempt_id: str) -> None: ...


class WebhookReceiver:
    """The endpoint. counts: webhooks since the start, by what they came to.

    Raises ValueError without a key: it would accept what anybody signs.
    """

    def __init__(self, context: Context, key: str, hints: Hints) -> None:
        if not key:
            raise ValueError("webhooks cannot be verified without the API key")
        self._context = context
        self._key = key
        self._hints = hints
        self._threads = CapacityLimiter(THREADS)
        self._quiet_until = 0.0
        self.counts: Counter[str] = Counter()

    async def __call__(self, request: Request) -> Response:
        try:
            body = await _body(request)
        except TimeoutError:
            return self._refuse(408, f"the body did not come within {BODY_SECONDS:g} s")
        except ClientDisconnect:
            return self._refuse(400, "the sender hung up")
        if body is None:
            return self._refuse(413, f"the body is larger than {MOST_BYTES} bytes")
        try:
            webhooks.verify(body, self._key, request.headers.get(webhooks.SIGNATURE_HEADER))
        except webhooks.SignatureError as error:
            return self._refuse(401, str(error))
        told = webhooks.read(body)
        if told is None:
            log.warning("webhook_unreadable", size=len(body))
            self.counts["ignored"] += 1
            return Response(status_code=204)
        try:
            received = await to_thread.run_sync(self._receive, told, limiter=self._threads)
        except Exception:
            # Whatever it was, Retell has it still; and if it gives up, polling collects.
            log.exception("webhook_failed", webhook=told.event, call=told.call.call_id)
            self.counts["failed"] += 1
            return PlainTextResponse("error: it could not be kept; send it again\n", 503)
        self.counts["changed" if received.changed else "known" if received.ours else "ignored"] += 1
        return Response(status_code=204)

    def _receive(self, told: Webhook) -> Received:
        received = receive(self._context, told.event, told.call)
        if received.freed:
            self._hints.pace()
        if received.settle is not None:
            self._hints.settle(received.settle)
        return received

    def _refuse(self, status: int, why: str) -> Response:
        self.counts["refused"] += 1
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _QUIET_SECONDS
            log.warning("webhook_refused", status=status, why=why, refused_so_far=self.counts["refused"])
        return PlainTextResponse(f"error: {why}\n", status)


async def _body(request: Request) -> bytes | None:
    """The raw body; None if it is too large, of which no more is read."""
    if int(request.headers.get("content-length") or 0) > MOST_BYTES:
        return None
    parts: list[bytes] = []
    size = 0
    with anyio.fail_after(BODY_SECONDS):
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                return None
            parts.append(part)
    return b"".join(parts)
