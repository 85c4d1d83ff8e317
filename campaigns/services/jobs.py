"""The schedule of jobs: made, looked at, and ticked. The rows are the schedule; whoever ticks, a time fires once."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

import structlog

from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.jobs import GRACE, Cause, Firing, Job, JobRun, Misfire, Overlap, RunState, fire
from campaigns.domain.states import CampaignState
from campaigns.services.campaign_file import read_campaign_file
from campaigns.services.context import Context
from campaigns.services.cron import check_cron, next_time, upcoming
from campaigns.store import Store

log = structlog.get_logger(__name__)

#: Real seconds that a tick looks ahead: a time within them is fired on time, not at the next tick.
LOOK_AHEAD = 1.0
#: Runs at work at the same time: imports must not keep the threads that pace and collect.
MOST_AT_WORK = 2
#: A campaign that an earlier run launched and that is not over. A draft is one that could not be launched.
_GOES_ON = (CampaignState.SCHEDULED, CampaignState.RUNNING, CampaignState.PAUSED)
_WILD = frozenset("*?[")
#: Folders beside the files of a source: what was imported, what could not be, and what a run is at.
DONE, FAILED, PROCESSING = "done", "failed", "processing"
KEPT_APART = frozenset({DONE, FAILED, PROCESSING})


def folder_of(source: str) -> Path:
    """The folder of a source: of its pattern, as far as it names one."""
    path = Path(source)
    if not any(sign in source for sign in _WILD):
        return path.parent if path.suffix and not path.is_dir() else path
    while any(sign in str(path) for sign in _WILD):
        path = path.parent
    return path


def add_job(
    store: Store,
    workspace: str,
    name: str,
    now: datetime,
    by: str,
    *,
    cron: str,
    source: str,
    timezone: str | None = None,
    config: Path | None = None,
    append_to: str = "",
    misfire: str = Misfire.RUN_ONCE,
    overlap: str = Overlap.QUEUE,
) -> Job:
    """Make a job, active from now on. Raises UsageError for what cannot work, before anything is written."""
    if not name.strip() or len(name) > 60 or any(ord(letter) < 32 or letter in "/\\" for letter in name):
        raise UsageError(f"{name!r} cannot name a job", "use 1 to 60 printable letters, no slash")
    for option, value, known in (("misfire", misfire, Misfire), ("overlap", overlap, Overlap)):
        if value not in list(known):
            raise UsageError(f"--{option} {value} is not a policy", f"use one of {', '.join(known)}")
    zone_name = timezone or ""
    if config is not None:
        checked = read_campaign_file(config, now).usable()
        zone_name = zone_name or checked.timezone
    if not zone_name:
        raise UsageError(
            "nobody knows by which clocks the job runs", "name its zone with --timezone America/New_York"
        )
    check_cron(cron, zone_name)
    if not source.strip():
        raise UsageError("no lead lists are named", "write --source as 'inbox/*.csv', or a folder")
    folder = folder_of(source)
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "make it, or correct --source")
    if not os.access(folder, os.W_OK):
        raise UsageError(
            f"{folder} cannot be written", "files are moved to done/ and failed/ in it: allow that"
        )
    standing = store.campaigns.by_name(append_to) if append_to else None
    if standing is not None and standing.workspace != workspace:
        raise UsageError(
            f"{append_to} belongs to the {standing.workspace} account, not to {workspace}", "name another"
        )
    made = store.jobs.add(
        name,
        workspace,
        next_time(cron, zone_name, now),
        now,
        by,
        cron=cron,
        timezone=zone_name,
        config="" if config is None else str(config.resolve()),
        source=str(Path(source).absolute()),
        append_to=append_to,
        misfire=misfire,
        overlap=overlap,
    )
    if made is None:
        raise UsageError(f"a job named {name!r} exists already", "choose another name, or remove it first")
    return made


def times(job: Job, now: datetime, count: int) -> list[datetime]:
    """The job's next times, in UTC; also those that it would have if it were not paused."""
    return list(islice(upcoming(job.cron, job.timezone, now), count))


@dataclass(frozen=True, slots=True)
class Ticked:
    """runs: to be done now. again_in: real seconds to the next time, when it comes before the next tick."""

    runs: list[int] = field(default_factory=list)
    again_in: float | None = None


