"""Batch mode, sending: claimed leads are handed to Retell's own dialer, in batches that are over within the horizon.

One batch is one from-number, one zone and one window. Its window names what is left of one day, ends with the horizon
or with the callees' own window, whichever is first, and so says when the last of its tasks can ring.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from campaigns.compliance import Rules, remedy_for
from campaigns.domain.batching import (
    REFUSED_SIZES,
    SHORTEST_LOOK,
    BatchState,
    ahead,
    call_seconds,
    room,
)
from campaigns.domain.call_windows import PLAIN_ZONE, CallWindow, call_window
from campaigns.domain.entities import DialOrder, Evidence
from campaigns.domain.entities import Refused as GateRefused
from campaigns.domain.pacing import SHRINK_SECONDS
from campaigns.domain.states import AttemptState
from campaigns.domain.trouble import ACCOUNT_REFUSALS, LATE, NUMBER_GONE
from campaigns.retell import (
    BatchPlaced,
    BatchTask,
    BatchVerdict,
    CallTimeWindow,
    CreateBatchCall,
    Deferred,
    NeverSent,
    Refused,
    TimeWindow,
    Unknown,
)
from campaigns.services.account_numbers import is_gone
from campaigns.services.context import Context
from campaigns.services.dial import (
    DEFERRED_BACKOFF,
    FIRST_SEARCH_MS,
    NOT_SENT_BACKOFF,
    REFUSED_BACKOFF,
    awake_seconds,
    gate_by,
    lease_ms,
    number_is_busy,
    pause_if_hopeless,
    refusal_of,
    rules_of,
    task_of,
)
from campaigns.store import Batch

log = structlog.get_logger(__name__)

#: Real seconds that may pass between the gate and the POST: a worker that slept must not send.
FENCE_SECONDS = 5.0
#: Business time after which a lead is claimed again for which its window left no time in a batch.
NO_TIME_BACKOFF = timedelta(seconds=30)
#: Causes for which a claimed lead is given back before anything is sent.
NO_TIME, NOT_RUNNING = "no_time_in_batch", "not_running"

_Member = tuple[DialOrder, Evidence]


@dataclass
class _Group:
    window: CallWindow
    members: list[_Member] = field(default_factory=list)


def send(context: Context, batch_id: str, awake: Callable[[], float] = awake_seconds) -> int:
    """Send a claimed batch, in as many parts as it needs, each at most once. Returns how many calls Retell took or may
    have taken. Safe to call any number of times with the same id.
    """
    store = context.store
    claimed = store.batches.get(batch_id)
    if claimed is None or claimed.state != BatchState.CLAIMED:
        return 0
    # Between a claim and its sending lie the gate of each lead, and the answers to the parts before. Its lease outlasts
    # each of these steps; who slept over one finds it gone.
    lease = lease_ms(context.dial_timeout)
    if not store.batches.hold(batch_id, lease):
        return 0
    sent, unused = 0, [batch_id]
    refusals = store.attempts.refusals_of_claimed(batch_id)
    for group in _groups(context, claimed):
        for part in _parts(group.members, refusals):
            if not store.batches.hold(batch_id, lease):
                return sent
            own_id = unused.pop() if unused else uuid.uuid4().hex
            sent += _send_part(context, claimed, own_id, _Group(group.window, part), awake)
    store.batches.close_claim(batch_id, NOT_RUNNING)
    return sent


def _groups(context: Context, claimed: Batch) -> list[_Group]:
    """Who may be dialed, by zone and window; everybody else is given back."""
    attempts = context.store.attempts
    now = context.clock.now()
    at = max(now, claimed.begins_at or now)
    groups: dict[CallWindow, _Group] = {}
    rules: Rules | None = None
    for order in attempts.claimed_orders(claimed.id):
        rules = rules or rules_of(context, order.options)
        answer = number_is_busy(order, at) or gate_by(rules, order, at)
        if isinstance(answer, GateRefused):
            held = answer.next_at is None and answer.code != "suppressed"
            hold = (answer.code, remedy_for(answer)) if held else None
            attempts.give_back(
                order.attempt_id, AttemptState.CLAIMED, answer.code, 0, answer.next_at or now, now, hold
            )
            continue
        window = _window(rules, order, at, now)
        if window is None:
            _no_time(context, [(order, answer)])
            continue
        groups.setdefault(window, _Group(window)).members.append((order, answer))
    found = sorted(groups.values(), key=lambda group: group.window.ends_at)
    return _fitting(context, claimed, found, at)


def _window(rules: Rules, order: DialOrder, at: datetime, now: datetime) -> CallWindow | None:
    """What is left of the callee's window within the horizon from `at` on, in its zone."""
    options = order.options
    until = at + options.horizon()
    ends_at = options.ends_at()
    if ends_at is not None:
        until = min(until, ends_at)
    openings = rules.terms(order.callee).openings
    stretches = [(at, until)] if openings is None else openings.within(at, until)
    zone = order.callee.zones[0] if order.callee.zones else PLAIN_ZONE
    # By now: what opens ahead must not be written from the minute in which it opens.
    return call_window(zone, stretches, now)


