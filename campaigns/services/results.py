"""Results: one list-calls request for all open calls frees the slots; then each finished call is settled.

Two steps, since the analysis (with `in_voicemail`, which decides between a human and a machine) arrives after
the end: `placed -> ended` frees the slot at once, `ended -> settled` waits for the analysis or its deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from campaigns.compliance import rules_for
from campaigns.domain.caller_ids import RESTS_AFTER
from campaigns.domain.clock import from_ms
from campaigns.domain.entities import CallResult, CampaignOptions, LeadOutcome, OpenCall
from campaigns.domain.outcomes import CONTACTS, DISPOSITIONS, Outcome, analysis_matters, disposition
from campaigns.domain.pacing import DEEPEST_DEBT, SHORTEST_POLL, SHRINK_SECONDS, poll_credit, poll_interval
from campaigns.domain.requests import CallBack, NeverAgain, request_of
from campaigns.domain.retry import RetryAt, decide
from campaigns.domain.states import AttemptState
from campaigns.retell import Call, RetellError
from campaigns.services.context import Context
from campaigns.services.dispatch import keep_account_fresh, phone_campaigns
from campaigns.settings import SIMULATOR

log = structlog.get_logger(__name__)

#: Business time that an ended call may wait for its analysis before it is settled without.
ANALYSIS_DEADLINE = timedelta(seconds=60)
#: Business time after which the call itself may stay unreadable and is settled on what the list said.
TRANSCRIPT_DEADLINE = timedelta(minutes=10)
#: Business time after which a placed call that the list never showed is asked for by its id.
UNLISTED_AFTER = timedelta(seconds=30)
UNLISTED_PER_POLL = 5
#: Business seconds between two looks at open calls that are all of batches.
BATCHED_POLL = 30.0
#: Business time for which the analysis of a settled call is still looked for, and how many calls one look asks for.
LATE_ANALYSIS = timedelta(hours=6)
LATE_PER_LOOK, LATE_PER_REQUEST = 20_000, 1_000
#: Real milliseconds for which one settling of a call has the field to itself.
SETTLE_LEASE_MS = 30_000
_OVER = frozenset({"ended", "error", "not_connected"})


@dataclass(frozen=True, slots=True)
class Polled:
    """One look at all open calls. ended: slots that became free. next_in: real seconds until the next look."""

    calls: list[OpenCall]
    seen: dict[str, Call]
    ended: int
    next_in: float


def is_over(call: Call) -> bool:
    """Whether Retell says that the call is over, by its status or by the traces that only an end leaves."""
    return call.call_status in _OVER or call.end_timestamp is not None or bool(call.disconnection_reason)


def result_of(call: Call) -> CallResult:
    """What is kept of a call, from a list item or the whole call."""
    analysis = call.call_analysis
    return CallResult(
        disconnection_reason=_storable(call.disconnection_reason),
        in_voicemail=analysis.in_voicemail if analysis else None,
        duration_ms=_plausible(call.duration_ms),
        cost_cents=call.call_cost.combined_cost if call.call_cost else None,
        successful=analysis.call_successful if analysis else None,
        sentiment=_storable(analysis.user_sentiment) if analysis else None,
        summary=_storable(analysis.call_summary) if analysis else None,
        recording_url=_storable(call.recording_url),
        transcript=_storable(call.transcript),
        analysis=_storable(analysis.custom_analysis_data or {}) if analysis else None,
        agent_version=None if call.agent_version is None else _storable(str(call.agent_version)),
        started_at=_instant(call.start_timestamp),
        ended_at=_instant(call.end_timestamp),
    )


def _plausible(ms: int | None) -> int | None:
    """Milliseconds up to the year 6429; a number beyond is no time, and must not stop the look at all other calls."""
    return ms if ms is not None and 0 <= ms < 1 << 47 else None


def _instant(ms: int | None) -> datetime | None:
    plausible = _plausible(ms)
    return None if plausible is None else from_ms(plausible)


def _storable(value: Any) -> Any:
    """The value with its text as every database takes it: JSON may carry a NUL, or half of a surrogate pair."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def poll(context: Context) -> Polled | None:
    """Look at every open call once and free the slots of those that are over. None: it is not our turn.

    The caller paces first, and then follows up: a free slot waits for nothing else.
    """
    store, workspace = context.store, context.workspace
    if not store.workspaces.take_poll_turn(workspace):
        return None
    # The calls of a batch of which tasks still wait are looked at with these (`services.batch`).
    looked_at = {batch.id for batch in store.batches.open_batches(workspace)}
    calls = [call for call in store.results.open_calls(workspace) if call.batch_id not in looked_at]
    placed = [call for call in calls if call.state == AttemptState.PLACED]
    only_batched = bool(calls) and all(call.batch_id is not None for call in calls)
    seen: dict[str, Call] = {}
    moved: list[str] = []
    credit = DEEPEST_DEBT
    try:
        seen = _look(context, calls)
        over = [
            (call, item) for call in placed if (item := seen.get(call.call_id)) is not None and is_over(item)
        ]
        moved = end(context, over)
        credit = store.workspaces.account(workspace).poll_credit
        if not only_batched:
            credit = poll_credit(credit, len(moved), len(calls))
    except RetellError as error:
        store.workspaces.note_trouble(workspace, str(error))
        log.warning("poll_failed", error=str(error))
    finally:
        interval = poll_interval(credit, len(placed), context.poll_interval)
        if only_batched and context.poll_interval is None:
            # Retell fills the lines of batches by itself: nothing waits for the news that a call is over.
            interval = max(SHORTEST_POLL, BATCHED_POLL / context.clock.speed)
        store.workspaces.end_poll_turn(workspace, credit, interval)
    return Polled(calls, seen, len(moved), interval)


