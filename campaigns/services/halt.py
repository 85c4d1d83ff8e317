"""Hanging up: the emergency stop of an operator, and calls to people who must not be called any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog

from campaigns.domain.states import UNDERWAY
from campaigns.retell import Calls, RetellError
from campaigns.services.context import Context
from campaigns.services.results import is_over
from campaigns.store import Store, Unwanted

log = structlog.get_logger(__name__)

#: Real seconds for which dials that are on their way are waited for: the longest a dial waits for its answer.
PATIENCE = 30.0
_LOOK_EVERY = 0.2
#: Real seconds between two searches for calls of batches that nobody knows of yet.
_SEARCH_EVERY = 2.0
_TRIES = 3


class Hangs(Protocol):
    """What hangs up and finds calls: Retell's client."""

    def stop_call(self, call_id: str) -> None: ...

    def list_calls(self, *, metadata: dict[str, list[str]]) -> Calls: ...


@dataclass
class Halted:
    """stopped: calls that were hung up. failed: call id -> why it was not. unknown: dials of which nobody knows whether
    they ring; reconciling finds them. waiting: leads that are left with Retell's own dialer; none is rung later than
    `until`, and workers hang up as their calls show.
    """

    stopped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unknown: int = 0
    waiting: int = 0
    until: datetime | None = None

    @property
    def open_ends(self) -> bool:
        """Whether somebody may still be rung, or is on the line."""
        return bool(self.failed or self.unknown or self.waiting)

    def add(self, other: Halted) -> None:
        """What was done on another account as well."""
        self.stopped += other.stopped
        self.failed |= other.failed
        self.unknown += other.unknown
        self.waiting += other.waiting
        self.until = max((one for one in (self.until, other.until) if one is not None), default=None)


def stop_calls(
    store: Store,
    retell: Hangs | None,
    workspace: str,
    now: Callable[[], datetime],
    campaign_ids: Collection[str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Halted:
    """Hang up the open calls of the campaigns (None: of all). The caller has paused them, so that no new one comes.

    It is written down first, so that workers hang up whatever shows later. retell None: they alone can. A call that is
    over already counts as hung up. The results are collected as ever.
    """
    halted = Halted()
    store.halts.ask(workspace, campaign_ids, now())
    deadline, search_at = monotonic() + PATIENCE, monotonic()
    tries: dict[str, int] = {}
    asked: dict[str, Unwanted] = {}
    while True:
        if retell is not None and monotonic() >= search_at:
            _find(store, retell, workspace, campaign_ids, now())
            search_at = monotonic() + _SEARCH_EVERY
        left = {call.call_id: call for call in store.halts.unwanted(workspace, campaign_ids) if call.asked}
        for call_id, call in left.items():
            asked[call_id] = call
            if retell is None or tries.get(call_id, 0) >= _TRIES:
                continue
            tries[call_id] = tries.get(call_id, 0) + 1
            why = _hang_up(store, retell, call, now())
            if why is None:
                halted.failed.pop(call_id, None)
            else:
                halted.failed[call_id] = why
        left = {call.call_id: call for call in store.halts.unwanted(workspace, campaign_ids) if call.asked}
        underway = store.halts.underway(workspace, campaign_ids)
        again = any(retell is None or tries.get(call_id, 0) < _TRIES for call_id in left)
        if (not underway and not again) or monotonic() > deadline:
            break
        sleep(_LOOK_EVERY)
    waits = store.halts.left_at_retell(workspace, campaign_ids)
    halted.failed = {call_id: halted.failed.get(call_id, "no worker has hung it up yet") for call_id in left}
    halted.stopped = [call_id for call_id in asked if call_id not in left]
    halted.waiting, halted.until = len(waits.attempts), waits.until
    # What is left in a batch is told of as waiting.
    halted.unknown = store.halts.underway(workspace, campaign_ids)
    return halted


def hang_up_due(context: Context) -> int:
    """Hang up the calls that nobody wants any more. Returns how many. Safe to run any number of times at once."""
    unwanted = context.store.halts.unwanted(context.workspace)
    return sum(
        _hang_up(context.store, context.retell, call, context.clock.now()) is None for call in unwanted
    )


def _hang_up(store: Store, retell: Hangs, call: Unwanted, now: datetime) -> str | None:
    """Why it could not be hung up, if it could not."""
    try:
        retell.stop_call(call.call_id)
    except RetellError as error:
        log.warning("call_not_stopped", call_id=call.call_id, error=str(error))
        return str(error)
    because = "an operator stopped the campaign's calls"
    if not call.asked:
        because = "its number came onto the do-not-call list after it was sent"
    store.halts.hung_up(call, f"call {call.call_id} was hung up: {because}", now)
    return None


def _find(
    store: Store, retell: Hangs, workspace: str, campaign_ids: Collection[str] | None, now: datetime
) -> None:
    """Calls that Retell's own dialer has made already, and that no look has shown yet."""
    waiting = store.halts.left_at_retell(workspace, campaign_ids).attempts
    if not waiting:
        return
    try:
        found: Iterable[tuple[str, str]] = [
            (call.attempt_id or "", call.call_id)
            for call in retell.list_calls(metadata={"attempt_id": list(waiting)})
            if not is_over(call)
        ]
    except RetellError as error:
        log.warning("calls_not_listed", error=str(error))
        return
    for attempt_id, call_id in found:
        for state in UNDERWAY:
            if attempt_id in waiting and store.attempts.place(attempt_id, state, call_id, now):
                break
