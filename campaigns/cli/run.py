"""`campaigns run`: one command from a lead list to a results file."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated

import structlog
import typer
from pydantic import SecretStr

from campaigns.cli import campaign_options as asked
from campaigns.cli import options as given
from campaigns.cli.drafts import new_campaign
from campaigns.cli.lists import import_with_progress, show_import
from campaigns.cli.output import NEEDS_A_PERSON, Output
from campaigns.cli.steering import start
from campaigns.cli.view import MOST_EVENTS, Screen
from campaigns.domain.clock import Clock, ScaledClock
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.states import FINAL_CAMPAIGN, CampaignState
from campaigns.logs import configure_logs
from campaigns.runtime import open_retell, open_store
from campaigns.services.export import export_results
from campaigns.services.imports import export_rejects
from campaigns.services.launch import begin_and_end, change_options, check_workspace
from campaigns.services.looking import Looker
from campaigns.services.simulation import OPTIONS, SPEED, simulated_clock, skip_quiet_hours
from campaigns.settings import SIMULATOR, Settings, load_settings
from campaigns.store import Store, Unavailable
from workers.embedded import HomeLock, Stack
from workers.queues import CONTROL_QUEUES, CONTROL_THREADS, DIAL_QUEUES, DIAL_THREADS

log = structlog.get_logger(__name__)

DRAINED = "the runner was stopped with Ctrl-C: run the same command again to go on"
_LOOK_EVERY, _LINE_EVERY = 0.4, 5.0
_PROBE_EVERY = 3.0
#: Real seconds that a drained runner waits for the analyses of calls that are over; later ones wait for the next run.
_SETTLE_GRACE = 15.0


def register(app: typer.Typer) -> None:
    app.command("run")(run)


@asked.campaign_options()
def run(
    file: given.LeadFileArgument,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Dial a simulator on this machine, on a fast clock.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="Campaign; default: the file's name.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            "--speed", metavar="X", help=f"With --simulate: business seconds per second, default {SPEED:g}."
        ),
    ] = None,
    as_json: given.Json = False,
    *,
    changes: asked.Changes,
) -> None:
    """Import a lead list, dial it, and write the results; resumes where it was if it is run again.

    Example: campaigns run leads.csv --from +14155550100 --agent agent_abc123
    """
    out, settings = Output(as_json), load_settings()
    if speed is not None and (not simulate or not 0 < speed <= 10_000):
        raise UsageError("--speed takes 0 to 10000, and only with --simulate", "leave it out")
    if not file.exists():
        raise UsageError(f"there is no file {file}", "check the path")
    configure_logs()
    settings = _simulated(settings) if simulate else _checked(settings)
    store = open_store(settings)
    with HomeLock(settings.home.resolve()):
        campaign_name = name or changes.name or file.stem
        found = store.campaigns.by_name(campaign_name)
        if found is not None:
            # First of all: workers may be dialing real people by its options, and out of its list.
            check_workspace(found, settings.workspace)
        # What was given is held against what the campaign has: an end without a zone is by the campaign's.
        base = found.options if found else OPTIONS if simulate else CampaignOptions()
        wanted = changes.over(base)
        campaign = found or new_campaign(store, settings, campaign_name, wanted)
        if found is not None:
            change_options(store, campaign, wanted, settings.clock().now())
        try:
            code = _Runner(out, settings, store, campaign.name, file, speed or SPEED).run()
        finally:
            if found is None:
                store.campaigns.discard_draft(campaign.id)
    raise typer.Exit(code)


def _checked(settings: Settings) -> Settings:
    """Fail before anything is started when the account cannot be used. Raises CampaignsError or RetellError."""
    settings.clock()
    with open_retell(settings) as retell:
        retell.get_concurrency()
    return settings


def _simulated(settings: Settings) -> Settings:
    """Point everything at a simulator on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return settings.model_copy(
        update={
            "workspace": SIMULATOR,
            "base_url": f"http://127.0.0.1:{port}",
            "api_key": SecretStr("key_simulator"),
        }
    )