def end(context: Context, over: Sequence[tuple[OpenCall, Call]]) -> list[str]:
    """placed -> ended for calls that are over, as Retell tells of them: their slots are free. Returns who moved."""
    now = context.clock.now()
    results = [(call, within(result_of(told), call, now)) for call, told in over]
    return context.store.results.end(results, now)


def follow_up(context: Context, polled: Polled) -> list[str]:
    """After a poll: keep the account's snapshot fresh, and return the attempts to settle now."""
    store = context.store
    if phone_campaigns(context):
        keep_account_fresh(context)
    ready = ready_of(context, polled.calls, polled.seen)
    return store.results.take_settling_turn(ready, SETTLE_LEASE_MS) if ready else []


def _look(context: Context, calls: list[OpenCall]) -> dict[str, Call]:
    """The listed items of these calls by id; a few that the list does not show are asked for one by one."""
    if not calls:
        return {}
    seen = {
        item.call_id: item for item in context.retell.list_calls(call_ids=[call.call_id for call in calls])
    }
    now = context.clock.now()
    missing = [call for call in calls if call.call_id not in seen and now - call.placed_at > UNLISTED_AFTER]
    for call in sorted(missing, key=lambda call: call.placed_at)[:UNLISTED_PER_POLL]:
        try:
            seen[call.call_id] = context.retell.get_call(call.call_id)
        except RetellError as error:
            log.warning("call_unlisted", call_id=call.call_id, error=str(error))
    return seen


def within(result: CallResult, call: OpenCall, now: datetime) -> CallResult:
    """The end as the provider tells it, if that is possible by our own clock."""
    if result.ended_at is None or call.placed_at <= result.ended_at <= now:
        return result
    return replace(result, ended_at=min(max(result.ended_at, call.placed_at), now))


def ready_of(context: Context, calls: list[OpenCall], seen: dict[str, Call]) -> list[str]:
    """Attempts whose call is over and needs no more waiting for an analysis."""
    now = context.clock.now()
    ready: list[str] = []
    for call in calls:
        item = seen.get(call.call_id)
        over_since = call.ended_at
        if item is not None and is_over(item):
            waits = analysis_matters(item.disconnection_reason, connected(result_of(item)))
            if not waits or item.call_analysis is not None:
                ready.append(call.attempt_id)
                continue
            over_since = over_since or now
        if over_since is not None and now - over_since > ANALYSIS_DEADLINE:
            ready.append(call.attempt_id)
    return ready


def connected(result: CallResult) -> bool:
    """Whether anybody, or anything, answered."""
    return bool(result.duration_ms) or result.started_at is not None


