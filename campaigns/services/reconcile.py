"""Putting right what a crash, a lost message or an unknown answer left behind. Rows are truth, messages are hints."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from campaigns.domain.entities import UnknownDial
from campaigns.domain.recovery import KEY_SECONDS, Absence, may_send_again
from campaigns.domain.states import AttemptState
from campaigns.retell import Call, RetellError
from campaigns.services.adoption import adopt
from campaigns.services.context import Context
from campaigns.services.dial import awake_seconds, lease_ms, redial
from campaigns.services.results import is_over

log = structlog.get_logger(__name__)

#: Real milliseconds to the next search for an unknown dial: doubled after each empty one, within bounds.
SEARCH_FIRST_MS, SEARCH_LONGEST_MS = 1_000, 10_000
#: Later dialed calls that a search asks for as well.
WITNESSES = 20
#: Real seconds after the dial at which an unfound one is left to the operator.
SEARCH_HORIZON = 900.0
#: The same by the number of searches since: for a clock that was set back.
MOST_SEARCHES = 80
#: Real milliseconds after which a dial without an answer is looked for in the list: its worker may be dead.
OVERDUE_MS = 5_000
#: Unknown dials that are remembered before those of an hour ago are forgotten.
_MOST_WATCHED = 1_000
#: Business time: longest ring (5 min) + longest call (2 h) + a margin. A call open beyond it is stuck.
STUCK_AFTER = timedelta(minutes=5 + 120 + 10)


@dataclass(slots=True)
class Reconciled:
    """What one pass put right."""

    freed_claims: int = 0
    doubted: int = 0
    adopted: int = 0
    sent_again: int = 0
    unresolved: int = 0

    @property
    def anything(self) -> bool:
        return any((self.freed_claims, self.doubted, self.adopted, self.sent_again, self.unresolved))


def reconcile(context: Context) -> Reconciled:
    """One pass over stale claims, unknown dials and stuck calls. Safe to run any number of times at once."""
    done = Reconciled()
    attempts, now = context.store.attempts, context.clock.now()
    for attempt_id in context.store.recovery.stale_claims(context.workspace):
        done.freed_claims += attempts.give_back(attempt_id, AttemptState.CLAIMED, "stale_claim", 0, now, now)
    unknown = context.store.recovery.unknown_dials(context.workspace)
    for one in unknown:
        _watched(context, one)
        if one.state == AttemptState.DIALING:
            why = "the worker that dialed it left no answer"
            done.doubted += attempts.doubt(one.attempt_id, why, now, 0)
    searched = [one for one in unknown if one.state == AttemptState.AMBIGUOUS]
    overdue = context.store.recovery.overdue_dials(context.workspace, OVERDUE_MS)
    if searched or overdue:
        _search(context, searched, overdue, done)
    _close_stuck(context, done)
    if done.anything:
        log.info("reconciled", freed=done.freed_claims, doubted=done.doubted, adopted=done.adopted,
                 sent_again=done.sent_again, unresolved=done.unresolved)  # fmt: skip
    return done


def _search(
    context: Context, unknown: Sequence[UnknownDial], overdue: Sequence[UnknownDial], done: Reconciled
) -> None:
    """Look for the calls of ambiguous attempts by their own id. Never by status: a new call may have none yet.

    The same request asks for some calls dialed later: whether the list shows them is the proof that it does not lag.
    It also asks for overdue dials, whose sender may be dead or only slow: one that is found is placed, whoever waits
    for its answer; of one that is not found nothing is concluded.
    """
    younger: dict[str, int] = {}
    if unknown:
        oldest = min(one.dialing_real_ms for one in unknown)
        younger = context.store.recovery.younger_calls(context.workspace, oldest, WITNESSES)
    wanted = [*(one.attempt_id for one in (*unknown, *overdue)), *younger]
    try:
        found = context.retell.list_calls(metadata={"attempt_id": wanted})
    except RetellError as error:
        log.warning("search_failed", error=str(error))
        return
    by_attempt: dict[str, list[Call]] = {}
    for call in found:
        if call.attempt_id:
            by_attempt.setdefault(call.attempt_id, []).append(call)
    for one in overdue:
        if one.attempt_id in by_attempt:
            _adopt(context, one, by_attempt[one.attempt_id], done)
    for one in unknown:
        calls = by_attempt.get(one.attempt_id, [])
        if calls:
            _adopt(context, one, calls, done)
            continue
        # An item that could not be read may have been the very call.
        seen = [] if found.malformed else [
            call.call_status or ""
            for attempt_id, dialed in younger.items() if dialed > one.dialing_real_ms
            for call in by_attempt.get(attempt_id, [])
        ]  # fmt: skip
        _miss(context, one, seen, done)


def _adopt(context: Context, one: UnknownDial, calls: Sequence[Call], done: Reconciled) -> None:
    """One is joined to its attempt; each further one sounds the alarm."""
    done.adopted += sum([adopt(context, one.attempt_id, call.call_id) for call in calls])


def _watched(context: Context, one: UnknownDial) -> float:
    """Seconds for which this process knows of the unknown send: real ones, whatever was done to the machine's clock."""
    now, watched = awake_seconds(), context.watched
    if len(watched) > _MOST_WATCHED:
        for key in [key for key, since in list(watched.items()) if now - since > KEY_SECONDS]:
            watched.pop(key, None)
    return now - watched.setdefault((one.attempt_id, one.sends), now)


def _miss(context: Context, one: UnknownDial, younger: Sequence[str], done: Reconciled) -> None:
    """Nothing found: send again on proof, give up at the horizon, otherwise look again later."""
    attempts, real = context.store.attempts, time.time()
    by_clock, watched = real - one.dialing_real_ms / 1000, _watched(context, one)
    absence = Absence(
        empty_searches=one.searches + 1,
        # A machine's clock that was set forward must not let a sender seem gone that is still on its way.
        since_send=min(by_clock, watched),
        since_first_send=real - one.first_sent_real_ms / 1000,
        sends=one.sends,
        sender_seconds=lease_ms(context.dial_timeout) / 1000 + context.retell.longest_dial,
        younger=younger,
    )
    if may_send_again(absence) and redial(context, one):
        done.sent_again += 1
    elif watched > absence.sender_seconds and (
        by_clock > SEARCH_HORIZON or one.searches + 1 >= MOST_SEARCHES
    ):
        why = f"no answer to the dial, and {one.searches + 1} searches found no call"
        remedy = f"look for a call to this lead at Retell, then `campaigns resolve {one.attempt_id}`"
        done.unresolved += attempts.give_up(
            one.attempt_id, AttemptState.AMBIGUOUS, why, remedy, context.clock.now()
        )
    else:
        attempts.search_again(
            one.attempt_id, min(SEARCH_LONGEST_MS, SEARCH_FIRST_MS * 2 ** min(one.searches, 10))
        )


def _close_stuck(context: Context, done: Reconciled) -> None:
    """A call open beyond the longest possible one is asked for once more, then left to the operator."""
    now = context.clock.now()
    for call in context.store.results.open_calls(context.workspace):
        if call.state != AttemptState.PLACED or now - call.placed_at < STUCK_AFTER:
            continue
        try:
            if is_over(context.retell.get_call(call.call_id)):
                continue  # the poller sees to it
        except RetellError as error:
            log.warning("call_unreadable", call_id=call.call_id, error=str(error))
        done.unresolved += context.store.attempts.give_up(
            call.attempt_id,
            AttemptState.PLACED,
            f"call {call.call_id} is still open at Retell long after it must have ended",
            f"look at call {call.call_id} at Retell, then `campaigns resolve {call.attempt_id}`",
            now,
        )
