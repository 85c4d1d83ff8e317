"""What every `--json` says: one model per document. `docs/cli.md` is made from them; a test holds both to it.

Instants are ISO 8601 in UTC with a Z, costs are US cents, durations are seconds. What is not known is null; only a
field that has a default here may be left out.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# -- campaigns


class CampaignState(Document):
    """A campaign after a command changed it."""

    campaign: str = Field(description="its name")
    state: str = Field(description="draft, scheduled, running, paused, completed or cancelled")
    reason: str | None = Field(description="why it is paused or cancelled")


class Paused(Document):
    """What `--all` paused, and what `--stop-calls` hung up."""

    paused: list[str] = Field(description="names of the campaigns")
    stopped_calls: list[str]
    not_stopped: dict[str, str] = Field(description="call -> why it was not hung up")
    unknown_dials: int = Field(description="dials that may still ring; they are searched for")


class Recycled(Document):
    """Leads that wait for a further pass."""

    campaign: str
    outcomes: list[str]
    recycled: int
    state: str = Field(description="of the campaign")


class ImportCounts(Document):
    """What became of the rows of a file: rows = accepted + rejected + duplicates + suppressed + held."""

    rows: int
    accepted: int
    rejected: int = Field(description="without the duplicates")
    duplicates: int = Field(description="in the file, or in the campaign before")
    suppressed: int = Field(description="on the do-not-call list")
    held: int = Field(description="read well, but wait for a person")
    by_code: dict[str, int] = Field(description="code of a reject or a hold -> rows")


class File(Document):
    """A file that was imported into a campaign."""

    id: int
    name: str
    bytes: int
    sha256: str
    imported_at: str
    imported_by: str
    moving: bool = Field(description="it is imported, and not all of its rows are there yet")
    format: dict[str, str] = Field(description="encoding, delimiter, region")
    mapping: dict[str, str] = Field(description="field -> column")
    counts: dict[str, Any] = Field(description="as of `import`; mended: rows that freed a held lead")


class DncImport(Document):
    """A do-not-call list that was read: rows = new + known + repeated + rejected."""

    source: str
    rows: int
    new: int
    known: int = Field(description="listed before")
    repeated: int = Field(description="in the file")
    rejected: int = Field(description="no number that exists")
    warnings: list[str]


class DncAdded(Document):
    """Numbers put on the list."""

    numbers: list[str]
    new: int


class DncEntry(Document):
    source: str
    reason: str
    added_at: str
    expires_at: str | None = Field(description="null: for good")


class DncRemoved(Document):
    """A number taken off the list."""

    phone: str
    was: DncEntry
    reason: str


class DncEvent(Document):
    at: str
    action: str = Field(description="added, removed, expired, or imported: a whole list")
    source: str
    reason: str
    by: str
    file: str | None
    numbers: int
    data_of: str | None = Field(description="the day the list's data is of")


class DncNumber(Document):
    """A number and the do-not-call list."""

    phone: str
    listed: bool
    entry: DncEntry | None
    history: list[DncEvent]


class DncLists(Document):
    """The do-not-call list as a whole."""

    sources: dict[str, int] = Field(description="source -> listed numbers")
    lists: list[DncEvent]
    warnings: list[str]


class DncExport(Document):
    """The list as a file."""

    numbers: int
    file: str


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
    next_event: NextEvent
    held: list[Held] = Field(description="leads that wait for a person")
    trouble: str | None = Field(description="what keeps the account from dialing")
    start_at: str | None
    end_at: str | None


class ConfigProblem(Document):
    """One thing that is wrong with a campaign file."""

    line: int | None
    key: str = Field(description="dotted, as `from.1`; empty for the whole file")
    message: str
    remedy: str


class Validation(Document):
    """What a campaign file is worth."""

    file: str
    valid: bool
    problems: list[ConfigProblem]


class JobFile(Document):
    """What became of one file of a run."""

    file: str
    error: str | None = Field(None, description="why it is in failed/")
    rows: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    duplicates: int | None = None
    held: int | None = None


class JobResult(Document):
    """What a run imported; empty while it is not over."""

    files: list[JobFile] = Field(default_factory=list)
    accepted: int = 0


class JobRun(Document):
    """One run of a job."""

    run: int
    due_at: str
    cause: str = Field(description="schedule, misfire or operator")
    state: str = Field(description="queued, running, done, failed or skipped")
    campaign: str | None
    started_at: str | None
    finished_at: str | None
    message: str | None = Field(description="why it failed, was skipped or waits")
    result: JobResult


class Job(Document):
    """A job: when it runs, and on what."""

    job: str
    state: str = Field(description="active or paused")
    cron: str
    timezone: str
    config: str | None
    source: str
    append_to: str | None
    misfire: str
    overlap: str
    next_at: str | None
    next_times: list[str]
    last_run: JobRun | None = Field(description="the last that is done or failed")


class JobDetail(Job):
    """A job with its last runs, the newest first."""

    runs: list[JobRun]


class JobState(Document):
    """A job after a command changed it."""

    job: str
    state: str
    next_at: str | None = None


class Lead(Document):
    """One lead of a campaign."""

    id: int
    file: str
    line: int = Field(description="of the file")
    phone: str
    state: str
    zones: str
    zone_source: str = Field(description="what the zones were taken from")
    priority: int
    attempts: int = Field(description="that were charged")
    outcome: str | None = Field(description="of the last attempt")
    last_attempt_at: str | None
    next_attempt_at: str | None = Field(description="null unless pending")
    contacted: bool = Field(description="whether somebody was ever spoken to")
    succeeded: bool = Field(description="whether the agent judged one of the calls a success")
    hold_code: str | None
    hold_remedy: str | None
    call_id: str | None = Field(description="of the last call")
    external_id: str | None


class Attempt(Document):
    """One attempt to ring a lead."""

    id: str
    lead_line: int
    phone: str
    from_number: str
    agent: str | None = Field(description="null: the one bound to the number")
    agent_version: str | None
    state: str
    outcome: str | None
    disconnection_reason: str | None
    charged: bool
    sends: int = Field(description="POSTs; a second one only on proof that nobody rang")
    claimed_at: str
    dialed_at: str | None
    placed_at: str | None
    ended_at: str | None
    settled_at: str | None
    duration_seconds: float | None
    cost_cents: float | None
    successful: bool | None
    sentiment: str | None
    call_id: str | None
    refusal: str | None = Field(description="why it was not placed, is ambiguous, or is unresolved")
    refusal_status: int | None = Field(description="HTTP status of a refusal; 0: never sent")


class Event(Document):
    """One change of state."""

    id: int
    at: str = Field(description="business time")
    at_real: str = Field(description="real time")
    subject: str = Field(description="campaign, lead or attempt")
    from_state: str | None
    to_state: str
    lead: int | None
    attempt: str | None
    detail: str | None


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


class Archived(Document):
    """A campaign that was put out of sight, or brought back."""

    campaign: str
    archived: bool


class Deleted(Document):
    """A campaign that is gone."""

    campaign: str
    leads: int
    dials: int
    rows: int = Field(description="of the database, in all")


class TestCall(Document):
    """One test call; its records are those of a campaign of one lead."""

    campaign: str
    phone: str
    attempt: str
    state: str = Field(description="of the attempt: settled, not_placed or unresolved")
    call_id: str | None
    outcome: str | None
    disconnection_reason: str | None
    duration_seconds: float | None
    cost_cents: float | None
    successful: bool | None
    summary: str | None
    recording_url: str | None
    transcript: str | None


class Reconciliation(Document):
    """What one pass put right."""

    freed_claims: int = Field(description="claims that nobody took up, given back")
    doubted: int = Field(description="dials without an answer, now searched for")
    adopted: int = Field(description="calls found in Retell's list and joined to their attempt")
    sent_again: int = Field(description="dials sent again on proof that nobody was rung")
    unresolved: int = Field(description="attempts left to a person")
    ended: int = Field(description="calls that are over by now")
    settled: int = Field(description="calls whose outcome is fixed now")


class Claim(Document):
    claim: str
    holds: bool
    detail: str
    found: list[str] = Field(description="what breaks it")


class Audit(Document):
    """What was proved of a campaign."""

    campaign: str
    holds: bool
    checks: list[Claim]


class Resolved(Document):
    """An attempt of which an operator said what became."""

    attempt: str
    resolved: str = Field(description="placed or not-placed")
    campaign: str


class Released(Document):
    """Held leads that are dialed after all."""

    campaign: str
    code: str
    released: int


class ExplainedLine(Document):
    what: str
    says: str
    passes: bool | None = Field(description="null: it only informs")


class Explained(Document):
    """Everything that decides about a number in one campaign."""

    phone: str
    campaign: str | None = Field(description="null: no campaign has the number")
    lead_state: str | None
    callable_now: bool = Field(description="as soon as a line is free")
    next_callable_at: str | None = Field(description="as things stand; null: not by itself")
    why: str = Field(description="the first thing in the way")
    lines: list[ExplainedLine]


class WindowsDay(Document):
    date: str
    callable: list[int] = Field(description="leads callable in each of its 24 hours")


class CampaignWindows(Document):
    """How many of a campaign's waiting leads may be called, hour by hour."""

    campaign: str
    zone: str = Field(description="whose hours")
    waiting: int = Field(description="pending leads")
    days: list[WindowsDay]