def settle(context: Context, attempt_id: str, told: Call | None = None) -> bool:
    """Fix the outcome of an ended attempt and decide its lead. False: nothing to do, or not possible yet.

    told: the whole call, where somebody has brought it; otherwise it is read if there is more to know.
    """
    store = context.store
    facts = store.results.settle_facts(attempt_id)
    if facts is None:
        return False
    options, call, dialed_at, earlier, known, callee = facts
    now = context.clock.now()
    result = known
    if told is not None:
        result = result_of(told)
    elif connected(known) or known.disconnection_reason is None:
        try:
            result = result_of(context.retell.get_call(call.call_id))
        except RetellError as error:
            log.warning("call_unreadable", call_id=call.call_id, error=str(error))
            if call.ended_at is not None and now - call.ended_at < TRANSCRIPT_DEADLINE:
                return False
    reason = result.disconnection_reason or known.disconnection_reason
    voicemail = known.in_voicemail if result.in_voicemail is None else result.in_voicemail
    found = disposition(reason, voicemail)
    analysis = known.analysis if result.analysis is None else result.analysis
    wish = request_of(analysis or {}, options.dnc_field, options.callback_field, callee.zones, now)
    if isinstance(wish, NeverAgain):
        found = disposition("user_requested_dnc")
    elif isinstance(wish, CallBack) and found.outcome in CONTACTS - {Outcome.DO_NOT_CALL}:
        found = disposition("user_requested_callback")
    history = [*earlier, (found.outcome, found.charged)]
    wanted_at = wish.at if isinstance(wish, CallBack) else None
    decision = decide(options.retry_policy(), found, history, dialed_at, now, wanted_at)
    if found.outcome is Outcome.CALLBACK and isinstance(decision, RetryAt):
        # Asked for or not, a callback keeps the window.
        rules = rules_for(options.profile, options.windows, store.evidence.blackouts())
        decision = RetryAt(rules.next_opening(callee, decision.at) or decision.at)
    rest = options.rest() if reason in RESTS_AFTER else None
    settled = store.results.settle(
        attempt_id,
        result,
        LeadOutcome(decision, found.outcome, found.charged),
        now,
        rest=None if rest is None else (str(reason), now + rest),
        suppresses=_somebody_asked(context),
    )
    if settled and found.pauses:
        why = f"calls end with {reason}: mend the account or the number at Retell, then resume"
        store.campaigns.pause(call.campaign_id, why, now)
    if settled and reason == "concurrency_limit_reached":
        holding = store.own_lines(context.workspace)
        foreign = store.workspaces.account(context.workspace).foreign
        store.workspaces.shrink(context.workspace, max(1, holding) + foreign, SHRINK_SECONDS)
    if reason not in DISPOSITIONS:
        log.warning("unknown_disconnection_reason", reason=reason, attempt=attempt_id)
    return settled


def _somebody_asked(context: Context) -> bool:
    """Whether a do-not-call request is a person's: the list is that of the real campaigns of the home too."""
    return context.workspace != SIMULATOR


def hear_late(context: Context, attempt_id: str, told: Call) -> bool:
    """Take in an analysis that came after its attempt was settled. False: it brings nothing.

    Its do-not-call request holds from now on, everywhere; the outcome, and a callback that it asks for, come too late.
    """
    if told.call_analysis is None:
        return False
    now, result = context.clock.now(), result_of(told)

    def never_again(options: CampaignOptions) -> bool:
        wish = request_of(result.analysis or {}, options.dnc_field, "", (), now)
        return _somebody_asked(context) and isinstance(wish, NeverAgain)

    return context.store.results.add_analysis(attempt_id, result, never_again, now)


def look_for_late_analyses(context: Context) -> int:
    """Ask for the calls that were settled without their analysis, 1,000 at once. Returns how many have it now."""
    store, now = context.store, context.clock.now()
    waiting = store.results.unanalysed(context.workspace, now - LATE_ANALYSIS, LATE_PER_LOOK)
    if not waiting:
        return 0
    heard = 0
    for start in range(0, len(waiting), LATE_PER_REQUEST):
        attempt_of = {
            call_id: attempt_id for attempt_id, call_id in waiting[start : start + LATE_PER_REQUEST]
        }
        try:
            told = list(context.retell.list_calls(call_ids=list(attempt_of)))
        except RetellError as error:
            log.warning("late_analyses_unread", error=str(error))
            break
        heard += sum(
            hear_late(context, attempt_of[one.call_id], one) for one in told if one.call_id in attempt_of
        )
    return heard
