"""Pacing: free slots are found out and turned into claimed attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from campaigns.compliance import Rules, may_call, remedy_for, rules_for
from campaigns.domain.batching import CUT_OFF, SENT_AHEAD, ahead, call_seconds, wants_more
from campaigns.domain.clock import SystemClock
from campaigns.domain.entities import Allowed, Callee, Campaign, Refused
from campaigns.domain.pacing import MOST_WAITING, PACE_AGAIN, Segment, claim_order, claim_room
from campaigns.domain.states import CampaignState
from campaigns.domain.trouble import GENTLE_CALLS
from campaigns.retell import RetellError, RetellRefused
from campaigns.services.account_numbers import keep_numbers_fresh
from campaigns.services.callers import placed_pool, pool_cps
from campaigns.services.context import Context
from campaigns.services.health import skew
from campaigns.store import Account, Claimed, ClaimPlan, Load

log = structlog.get_logger(__name__)

#: Real time for which a snapshot of the account is good enough to claim by; the poller renews it well before.
SNAPSHOT_MS = 10_000
#: Real time between the poller's snapshots while there is work: often where others use the account as well.
SNAPSHOT_SHARED_MS, SNAPSHOT_ALONE_MS = 2_000, 5_000
#: A snapshot this old still holds while Retell does not answer; then dialing stops until it does.
SNAPSHOT_STALE_MS = 60_000
#: Real time after which a claim that no worker took up is given back.
CLAIM_LEASE_MS = 8_000
#: Batches are sent so long before a window opens, or the campaign starts, with a `trigger_timestamp` for that instant.
OPENS_SOON = timedelta(seconds=SENT_AHEAD)
#: Business time between two claims of a campaign in batch mode.
BATCH_EVERY = timedelta(seconds=20)
#: Leads that one claim of a campaign in batch mode takes at most.
MOST_CLAIMED = 2_000
NO_FROM_NUMBER = "no from-number: give the campaign one with --from"
NUMBERS_GONE = (
    "{} no number of the account any more, and dials were refused: give the campaign others with --from"
)


def observe_account(context: Context) -> Account:
    """Ask Retell for the concurrency and keep it. On failure the last snapshot stays, with the trouble noted.

    A refused key or payment pauses the workspace's running campaigns: no dial could succeed either. An answer
    that shows this machine's clock to be wrong is not kept: without a snapshot nobody is claimed.
    """
    store, workspace = context.store, context.workspace
    before, batches_before = store.attempts.holding_ids(workspace), store.batches.load(workspace)
    try:
        seen = context.retell.get_concurrency()
    except RetellError as error:
        store.workspaces.note_trouble(workspace, str(error))
        log.warning("concurrency_unknown", error=str(error))
        if isinstance(error, RetellRefused) and error.status in (401, 402, 403):
            for campaign in store.campaigns.listed(workspace, (CampaignState.RUNNING,)):
                store.campaigns.pause(campaign.id, str(error), context.clock.now())
        return store.workspaces.account(workspace)
    if isinstance(context.clock, SystemClock):
        clock = skew(context.retell.clock_ahead)
        if clock.result == "failure":
            store.workspaces.note_trouble(
                workspace, f"this machine's clock is {clock.detail}, nothing is dialed: {clock.remedy}"
            )
            log.error("clock_wrong", detail=clock.detail)
            return store.workspaces.account(workspace)
    limit = seen.concurrency_limit
    if limit is None:
        store.workspaces.note_trouble(workspace, "Retell's get-concurrency names no limit")
        return store.workspaces.account(workspace)
    # Whatever of ours was open before or after the question may be among the calls in its answer.
    own = len(before | store.attempts.holding_ids(workspace))
    current = seen.current_concurrency or 0
    # Of the tasks that wait at Retell, as many may have become calls as batches have lines for: or fewer, and then
    # there are calls of others that phone campaigns must not forget.
    unseen = max(batches_before.unseen, store.batches.load(workspace).unseen)
    excess = current - own - unseen
    if unseen and phone_campaigns(context):
        known = store.workspaces.account(workspace).foreign
        excess = max(excess, min(known, current - own))
    store.workspaces.observe(
        workspace,
        limit,
        seen.reserved_inbound_concurrency or 0,
        excess,
        seen.concurrency_burst_limit or 0,
    )
    return store.workspaces.account(workspace)


def phone_campaigns(context: Context) -> bool:
    """Whether campaigns run whose calls are dialed one by one."""
    running = context.store.campaigns.listed(context.workspace, (CampaignState.RUNNING,))
    return any(not campaign.options.in_batches for campaign in running)


def current_account(context: Context) -> Account:
    """The account as last seen, asked anew when that is too old to claim by."""
    account = context.store.workspaces.account(context.workspace)
    if account.age_ms is None or not 0 <= account.age_ms <= SNAPSHOT_MS:
        account = observe_account(context)
    return account


def keep_account_fresh(context: Context) -> None:
    """The poller's part: ask before the pacer has to, best right after ended calls were taken off the books."""
    account = context.store.workspaces.account(context.workspace)
    every = SNAPSHOT_SHARED_MS if account.foreign else SNAPSHOT_ALONE_MS
    if account.age_ms is None or not 0 <= account.age_ms <= every:
        observe_account(context)


