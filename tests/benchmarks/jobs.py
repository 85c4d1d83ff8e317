"""What jobs cost a tick, and how late they run: with a real message server, worker and beat."""

from __future__ import annotations

import sqlite3
import statistics
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from campaigns.domain.clock import SystemClock
from campaigns.retell import RetellClient
from campaigns.services.context import Context
from campaigns.services.jobs import tick
from campaigns.store import Store
from tests.benchmarks import stage
from tests.benchmarks.cycle import WORKSPACE, NoLimit
from tests.benchmarks.figure import Figure, at_most, percentile, say
from workers.embedded import Stack

_HOW = {
    "cron": "* * * * *", "timezone": "America/New_York", "config": "", "append_to": "", "misfire": "run-once",
    "overlap": "parallel",
}  # fmt: skip


def jobs(quick: bool) -> Figure:
    count, ticks = (50, 20) if quick else (1_000, 300)
    say(f"jobs: {ticks} ticks beside {count:,} jobs")
    cost = _cost(count, ticks)
    late: list[float] = []
    if not quick:
        say("jobs: three minutes of a real beat and worker")
        late = _late(3)
    worst = max(late) if late else None
    goals = [at_most("value", cost["median"], 20.0)]
    if late:
        goals.append(at_most("latest_seconds", worst, 1.0))
    return Figure(
        "jobs",
        cost["median"],
        f"ms of a tick beside {count:,} jobs, median",
        goals,
        {"what": "the same beside no job, median ms", "median_ms": cost["none"]},
        {
            "p99_ms": cost["p99"],
            "cpu_ms": cost["cpu"],
            "jobs": count,
            "late_seconds": late,
            "latest_seconds": worst,
        },
    )


def _cost(count: int, ticks: int) -> dict[str, float]:
    with (
        stage.folder() as where,
        closing(Store.open(f"sqlite:///{where / 'jobs.db'}")) as store,
        closing(RetellClient(stage.KEY, "http://127.0.0.1:9")) as retell,
    ):
        store.workspaces.ensure(WORKSPACE)
        clock = SystemClock()
        context = Context(store=store, retell=retell, clock=clock, limiter=NoLimit(), workspace=WORKSPACE)
        none, _ = _ticks(context, ticks)
        now = clock.now()
        for n in range(count):
            # None is due meanwhile: this is what a second costs in which nothing happens.
            store.jobs.add(
                f"job-{n}", WORKSPACE, now + timedelta(hours=1, seconds=n), now, "bench", source="x", **_HOW
            )
        spent, cpu = _ticks(context, ticks)
    return {
        "median": round(statistics.median(spent), 3),
        "p99": round(percentile(spent, 0.99), 3),
        "none": round(statistics.median(none), 3),
        "cpu": round(cpu / ticks, 3),
    }


def _ticks(context: Context, ticks: int) -> tuple[list[float], float]:
    """Milliseconds of each tick, and of the processor in all."""
    spent: list[float] = []
    cpu = time.process_time()
    for _ in range(ticks):
        started = time.perf_counter()
        tick(context)
        spent.append((time.perf_counter() - started) * 1000)
    return spent, (time.process_time() - cpu) * 1000


def _late(minutes: int) -> list[float]:
    """Seconds from a job's time to the begin of its run, in a worker."""
    with stage.folder() as where:
        home = where / "home"
        home.mkdir()
        (where / "inbox").mkdir()
        with Stack(home) as stack:
            redis_url = stack.valkey()
            env = stage.environment(
                CAMPAIGNS_HOME=str(home), CAMPAIGNS_REDIS_URL=redis_url, RETELL_API_KEY=stage.KEY,
                RETELL_BASE_URL="http://127.0.0.1:9",
            )  # fmt: skip
            database = home / "campaigns.db"
            with closing(Store.open(f"sqlite:///{database}")) as store:
                now = SystemClock().now()
                first = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
                store.jobs.add("each", WORKSPACE, first, now, "bench", source=str(where / "inbox"), **_HOW)
            children = [
                stage.start(["-m", "campaigns.cli.app", *command], where, where / command[0], env)
                for command in (["worker", "--no-dial"], ["beat"])
            ]
            try:
                time.sleep(max(0.0, first.timestamp() - time.time()) + 60.0 * (minutes - 1) + 8.0)
                return _begun(database)
            finally:
                for child in children:
                    stage.end(child)


def _begun(database: Path) -> list[float]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        rows = connection.execute(
            "SELECT started_at - due_at FROM job_runs WHERE started_at IS NOT NULL AND cause = 'schedule' ORDER BY id"
        ).fetchall()
    if not rows:
        raise stage.BenchError("no job ran")
    return [round(row[0] / 1000, 3) for row in rows]