class EvidenceFile(Document):
    """The file that was written."""

    evidence: str
    rows: int = Field(description="dials")


class BlackoutLine(Document):
    """Dates on which nobody is called in a place."""

    id: int
    place: str
    first: str = Field(description="local date")
    last: str = Field(description="local date, included")
    reason: str
    added_by: str
    added_at: str
    lifted_by: str | None
    lifted_at: str | None = Field(description="null: in force")


# -- the Retell account


class Concurrency(Document):
    """The account's lines."""

    limit: int | None
    burst_enabled: bool
    burst_limit: int | None = Field(description="with burst, at a surcharge; the runner does not use it")
    reserved_inbound: int
    ceiling: int = Field(description="limit less the inbound reserve")
    current: int = Field(description="calls in progress, of everybody")
    own: int = Field(description="of them ours")
    foreign: int
    free: int


class PhoneNumber(Document):
    """A phone number of the account."""

    number: str
    type: str | None = Field(description="retell-twilio, retell-telnyx or custom")
    nickname: str | None
    outbound_agents: list[str]


class PhoneNumberUse(PhoneNumber):
    """A phone number, and how campaigns use it."""

    owned: bool = Field(description="false: a campaign dials with it, and the account does not have it")
    used_24h: int = Field(description="attempts in the last 24 hours, over all campaigns")
    cap: int | None = Field(description="of those, the least that a campaign allows; null: no cap")
    calls_per_second: float | None = Field(
        description="from all numbers of its type together; null: no limit"
    )
    resting_until: str | None
    rest_reason: str | None = Field(description="marked_as_spam or network_blocked")


