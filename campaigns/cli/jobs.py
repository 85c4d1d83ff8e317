"""`campaigns jobs`: import and launch the new files of a folder at set times."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from campaigns.cli import options as given
from campaigns.cli.output import NEEDS_A_PERSON, Output
from campaigns.cli.steering import account_numbers
from campaigns.domain.errors import CampaignsError
from campaigns.domain.jobs import Job, JobRun, JobState, Misfire, Overlap, RunState
from campaigns.domain.windows import zone
from campaigns.logs import configure_logs
from campaigns.runtime import open_store
from campaigns.services.cron import in_words, next_time
from campaigns.services.job_runs import Runner, perform
from campaigns.services.jobs import add_job, run_now, times
from campaigns.services.launch import DEFAULT_CPS
from campaigns.services.report import iso
from campaigns.settings import load_settings
from campaigns.store import Store

Name = Annotated[str, typer.Argument(metavar="NAME", help="The job's name.")]
_NEXT, _LAST = 5, 10


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Import and launch the new files of a folder at set times.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, command in (
        ("add", add), ("list", listed), ("show", show), ("run", run), ("pause", pause), ("resume", resume),
        ("remove", remove),
    ):  # fmt: skip
        group.command(name)(command)
    app.add_typer(group, name="jobs")


def add(
    name: Name,
    cron: Annotated[
        str,
        typer.Option(
            "--cron", metavar="EXPR", help="When, as '0 9 * * MON-FRI': minute hour day month weekday."
        ),
    ],
    source: Annotated[
        str,
        typer.Option("--source", metavar="PATTERN", help="The lead lists, as 'inbox/*.csv', or a folder."),
    ],
    timezone: Annotated[
        str | None,
        typer.Option(
            "--timezone", metavar="ZONE", help="By which clocks; default: the campaign file's zone."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A campaign.toml; it is read anew at each run."),
    ] = None,
    append_to: Annotated[
        str,
        typer.Option(
            "--append-to", metavar="N", help="Add to this campaign; default: a new one of that date."
        ),
    ] = "",
    misfire: Annotated[
        str,
        typer.Option(
            "--misfire", metavar="POLICY", help="For times that passed while all was off: run-once, skip."
        ),
    ] = Misfire.RUN_ONCE,
    overlap: Annotated[
        str,
        typer.Option(
            "--overlap", metavar="POLICY", help="While the run before is not over: queue, skip, parallel."
        ),
    ] = Overlap.QUEUE,
    as_json: given.Json = False,
) -> None:
    """Make a job. Files are moved to done/ or failed/ beside their folder, with their rejects beside them.

    Example: campaigns jobs add daily --cron "0 9 * * MON-FRI" --source "inbox/*.csv" --config campaign.toml
    """
    settings, out = load_settings(), Output(as_json)
    store, now = open_store(settings), settings.clock().now()
    job = add_job(
        store, settings.workspace, name, now, given.operator(), cron=cron, source=source, timezone=timezone,
        config=config, append_to=append_to, misfire=misfire, overlap=overlap,
    )  # fmt: skip
    out.line(f"{name}: {in_words(job.cron)} by the clocks of {job.timezone}")
    out.line(f"next: {_local(job, times(job, now, 1)[0])}")
    out.document(_document(job, now, None))


def listed(as_json: given.Json = False) -> None:
    """All jobs: when each runs next, and what its last run came to. Exit code 3 when one failed.

    Example: campaigns jobs list
    """
    settings, out = load_settings(), Output(as_json)
    store, now = open_store(settings), settings.clock().now()
    latest = store.jobs.latest()
    everyone = store.jobs.listed()
    out.document([_document(job, now, latest.get(job.id)) for job in everyone])
    if not as_json:
        rows = [
            [job.name, job.state.value, job.cron, _local(job, job.next_at) if job.next_at else "",
             _word(latest.get(job.id)), latest[job.id].message if job.id in latest else ""]
            for job in everyone
        ]  # fmt: skip
        out.table("Jobs", ["job", "state", "cron", "next", "last run", "which came to"], rows)
    failed = any(one.state is RunState.FAILED for one in latest.values())
    raise typer.Exit(NEEDS_A_PERSON if failed else 0)


def show(name: Name, as_json: given.Json = False) -> None:
    """One job: how it runs, its next five times, its last runs.

    Example: campaigns jobs show daily
    """
    settings, out = load_settings(), Output(as_json)
    store, now = open_store(settings), settings.clock().now()
    job = _find(store, name)
    runs = store.jobs.runs(job.id, _LAST)
    out.document(
        _document(job, now, store.jobs.latest().get(job.id)) | {"runs": [_run_document(run) for run in runs]}
    )
    if as_json:
        return
    out.headline(job.name, job.state.value)
    out.line(f"when: {in_words(job.cron)} by the clocks of {job.timezone} ({job.cron})")
    out.line(f"files: {job.source}, into {job.append_to or 'a new campaign each time'}")
    if job.config:
        out.line(f"options: {job.config}")
    out.line(f"missed times: {job.misfire.value}; while the run before is not over: {job.overlap.value}")
    upcoming = [[_local(job, at), iso(at)] for at in times(job, now, _NEXT)]
    out.table(
        "Next times" if job.next_at else "Next times, once it is resumed", [job.timezone, "UTC"], upcoming
    )
    out.table(
        "Last runs",
        ["time", "cause", "state", "campaign", "leads", "message"],
        [
            [_local(job, run.due_at), run.cause.value, run.state.value, run.campaign, run.result.get("accepted"),
             run.message]
            for run in runs
        ],
    )  # fmt: skip


def run(name: Name, as_json: given.Json = False) -> None:
    """Run a job now, here; its own times stay as they are. `campaigns worker` and `campaigns beat` dial.

    Example: campaigns jobs run daily
    """
    settings, out = load_settings(), Output(as_json)
    configure_logs()
    store = open_store(settings)
    job = _find(store, name)
    if job.workspace != settings.workspace:
        raise CampaignsError(f"{name} belongs to the {job.workspace} account", "run it there")
    run_id = run_now(store, job, settings.clock().now())
    runner = Runner(
        store, settings.clock(), settings.workspace, None if settings.stand_in else DEFAULT_CPS,
        lambda: account_numbers(store, settings),
    )  # fmt: skip
    ended = perform(runner, run_id, given.operator())
    while ended is None or ended.state in (RunState.QUEUED, RunState.RUNNING):
        # A worker was faster: its word is awaited.
        time.sleep(0.2)
        found = store.jobs.run_of(run_id)
        if found is None:
            raise CampaignsError(f"{name} was removed meanwhile", "see `campaigns jobs list`")
        ended = found[1]
    out.document(_run_document(ended))
    if ended.state is RunState.FAILED:
        raise CampaignsError(f"{name} failed: {ended.message}", f"see `campaigns jobs show {name}`")
    for one in ended.result.get("files", []):  # type: ignore[attr-defined]
        out.line(f"{one['file']}: {one['rows']:,} rows, {one['accepted']:,} imported")
    out.line(f"{name}: {ended.state.value}" + (f" ({ended.message})" if ended.message else ""))


def pause(name: Name, as_json: given.Json = False) -> None:
    """No run of the job until it is resumed; campaigns that it launched go on.

    Example: campaigns jobs pause daily
    """
    store, out = open_store(load_settings()), Output(as_json)
    job = _find(store, name)
    if not store.jobs.pause(job.id):
        raise CampaignsError(f"{name} is {job.state}", f"see `campaigns jobs show {name}`")
    _say(store, out, name, "paused")


def resume(name: Name, as_json: given.Json = False) -> None:
    """Go on with a paused job; the times in between are left out.

    Example: campaigns jobs resume daily
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    job = _find(store, name)
    if not store.jobs.resume(job.id, next_time(job.cron, job.timezone, settings.clock().now())):
        raise CampaignsError(f"{name} is {job.state}", f"see `campaigns jobs show {name}`")
    _say(store, out, name, "active again")


