"""Where campaigns stand, what they came to, and what is ahead."""

from __future__ import annotations

from pydantic import Field

from campaigns.cli.documents.base import Document


class Slots(Document):
    ceiling: int = Field(description="lines that the campaign may use")
    foreign: int = Field(description="calls in progress that are not ours")
    own: int = Field(description="calls in progress of this campaign")


class NextEvent(Document):
    at: str | None = Field(description="null: nothing without an operator, or as soon as a line is free")
    what: str


class Held(Document):
    code: str
    remedy: str
    leads: int


class BatchesNow(Document):
    """What is left with Retell's own dialer, in batch mode."""

    open: int = Field(description="batches of which calls may still come")
    waiting: int = Field(description="leads in them that are not known to be calls")
    until: str | None = Field(description="none of them is rung later; null where nothing waits")


class CampaignStatus(Document):
    """Where a campaign stands."""

    campaign: str
    state: str
    reason: str | None
    leads: dict[str, int] = Field(description="`total`, then by state")
    attempts: dict[str, int] = Field(description="by state")
    outcomes: dict[str, int] = Field(description="settled attempts by outcome")
    rejected_rows: int
    cost_cents: float
    slots: Slots
    reserve: int = Field(description="lines of the account that the operator keeps free, not in the ceiling")
    batches: BatchesNow | None = Field(description="null where it dials call by call")
    next_event: NextEvent
    held: list[Held] = Field(description="leads that wait for a person")
    trouble: str | None = Field(description="what keeps the account from dialing")
    start_at: str | None
    end_at: str | None


class LocalHour(Document):
    weekday: str = Field(description="Mon to Sun, at the callee")
    hour: int = Field(description="0 to 23, at the callee")
    calls: int
    contacts: int
    answer_rate: float | None = Field(description="calls that a person took, of all; 0 to 1")


class Day(Document):
    day: str = Field(description="in UTC")
    calls: int
    contacts: int
    cost_cents: float


class ShareOfCalls(Document):
    key: str = Field(description="the agent, number or file")
    calls: int
    contacts: int = Field(description="calls that a person took")
    contact_rate: float | None
    successes: int = Field(description="calls that the agent judged a success")
    cost_cents: float
    cost_per_contact_cents: float | None
    talk_seconds: float


class Variant(Document):
    """One of several agents of a campaign. Rates are of its leads; intervals of 95% (Wilson), low and high."""

    agent: str
    leads: int = Field(description="with a settled call")
    contacted: int
    contact_rate: float | None
    contact_interval: list[float | None]
    succeeded: int
    success_rate: float | None
    success_interval: list[float | None]
    cost_cents: float
    cost_per_success_cents: float | None


class Figures(CampaignStatus):
    """The figures of a campaign. Rates are 0 to 1, and null where there is nothing to divide by."""

    calls: int = Field(description="settled ones")
    dialed_leads: int
    contacted_leads: int = Field(description="with whom somebody spoke")
    succeeded_leads: int = Field(description="of whom the agent judged a call a success")
    penetration: float | None = Field(description="leads dialed, of all")
    contact_rate: float | None = Field(description="leads with whom somebody spoke, of those dialed")
    success_rate: float | None = Field(description="leads with a success, of those dialed")
    answer_rate: float | None = Field(description="calls that a person took, of all")
    cost_per_contact_cents: float | None = Field(description="of all calls, for each lead spoken to")
    cost_per_call_cents: float | None
    talk_seconds: float
    attempts_per_lead: dict[str, int] = Field(description="number of attempts -> leads")
    attempts_to_contact: dict[str, int] = Field(description="number of the first call taken -> leads")
    by_local_time: list[LocalHour]
    calls_without_zone: int = Field(description="not in by_local_time")
    by_day: list[Day]
    by_agent: list[ShareOfCalls]
    by_number: list[ShareOfCalls]
    by_file: list[ShareOfCalls]
    variants: list[Variant] = Field(description="where several agents called, else empty")
    comparison: list[str] = Field(description="which of their rates differ by more than chance")
    first_dial: str | None
    last_dial: str | None
    slot_use: float | None = Field(description="share of the slot-seconds used, first to last dial")
    slot_use_busy: float | None = Field(description="the same, while a call was in progress")


class ForecastDocument(Document):
    """When a campaign will be done; the range is as wide as the campaign's few calls make it."""

    campaign: str
    state: str
    leads_left: int
    done_at: str | None = Field(description="null: not within 60 days, or nothing is left")
    earliest: str | None
    latest: str | None = Field(description="null: later than 60 days")
    calls_left: int
    calls_least: int
    calls_most: int
    cost_left_cents: float | None = Field(description="null until a call has cost something")
    cost_total_cents: float | None
    calls_per_hour: float | None = Field(description="over the last hour; null: too few")
    outside_window: int = Field(description="due leads whose window is closed now")
    not_due: int = Field(description="leads whose next attempt is later")
    never_callable: int = Field(description="leads for whom no window ever opens")
    settled_calls: int = Field(description="what it rests on")
    assumed: list[str] = Field(description="what was not measured")


class Run(Figures):
    """The closing figures, and the files that were written."""

    results: str
    rejects: str


class Export(Document):
    """The files that were written."""

    results: str
    rows: int
    rejects: str | None = None
    rejected_rows: int | None = None