class PhoneNumberDetail(PhoneNumber):
    """A phone number, and who dials with it."""

    allowed_outbound_countries: list[str] = Field(description="empty: all")
    campaigns: list[str] = Field(description="campaigns, not over yet, that dial with it")


class ReleasedNumber(Document):
    """A number that was given up."""

    number: str
    released: bool


class Agent(Document):
    """A voice agent of the account."""

    agent: str
    name: str | None
    version: int | str | None
    channel: str | None
    suspended: bool | None


class AgentDetail(Agent):
    """A voice agent, as a campaign needs to know it."""

    published: bool | None
    voice: str | None
    language: str | None
    ring_seconds: float | None
    max_call_seconds: float | None
    webhook_url: str | None
    dnc_detection: bool | None = Field(description="whether it notices a request not to be called")
    analysis_fields: list[str] = Field(description="what it extracts after a call")
    numbers: list[str] = Field(description="numbers whose outbound calls it speaks on")


class PublishedAgent(Document):
    """A version that was published, or was before."""

    agent: str
    version: int | str | None
    published: bool


class WebCall(Document):
    """With what a browser joins a call."""

    agent: str
    call_id: str
    access_token: str
    expires_at: str | None


class CallLine(Document):
    """A call, in a list."""

    call_id: str
    started_at: str | None
    status: str | None
    direction: str | None
    from_number: str | None
    to_number: str | None
    agent: str | None
    duration_seconds: float | None
    disconnection_reason: str | None
    cost_cents: float | None