class _Runner:
    """One run of one campaign, from the import to the results file."""

    def __init__(
        self, out: Output, settings: Settings, store: Store, name: str, file: Path, speed: float
    ) -> None:
        self._out = out
        self._settings = settings
        self._store = store
        self._name = name
        self._file = file
        self._speed = speed
        self._clock: Clock = settings.clock()
        self._stops = 0

    def run(self) -> int:
        settings, store = self._settings, self._store
        signal.signal(signal.SIGTERM, self._stop)
        with Stack(settings.home) as stack:
            simulated = settings.workspace == SIMULATOR
            if not simulated:
                settings = self._start_workers(stack, settings)
            summary = import_with_progress(store, settings, self._campaign(), self._file, self._out)
            show_import(self._out, summary)
            begin_and_end(store, settings.workspace, self._clock.now())
            campaign = self._campaign()
            if campaign.state in FINAL_CAMPAIGN and not store.reports.lead_counts(campaign.id)["pending"]:
                self._out.line(f"{self._name} was {campaign.state} before: nothing is dialed")
                return self._finish()
            if simulated:
                if not isinstance(self._clock, ScaledClock):
                    clock = simulated_clock(
                        store,
                        campaign,
                        self._clock.now(),
                        settings.home.resolve() / "clock-skips",
                        self._speed,
                    )
                    settings = settings.model_copy(update={"clock_spec": clock.spec()})
                    self._clock = clock
                store.workspaces.set_clock(settings.workspace, self._clock.spec())
                port = self._start_simulator(stack, settings)
                settings = self._start_workers(stack, settings)
                _wait_for_port(port, stack)
            signal.signal(signal.SIGINT, self._stop)
            start(store, settings, campaign)
            try:
                self._watch(stack)
            finally:
                if simulated:
                    store.workspaces.set_clock(settings.workspace, None)
        return self._finish()

    def _campaign(self) -> Campaign:
        return given.find_campaign(self._store, self._name)

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._stops += 1
        if self._stops > 1:
            raise KeyboardInterrupt

    # -- the stack -------------------------------------------------------------------------------------------

    def _start_simulator(self, stack: Stack, settings: Settings) -> int:
        port = settings.base_url.rsplit(":", 1)[1]
        ledger = settings.home.resolve() / "simulator.jsonl"
        stack.add(
            "simulator",
            [
                sys.executable,
                "-m",
                "campaigns.simulator",
                "--port",
                port,
                "--accept-any",
                "--ledger",
                str(ledger),
            ],
            _environment(settings),
        )
        return int(port)

    def _start_workers(self, stack: Stack, settings: Settings) -> Settings:
        """The message server and the Celery processes, told everything by their environment."""
        if not settings.redis_url:
            settings = settings.model_copy(update={"redis_url": stack.valkey()})
        environment = _environment(settings)
        common = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
        for name, queues, threads in (
            ("control", CONTROL_QUEUES, CONTROL_THREADS),
            ("dial", DIAL_QUEUES, DIAL_THREADS),
        ):
            stack.celery(
                name,
                "workers.app",
                ["worker", "-n", f"{name}@campaigns", "-Q", ",".join(queues), "-c", str(threads), *common],
                environment,
            )
        stack.celery("beat", "workers.beat", ["beat", "--pidfile", "", "-l", "WARNING"], environment)
        return settings

    # -- watching --------------------------------------------------------------------------------------------

    def _watch(self, stack: Stack) -> None:
        """Show progress until the campaign ends, pauses itself, or the runner is told to stop and has drained."""
        draining = False
        quiet_since: float | None = None
        disk = _Disk(self._store)
        looker = Looker(self._store, lambda _: self._clock, self._name)
        with Screen(self._out.progress_console, _LINE_EVERY) as screen:
            while True:
                stack.check()
                trouble = disk.trouble()
                try:
                    if self._stops and not draining:
                        self._store.campaigns.pause(self._campaign().id, DRAINED, self._clock.now())
                        draining = True
                    look = looker.look(MOST_EVENTS)
                except Unavailable:
                    # It may pass, and the workers wait for it as well.
                    time.sleep(_LOOK_EVERY)
                    continue
                if not look.campaigns:
                    self._campaign()  # deleted meanwhile: says so
                current, note = look.campaigns[0].status, ""
                if draining:
                    note = f"draining: {current.own} calls are left to finish; Ctrl-C again leaves them"
                elif trouble is None:
                    skip_quiet_hours(self._clock, current)
                if trouble is not None:
                    note = f"nothing is dialed while the database cannot be written: {trouble}"
                with _on_a_full_disk_too():
                    screen.show(look, note)
                going_on = (
                    current.campaign.state in (CampaignState.RUNNING, CampaignState.SCHEDULED)
                    or current.campaign.resume_at is not None
                )
                if current.own or going_on:
                    quiet_since = None
                else:
                    quiet_since = quiet_since or time.monotonic()
                    waited = time.monotonic() - quiet_since > _SETTLE_GRACE
                    if not current.attempts["ended"] or waited:
                        return
                time.sleep(_LOOK_EVERY)

    # -- the end ---------------------------------------------------------------------------------------------

    def _finish(self) -> int:
        campaign = self._campaign()
        home = self._settings.home
        stem = re.sub(r"[^\w.-]+", "_", self._name)
        results, rejects = home / f"{stem}-results.csv", home / f"{stem}-rejected.csv"
        export_results(self._store, campaign, results)
        export_rejects(self._store, campaign, rejects)
        # Not before: pandas takes a moment to import, and memory for as long as the campaign runs.
        from campaigns.cli.reports import show_report
        from campaigns.services.figures import report

        found = report(self._store, campaign, self._clock.now())
        self._out.document(found.document() | {"results": str(results), "rejects": str(rejects)})
        if not self._out.as_json:
            show_report(self._out, found)
        self._out.line(f"results: {results}")
        self._out.line(f"rejects: {rejects}")
        if campaign.state not in FINAL_CAMPAIGN:
            raise CampaignsError(f"{self._name} is {campaign.state}: {campaign.reason}", "")
        return NEEDS_A_PERSON if found.status.needs_a_person else 0


