"""One dial: a turn under the calls per second, the gate, the commit, the fence, one POST, the verdict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import redis
import structlog

from campaigns.compliance import Rules, evidence_of, may_call, remedy_for, rules_for
from campaigns.domain.caller_ids import UNKNOWN_TYPE, cps_of, none_free
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import CampaignOptions, DialOrder, Evidence, UnknownDial
from campaigns.domain.entities import Refused as GateRefused
from campaigns.domain.pacing import SHRINK_SECONDS
from campaigns.domain.states import AttemptState, CampaignState
from campaigns.domain.trouble import ACCOUNT_REFUSALS, LATE, NUMBER_GONE, REFUSALS_IN_A_ROW, pause_reason
from campaigns.retell import (
    BatchTask,
    CreatePhoneCall,
    Deferred,
    NeverSent,
    Placed,
    Refused,
    Unknown,
    Verdict,
)
from campaigns.services.account_numbers import is_gone
from campaigns.services.adoption import adopt
from campaigns.services.context import Context

log = structlog.get_logger(__name__)

#: Real seconds that a dial waits in its thread for its turn; beyond that its message is sent again later.
CPS_PATIENCE = 2.0
#: Real seconds that may pass between the commit of `dialing` and the POST: a worker that slept must not dial. So nobody
#: is rung later than that after a pause, which the commit would have seen.
FENCE_SECONDS = 1.0
#: Real seconds added to twice the HTTP time-out before a dial without a verdict counts as unknown.
LEASE_MARGIN = 10.0
#: Real seconds before a dial that could not be sent, or was refused for now, is due again.
NOT_SENT_BACKOFF = 5.0
DEFERRED_BACKOFF = 2.0
REFUSED_BACKOFF = 15.0
#: A lead whose dial Retell refuses this often, while others pass, is held.
REFUSALS_PER_LEAD = 3
#: Real milliseconds before the first search for a dial with an unknown verdict.
FIRST_SEARCH_MS = 500


class Dialed(StrEnum):
    """How a dial message ended. All but PLACED and UNKNOWN leave the slot free."""

    PLACED = "placed"
    UNKNOWN = "unknown"
    GIVEN_BACK = "given_back"
    DROPPED = "dropped"  # somebody else has it, or had it
    LATER = "later"  # its turn under the calls per second is too far off: send the message again


@dataclass(frozen=True, slots=True)
class DialResult:
    dialed: Dialed
    again_in: float = 0.0


def awake_seconds() -> float:
    """A clock that also counts the time in which the machine was asleep."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def lease_ms(dial_timeout: float) -> int:
    """Real milliseconds after which no sender of this dial can still be on its way."""
    return int((2 * dial_timeout + LEASE_MARGIN) * 1000)


def dial(context: Context, attempt_id: str, awake: Callable[[], float] = awake_seconds) -> DialResult:
    """Dial a claimed attempt, at most once. Safe to call any number of times with the same id."""
    store = context.store
    order = store.attempts.dial_order(attempt_id)
    if order is None or order.state != AttemptState.CLAIMED or order.batched:
        return DialResult(Dialed.DROPPED)
    waited = _take_turn(context, order)
    if waited is not None:
        return waited
    started = awake()
    now = context.clock.now()
    answer = number_is_busy(order, now) or gate_of(context, order, now)
    if isinstance(answer, GateRefused):
        held = answer.next_at is None and answer.code != "suppressed"
        hold = (answer.code, remedy_for(answer)) if held else None
        store.attempts.give_back(
            attempt_id, AttemptState.CLAIMED, answer.code, 0, answer.next_at or now, now, hold
        )
        return DialResult(Dialed.GIVEN_BACK)
    request = _request(order)
    if not store.attempts.begin_dial(order, answer, now, lease_ms(context.dial_timeout)):
        # Paused, cancelled or suppressed in this very moment, or another worker's by now.
        store.attempts.give_back(attempt_id, AttemptState.CLAIMED, "not_running", 0, now, now)
        return DialResult(Dialed.DROPPED)
    if awake() - started > FENCE_SECONDS:
        now = context.clock.now()
        store.attempts.give_back(attempt_id, AttemptState.DIALING, LATE, 0, now, now, sends=1)
        return DialResult(Dialed.GIVEN_BACK)
    return _record(context, order, context.retell.create_phone_call(request))


