"""Where a campaign stands: counts, the account's lines, what happens next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.compliance import rules_for
from campaigns.domain.caller_ids import NoneFree
from campaigns.domain.clock import from_ms
from campaigns.domain.entities import Campaign
from campaigns.domain.states import FINAL_CAMPAIGN, SLOT_HOLDING, CampaignState
from campaigns.services.callers import none_is_free
from campaigns.store import Store, Tally


@dataclass(frozen=True, slots=True)
class NextEvent:
    """What happens next: `at` None = nothing without an operator, or as soon as a line is free."""

    at: datetime | None
    what: str


@dataclass(frozen=True, slots=True)
class BatchesNow:
    """What is left with Retell's own dialer. until: no lead in it is rung later; None: nothing waits there."""

    open: int
    waiting: int
    until: datetime | None

    @property
    def words(self) -> str:
        if self.until is None:
            return f"{self.open} open, nothing waits at Retell"
        return (
            f"{self.open} open, {self.waiting:,} leads wait at Retell, none is rung after {iso(self.until)}"
        )


@dataclass(frozen=True, slots=True)
class Status:
    campaign: Campaign
    leads: dict[str, int]
    attempts: dict[str, int]
    outcomes: dict[str, int]
    rejected_rows: int
    cost_cents: float
    ceiling: int
    foreign: int
    own: int
    trouble: str | None
    held: list[tuple[str, str, int]]
    next_event: NextEvent
    tally: Tally
    batches: BatchesNow | None = None
    #: Why nobody who waits can be called from any of the campaign's numbers just now.
    no_number: str | None = None
    #: Lines of the account that the operator keeps free; the ceiling is without them.
    reserve: int = 0

    def document(self) -> dict[str, Any]:
        """The contract of `campaigns status --json`."""
        at = self.next_event.at
        return {
            "campaign": self.campaign.name,
            "state": self.campaign.state.value,
            "reason": self.campaign.reason,
            "leads": {"total": sum(self.leads.values()), **self.leads},
            "attempts": self.attempts,
            "outcomes": self.outcomes,
            "rejected_rows": self.rejected_rows,
            "cost_cents": round(self.cost_cents, 4),
            "slots": {"ceiling": self.ceiling, "foreign": self.foreign, "own": self.own},
            "reserve": self.reserve,
            "batches": None
            if self.batches is None
            else {
                "open": self.batches.open,
                "waiting": self.batches.waiting,
                "until": None if self.batches.until is None else iso(self.batches.until),
            },
            "next_event": {"at": None if at is None else iso(at), "what": self.next_event.what},
            "held": [{"code": code, "remedy": remedy, "leads": count} for code, remedy, count in self.held],
            "trouble": self.trouble,
            "start_at": None if self.campaign.start_at is None else iso(self.campaign.start_at),
            "end_at": None if self.campaign.end_at is None else iso(self.campaign.end_at),
        }

    @property
    def needs_a_person(self) -> bool:
        return bool(self.leads["held"] or self.attempts["unresolved"])


def iso(instant: datetime) -> str:
    """An instant for programs: ISO 8601 in UTC with a Z."""
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")


def iso_of(milliseconds: int | None) -> str | None:
    """The same of a column's value."""
    return None if milliseconds is None else iso(from_ms(milliseconds))


def status(store: Store, campaign: Campaign, now: datetime) -> Status:
    """Everything `campaigns status` shows of one campaign."""
    return _status(store, campaign, store.tallies.of(campaign.id), now)


def statuses(store: Store, campaigns: Sequence[Campaign], now: Mapping[str, datetime]) -> list[Status]:
    """The same of several campaigns. now: by workspace."""
    tallies = store.tallies.of_each([campaign.id for campaign in campaigns])
    return [_status(store, one, tallies[one.id], now[one.workspace]) for one in campaigns]