class _Disk:
    """Looks now and then whether the database takes a write: workers that cannot write cannot say so there."""

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self._looked = 0.0
        self._trouble: str | None = None

    def trouble(self) -> str | None:
        """Why nothing can be written, as of the last look."""
        if time.monotonic() - self._looked >= _PROBE_EVERY:
            before, self._trouble = self._trouble, self._database.trouble()
            self._looked = time.monotonic()
            if self._trouble is not None and before is None:
                log.error("database_not_writable", why=self._trouble)
            elif self._trouble is None and before is not None:
                log.info("database_writable_again")
        return self._trouble


@contextlib.contextmanager
def _on_a_full_disk_too() -> Iterator[None]:
    """What is only shown must not end a run because the file it is shown in takes no more."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        log.warning("progress_not_shown", error=str(error))


def _environment(settings: Settings) -> Mapping[str, str]:
    """What the children are told; more than they inherit, since a `.env` file may have said it."""
    return {
        "RETELL_API_KEY": settings.api_key.get_secret_value(),
        "RETELL_BASE_URL": settings.base_url,
        "CAMPAIGNS_HOME": str(settings.home.resolve()),
        "CAMPAIGNS_DATABASE_URL": settings.store_url(),
        "CAMPAIGNS_REDIS_URL": settings.redis_url,
        "CAMPAIGNS_CLOCK": settings.clock_spec,
        "CAMPAIGNS_WORKSPACE": settings.workspace,
        "CAMPAIGNS_DIAL_TIMEOUT": str(settings.dial_timeout),
        "CAMPAIGNS_POLL_INTERVAL": "" if settings.poll_interval is None else str(settings.poll_interval),
        "CAMPAIGNS_RUNNER": str(os.getpid()),
        # glibc gives every thread an arena of its own; idle threads then cost more than the program.
        "MALLOC_ARENA_MAX": "2",
    }


def _wait_for_port(port: int, stack: Stack) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise CampaignsError("the simulator did not start", f"look into {stack.logs / 'simulator.log'}")
