"""The connections below the client: every request bounded in time, every text masked, nothing shared over a fork.

Reading is repeated with backoff and jitter; whatever changes something is sent once and never repeated, by no
layer. No request can be held longer than its deadline, however slowly the other side drips.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import httpx
from pydantic import SecretStr
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_before_delay

from .errors import RetellError, RetellRefused, RetellUnavailable, error_for
from .transport import Deadline, bounded_transport
from .verdicts import NeverSent, Unknown, http_date, message_of, retry_after_of, verdict_of_error

_DIAL_BODY = 4 * 2**20
_READ_BODY = 256 * 2**20
_TRIES = 4
# A shorter text is no secret, and masking it would garble every message it happens to stand in.
_SHORTEST_SECRET = 6

#: One part of a form: its name, and (file name or None, content, media type or None).
Part = tuple[str, tuple[str | None, bytes, str | None]]

log = logging.getLogger("campaigns.retell")


@dataclass(frozen=True, slots=True)
class Look:
    """What one request showed: HTTP status, seconds it took, and by how many seconds this machine's clock is ahead of
    the server's (None where the answer has no Date; good to about a second).
    """

    status: int
    seconds: float
    ahead: float | None


class Connection:
    """HTTP to one workspace of Retell. Close it, or use it as a context manager.

    `dial_timeout`: seconds. Nothing of a dial is sent later than that after its beginning, and each piece of
    the answer must come within that; a dial lasts `longest_dial` = twice that at most (plus the resolver's
    time for the host name). `read_timeout`: seconds for one reading operation (one page of a list), with all
    its repetitions. `transport`, `sleep`, `rng` and `now` (monotonic seconds) are there for tests.

    A connection belongs to the process that made it: after a fork, make a new one.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str = "https://api.retellai.com",
        *,
        dial_timeout: float = 15.0,
        read_timeout: float = 20.0,
        transport: httpx.BaseTransport | None = None,
        max_connections: int = 80,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        key = api_key.strip()
        # A header httpx cannot write would show up, key and all, in its exception.
        if not key or not all("!" <= letter <= "~" for letter in key):
            raise RetellError("the Retell API key is empty or has odd characters", "set RETELL_API_KEY")
        self._base = base_url.rstrip("/")
        try:
            url = httpx.URL(self._base)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
            raise RetellError("the base URL is not a plain http(s) URL", "correct RETELL_BASE_URL")
        self._secret = SecretStr(key)
        self.longest_dial = 2 * dial_timeout
        self._dial_timeout, self._read_timeout = dial_timeout, read_timeout
        self._sleep, self._rng, self._now = sleep, rng or random.Random(), now
        self._deadline = Deadline()
        self._pid = os.getpid()
        self.clock_ahead: float | None = None
        """Seconds by which this machine's clock was ahead of the server's at the latest answer that has a Date; good to
        about a second, None before the first one."""
        self._http = httpx.Client(
            transport=transport or bounded_transport(url, max_connections, now, self._deadline),
            headers={
                "Authorization": f"Bearer {key}",
                "Accept": "application/json",
                "User-Agent": "campaigns",
            },
            follow_redirects=False,
            trust_env=False,
        )
        # Before sending, little patience: giving up there is certain and harmless.
        early = min(5.0, dial_timeout / 2)
        self._dial_waits = httpx.Timeout(dial_timeout, connect=early, pool=early)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Requests still under way end in errors."""
        self._http.close()

    def dial(
        self, path: str, body: Callable[[], bytes]
    ) -> tuple[int, httpx.Headers, bytes] | NeverSent | Unknown:
        """POST the JSON that `body` writes and that rings somebody, once. Status, headers and body of the answer, or
        what is known without one."""
        if os.getpid() != self._pid:
            return NeverSent("this client belongs to another process: its connections may not be shared")
        start = self._now()
        try:
            prepared = self._http.build_request(
                "POST",
                self._base + path,
                content=body(),
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
                timeout=self._dial_waits,
            )
        except Exception as error:
            return NeverSent(self._hide(f"the request cannot be written: {error}")[:400])
        try:
            with self._deadline.until(start + self._dial_timeout, start + self.longest_dial):
                return self._exchange(prepared, start + self.longest_dial, _DIAL_BODY)
        except Exception as error:
            return verdict_of_error(error, hide=self._hide)

    def ask(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None
    ) -> bytes:
        """The body of a 2xx answer to what may be asked twice. Raises RetellError; repeats what may pass."""
        once = self._request(method, path, params, body, (), self._read_timeout)
        return Retrying(
            stop=stop_after_attempt(_TRIES) | stop_before_delay(self._read_timeout),
            wait=self._pause,
            retry=retry_if_exception(_may_pass),
            sleep=self._sleep,
            reraise=True,
        )(once)

    def change(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        parts: Sequence[Part] = (),
        seconds: float | None = None,
    ) -> bytes:
        """The same for a request that changes something: sent once.

        `parts` make the body a form. `seconds` instead of the read time-out, for an upload. Where nobody can
        say whether the change was made, the RetellUnavailable says so.
        """
        try:
            return self._request(method, path, params, body, parts, seconds or self._read_timeout)()
        except RetellUnavailable as error:
            if isinstance(error, _Unsent):
                raise
            raise RetellUnavailable(
                error.message,
                "it may have been done all the same: look before you try again",
                error.status,
                error.retry_after,
            ) from None

    def look(self, path: str) -> Look:
        """One GET, whatever it answers. Raises RetellUnavailable where no answer comes."""
        seen: list[Look] = []
        try:
            self._request("GET", path, None, None, (), self._read_timeout, seen)()
        except RetellError:
            if not seen:
                raise
        return seen[0]

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Any,
        parts: Sequence[Part],
        seconds: float,
        seen: list[Look] | None = None,
    ) -> Callable[[], bytes]:
        """One try, to be called as often as it may be repeated; all of them end within `seconds`."""
        if os.getpid() != self._pid:
            raise RetellError("this client belongs to another process", "make a new one after a fork")
        content = None if body is None else json.dumps(body).encode()
        headers = None if body is None else {"Content-Type": "application/json"}
        give_up = self._now() + seconds
        waits = httpx.Timeout(seconds / 2, connect=min(5.0, seconds / 2))

        def once() -> bytes:
            started = self._now()
            try:
                prepared = self._http.build_request(
                    method,
                    self._base + path,
                    params=params,
                    content=content,
                    files=list(parts) or None,
                    headers=headers,
                    timeout=waits,
                )
                with self._deadline.until(give_up, give_up):
                    status, answered, payload = self._exchange(prepared, give_up, _READ_BODY)
            except Exception as error:
                text = self._hide(f"no answer from Retell: {type(error).__name__}: {error}")
                log.debug("asked method=%s path=%s answer=none: %s", method, unquote(path), text)
                kind = _Unsent if isinstance(verdict_of_error(error), NeverSent) else RetellUnavailable
                raise kind(text, "check the network and RETELL_BASE_URL") from None
            spent = self._now() - started
            # By the clock after the answer: who keeps what was asked does so by this one, should it just have been set.
            ahead = _ahead(answered, datetime.now(UTC), spent)
            self.clock_ahead = self.clock_ahead if ahead is None else ahead
            if seen is not None:
                seen.append(Look(status, spent, ahead))
            log.debug("asked method=%s path=%s status=%s seconds=%.3f", method, unquote(path), status, spent)
            if 200 <= status < 300:
                return payload
            raise error_for(status, message_of(payload, self._hide), retry_after_of(answered))

        return once

    def _exchange(
        self, request: httpx.Request, read_by: float, most: int
    ) -> tuple[int, httpx.Headers, bytes]:
        response = self._http.send(request, stream=True)
        try:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > most:
                    raise httpx.ReadError("the answer is too long")
                if self._now() > read_by:
                    raise httpx.ReadTimeout("the answer took too long")
            return response.status_code, response.headers, bytes(body)
        finally:
            response.close()

    def _pause(self, state: RetryCallState) -> float:
        jitter = self._rng.uniform(0, min(3.0, 0.2 * 2 ** (state.attempt_number - 1)))
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "retry_after", None)
        return jitter + (asked or 0.0)

    def _hide(self, text: str) -> str:
        key = self._secret.get_secret_value()
        if len(key) < _SHORTEST_SECRET:
            return text
        forms = {key, json.dumps(key)[1:-1], repr(key)[1:-1]}
        # In one pass: a replacement must not be looked into again.
        return re.sub("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), "[key]", text)


def _ahead(headers: httpx.Headers, clock: datetime, seconds: float) -> float | None:
    """By how many seconds a clock, read when the answer was there, is ahead of that which wrote the Date."""
    date = http_date(headers.get("date", ""))
    if date is None:
        return None
    # The server wrote its whole second somewhere on the way: half of the way and half a second are the best guess.
    return clock.timestamp() - (date.timestamp() + 0.5 + seconds / 2)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, RetellUnavailable):
        return error.status is None or error.status >= 500
    return isinstance(error, RetellRefused) and error.status in (408, 429)


class _Unsent(RetellUnavailable):
    """No connection came about, so that nothing was sent."""