@dataclass(frozen=True, slots=True)
class Paced:
    """attempt_ids: to dial, in this order. batch_ids: to send. again_in: real seconds after which more can be claimed;
    None = no hurry."""

    attempt_ids: list[str] = field(default_factory=list)
    batch_ids: list[str] = field(default_factory=list)
    again_in: float | None = None


def pace(context: Context, only: str | None = None) -> Paced:
    """Claim what may be dialed now. only: id of the one campaign to claim for, within all the limits of the account."""
    store, now = context.store, context.clock.now()
    listed = store.campaigns.listed(context.workspace, (CampaignState.RUNNING,))
    # Past its end a campaign dials nobody, though its leads may not have expired yet; nor before its start.
    running = [
        campaign
        for campaign in listed
        if not campaign.is_over(now)
        and not campaign.begins_after(now + OPENS_SOON if campaign.options.in_batches else now)
        and (only is None or campaign.id == only)
    ]
    if not running:
        return Paced()
    outcome = Claimed()
    plans = claim_plans(context, running)
    # Batches are sent every few minutes: in between nobody need ask how many lines there are.
    if plans or any(not campaign.options.in_batches for campaign in running):
        account = current_account(context)
        usable = account.age_ms is not None and 0 <= account.age_ms <= SNAPSHOT_STALE_MS
        if usable and account.ceiling() > account.foreign:
            if any(campaign.options.cps is not None for campaign in running):
                keep_numbers_fresh(context)  # the limit goes by the type of each number
            outcome = store.claims.claim(
                context.workspace, account.ceiling(), account.foreign, plans, now, CLAIM_LEASE_MS
            )
            if outcome.refused:
                log.info("refused_at_claim", **outcome.refused)
    claimed = outcome.attempt_ids
    if not claimed and not outcome.batch_ids:
        for campaign in running:
            if store.campaigns.complete_if_done(campaign.id, now):
                log.info("campaign_completed", campaign=campaign.name)
    return Paced(claimed, outcome.batch_ids, PACE_AGAIN if len(claimed) >= MOST_WAITING // 2 else None)


def claim_plans(context: Context, running: list[Campaign]) -> list[ClaimPlan]:
    """For each running campaign: which groups of leads are callable now, in which order, and how many."""
    store, now = context.store, context.clock.now()
    segments = store.campaigns.segments([campaign.id for campaign in running])
    blackouts = store.evidence.blackouts()
    waiting = store.attempts.waiting_claims(context.workspace)
    load = store.batches.load(context.workspace)
    known = store.numbers.known(context.workspace)
    plans: list[ClaimPlan] = []
    for campaign in running:
        options = campaign.options
        if not options.from_numbers:
            store.campaigns.pause(campaign.id, NO_FROM_NUMBER, now)
            continue
        callers = placed_pool(options, known)
        if all(caller.gone for caller in callers):
            are = "is" if len(callers) == 1 else "are"
            numbers = ", ".join(options.from_numbers)
            store.campaigns.pause(campaign.id, NUMBERS_GONE.format(f"{numbers} {are}"), now)
            continue
        rules = rules_for(options.profile, options.windows, blackouts)
        # A batch may be sent just before the campaign starts.
        opens_at = campaign.start_at if campaign.begins_after(now) else None
        open_until = _open_until(rules, segments[campaign.id], opens_at or now)
        ahead: Callable[[int], int] | None = None
        if options.in_batches:
            ahead = _ahead(context, campaign)
            soon = None if open_until else _opens_soon(rules, segments[campaign.id], opens_at or now, now)
            if soon is not None:
                open_until, opens_at = _open_until(rules, segments[campaign.id], soon), soon
            if not _wants_batch(context, campaign, load, ahead, opens_at or now, open_until):
                continue
        plans.append(
            ClaimPlan(
                campaign_id=campaign.id,
                weight=options.weight,
                cap=_cap(campaign),
                room=MOST_CLAIMED
                if ahead
                else claim_room(pool_cps(options, callers), waiting.get(campaign.id, 0)),
                ranked=claim_order(open_until),
                callers=callers,
                number_cap=options.number_cap,
                agents=options.variants(),
                agent_version=options.agent_version,
                gate=partial(_gate, rules),
                ahead=ahead,
                opens_at=opens_at,
            )
        )
    return plans


def _open_until(rules: Rules, segments: Iterable[Segment], at: datetime) -> dict[Segment, datetime]:
    return {segment: until for segment in segments if (until := rules.until(segment.callee, at)) is not None}


def _opens_soon(rules: Rules, segments: Iterable[Segment], after: datetime, now: datetime) -> datetime | None:
    """The earliest opening later than that for which a batch can be sent already."""
    openings = [rules.next_opening(segment.callee, after) for segment in segments]
    soon = [at for at in openings if at is not None and after < at <= now + OPENS_SOON]
    return min(soon, default=None)


def _ahead(context: Context, campaign: Campaign) -> Callable[[int], int]:
    """How many tasks may wait at Retell behind so many busy lines of the campaign."""
    options = campaign.options
    calls = call_seconds(context.store.batches.observed_seconds(campaign.id))
    seconds = options.horizon().total_seconds() - CUT_OFF
    if campaign.trips:
        return lambda lines: 0
    return lambda lines: ahead(lines, seconds, calls, options.cps)


def _wants_batch(
    context: Context,
    campaign: Campaign,
    load: Load,
    most_ahead: Callable[[int], int],
    at: datetime,
    open_until: Mapping[Segment, datetime],
) -> bool:
    """Whether it is time for another batch of the campaign, and somebody is due whose window is open at that time."""
    if not open_until:
        return False
    lines = load.held_by().get(campaign.id, 0)
    if load.waiting.get(campaign.id, 0) and not wants_more(load.waiting[campaign.id], most_ahead(lines)):
        return False
    latest = context.store.batches.of_campaign(campaign.id, 1)
    if latest and timedelta(0) <= context.clock.now() - latest[0].claimed_at < BATCH_EVERY:
        return False  # a batch costs a few requests, however small it is
    callable_now = {segment.callee for segment in open_until}
    due = context.store.reports.earliest_pending(campaign.id)
    return any(callee in callable_now and when <= context.clock.now() for callee, when in due)


def _gate(
    rules: Rules, callee: Callee, now: datetime, dialed_ms: Sequence[int], suppressed: bool
) -> Allowed | Refused:
    answer = may_call(callee, now, rules, dialed_ms, suppressed)
    if isinstance(answer, Refused) and answer.next_at is None:
        return replace(answer, why=remedy_for(answer))
    return answer


def _cap(campaign: Campaign) -> int | None:
    """The campaign's own cap on calls in progress; a small one while the breaker lets it try again."""
    own = campaign.options.concurrency
    if not campaign.trips:
        return own
    return GENTLE_CALLS if own is None else min(own, GENTLE_CALLS)
