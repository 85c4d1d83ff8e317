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


class BatchWindow(Document):
    """Half-open, in minutes since midnight in the batch's zone."""

    start: int
    end: int


class BatchLine(Document):
    """A batch: what Retell's own dialer was given, and what became of it."""

    batch: str
    batch_call_id: str | None = Field(description="Retell's id; null: not sent, or nobody knows")
    state: str = Field(description="claimed, sending, sent, unknown, not_sent, over")
    from_number: str
    zone: str | None
    day: str | None
    windows: list[BatchWindow]
    claimed_at: str
    sent_at: str | None
    begins_at: str | None = Field(description="of its window, or of the sending")
    ends_at: str | None = Field(description="nobody of it is rung later")
    lines: int = Field(description="that all batches of the account may use together while it waits")
    reserved_concurrency: int | None
    tasks: int = Field(description="sent")
    taken: int | None = Field(description="that Retell counted; null: it did not say")
    calls: int
    waiting: int
    returned: int = Field(description="tasks that are known not to be calls; their leads wait again")
    unresolved: int
    left_over: int = Field(
        description="tasks of which Retell may make calls when the window opens again, a week later"
    )
    reopens_at: str | None
    why: str | None