class CallDetail(CallLine):
    """A call with all that is known of it."""

    ended_at: str | None
    agent_version: int | str | None
    analysis: dict[str, Any] | None = Field(description="Retell's analysis, null until it arrives")
    transcript: str | None
    recording_url: str | None = Field(description="expires, after 24 hours or less")
    campaign: str | None = Field(description="null: not a call of this home")
    lead_line: int | None
    attempt: str | None
    attempt_state: str | None
    outcome: str | None


class StoppedCall(Document):
    """A call that was hung up."""

    call_id: str
    stopped: bool


class RetellOperation(Document):
    """An operation of `campaigns retell`."""

    operation: str
    method: str
    path: str
    subject: str
    summary: str
    path_parameters: list[str]
    query_parameters: list[str]
    body: Literal["none", "json", "form"]
    required: list[str] = Field(description="fields that the body must have")
    paging: bool = Field(description="whether it takes --all")
    danger: str | None = Field(description="deletes, buys, hangs up (asked before), or rings (refused)")


# -- the installation


class Check(Document):
    """A check of `campaigns doctor`."""

    check: str
    result: Literal["ok", "warning", "failure"]
    detail: str
    remedy: str = Field(description="empty where the result is ok")


#: Command -> its document. `retell OPERATION` is not here: it answers what Retell answers.
DOCUMENTS: dict[str, Any] = {
    "run": Run,
    "create": CampaignState,
    "validate": Validation,
    "jobs add": Job,
    "jobs list": list[Job],
    "jobs show": JobDetail,
    "jobs run": JobRun,
    "jobs pause": JobState,
    "jobs resume": JobState,
    "jobs remove": JobState,
    "import": ImportCounts,
    "files": list[File],
    "dnc import": DncImport,
    "dnc add": DncAdded,
    "dnc remove": DncRemoved,
    "dnc check": DncNumber | DncLists,
    "dnc export": DncExport,
    "launch": CampaignState,
    "pause": CampaignState | Paused,
    "recycle": Recycled,
    "resume": CampaignState,
    "cancel": CampaignState,
    "release": Released,
    "status": list[CampaignStatus] | CampaignStatus,
    "leads": list[Lead],
    "attempts": list[Attempt],
    "events": list[Event],
    "export": Export,
    "report": Figures,
    "forecast": ForecastDocument,
    "archive": Archived,
    "delete": Deleted,
    "call": TestCall,
    "reconcile": Reconciliation,
    "audit": Audit,
    "resolve": Resolved,
    "explain": list[Explained],
    "windows": CampaignWindows,
    "evidence": EvidenceFile,
    "blackout add": BlackoutLine,
    "blackout list": list[BlackoutLine],
    "blackout remove": BlackoutLine,
    "calls list": list[CallLine],
    "calls show": CallDetail,
    "calls stop": StoppedCall,
    "concurrency": Concurrency,
    "numbers": list[PhoneNumberUse],
    "numbers list": list[PhoneNumberUse],
    "numbers show": PhoneNumberDetail,
    "numbers buy": PhoneNumber,
    "numbers import": PhoneNumber,
    "numbers bind": PhoneNumber,
    "numbers rename": PhoneNumber,
    "numbers release": ReleasedNumber,
    "agents": list[Agent],
    "agents list": list[Agent],
    "agents show": AgentDetail,
    "agents publish": PublishedAgent,
    "web-call": WebCall,
    "retell": list[RetellOperation],
    "doctor": list[Check],
}
