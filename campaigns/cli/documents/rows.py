"""Single leads, attempts and events."""

from __future__ import annotations

from pydantic import Field

from campaigns.cli.documents.base import Document


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