def _status(store: Store, campaign: Campaign, tally: Tally, now: datetime) -> Status:
    account = store.workspaces.account(campaign.workspace)
    ceiling = account.ceiling()
    cap = campaign.options.concurrency
    own = sum(tally.attempts[state] for state in SLOT_HOLDING)
    batches: BatchesNow | None = None
    if campaign.options.in_batches:
        # What waits at Retell is not yet a call: it holds the lines that batches were given.
        load = store.batches.load(campaign.workspace)
        waiting, placed = load.waiting.get(campaign.id, 0), load.placed.get(campaign.id, 0)
        own += load.held_by().get(campaign.id, 0) - waiting - placed
        going = [
            one for one in store.batches.open_batches(campaign.workspace) if one.campaign_id == campaign.id
        ]
        ends = [one.ends_at for one in going if one.ends_at is not None]
        batches = BatchesNow(len(going), waiting, max(ends, default=None))
    waits = campaign.state == CampaignState.RUNNING and tally.leads["pending"]
    no_number = none_is_free(store, campaign, now) if waits else None
    no_line = None
    if account.all_reserved:
        no_line = f"the operator's reserve of {account.reserve} lines leaves none"
    return Status(
        campaign=campaign,
        leads=tally.leads,
        attempts=tally.attempts,
        outcomes=tally.outcomes,
        rejected_rows=store.reports.rejected_rows(campaign.id),
        cost_cents=tally.cost_cents,
        ceiling=ceiling if cap is None else min(ceiling, cap),
        foreign=account.foreign,
        own=max(0, own),
        trouble=account.trouble,
        held=store.reports.held(campaign.id) if tally.leads["held"] else [],
        next_event=_next_event(store, campaign, tally.leads, no_number, no_line, now),
        no_number=None if no_number is None else no_number.why,
        tally=tally,
        batches=batches,
        reserve=account.reserve,
    )


def _next_event(
    store: Store,
    campaign: Campaign,
    leads: dict[str, int],
    no_number: NoneFree | None,
    no_line: str | None,
    now: datetime,
) -> NextEvent:
    if campaign.resume_at is not None:
        return NextEvent(campaign.resume_at, f"the breaker tries again: {campaign.reason}")
    if campaign.state == CampaignState.PAUSED:
        return NextEvent(None, f"nothing until it is resumed: {campaign.reason}")
    if campaign.state == CampaignState.COMPLETED and leads["pending"]:
        # Released, recycled or imported since.
        return NextEvent(None, f"nothing until it is run or launched: {leads['pending']:,} leads wait")
    if campaign.state in FINAL_CAMPAIGN:
        return NextEvent(None, "nothing: the campaign is over")
    if campaign.state == CampaignState.DRAFT:
        return NextEvent(None, "nothing until it is launched")
    if campaign.state == CampaignState.SCHEDULED or campaign.begins_after(now):
        return NextEvent(campaign.start_at, "dialing begins")
    options = campaign.options
    rules = rules_for(options.profile, options.windows, store.evidence.blackouts())
    openings = [
        (opening, due)
        for callee, due in store.reports.earliest_pending(campaign.id)
        if (opening := rules.next_opening(callee, max(now, due))) is not None
    ]
    if openings:
        at, due = min(openings)
        if campaign.end_at is not None and at >= campaign.end_at:
            return NextEvent(campaign.end_at, f"the campaign ends: {leads['pending']:,} waiting leads expire")
        if at <= now and no_line is not None:
            return NextEvent(None, f"nothing: {no_line} (`campaigns concurrency --reserve N`)")
        if at <= now and no_number is not None:
            if no_number.until is None:
                return NextEvent(None, f"nothing: {no_number.why}")
            now_they_are = no_number.why.partition(": ")[2]
            return NextEvent(from_ms(no_number.until), f"a from-number is free again (now {now_they_are})")
        if at <= now:
            return NextEvent(None, "leads are due: they are dialed as lines become free")
        return NextEvent(at, "a retry is due" if at == due else "a calling window opens")
    if leads["in_flight"]:
        return NextEvent(None, "the calls in progress end")
    return NextEvent(None, "the campaign completes")
