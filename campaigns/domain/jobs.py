"""Jobs: what they can be, and what a tick makes of one that is due. Times are given; nothing here knows cron."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class JobState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


class Misfire(StrEnum):
    """What becomes of times that passed while nobody ticked. Never a burst."""

    RUN_ONCE = "run-once"  # one run for all of them, at once
    SKIP = "skip"  # none; it is noted


class Overlap(StrEnum):
    """What becomes of a run while the one before is not over: importing, or its campaign not completed."""

    QUEUE = "queue"  # it waits; one at most waits
    SKIP = "skip"  # it is left out; it is noted
    PARALLEL = "parallel"  # it starts beside


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


OPEN_RUN = frozenset({RunState.QUEUED, RunState.RUNNING})


class Cause(StrEnum):
    SCHEDULE = "schedule"
    MISFIRE = "misfire"
    OPERATOR = "operator"


#: A tick that comes later than this has missed the time.
GRACE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Job:
    """config, source: absolute paths, config empty = none. append_to: the standing campaign, empty = one per run."""

    id: str
    name: str
    workspace: str
    state: JobState
    cron: str
    timezone: str
    config: str
    source: str
    append_to: str
    misfire: Misfire
    overlap: Overlap
    next_at: datetime | None
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class JobRun:
    """campaign: its name, empty until chosen. result: what was imported, by count. message: why it is as it is."""

    id: int
    job_id: str
    due_at: datetime
    cause: Cause
    state: RunState
    campaign: str
    result: dict[str, object]
    message: str
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Firing:
    """The run that a due time makes."""

    due_at: datetime
    cause: Cause
    state: RunState
    message: str


def fire(due_at: datetime, misfire: Misfire, now: datetime, grace: timedelta = GRACE) -> Firing:
    """What a tick at `now` makes of a job that was due at `due_at`, at or before it."""
    late = now - due_at
    if late <= grace:
        return Firing(due_at, Cause.SCHEDULE, RunState.QUEUED, "")
    if misfire is Misfire.SKIP:
        return Firing(due_at, Cause.MISFIRE, RunState.SKIPPED, "its time passed while nothing ticked")
    return Firing(
        due_at, Cause.MISFIRE, RunState.QUEUED, "its time passed while nothing ticked: run once now"
    )
