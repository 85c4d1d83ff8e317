"""The values that pass between the store and the services. Instants are `datetime` in UTC, business time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime, timedelta
from functools import lru_cache

from campaigns.domain.batching import BATCH_MODE, DEFAULT_HORIZON
from campaigns.domain.caller_ids import DEFAULT_REST, Caller, parse_rest
from campaigns.domain.retry import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_RETRY,
    LeadDecision,
    RetryPolicy,
    parse_delay,
)
from campaigns.domain.span import read_instant
from campaigns.domain.split import Variant, variants
from campaigns.domain.states import AttemptState, CampaignState, LeadState


@dataclass(frozen=True, slots=True)
class CampaignOptions:
    """How a campaign is dialed; kept as JSON with the campaign.

    agents: Retell's agents with their weights, as `Variant.parse` reads them; empty = the one bound to the from-number.
    number_cap: attempts from each number in 24 hours, over all campaigns, None = no cap. number_rest: how long a number
    rests that was labelled or blocked, as `parse_rest` reads it. mode: `phone` or
    `batch`. batch_horizon: for how long, as `5m`, calls may be left with Retell's own dialer. concurrency: own cap on
    calls in progress,
    None = what the account allows. cps: calls per second, None = no limit. profile: name of the calling rules.
    windows: specs of `Schedule.parse`. timezone: the campaign's zone: of its start and end, and of leads that name none
    themselves. weight: share of the account's slots against other campaigns. start_at, end_at: texts of
    `read_instant`, empty = none. dnc_field, callback_field: fields of the analysis in which the callee asks never to be
    called again, or when to be called back.
    """

    agents: tuple[str, ...] = ()
    agent_version: str = ""
    from_numbers: tuple[str, ...] = ()
    number_cap: int | None = None
    number_rest: str = DEFAULT_REST
    mode: str = "phone"
    batch_horizon: str = DEFAULT_HORIZON
    concurrency: int | None = None
    cps: float | None = None
    profile: str = "us-sales"
    windows: tuple[str, ...] = ()
    timezone: str = ""
    region: str = "US"
    retry: str = DEFAULT_RETRY
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    mapping: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0
    start_at: str = ""
    end_at: str = ""
    dnc_field: str = ""
    callback_field: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CampaignOptions:
        """Inverse of `to_json`; keys of another version are left aside."""
        known = {f.name for f in fields(cls)}
        found = json.loads(text)
        loaded = {key: value for key, value in found.items() if key in known}
        if found.get("agent"):  # campaigns older than several agents
            loaded.setdefault("agents", (found["agent"],))
        for key in ("agents", "from_numbers", "windows"):
            loaded[key] = tuple(loaded.get(key, ()))
        return cls(**loaded)

    @property
    def in_batches(self) -> bool:
        return self.mode == BATCH_MODE

    def horizon(self) -> timedelta:
        """Of `batch_horizon`. Raises RetryError where it cannot be read."""
        return parse_delay(self.batch_horizon)

    def changes_to(self, other: CampaignOptions) -> list[str]:
        """What `other` has different, as `profile us-sales -> none`."""
        before, after = asdict(self), asdict(other)
        changed = [name for name in after if before[name] != after[name]]
        return [f"{name} {_shown(before[name])} -> {_shown(after[name])}" for name in changed]

    def variants(self) -> tuple[Variant, ...]:
        """The agents and their weights. Raises ValueError."""
        return variants(self.agents)

    @property
    def agent_ids(self) -> tuple[str, ...]:
        return tuple(variant.agent for variant in self.variants())

    def rest(self) -> timedelta | None:
        """How long a number rests, None = not at all."""
        return parse_rest(self.number_rest)

    def retry_policy(self) -> RetryPolicy:
        return _policy(self.retry, self.max_attempts)

    def starts_at(self) -> datetime | None:
        """The instant of `start_at`. Raises SpanError where it cannot be read."""
        return read_instant(self.start_at, self.timezone) if self.start_at else None

    def ends_at(self) -> datetime | None:
        """The instant of `end_at`. Raises SpanError where it cannot be read."""
        return read_instant(self.end_at, self.timezone) if self.end_at else None


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value in (None, "", {}) else str(value)


@lru_cache(maxsize=256)
def _policy(spec: str, max_attempts: int) -> RetryPolicy:
    return RetryPolicy.parse(spec, max_attempts)


@dataclass(frozen=True, slots=True)
class Callee:
    """A lead as the calling rules see it.

    zones: sorted IANA zones it may be in; () = unknown. jurisdictions: sorted places whose rules all apply, as `US-FL`;
    a country alone, as `US`, is somewhere in it.
    """

    zones: tuple[str, ...]
    jurisdictions: tuple[str, ...]

    @classmethod
    def of(cls, zones: str, jurisdictions: str) -> Callee:
        """From the columns of a lead, in which `|` separates."""
        return cls(tuple(filter(None, zones.split("|"))), tuple(filter(None, jurisdictions.split("|"))))


@dataclass(frozen=True, slots=True)
class Allowed:
    """The lead may be called now, and the window stays open without a break until `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not. next_at: the earliest instant at which it may, as things stand; None = never by itself."""

    code: str
    next_at: datetime | None
    why: str


@dataclass(frozen=True, slots=True, order=True)
class Blackout:
    """Local dates, both included, on which an operator wants nobody called in a place: `US-LA`, or all of `US`."""

    id: int
    jurisdiction: str
    first: date
    last: date
    reason: str

    def concerns(self, callee: Callee) -> bool:
        """Whether the callee may be there. Who is somewhere in `US`, or nobody knows where, may be in any state."""
        country = self.jurisdiction.partition("-")[0]
        return not callee.jurisdictions or any(
            place == self.jurisdiction
            or (place.partition("-")[0] == country and country in (place, self.jurisdiction))
            for place in callee.jurisdictions
        )


@dataclass(frozen=True, slots=True)
class Campaign:
    """running_since: when it last began, or began again, to run. resume_at: when the breaker lets a paused campaign
    try again. trips: how often it has paused it in a row.
    """

    id: str
    name: str
    workspace: str
    state: CampaignState
    reason: str | None
    resume_at: datetime | None
    trips: int
    options: CampaignOptions
    created_at: datetime
    launched_at: datetime | None
    running_since: datetime | None
    finished_at: datetime | None
    archived_at: datetime | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None

    def begins_after(self, now: datetime) -> bool:
        """Whether its start lies ahead: nobody is rung before."""
        return self.start_at is not None and now < self.start_at

    def is_over(self, now: datetime) -> bool:
        """Whether its end has come."""
        return self.end_at is not None and self.end_at <= now


@dataclass(frozen=True, slots=True)
class NewLead:
    """A row about to be imported. `hold` is (code, remedy). `|` separates zones, and jurisdictions."""

    line: int
    phone: str
    zones: str
    zone_source: str
    jurisdictions: str
    priority: int
    next_attempt_at: datetime
    state: LeadState
    hold: tuple[str, str] | None
    external_id: str
    agent_id: str
    agent_version: str
    extension: str
    consent: str
    zip: str
    state_given: str
    ignore_e164: bool
    metadata: Mapping[str, object]
    sip_headers: Mapping[str, str]
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class DialOrder:
    """Everything a worker needs to dial one attempt.

    dialed_ms: when the number was dialed over all campaigns (business ms), as far back as any cap. caller: the
    from-number, with its uses but this one where the campaign has a cap for them. batched: Retell's own dialer makes
    its call, or has it already.
    """

    attempt_id: str
    batched: bool
    state: AttemptState
    campaign_id: str
    campaign_state: CampaignState
    options: CampaignOptions
    workspace: str
    lead_id: int
    phone: str
    callee: Callee
    zone_source: str
    consent: str
    from_number: str
    agent_id: str
    agent_version: str
    ignore_e164: bool
    variables: Mapping[str, str]
    metadata: Mapping[str, object]
    sip_headers: Mapping[str, str]
    suppressed: bool
    dialed_ms: Sequence[int]
    caller: Caller


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a call was lawful by what was known when it was dialed. Written in the transaction that commits the dial.

    local_times: zone -> wall time there, ISO 8601. caps: each with how many dials counted before this one.
    dnc_checked_at: when the do-not-call list was asked, and did not hold the number.
    """

    at: datetime
    local_times: Mapping[str, str]
    callee: Callee
    zone_source: str
    profile: str
    rules_version: str
    tzdata_version: str
    window_until: datetime
    caps: Sequence[Mapping[str, int]]
    dnc_checked_at: datetime
    consent: str


@dataclass(frozen=True, slots=True)
class OpenCall:
    """An attempt whose call is watched: placed, or ended and waiting for its analysis."""

    attempt_id: str
    campaign_id: str
    lead_id: int
    call_id: str
    state: AttemptState
    placed_at: datetime
    ended_at: datetime | None
    batch_id: str | None = None


@dataclass(frozen=True, slots=True)
class UnknownDial:
    """An attempt that may have rung: dialing with its lease run out, or ambiguous and due for a search."""

    attempt_id: str
    campaign_id: str
    lead_id: int
    phone: str
    from_number: str
    state: AttemptState
    dialing_at: datetime
    dialing_real_ms: int
    first_sent_real_ms: int
    sends: int
    searches: int


@dataclass(frozen=True, slots=True)
class CallResult:
    """What is kept of a finished call. Times in UTC; cost in cents; duration in milliseconds.

    successful: as the agent's analysis judged it; None without an analysis.
    """

    disconnection_reason: str | None = None
    in_voicemail: bool | None = None
    duration_ms: int | None = None
    cost_cents: float | None = None
    successful: bool | None = None
    sentiment: str | None = None
    summary: str | None = None
    recording_url: str | None = None
    transcript: str | None = None
    analysis: Mapping[str, object] | None = None
    agent_version: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LeadOutcome:
    """The lead's side of a settled attempt: what was decided, and what its row becomes."""

    decision: LeadDecision
    outcome: str
    charged: bool
