"""What is in the Retell account."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from campaigns.cli.documents.base import Document


class Concurrency(Document):
    """The account's lines."""

    limit: int | None
    burst_enabled: bool
    burst_limit: int | None = Field(description="with burst, at a surcharge; the runner does not use it")
    reserved_inbound: int
    reserve: int = Field(description="lines that the operator keeps free of campaigns")
    ceiling: int = Field(description="limit less both reserves")
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