def remove(name: Name, as_json: given.Json = False) -> None:
    """Remove a job and the record of its runs; its campaigns and files stay.

    Example: campaigns jobs remove daily
    """
    store, out = open_store(load_settings()), Output(as_json)
    if not store.jobs.remove(_find(store, name).id):
        raise CampaignsError(f"a run of {name} is at work", "wait for it, see `campaigns jobs show`")
    out.line(f"{name} is removed")
    out.document({"job": name, "state": "removed"})


def _find(store: Store, name: str) -> Job:
    found = store.jobs.by_name(name)
    if found is None:
        known = [job.name for job in store.jobs.listed()]
        there = (
            f"there are: {', '.join(known[:10])}"
            if known
            else "there is none: make one with `campaigns jobs add`"
        )
        raise CampaignsError(f"no job is named {name!r}", there)
    return found


def _say(store: Store, out: Output, name: str, word: str) -> None:
    job = _find(store, name)
    out.line(f"{name} is {word}" + (f", next at {_local(job, job.next_at)}" if job.next_at else ""))
    out.document(
        {"job": name, "state": job.state.value, "next_at": iso(job.next_at) if job.next_at else None}
    )


def _word(run: JobRun | None) -> str:
    return "" if run is None else run.state.value


def _local(job: Job, at: datetime) -> str:
    return f"{at.astimezone(zone(job.timezone)):%a %Y-%m-%d %H:%M %Z}"


def _document(job: Job, now: datetime, last: JobRun | None) -> dict[str, Any]:
    return {
        "job": job.name,
        "state": job.state.value,
        "cron": job.cron,
        "timezone": job.timezone,
        "config": job.config or None,
        "source": job.source,
        "append_to": job.append_to or None,
        "misfire": job.misfire.value,
        "overlap": job.overlap.value,
        "next_at": iso(job.next_at) if job.next_at else None,
        "next_times": [iso(at) for at in times(job, now, _NEXT)] if job.state is JobState.ACTIVE else [],
        "last_run": None if last is None else _run_document(last),
    }


def _run_document(run: JobRun) -> dict[str, Any]:
    return {
        "run": run.id,
        "due_at": iso(run.due_at),
        "cause": run.cause.value,
        "state": run.state.value,
        "campaign": run.campaign or None,
        "started_at": iso(run.started_at) if run.started_at else None,
        "finished_at": iso(run.finished_at) if run.finished_at else None,
        "message": run.message or None,
        "result": run.result,
    }
