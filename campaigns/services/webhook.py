"""What a webhook of Retell changes. It is a hint that spares a poll: losing it, or getting it twice, changes nothing.

The guarded UPDATEs of the store make every order and every repetition harmless, so nothing is remembered of what was
received. Decided is by the event and the disconnection reason, never by `call_status`, which may lag in a webhook.
Nothing here asks Retell anything: its ten seconds for an answer are for the database alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from campaigns.domain.entities import OpenCall
from campaigns.domain.outcomes import analysis_matters
from campaigns.domain.states import AttemptState
from campaigns.retell import Call
from campaigns.services import results
from campaigns.services.adoption import adopt
from campaigns.services.context import Context
from campaigns.store import BookedAttempt

STARTED, ENDED, ANALYZED = "call_started", "call_ended", "call_analyzed"


@dataclass(frozen=True, slots=True)
class Received:
    """What a webhook came to.

    ours: it speaks of a call of this account's campaigns. changed: it brought news. freed: a line is free, so that
    pacing is worth its while. settle: the attempt to settle by reading its call, which the webhook did not bring whole.
    """

    ours: bool = False
    changed: bool = False
    freed: bool = False
    settle: str | None = None


def receive(context: Context, event: str, call: Call) -> Received:
    """Take in one verified webhook. Others use the account too: what is not known is not ours."""
    if event not in (STARTED, ENDED, ANALYZED):
        return Received()
    booked = _booked(context, call)
    if booked is None:
        return Received()
    adopted = False
    if booked.call_id != call.call_id:
        # It exists, says its provider: no need to wait for the dial's answer, or to search.
        adopted = adopt(context, booked.attempt_id, call.call_id)
        booked = _booked(context, call) if adopted else None
    if booked is None or event == STARTED:
        return Received(ours=True, changed=adopted)
    found = _finish(context, booked, event, call)
    return replace(found, changed=found.changed or adopted)


def _booked(context: Context, call: Call) -> BookedAttempt | None:
    """The attempt of a call, by the id that we sent along; by the call's own where the metadata is missing."""
    recovery = context.store.recovery
    if call.attempt_id is None:
        return recovery.booked_call(context.workspace, call.call_id)
    if not (call.attempt_id.isascii() and call.attempt_id.isalnum()):
        return None  # somebody else's, and perhaps not even text that the database takes
    return recovery.booked(context.workspace, call.attempt_id)


def _finish(context: Context, booked: BookedAttempt, event: str, call: Call) -> Received:
    """The call is over: free its line, and settle it where the webhook has all that settling needs."""
    attempt_id = booked.attempt_id
    if booked.state == AttemptState.UNRESOLVED:  # it was given up as one that never ends
        context.store.attempts.place(attempt_id, booked.state, call.call_id, context.clock.now())
        booked = context.store.recovery.booked(context.workspace, attempt_id) or booked
    if booked.state == AttemptState.SETTLED:
        return Received(ours=True, changed=event == ANALYZED and results.hear_late(context, attempt_id, call))
    freed = False
    if booked.state == AttemptState.PLACED and booked.placed_at is not None:
        one = OpenCall(
            attempt_id, booked.campaign_id, booked.lead_id, call.call_id, AttemptState.PLACED, booked.placed_at, None
        )  # fmt: skip
        freed = bool(results.end(context, [(one, call)]))
    if not freed and booked.state not in (AttemptState.PLACED, AttemptState.ENDED):
        return Received(ours=True)
    answered = results.connected(results.result_of(call))
    waits = analysis_matters(call.disconnection_reason, answered)
    if waits and (event != ANALYZED or call.call_analysis is None):
        return Received(ours=True, changed=freed, freed=freed)
    if (call.disconnection_reason and not answered) or _whole(call):
        settled = results.settle(context, attempt_id, told=call)
        return Received(ours=True, changed=freed or settled, freed=freed)
    turn = context.store.results.take_settling_turn([attempt_id], results.SETTLE_LEASE_MS)
    return Received(ours=True, changed=freed, freed=freed, settle=attempt_id if turn else None)


def _whole(call: Call) -> bool:
    """Whether the webhook brought what the books keep of an answered call, so that it need not be read."""
    return bool(call.disconnection_reason) and call.transcript is not None and call.call_cost is not None
