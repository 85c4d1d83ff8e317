"""One run of a job: take the new files, import them, launch their campaign, move them to done/ or failed/.

Every step can be done again. A file is taken by renaming it into the run's own folder, so that two runs never have the
same one; the campaign's name is written before the campaign is made; an identical file imported again adds nothing. So
whoever takes over from a process that was killed goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from campaigns.domain.clock import Clock
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import CampaignsError
from campaigns.domain.jobs import Job, JobRun, RunState
from campaigns.domain.states import CampaignState
from campaigns.domain.windows import zone
from campaigns.leads import LeadFileError
from campaigns.retell import RetellError
from campaigns.services.campaign_file import read_campaign_file
from campaigns.services.context import Context
from campaigns.services.imports import import_file
from campaigns.services.jobs import DONE, FAILED, PROCESSING, folder_of, matching
from campaigns.services.launch import change_options, launch, make_campaign
from campaigns.store import Busy, Store

log = structlog.get_logger(__name__)

#: Real milliseconds after which a run that says nothing is another's; and how often it says something.
LEASE_MS = 120_000
_RENEW_SECONDS = 20.0
#: Real seconds for which a file must not have changed, and for which that is waited for.
QUIET_SECONDS = 3.0
_PATIENCE = 60.0


@dataclass(frozen=True)
class Runner:
    """What a run is done with. numbers: the account's, asked for only where a campaign names none."""

    store: Store
    clock: Clock
    workspace: str
    default_cps: float | None
    numbers: Callable[[], Sequence[str]]
    sleep: Callable[[float], None] = time.sleep
    now_real: Callable[[], float] = time.time

    @classmethod
    def of(cls, context: Context) -> Runner:
        """A worker's."""

        def numbers() -> list[str]:
            return [number.phone_number for number in context.retell.list_phone_numbers()]

        return cls(
            context.store, context.clock, context.workspace, context.default_cps, numbers, context.sleep
        )


@dataclass
class Result:
    """What a run came to."""

    files: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    imported: set[str] = field(default_factory=set)

    def add(self, path: Path, **what: Any) -> None:
        self.files.append({"file": path.name, **what})

    @property
    def accepted(self) -> int:
        return sum(int(one.get("accepted", 0)) for one in self.files)

    def document(self) -> dict[str, object]:
        return {"files": self.files, "accepted": self.accepted}


def perform(runner: Runner, run_id: int, by: str = "job") -> JobRun | None:
    """Do a run. None: somebody else has it, or it has to wait.

    What is wrong with a file or a campaign is never raised: it is the run's result.
    """
    store = runner.store
    found = store.jobs.run_of(run_id)
    if found is None or not store.jobs.begin(found[0], run_id, runner.clock.now(), LEASE_MS):
        return None
    job, run = found
    result = Result()
    try:
        _perform(runner, job, run, result, by)
    except (CampaignsError, LeadFileError, RetellError, OSError) as error:
        result.problems.append(_words(error))
    except Exception as error:
        # Whatever it is: the job goes on next time, and the operator sees why it did not this time.
        log.exception("job_run_broke", job=job.name)
        result.problems.append(f"{type(error).__name__}: {error}")
    finally:
        _put_back(job, run, result)
    state = RunState.FAILED if result.problems else RunState.DONE
    message = "; ".join([*result.problems, *result.notes])[:2000]
    store.jobs.end(run_id, RunState.RUNNING, state, runner.clock.now(), message, result.document())
    again = store.jobs.run_of(run_id)
    return None if again is None else again[1]


def _words(error: Exception) -> str:
    message, remedy = getattr(error, "message", str(error)), getattr(error, "remedy", "")
    return " ".join(f"{message}{'; ' + remedy if remedy else ''}".split())


def _perform(runner: Runner, job: Job, run: JobRun, result: Result, by: str) -> None:
    options = CampaignOptions(timezone="")
    if job.config:
        options = read_campaign_file(Path(job.config)).usable().over(options)
    taken = _take(runner, job, run, result)
    if not taken:
        result.notes.append("no new files")
        if not run.campaign:
            return
        # Whoever was killed at this run had its files in and moved; their campaign may still want its launch.
        result.notes.append("taken over when its files were in")
    campaign = _campaign(runner, job, run, options)
    renewed = runner.now_real()

    def alive(_rows: int, _share: float = 0.0) -> None:
        nonlocal renewed
        if runner.now_real() - renewed > _RENEW_SECONDS:
            renewed = runner.now_real()
            runner.store.jobs.renew(run.id, LEASE_MS)

    for path in taken:
        alive(0, 0.0)
        _import(runner, job, campaign, path, result, by, alive)
    if not job.append_to and runner.store.campaigns.discard_draft(campaign.id):
        result.notes.append("no file could be used, so no campaign was made")
    else:
        _launch(runner, campaign, result)


# -- files


