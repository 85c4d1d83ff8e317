"""The emergency stop: calls in progress are hung up, also those whose dial is on its way while we look."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from campaigns.domain.states import AttemptState
from campaigns.retell import RetellError
from campaigns.store import Store

log = structlog.get_logger(__name__)

#: Real seconds for which dials that are on their way are waited for: the longest a dial waits for its answer.
PATIENCE = 30.0
_LOOK_EVERY = 0.2
_TRIES = 3


class Hangs(Protocol):
    """What hangs up: Retell's client."""

    def stop_call(self, call_id: str) -> None: ...


@dataclass
class Halted:
    """stopped: calls that were hung up. failed: call id -> why it was not. unknown: dials of which nobody knows whether
    they ring; reconciling finds them."""

    stopped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unknown: int = 0


def stop_calls(
    store: Store,
    retell: Hangs,
    workspace: str,
    campaign_ids: Collection[str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Halted:
    """Hang up the open calls of the campaigns (None: of all). The caller has paused them, so that no new one comes.

    A call that is over already counts as hung up. The results are collected as ever.
    """
    halted = Halted()
    deadline = monotonic() + PATIENCE
    tries: dict[str, int] = {}
    while True:
        for call in store.results.open_calls(workspace):
            ours = campaign_ids is None or call.campaign_id in campaign_ids
            if not ours or call.state is not AttemptState.PLACED or call.call_id in halted.stopped:
                continue
            if tries.get(call.call_id, 0) >= _TRIES:
                continue
            tries[call.call_id] = tries.get(call.call_id, 0) + 1
            try:
                retell.stop_call(call.call_id)
            except RetellError as error:
                halted.failed[call.call_id] = str(error)
                log.warning("call_not_stopped", call_id=call.call_id, error=str(error))
                continue
            halted.failed.pop(call.call_id, None)
            halted.stopped.append(call.call_id)
        underway = store.attempts.underway(workspace, campaign_ids)
        again = any(tries[call_id] < _TRIES for call_id in halted.failed)
        if (not underway and not again) or monotonic() > deadline:
            halted.unknown = underway
            return halted
        sleep(_LOOK_EVERY)
