"""What the calling rules say."""

from __future__ import annotations

from pydantic import Field

from campaigns.cli.documents.base import Document


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