def _take(runner: Runner, job: Job, run: JobRun, result: Result) -> list[Path]:
    """The run's files: those that it took before it was killed, and the new ones that nobody is writing to."""
    own = _own_folder(job, run)
    deadline = runner.now_real() + _PATIENCE
    waiting = matching(job.source)
    while waiting:
        still: list[Path] = []
        for path in waiting:
            try:
                changed = path.stat().st_mtime
            except FileNotFoundError:
                continue  # another run's by now
            if 0 <= runner.now_real() - changed < QUIET_SECONDS:
                still.append(path)
                continue
            own.mkdir(parents=True, exist_ok=True)
            try:
                path.rename(_free(own / path.name))
            except FileNotFoundError:
                continue
        waiting = still
        if waiting and runner.now_real() > deadline:
            names = ", ".join(path.name for path in waiting)
            result.notes.append(f"left for the next time, since somebody is still writing: {names}")
            break
        if waiting:
            runner.store.jobs.renew(run.id, LEASE_MS)
            runner.sleep(0.5)
    return sorted(path for path in own.iterdir() if path.name[0] != ".") if own.is_dir() else []


def _own_folder(job: Job, run: JobRun) -> Path:
    return folder_of(job.source) / PROCESSING / f"run-{run.id}"


def _free(path: Path) -> Path:
    """The path, or one like it that nothing is at: no file is ever written over."""
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def _put_back(job: Job, run: JobRun, result: Result) -> None:
    """Files that a failed run has not come to wait for the next one; what is imported never does."""
    own = _own_folder(job, run)
    if not own.is_dir():
        return
    for path in sorted(own.iterdir()):
        if path.name.startswith("."):
            path.unlink()
        elif path.name in result.imported:
            result.problems.append(f"{path} is imported, and could not be moved to {DONE}/: move it")
        else:
            path.rename(_free(folder_of(job.source) / path.name))
    with suppress(OSError):
        own.rmdir()
        own.parent.rmdir()


def _import(
    runner: Runner,
    job: Job,
    campaign: Campaign,
    path: Path,
    result: Result,
    by: str,
    alive: Callable[[int, float], None],
) -> None:
    """Import one file, and move it to done/ or failed/ with what is to be said of it beside it."""
    folder = folder_of(job.source)
    rejects = path.with_name(f".{path.name}.rejected")
    try:
        summary = import_file(
            runner.store,
            campaign,
            path,
            runner.clock.now(),
            by,
            rejects_to=rejects,
            progress=alive,
            moving=alive,
        )
    except Busy:
        raise  # the campaign is another import's for now: the file waits
    except (LeadFileError, CampaignsError) as error:
        rejects.unlink(missing_ok=True)
        target = _moved(path, folder / FAILED)
        words = _words(error)
        target.with_name(f"{target.name}.error.txt").write_text(f"{words}\n", encoding="utf-8")
        result.add(path, error=words)
        result.problems.append(f"{path.name}: {words}")
        return
    result.imported.add(path.name)
    refused = summary.rejected + summary.duplicates + summary.suppressed
    target = _moved(path, folder / DONE)
    if refused and rejects.exists():
        rejects.rename(_free(target.with_name(f"{target.stem}-rejected.csv")))
    rejects.unlink(missing_ok=True)
    counts = summary.counts()
    result.add(
        path, **{name: counts[name] for name in ("rows", "accepted", "rejected", "duplicates", "held")}
    )


def _moved(path: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    target = _free(folder / path.name)
    path.rename(target)
    return target


# -- the campaign


def _campaign(runner: Runner, job: Job, run: JobRun, options: CampaignOptions) -> Campaign:
    """The standing campaign, or a new one named for the run's date by the job's clocks."""
    store, now = runner.store, runner.clock.now()
    name = job.append_to or run.campaign or _new_name(runner, job, run)
    store.jobs.choose_campaign(run.id, name)
    found = store.campaigns.by_name(name)
    if found is None:
        return make_campaign(store, runner.workspace, name, options, now)
    if found.workspace != runner.workspace:
        raise CampaignsError(
            f"{name} belongs to the {found.workspace} account", "name another with --append-to"
        )
    if job.config and job.append_to:
        # What a launch filled in stays where the file says nothing of it.
        config = read_campaign_file(Path(job.config)).usable()
        change_options(store, found, config.over(found.options), now)
    return store.campaigns.by_name(name) or found


def _new_name(runner: Runner, job: Job, run: JobRun) -> str:
    local: datetime = run.due_at.astimezone(zone(job.timezone))
    for name in (f"{job.name}-{local:%Y-%m-%d}", f"{job.name}-{local:%Y-%m-%d-%H%M}"):
        if runner.store.campaigns.by_name(name) is None:
            return name
    return f"{job.name}-{local:%Y-%m-%d-%H%M}-{run.id}"


def _launch(runner: Runner, campaign: Campaign, result: Result) -> None:
    store = runner.store
    current = store.campaigns.get(campaign.id)
    if current is None or store.reports.leads_up_to(campaign.id, 1) == 0:
        return
    if current.state == CampaignState.PAUSED:
        result.notes.append(f"{current.name} is paused, so its leads wait: {current.reason}")
        return
    if not store.reports.lead_counts(campaign.id)["pending"]:
        result.notes.append("nobody new to call")
        return
    launched = launch(
        store,
        current,
        runner.workspace,
        runner.clock.now(),
        default_cps=runner.default_cps,
        numbers=runner.numbers,
    )
    log.info("job_launched", campaign=launched.name, state=launched.state.value)
