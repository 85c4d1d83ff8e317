"""The runner's own client of Retell's HTTP API, synchronous and safe to share between threads.

A request that rings somebody is sent once and never repeated, by no layer; reading and searching are repeated
with backoff and jitter. No request can be held longer than its deadline, however slowly the other side drips.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, SecretStr, ValidationError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_before_delay

from .errors import RetellError, RetellRefused, RetellUnavailable, error_for
from .models import (
    Agent,
    Call,
    CallFilter,
    CallPage,
    Calls,
    Concurrency,
    CreateBatchCall,
    CreatePhoneCall,
    Listing,
    PhoneNumber,
)
from .transport import Deadline, bounded_transport
from .verdicts import (
    BatchVerdict,
    NeverSent,
    Unknown,
    Verdict,
    batch_verdict_of_response,
    message_of,
    read_json,
    retry_after_of,
    verdict_of_error,
    verdict_of_response,
)

PAGE = 1000
"""The most items Retell returns in one page, and the most values the client puts in one filter."""

_DIAL_BODY = 4 * 2**20
_READ_BODY = 256 * 2**20
_MOST_PAGES = 2000
_TRIES = 4
# A shorter text is no secret, and masking it would garble every message it happens to stand in.
_SHORTEST_SECRET = 6
_GONE = (404, 405)
_M = TypeVar("_M", bound=BaseModel)


class RetellClient:
    """Retell's API for one workspace. Close it, or use it as a context manager.

    `dial_timeout`: seconds. Nothing of a dial is sent later than that after its beginning, and each piece of
    the answer must come within that; a dial lasts `longest_dial` = twice that at most (plus the resolver's
    time for the host name). `read_timeout`: seconds for one reading operation (one page of a list), with all
    its repetitions. `transport`, `sleep`, `rng` and `now` (monotonic seconds) are there for tests.

    create_* answer with a verdict and do not raise; everything else raises RetellError. A client belongs to
    the process that made it: after a fork, make a new one.
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
        self._old_lists = False
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
        self._read_waits = httpx.Timeout(read_timeout / 2, connect=min(5.0, read_timeout / 2))

    def __repr__(self) -> str:
        return f"RetellClient({self._base!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Requests still under way end in errors."""
        self._http.close()

    # -- dialing: sent once, never repeated

    def create_phone_call(self, request: CreatePhoneCall) -> Verdict:
        """Ring one number. Every failure is a verdict; nothing is repeated."""
        answer = self._dial("/v2/create-phone-call", request)
        if not isinstance(answer, tuple):
            return answer
        sent = (request.metadata or {}).get("attempt_id")
        attempt_id = sent if isinstance(sent, str) else None
        return verdict_of_response(*answer, attempt_id=attempt_id, hide=self._hide)

    def create_batch_call(self, request: CreateBatchCall) -> BatchVerdict:
        """Hand over a batch. Every failure is a verdict; nothing is repeated."""
        answer = self._dial("/create-batch-call", request)
        if not isinstance(answer, tuple):
            return answer
        return batch_verdict_of_response(*answer, hide=self._hide)

    def _dial(
        self, path: str, request: CreatePhoneCall | CreateBatchCall
    ) -> tuple[int, httpx.Headers, bytes] | NeverSent | Unknown:
        if os.getpid() != self._pid:
            return NeverSent("this client belongs to another process: its connections may not be shared")
        start = self._now()
        try:
            prepared = self._http.build_request(
                "POST",
                self._base + path,
                content=request.body(),
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

    # -- reading: repeated with backoff

    def get_concurrency(self) -> Concurrency:
        """How many calls the workspace holds and may hold."""
        return self._model(Concurrency, self._fetch("GET", "/get-concurrency"))

    def get_call(self, call_id: str) -> Call:
        """One call with its transcript. RetellNotFound if Retell does not know it."""
        return self._model(Call, self._fetch("GET", f"/v2/get-call/{_segment(call_id)}"))

    def stop_call(self, call_id: str) -> None:
        """Hang up. Stopping twice does no harm, so this is repeated like a read."""
        self._fetch("POST", f"/v2/stop-call/{_segment(call_id)}")

    def get_phone_number(self, phone_number: str) -> PhoneNumber:
        """One number of the workspace, by its E.164 form."""
        return self._model(PhoneNumber, self._fetch("GET", f"/get-phone-number/{_segment(phone_number)}"))

    def list_phone_numbers(self) -> list[PhoneNumber]:
        """All numbers of the workspace. One that cannot be read is left out."""
        return self._listing(PhoneNumber, "GET", "/v2/list-phone-numbers", "/list-phone-numbers")

    def get_agent(self, agent_id: str) -> Agent:
        """One voice agent, newest version."""
        return self._model(Agent, self._fetch("GET", f"/get-agent/{_segment(agent_id)}"))

    def list_agents(self) -> list[Agent]:
        """All voice agents of the workspace. One that cannot be read is left out."""
        return self._listing(Agent, "POST", "/v2/list-agents", "/list-agents")

    def list_calls(
        self,
        *,
        call_ids: Sequence[str] | None = None,
        metadata: Mapping[str, str | Sequence[str]] | None = None,
        batch_call_id: str | None = None,
        started_after: int | None = None,
        limit: int | None = None,
    ) -> Calls:
        """The calls that meet all conditions, newest first within each 1,000 ids, each call once.

        `metadata`: top-level key to the value, or the values, that match. `started_after`: ms since the
        epoch, inclusive; it leaves out every call that never started. `limit`: stop at that many calls. An
        empty list of ids or values matches nothing. A list that cannot be followed to its end raises
        RetellUnavailable, since half a list would prove an absence that is none.
        """
        found: dict[str, Call] = {}
        malformed = 0
        keys = list(metadata or {})
        values = [_chunks(value) for value in (metadata or {}).values()]
        for ids, *wanted in itertools.product(_chunks(call_ids), *values):
            seen: set[str | None] = {None}
            key: str | None = None
            while limit is None or len(found) < limit:
                page = self.list_calls_page(
                    call_ids=ids,
                    metadata=dict(zip(keys, wanted, strict=True)),
                    batch_call_id=batch_call_id,
                    started_after=started_after,
                    limit=min(limit or PAGE, PAGE),
                    pagination_key=key,
                )
                malformed += page.malformed
                for call in page.items:
                    found.setdefault(call.call_id, call)
                if not page.has_more:
                    break
                key = page.pagination_key
                if key in seen or len(seen) > _MOST_PAGES:
                    raise RetellUnavailable("Retell's list of calls does not end", "try again later")
                seen.add(key)
        return Calls(itertools.islice(found.values(), limit), malformed)

    def list_calls_page(
        self,
        *,
        call_ids: Sequence[str] | None = None,
        metadata: Mapping[str, str | Sequence[str]] | None = None,
        batch_call_id: str | None = None,
        started_after: int | None = None,
        limit: int = PAGE,
        pagination_key: str | None = None,
    ) -> CallPage:
        """One page of at most `limit` (1-1000) calls. Conditions as in `list_calls`, at most 1,000 ids."""
        wanted = CallFilter(
            call_ids=call_ids,
            metadata=metadata or {},
            batch_call_id=batch_call_id,
            started_after=started_after,
        )
        paging: dict[str, Any] = {"limit": limit, "sort_order": "descending"}
        if pagination_key is not None:
            paging["pagination_key"] = pagination_key
        if not self._old_lists:
            try:
                body = {"filter_criteria": wanted.typed(), **paging}
                return self._model(CallPage, self._fetch("POST", "/v3/list-calls", body=body))
            except RetellRefused as error:
                # The key of a v3 page means nothing to v2, so only a first page may fall back.
                if error.status not in _GONE or pagination_key is not None:
                    raise
        body = {"filter_criteria": wanted.arrays(), **paging}
        answer = self._fetch("POST", "/v2/list-calls", body=body)
        self._old_lists = True
        return self._model(CallPage, answer, lambda items: CallPage.shape_of_array(items, limit))

    def _listing(self, model: type[_M], method: str, path: str, old_path: str) -> list[_M]:
        items: list[Any] = []
        params: dict[str, str] = {"limit": str(PAGE)}
        seen: set[str] = set()
        try:
            while True:
                body: Any = {} if method == "POST" else None
                page = self._model(Listing, self._fetch(method, path, params=params, body=body))
                items += page.items
                if not page.has_more:
                    break
                if page.pagination_key is None or page.pagination_key in seen or len(seen) > _MOST_PAGES:
                    raise RetellUnavailable("Retell's list does not end", "try again later")
                seen.add(page.pagination_key)
                params["pagination_key"] = page.pagination_key
        except RetellRefused as error:
            if error.status not in _GONE:
                raise
            answer = self._fetch("GET", old_path)
            items = self._model(Listing, answer, lambda found: {"items": found, "has_more": False}).items
        return list(_readable(model, items))

    def _model(self, model: type[_M], body: bytes, shape: Callable[[Any], Any] = lambda value: value) -> _M:
        try:
            return model.model_validate(shape(read_json(body)))
        except ValueError:  # pydantic's own text would quote the answer
            name = model.__name__
            raise RetellUnavailable(f"Retell's answer is not a readable {name}", "try again later") from None

    def _fetch(
        self, method: str, path: str, *, params: dict[str, str] | None = None, body: Any = None
    ) -> bytes:
        if os.getpid() != self._pid:
            raise RetellError("this client belongs to another process", "make a new one after a fork")
        content = None if body is None else json.dumps(body).encode()
        headers = None if body is None else {"Content-Type": "application/json"}
        give_up = self._now() + self._read_timeout

        def once() -> bytes:
            try:
                prepared = self._http.build_request(
                    method,
                    self._base + path,
                    params=params,
                    content=content,
                    headers=headers,
                    timeout=self._read_waits,
                )
                with self._deadline.until(give_up, give_up):
                    status, answered, payload = self._exchange(prepared, give_up, _READ_BODY)
            except Exception as error:
                text = self._hide(f"no answer from Retell: {type(error).__name__}: {error}")
                raise RetellUnavailable(text, "check the network and RETELL_BASE_URL") from None
            if 200 <= status < 300:
                return payload
            raise error_for(status, message_of(payload, self._hide), retry_after_of(answered))

        return Retrying(
            stop=stop_after_attempt(_TRIES) | stop_before_delay(self._read_timeout),
            wait=self._pause,
            retry=retry_if_exception(_may_pass),
            sleep=self._sleep,
            reraise=True,
        )(once)

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


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, RetellUnavailable):
        return error.status is None or error.status >= 500
    return isinstance(error, RetellRefused) and error.status in (408, 429)


def _segment(value: str) -> str:
    # A dot would climb to another operation, and an empty name would ask for the whole list.
    if not value.strip("."):
        raise RetellError(f"{value!r} is not an id", "give the id as Retell shows it")
    return quote(value, safe="")


def _chunks(values: str | Sequence[str] | None) -> list[Any]:
    if values is None or isinstance(values, str):
        return [values]
    return [values[start : start + PAGE] for start in range(0, len(values), PAGE)]


def _readable(model: type[_M], items: Iterable[Any]) -> Iterator[_M]:
    for item in items:
        try:
            yield model.model_validate(item)
        except ValidationError:
            continue
