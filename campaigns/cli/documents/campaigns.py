"""What commands that change a campaign, or make it right, say."""

from __future__ import annotations

from pydantic import Field

from campaigns.cli.documents.base import Document


class CampaignState(Document):
    """A campaign after a command changed it."""

    campaign: str = Field(description="its name")
    state: str = Field(description="draft, scheduled, running, paused, completed or cancelled")
    reason: str | None = Field(description="why it is paused or cancelled")


class HungUp(Document):
    """What `--stop-calls` hung up."""

    stopped_calls: list[str]
    not_stopped: dict[str, str] = Field(description="call -> why it was not hung up")
    unknown_dials: int = Field(description="dials that may still ring; they are searched for")
    waiting_at_retell: int = Field(
        description="leads left with Retell's own dialer; workers hang up as their calls show"
    )
    rung_until: str | None = Field(description="none of them is rung later; null where none waits")


class Paused(HungUp):
    """What `--all` paused, and what `--stop-calls` hung up."""

    paused: list[str] = Field(description="names of the campaigns")


class Cancelled(HungUp):
    """A campaign that was given up with `--stop-calls`."""

    campaign: str = Field(description="its name")
    state: str
    reason: str | None


class Recycled(Document):
    """Leads that wait for a further pass."""

    campaign: str
    outcomes: list[str]
    recycled: int
    state: str = Field(description="of the campaign")


class Released(Document):
    """Held leads that are dialed after all."""

    campaign: str
    code: str
    released: int


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
    returned: int = Field(description="tasks of batches that never became calls, given back")


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
