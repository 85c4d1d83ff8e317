"""Where a campaign stands: counts, the account's lines, what happens next, and the closing figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.compliance import rules_for
from campaigns.domain.entities import Campaign
from campaigns.domain.outcomes import CONTACTS
from campaigns.domain.states import FINAL_CAMPAIGN, SLOT_HOLDING, CampaignState
from campaigns.store import Store


@dataclass(frozen=True, slots=True)
class NextEvent:
    """What happens next: `at` None = nothing without an operator, or as soon as a line is free."""

    at: datetime | None
    what: str


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


def status(store: Store, campaign: Campaign, now: datetime) -> Status:
    """Everything `campaigns status` shows of one campaign."""
    account = store.workspaces.account(campaign.workspace)
    leads = store.reports.lead_counts(campaign.id)
    ceiling = account.ceiling()
    cap = campaign.options.concurrency
    return Status(
        campaign=campaign,
        leads=leads,
        attempts=(attempts := store.reports.attempt_counts(campaign.id)),
        outcomes=store.reports.outcomes(campaign.id),
        rejected_rows=store.reports.rejected_rows(campaign.id),
        cost_cents=store.reports.money_and_time(campaign.id)["cost_cents"],
        ceiling=ceiling if cap is None else min(ceiling, cap),
        foreign=account.foreign,
        own=sum(attempts[state] for state in SLOT_HOLDING),
        trouble=account.trouble,
        held=store.reports.held(campaign.id),
        next_event=_next_event(store, campaign, leads, now),
    )


def _next_event(store: Store, campaign: Campaign, leads: dict[str, int], now: datetime) -> NextEvent:
    if campaign.resume_at is not None:
        return NextEvent(campaign.resume_at, f"the breaker tries again: {campaign.reason}")
    if campaign.state == CampaignState.PAUSED:
        return NextEvent(None, f"nothing until it is resumed: {campaign.reason}")
    if campaign.state in FINAL_CAMPAIGN:
        return NextEvent(None, "nothing: the campaign is over")
    if campaign.state == CampaignState.DRAFT:
        return NextEvent(None, "nothing until it is launched")
    if campaign.state == CampaignState.SCHEDULED:
        return NextEvent(campaign.start_at, "dialing begins")
    options = campaign.options
    rules = rules_for(options.profile, options.windows, store.evidence.blackouts())
    openings = [
        (opening, due)
        for callee, due, _ in store.reports.earliest_pending(campaign.id)
        if (opening := rules.next_opening(callee, max(now, due))) is not None
    ]
    if openings:
        at, due = min(openings)
        if campaign.end_at is not None and at >= campaign.end_at:
            return NextEvent(campaign.end_at, f"the campaign ends: {leads['pending']:,} waiting leads expire")
        if at <= now:
            return NextEvent(None, "leads are due: they are dialed as lines become free")
        return NextEvent(at, "a retry is due" if at == due else "a calling window opens")
    if leads["in_flight"]:
        return NextEvent(None, "the calls in progress end")
    return NextEvent(None, "the campaign completes")


@dataclass(frozen=True, slots=True)
class Summary:
    """The closing figures. Rates are shares of 1; slot_use over the span from the first to the last dial.

    contact_rate: leads with whom somebody spoke, of those that were dialed. slot_use_busy: the same as slot_use,
    over the time only in which at least one call was in progress.
    """

    status: Status
    dialed_leads: int
    contact_rate: float | None
    attempts_per_lead: dict[int, int]
    calls: int
    slot_use: float | None
    slot_use_busy: float | None

    def document(self) -> dict[str, Any]:
        return self.status.document() | {
            "calls": self.calls,
            "dialed_leads": self.dialed_leads,
            "contact_rate": _rounded(self.contact_rate),
            "attempts_per_lead": {str(tries): leads for tries, leads in self.attempts_per_lead.items()},
            "slot_use": _rounded(self.slot_use),
            "slot_use_busy": _rounded(self.slot_use_busy),
        }


def summarize(store: Store, campaign: Campaign, now: datetime) -> Summary:
    """The figures printed at the end of a run."""
    current = status(store, campaign, now)
    figures = store.reports.money_and_time(campaign.id)
    tries = store.reports.attempts_per_lead(campaign.id)
    dialed = sum(tries.values())
    contacts = store.reports.leads_with_outcome(campaign.id, CONTACTS)
    spans = store.reports.busiest_moments(campaign.id)
    last = figures["last_dial"]
    whole, busy = slot_use(spans, current.ceiling, last) if spans and last else (None, None)
    return Summary(
        status=current,
        dialed_leads=dialed,
        contact_rate=contacts / dialed if dialed else None,
        attempts_per_lead=tries,
        calls=figures["calls"],
        slot_use=whole,
        slot_use_busy=busy,
    )


def slot_use(
    calls: Sequence[tuple[datetime, datetime]], slots: int, last_dial: datetime
) -> tuple[float | None, float | None]:
    """Busy slot-seconds over available ones, from the first to the last dial: (of all time, of busy time).

    calls: (start, end) in the order of their start.
    """
    if not calls or slots <= 0:
        return None, None
    first = calls[0][0]
    span = (last_dial - first).total_seconds()
    used = sum(max(0.0, (min(end, last_dial) - start).total_seconds()) for start, end in calls)
    covered, until = 0.0, first
    for start, end in calls:
        if end > until:
            covered += max(0.0, (min(end, last_dial) - max(start, until)).total_seconds())
            until = end
    whole = used / (slots * span) if span > 0 else None
    return whole, used / (slots * covered) if covered > 0 else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