def tick(context: Context) -> Ticked:
    """Fire what is due and say which runs are to be done. Safe to run any number of times at once.

    A run that is told twice, or never, costs nothing: its first step is a guarded UPDATE, and the next tick tells it
    again.
    """
    store, clock, workspace = context.store, context.clock, context.workspace
    now = clock.now()
    for job in store.jobs.due(workspace, now):
        _fire(context, job, now)
    runs: list[int] = []
    waiting = store.jobs.waiting(workspace)
    free = MOST_AT_WORK - store.jobs.at_work(workspace) if waiting else 0
    for job, run in waiting:
        if len(runs) < free and _may_begin(context, job, run):
            runs.append(run.id)
    ahead = store.jobs.next_due(workspace)
    left = None if ahead is None else (ahead - clock.now()).total_seconds() / clock.speed
    return Ticked(runs, None if left is None or left >= LOOK_AHEAD else max(0.0, left))


def _fire(context: Context, job: Job, now: datetime) -> None:
    if job.next_at is None:
        return
    try:
        next_at = next_time(job.cron, job.timezone, max(now, job.next_at))
    except CampaignsError as error:
        # The zone is not known to this machine's time data any more: nobody may guess when.
        if context.store.jobs.pause(job.id):
            log.error("job_paused", job=job.name, reason=str(error))
        return
    firing = fire(job.next_at, job.misfire, now, GRACE * max(1.0, context.clock.speed))
    if context.store.jobs.fire(job, firing, next_at, now):
        log.info("job_fired", job=job.name, cause=firing.cause.value, state=firing.state.value)


def _may_begin(context: Context, job: Job, run: JobRun) -> bool:
    """Whether a waiting run is to be done now, by the overlap policy; a run that is left out is ended here."""
    if run.state is RunState.RUNNING or job.overlap is Overlap.PARALLEL:
        return True
    before = unfinished_before(context.store, job, run)
    if before is None:
        return True
    if run.cause is not Cause.OPERATOR and job.overlap is Overlap.SKIP:
        why = f"left out: {before}"
        context.store.jobs.end(run.id, RunState.QUEUED, RunState.SKIPPED, context.clock.now(), why)
    else:
        context.store.jobs.say(run.id, f"waits: {before}")
    return False


def unfinished_before(store: Store, job: Job, run: JobRun) -> str | None:
    """What of the job's earlier runs is not over, in words; None when nothing is.

    A standing campaign goes on from run to run, so that only an import in progress counts there.
    """
    for earlier in store.jobs.runs(job.id, 20):
        if earlier.id < run.id and earlier.state is RunState.RUNNING:
            return f"the run of {earlier.due_at:%Y-%m-%d %H:%M} UTC is still at work"
    if job.append_to:
        return None
    for name in store.jobs.campaigns_of(job.id, run.id):
        campaign = store.campaigns.by_name(name)
        if campaign is not None and campaign.state in _GOES_ON:
            return f"{name} is {campaign.state}"
    return None


def run_now(store: Store, job: Job, now: datetime) -> int:
    """A run at the operator's word, to be done at once: a new one, or one whose process died at it.

    Raises CampaignsError while one waits or runs.
    """
    run_id = store.jobs.add_run(job, Firing(now, Cause.OPERATOR, RunState.QUEUED, ""), now)
    if run_id is not None:
        return run_id
    for of, run in store.jobs.waiting(job.workspace):
        if of.id == job.id and run.state is RunState.RUNNING:
            return run.id
    raise CampaignsError(
        f"a run of {job.name} waits or is at work already",
        f"see `campaigns jobs show {job.name}`; two minutes after its process died the same command goes on with it",
    )


def matching(source: str) -> list[Path]:
    """The files of a source, by name; no folders, no hidden ones, nothing of done/, failed/ or processing/."""
    pattern = str(Path(source) / "*.csv") if Path(source).is_dir() else source
    folder = folder_of(source)
    found = []
    for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - the pattern is absolute
        path = Path(name)
        inside = path.relative_to(folder).parts if path.is_relative_to(folder) else path.parts
        if path.is_file() and not KEPT_APART.intersection(inside[:-1]):
            found.append(path)
    return found
