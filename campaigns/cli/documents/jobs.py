"""Jobs and their runs."""

from __future__ import annotations

from pydantic import Field

from campaigns.cli.documents.base import Document


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
