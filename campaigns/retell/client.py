"""The runner's own client of Retell's HTTP API, synchronous and safe to share between threads.

What a campaign needs is a method with a typed answer; every other operation is a row of `operations`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from .connection import Connection, Part
from .errors import RetellError, RetellRefused, RetellUnavailable
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
from .operations import NOT_RAW, Danger, Operation, Paging
from .verdicts import (
    BatchVerdict,
    Verdict,
    batch_verdict_of_response,
    read_json,
    verdict_of_response,
)

PAGE = 1000
"""The most items Retell returns in one page, and the most values the client puts in one filter."""

_MOST_PAGES = 2000
_UPLOAD_SECONDS = 600.0
_GONE = (404, 405)
_M = TypeVar("_M", bound=BaseModel)


class RetellClient(Connection):
    """Retell's API for one workspace.

    create_phone_call and create_batch_call answer with a verdict and do not raise; everything else raises
    RetellError. What a client is made with, and how it is closed: `Connection`.
    """

    #: Whether this server knows only the older list of calls.
    _old_lists = False

    # -- dialing: sent once, never repeated

    def create_phone_call(self, request: CreatePhoneCall) -> Verdict:
        """Ring one number. Every failure is a verdict; nothing is repeated."""
        answer = self.dial("/v2/create-phone-call", request.body)
        if not isinstance(answer, tuple):
            return answer
        sent = (request.metadata or {}).get("attempt_id")
        attempt_id = sent if isinstance(sent, str) else None
        return verdict_of_response(*answer, attempt_id=attempt_id, hide=self._hide)

    def create_batch_call(self, request: CreateBatchCall) -> BatchVerdict:
        """Hand over a batch. Every failure is a verdict; nothing is repeated."""
        answer = self.dial("/create-batch-call", request.body)
        if not isinstance(answer, tuple):
            return answer
        return batch_verdict_of_response(*answer, hide=self._hide)

    # -- reading: repeated with backoff

    def get_concurrency(self) -> Concurrency:
        """How many calls the workspace holds and may hold."""
        return self._model(Concurrency, self.ask("GET", "/get-concurrency"))

    def get_call(self, call_id: str) -> Call:
        """One call with its transcript. RetellNotFound if Retell does not know it."""
        return self._model(Call, self.ask("GET", f"/v2/get-call/{_segment(call_id)}"))

    def stop_call(self, call_id: str) -> None:
        """Hang up. Stopping twice does no harm, so this is repeated like a read."""
        self.ask("POST", f"/v2/stop-call/{_segment(call_id)}")

    def get_phone_number(self, phone_number: str) -> PhoneNumber:
        """One number of the workspace, by its E.164 form."""
        return self._model(PhoneNumber, self.ask("GET", f"/get-phone-number/{_segment(phone_number)}"))

    def list_phone_numbers(self) -> list[PhoneNumber]:
        """All numbers of the workspace. One that cannot be read is left out."""
        return self._listing(PhoneNumber, "GET", "/v2/list-phone-numbers", "/list-phone-numbers")

    def get_agent(self, agent_id: str) -> Agent:
        """One voice agent, newest version."""
        return self._model(Agent, self.ask("GET", f"/get-agent/{_segment(agent_id)}"))

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
                return self._model(CallPage, self.ask("POST", "/v3/list-calls", body=body))
            except RetellRefused as error:
                # The key of a v3 page means nothing to v2, so only a first page may fall back.
                if error.status not in _GONE or pagination_key is not None:
                    raise
        body = {"filter_criteria": wanted.arrays(), **paging}
        answer = self.ask("POST", "/v2/list-calls", body=body)
        self._old_lists = True
        return self._model(CallPage, answer, lambda items: CallPage.shape_of_array(items, limit))

    # -- every operation there is

    def perform(
        self,
        operation: Operation,
        arguments: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        files: Sequence[Part] = (),
    ) -> Any:
        """Send one operation of the table: the JSON of its answer, None where it has none.

        `arguments`: the values of its path and query parameters, by name; those that are None are left out.
        `files`: for an operation that takes a form. Reading is repeated, everything else is sent once. Raises
        RetellError, also for an operation that would ring somebody: that is done by a campaign alone.
        """
        if operation.danger is Danger.RINGS:
            raise RetellError(f"{operation.name} rings people past every rule of this program", NOT_RAW)
        given = {name: value for name, value in (arguments or {}).items() if value is not None}
        path = operation.path.format_map({name: _segment(str(given.pop(name))) for name in operation.in_path})
        params = {name: _as_text(value) for name, value in given.items()}
        if operation.repeatable:
            answer = self.ask(operation.method, path, params=params, body=body)
        elif operation.form:
            parts = [*_form(body or {}), *files]
            answer = self.change(operation.method, path, params=params, parts=parts, seconds=_UPLOAD_SECONDS)
        else:
            answer = self.change(operation.method, path, params=params, body=body)
        try:
            return read_json(answer) if answer.strip() else None
        except ValueError:
            raise RetellUnavailable(
                f"Retell's answer to {operation.name} is not JSON", "check RETELL_BASE_URL"
            ) from None

    def perform_all(
        self,
        operation: Operation,
        arguments: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """All pages of a listing operation as one page. Raises RetellError, and never returns half a list."""
        items: list[Any] = []
        seen: set[str | None] = {None}
        key: str | None = None
        while True:
            turn = {} if key is None else {"pagination_key": key}
            if operation.paging is Paging.BODY:
                answer = self.perform(operation, arguments, {"limit": PAGE, **(body or {}), **turn})
            else:
                answer = self.perform(operation, {**(arguments or {}), **turn}, body)
            try:
                page = Listing.model_validate(answer)
            except ValidationError:
                raise RetellUnavailable(
                    f"Retell's answer to {operation.name} is not a page of a list", "try again without --all"
                ) from None
            items += page.items
            if not page.has_more:
                return {"items": items, "has_more": False}
            key = page.pagination_key
            if key in seen or len(seen) > _MOST_PAGES:
                raise RetellUnavailable("Retell's list does not end", "try again later")
            seen.add(key)

    def _listing(self, model: type[_M], method: str, path: str, old_path: str) -> list[_M]:
        items: list[Any] = []
        params: dict[str, str] = {"limit": str(PAGE)}
        seen: set[str] = set()
        try:
            while True:
                body: Any = {} if method == "POST" else None
                page = self._model(Listing, self.ask(method, path, params=params, body=body))
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
            answer = self.ask("GET", old_path)
            items = self._model(Listing, answer, lambda found: {"items": found, "has_more": False}).items
        return list(_readable(model, items))

    def _model(self, model: type[_M], body: bytes, shape: Callable[[Any], Any] = lambda value: value) -> _M:
        try:
            return model.model_validate(shape(read_json(body)))
        except ValueError:  # pydantic's own text would quote the answer
            name = model.__name__
            raise RetellUnavailable(f"Retell's answer is not a readable {name}", "try again later") from None


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


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _form(body: Mapping[str, Any]) -> Iterator[Part]:
    # As Retell's SDK writes it: a list or an object is one part that holds its JSON.
    for name, value in body.items():
        if value is not None:
            text = json.dumps(value) if isinstance(value, list | dict) else _as_text(value)
            yield name, (None, text.encode(), None)
