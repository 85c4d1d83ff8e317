"""Joining a call that is known to exist to its attempt.

Whoever brings the news: the dial's own answer, a search, a webhook.
"""

from __future__ import annotations

import structlog

from campaigns.domain.states import AttemptState
from campaigns.services.context import Context

log = structlog.get_logger(__name__)

#: Attempts that wait for the news whether they have a call.
_WAITING = (AttemptState.DIALING, AttemptState.AMBIGUOUS, AttemptState.UNRESOLVED)


def adopt(context: Context, attempt_id: str, call_id: str) -> bool:
    """Join the call to its attempt, which is placed then. False: it was joined before, or it cannot be.

    The alarm sounds and the campaign pauses where the books have another call for the attempt, or say that nothing
    was sent: somebody may have been rung twice, or is about to be.
    """
    store, now = context.store, context.clock.now()
    if store.attempts.place(attempt_id, AttemptState.DIALING, call_id, now):
        return True
    booked = store.recovery.booked(context.workspace, attempt_id)
    while booked is not None and booked.call_id is None and booked.state in _WAITING:
        if store.attempts.place(attempt_id, booked.state, call_id, now):
            return True
        before, booked = booked, store.recovery.booked(context.workspace, attempt_id)
        if before == booked:
            # Its lead was released, or its number is in another open attempt: the operator has decided otherwise.
            log.error("call_of_an_abandoned_attempt", attempt=attempt_id, call=call_id)
            return False
    if booked is None or booked.call_id == call_id:
        return False
    if booked.call_id is not None:
        ids = ", ".join(sorted((booked.call_id, call_id)))
        log.error("two_calls_for_one_attempt", attempt=attempt_id, calls=ids)
        reason = f"one attempt has two calls ({ids}): look at both before resuming"
    else:
        log.error("call_without_a_dial", attempt=attempt_id, state=booked.state, call=call_id)
        reason = f"call {call_id} was made for an attempt that is {booked.state}: look at it before resuming"
    _alarm(context, booked.campaign_id, reason)
    return False


def _alarm(context: Context, campaign_id: str, reason: str) -> None:
    """Pause the campaign, once for each reason: news that comes again must not undo an operator's resume."""
    if not context.store.recovery.was_paused_for(campaign_id, reason):
        context.store.campaigns.pause(campaign_id, reason, context.clock.now())