def redial(context: Context, one: UnknownDial, awake: Callable[[], float] = awake_seconds) -> bool:
    """Send an ambiguous attempt again, same id, same idempotency key; the caller has the proof that nobody rang.

    Whatever but a call id comes back leaves it ambiguous: the proof spoke of the sends before, not of this one.
    False: not now (gate, calls per second), or the row has changed since the proof was taken.
    """
    attempts = context.store.attempts
    order = attempts.dial_order(one.attempt_id)
    now = context.clock.now()
    if order is None or order.state != AttemptState.AMBIGUOUS:
        return False
    answer = gate_of(context, order, now)
    if isinstance(answer, GateRefused):
        return False
    try:
        ours, wait = _turn(context, order)
    except redis.RedisError:
        return False
    if not ours:
        return False
    if wait > 0:
        context.sleep(wait)
    started = awake()
    if not context.store.recovery.redial(
        one, order, answer, context.clock.now(), lease_ms(context.dial_timeout)
    ):
        return False
    log.warning("dial_sent_again", attempt=one.attempt_id, sends=one.sends + 1)
    verdict: Verdict = Unknown("the worker woke up late")
    if awake() - started <= FENCE_SECONDS:
        verdict = context.retell.create_phone_call(_request(order))
    if isinstance(verdict, Placed):
        return adopt(context, one.attempt_id, verdict.call_id)
    if isinstance(verdict, Refused):
        why = refusal_of(verdict)
    else:
        why = verdict.message if isinstance(verdict, Deferred) else verdict.why
    doubted = attempts.doubt(one.attempt_id, f"sent again: {why}", context.clock.now(), FIRST_SEARCH_MS)
    hopeless = isinstance(verdict, Refused) and verdict.status in ACCOUNT_REFUSALS
    if hopeless and context.store.campaigns.pause(order.campaign_id, why, context.clock.now()):
        log.error("campaign_paused", campaign=order.campaign_id, reason=why)
    return doubted


def refusal_of(verdict: Refused) -> str:
    return f"Retell refused the dial with {verdict.status}: {verdict.message} ({verdict.remedy})"


def _turn(context: Context, order: DialOrder) -> tuple[bool, float]:
    """The next turn of the from-number's provider, which counts over all campaigns. Raises redis.RedisError."""
    per_second = cps_of(order.caller.type, order.options.cps)
    if per_second is None:
        return True, 0.0
    bucket = f"{context.workspace}:{order.caller.type or UNKNOWN_TYPE}"
    return context.limiter.reserve(bucket, per_second, CPS_PATIENCE)


def _take_turn(context: Context, order: DialOrder) -> DialResult | None:
    """Wait for this dial's turn under the calls per second; None when it has come."""
    try:
        ours, wait = _turn(context, order)
    except redis.RedisError as error:
        log.warning("limiter_away", error=type(error).__name__)
        now = context.clock.now()
        context.store.attempts.give_back(
            order.attempt_id, AttemptState.CLAIMED, "limiter_away", 0, context.soon(DEFERRED_BACKOFF), now
        )
        return DialResult(Dialed.GIVEN_BACK)
    if not ours:
        return DialResult(Dialed.LATER, again_in=max(0.05, wait - CPS_PATIENCE / 2))
    if wait > 0:
        context.sleep(wait)
    return None


def number_is_busy(order: DialOrder, now: datetime) -> GateRefused | None:
    """Whether its from-number has begun to rest since the claim, or is above a cap that was lowered."""
    at = to_ms(now)
    if order.caller.usable(at):
        return None
    # At once: another number may be free, and the claim knows which.
    return GateRefused("number_not_free", now, none_free([order.caller], at).why)


def gate_of(context: Context, order: DialOrder, now: datetime) -> Evidence | GateRefused:
    """The gate right before the POST; what it let the dial through on, for the record."""
    return gate_by(rules_of(context, order.options), order, now)


def rules_of(context: Context, options: CampaignOptions) -> Rules:
    return rules_for(options.profile, options.windows, context.store.evidence.blackouts())


def gate_by(rules: Rules, order: DialOrder, now: datetime) -> Evidence | GateRefused:
    """The same by these rules, the campaign's."""
    if order.campaign_state != CampaignState.RUNNING:
        return GateRefused("not_running", now, "the campaign is not running")
    starts_at, ends_at = order.options.starts_at(), order.options.ends_at()
    if starts_at is not None and now < starts_at:
        return GateRefused("before_start", starts_at, "the campaign's start has not come")
    if ends_at is not None and ends_at <= now:
        return GateRefused("campaign_ended", now, "the campaign's end has come")
    answer = may_call(order.callee, now, rules, order.dialed_ms, order.suppressed)
    return answer if isinstance(answer, GateRefused) else evidence_of(order, answer, rules, now)