def _fitting(context: Context, claimed: Batch, groups: list[_Group], at: datetime) -> list[_Group]:
    """As many of each group as can be dialed before its window ends, behind everything that waits already."""
    store = context.store
    load = store.batches.load(claimed.workspace)
    own = sum(len(group.members) for group in groups)
    waiting = max(0, load.waiting.get(claimed.campaign_id, 0) - own)
    placed = load.placed.get(claimed.campaign_id, 0)
    calls = call_seconds(store.batches.observed_seconds(claimed.campaign_id))
    fitting: list[_Group] = []
    for group in groups:
        cps = group.members[0][0].options.cps
        seconds = (group.window.ends_at - at).total_seconds()
        most = room(claimed.lines, placed, waiting, ahead(claimed.lines, seconds, calls, cps))
        _no_time(context, group.members[most:])
        if most:
            waiting += len(group.members[:most])
            fitting.append(_Group(group.window, group.members[:most]))
    return fitting


def _no_time(context: Context, members: Sequence[_Member]) -> None:
    now = context.clock.now()
    for order, _ in members:
        context.store.attempts.give_back(
            order.attempt_id, AttemptState.CLAIMED, NO_TIME, 0, now + NO_TIME_BACKOFF, now
        )


def _parts(members: Sequence[_Member], refusals: Mapping[str, int]) -> list[list[_Member]]:
    """Batches of bearable size; leads of a refused one go in ever smaller ones, until the bad one is alone."""
    by_size: dict[int, list[_Member]] = {}
    for order, evidence in members:
        size = REFUSED_SIZES[min(refusals.get(order.attempt_id, 0), len(REFUSED_SIZES) - 1)]
        by_size.setdefault(size, []).append((order, evidence))
    return [
        chosen[start : start + size]
        for size, chosen in sorted(by_size.items(), reverse=True)
        for start in range(0, len(chosen), size)
    ]


def _send_part(
    context: Context, claimed: Batch, batch_id: str, group: _Group, awake: Callable[[], float]
) -> int:
    store, window, members = context.store, group.window, group.members
    started = awake()
    now = context.clock.now()
    tasks = {order.attempt_id: task_of(order) for order, _ in members}
    reserved = store.workspaces.account(claimed.workspace).reserved_for(claimed.lines)
    lease = lease_ms(context.dial_timeout)
    won = store.batches.begin(claimed, batch_id, members, window, claimed.lines, reserved, now, lease)
    for attempt_id in tasks.keys() - set(won):
        # Paused, cancelled or suppressed in this very moment, or another worker's by now.
        store.attempts.give_back(attempt_id, AttemptState.CLAIMED, NOT_RUNNING, 0, now, now)
    if not won:
        return 0
    request = _request(claimed, batch_id, [tasks[attempt_id] for attempt_id in won], window, reserved, now)
    if awake() - started > FENCE_SECONDS or context.clock.now() >= window.ends_at:
        now = context.clock.now()
        store.batches.not_sent(batch_id, LATE, 0, now, now)
        return 0
    return _record(context, claimed, batch_id, won, context.retell.create_batch_call(request))


def _request(
    claimed: Batch, batch_id: str, tasks: list[BatchTask], window: CallWindow, reserved: int, now: datetime
) -> CreateBatchCall:
    later = window.begins_at > now
    return CreateBatchCall(
        from_number=claimed.from_number,
        tasks=tasks,
        name=f"campaigns {batch_id}",
        trigger_timestamp=int(window.begins_at.timestamp() * 1000) if later else None,
        reserved_concurrency=reserved,
        call_time_window=CallTimeWindow(
            windows=[TimeWindow(start=start, end=end) for start, end in window.windows],
            timezone=window.zone,
            day=[window.day],  # type: ignore[list-item]
        ),
    )


def _record(
    context: Context, claimed: Batch, batch_id: str, won: Sequence[str], verdict: BatchVerdict
) -> int:
    """Write down what the POST came to."""
    store, now = context.store, context.clock.now()

    def give_back(why: str, status: int, backoff: float, hold: tuple[str, str] | None = None) -> int:
        next_at = context.soon(backoff * random.uniform(1.0, 1.5))
        store.batches.not_sent(batch_id, why, status, next_at, now, hold)
        return 0

    match verdict:
        case BatchPlaced(batch=batch):
            look_in = int(SHORTEST_LOOK / context.clock.speed * 1000)
            store.batches.sent(batch_id, batch.batch_call_id, batch.total_task_count, look_in)
            log.info("batch_sent", batch=batch_id, batch_call_id=batch.batch_call_id, tasks=len(won))
            return len(won)
        case NeverSent(why=why):
            log.warning("batch_not_sent", batch=batch_id, why=why)
            return give_back(why, 0, NOT_SENT_BACKOFF)
        case Deferred(retry_after=retry_after, message=message):
            account = store.workspaces.account(claimed.workspace)
            holding = store.own_lines(claimed.workspace)
            store.workspaces.shrink(claimed.workspace, max(1, holding) + account.foreign, SHRINK_SECONDS)
            log.info("batch_deferred", batch=batch_id, message=message)
            return give_back(message or "429", 429, retry_after or DEFERRED_BACKOFF)
        case Refused(status=status, message=message):
            log.warning("batch_refused", batch=batch_id, status=status, message=message)
            if status not in ACCOUNT_REFUSALS and is_gone(context, claimed.from_number):
                return give_back(NUMBER_GONE, 0, DEFERRED_BACKOFF)
            hold = None
            if len(won) == 1 and store.attempts.refusals_of_lead(won[0]) + 1 >= len(REFUSED_SIZES):
                hold = ("dial_refused", f"{message}: correct the lead, then release it")
            given_back = give_back(refusal_of(verdict), status, REFUSED_BACKOFF, hold)
            pause_if_hopeless(context, claimed.campaign_id)
            return given_back
        case Unknown(why=why):
            log.warning("batch_unknown", batch=batch_id, why=why)
            store.batches.doubt(batch_id, why, now, FIRST_SEARCH_MS)
            return len(won)