def task_of(order: DialOrder) -> BatchTask:
    """What Retell is told of one call, in whichever mode."""
    version: int | str | None = order.agent_version or None
    if version is not None and order.agent_version.isdigit():
        version = int(order.agent_version)
    return BatchTask(
        to_number=order.phone,
        override_agent_id=order.agent_id or None,
        override_agent_version=version,
        metadata={
            **order.metadata,
            "attempt_id": order.attempt_id,
            "lead_id": str(order.lead_id),
            "campaign_id": order.campaign_id,
        },
        retell_llm_dynamic_variables=dict(order.variables) or None,
        custom_sip_headers=dict(order.sip_headers) or None,
        ignore_e164_validation=True if order.ignore_e164 else None,
    )


def _request(order: DialOrder) -> CreatePhoneCall:
    task = task_of(order)
    fields = {name: getattr(task, name) for name in type(task).model_fields}
    return CreatePhoneCall(**fields, from_number=order.from_number, idempotency_key=order.attempt_id)


def _record(context: Context, order: DialOrder, verdict: Verdict) -> DialResult:
    """Write down what the POST came to."""
    attempts, now = context.store.attempts, context.clock.now()
    attempt_id = order.attempt_id

    def give_back(why: str, status: int, backoff: float, hold: tuple[str, str] | None = None) -> DialResult:
        next_at = context.soon(backoff * random.uniform(1.0, 1.5))
        # After a lease that ran out meanwhile the row is ambiguous, and this late answer settles it: unless it was
        # sent again since, of which this answer knows nothing.
        if not attempts.give_back(attempt_id, AttemptState.DIALING, why, status, next_at, now, hold, sends=1):
            attempts.give_back(attempt_id, AttemptState.AMBIGUOUS, why, status, next_at, now, hold, sends=1)
        return DialResult(Dialed.GIVEN_BACK)

    match verdict:
        case Placed(call_id=call_id):
            adopt(context, attempt_id, call_id)
            return DialResult(Dialed.PLACED)
        case NeverSent(why=why):
            log.warning("dial_not_sent", attempt=attempt_id, why=why)
            return give_back(why, 0, NOT_SENT_BACKOFF)
        case Deferred(retry_after=retry_after, message=message):
            holding = context.store.own_lines(order.workspace)
            account = context.store.workspaces.account(order.workspace)
            context.store.workspaces.shrink(
                order.workspace, max(1, holding - 1) + account.foreign, SHRINK_SECONDS
            )
            log.info("dial_deferred", attempt=attempt_id, message=message)
            return give_back(message or "429", 429, retry_after or DEFERRED_BACKOFF)
        case Refused(status=status, message=message):
            log.warning("dial_refused", attempt=attempt_id, status=status, message=message)
            why = refusal_of(verdict)
            if status not in ACCOUNT_REFUSALS and is_gone(context, order.from_number):
                return give_back(NUMBER_GONE, 0, DEFERRED_BACKOFF)
            hold = None
            if attempts.refusals_of_lead(attempt_id) + 1 >= REFUSALS_PER_LEAD:
                hold = ("dial_refused", f"{message}: correct the lead, then release it")
            result = give_back(why, status, REFUSED_BACKOFF, hold)
            pause_if_hopeless(context, order.campaign_id)
            return result
        case Unknown(why=why):
            log.warning("dial_unknown", attempt=attempt_id, why=why)
            attempts.doubt(attempt_id, why, now, FIRST_SEARCH_MS)
            return DialResult(Dialed.UNKNOWN)


def pause_if_hopeless(context: Context, campaign_id: str) -> None:
    """Pause the campaign when its dials, or its batches, fail for a reason that is ours, and the next would too."""
    store = context.store
    campaign = store.campaigns.get(campaign_id)
    if campaign is None or campaign.state != CampaignState.RUNNING:
        return
    since = campaign.running_since or campaign.created_at
    if campaign.options.in_batches:
        verdicts = store.batches.verdicts(campaign.id, since, 10)
    else:
        verdicts = [
            (status, why) for _, status, why in store.attempts.recent_verdicts(campaign.id, since, 10)
        ]
    leads = store.reports.leads_up_to(campaign.id, REFUSALS_IN_A_ROW)
    reason = pause_reason(verdicts, leads)
    if reason is not None and store.campaigns.pause(campaign.id, reason, context.clock.now()):
        log.error("campaign_paused", campaign=campaign.name, reason=reason)
