"""What it costs to look: `status`, `report` and `watch` on a campaign of a million leads and a million calls."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import psutil

from tests.benchmarks import large, stage
from tests.benchmarks.figure import Figure, at_most, percentile, say

_MIB = 2**20


def _rows(quick: bool) -> int:
    return 5_000 if quick else 1_000_000


def _campaigns(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "campaigns.cli.app", *arguments]


def _run(
    arguments: Sequence[str], env: Mapping[str, str], where: Path, ok: Sequence[int]
) -> tuple[float, float, str, float]:
    """(real seconds, MiB at most, standard output, processor seconds) of a command."""
    output = where / "output"
    with output.open("wb") as out, output.with_name("output.err").open("wb") as err:
        started = time.perf_counter()
        process = subprocess.Popen(arguments, cwd=where, env=dict(env), stdout=out, stderr=err)
        _, result, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(result)
    if process.returncode not in ok:
        raise stage.BenchError(f"{arguments[3]} ended with {process.returncode}: {stage.last_words(output)}")
    return seconds, used.ru_maxrss / 1024, output.read_text(), used.ru_utime + used.ru_stime


def status(quick: bool) -> Figure:
    rounds = 3 if quick else 15
    with large.home(_rows(quick)) as home:
        taken, cpus, helps, counts = [], [], [], []
        for _ in range(rounds):
            # 3: some leads are held.
            seconds, _, said, cpu = _run(
                _campaigns("status", large.NAME, "--json"), home.environment, home.path, (3,)
            )
            taken.append(seconds * 1000)
            cpus.append(cpu * 1000)
            helps.append(_run(_campaigns("--help"), home.environment, home.path, (0,))[0] * 1000)
            counts.append(_count(home.database) * 1000)
        shown = json.loads(said)
    if shown["leads"]["total"] != home.leads or sum(shown["attempts"].values()) != home.calls:
        raise stage.BenchError("the status does not count what is there")
    value = round(statistics.median(taken), 1)
    return Figure(
        "status",
        value,
        f"ms for `campaigns status`, the whole process, {home.leads:,} leads and {home.calls:,} calls, median",
        [at_most("value", value, 500.0)],
        {
            "what": "counting the rows of leads and attempts by index and summing the costs, ms median",
            "median_ms": round(statistics.median(counts), 1),
        },
        {
            "cpu_ms": round(statistics.median(cpus), 1),
            "worst_ms": round(max(taken), 1),
            "help_ms": round(statistics.median(helps), 1),
            "rounds": rounds,
        },
    )


def _count(database: Path) -> float:
    started = time.perf_counter()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for query in (
            "SELECT state, count(*) FROM leads GROUP BY campaign_id, state",
            "SELECT state, outcome, count(*), sum(cost_cents) FROM attempts GROUP BY campaign_id, state, outcome",
        ):
            connection.execute(query).fetchall()
    return time.perf_counter() - started


def report(quick: bool) -> Figure:
    rounds = 1 if quick else 3
    with large.home(_rows(quick)) as home:
        taken = []
        for _ in range(rounds):
            taken.append(_run(_campaigns("report", large.NAME, "--json"), home.environment, home.path, (0,)))
        shown = json.loads(taken[-1][2])
        floor = _read(home.database)
    if shown["calls"] != shown["attempts"]["settled"] or shown["calls"] < home.calls - 100:
        raise stage.BenchError("the report does not count the calls that are there")
    seconds = round(statistics.median(one[0] for one in taken), 2)
    mib = round(max(one[1] for one in taken))
    return Figure(
        "report",
        seconds,
        f"s for `campaigns report` over {home.calls:,} calls, the whole process, median",
        [at_most("value", seconds, 10.0), at_most("peak_mib", mib, 500.0)],
        {
            "what": "fetching the same columns with sqlite3 and throwing them away, s",
            "seconds": round(floor, 2),
        },
        {
            "peak_mib": mib,
            "cpu_s": round(statistics.median(one[3] for one in taken), 2),
            "worst_s": round(max(one[0] for one in taken), 2),
            "rounds": rounds,
        },
    )


def _read(database: Path) -> float:
    started = time.perf_counter()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT a.lead_id, l.file_id, l.zones, a.agent_id, a.from_number, a.dialing_at, a.placed_at, a.ended_at,"
            " a.outcome, a.duration_ms, a.cost_cents, a.successful FROM attempts a JOIN leads l ON l.id = a.lead_id"
            " WHERE a.state = 'settled'"
        )
        while rows.fetchmany(50_000):
            pass
    return time.perf_counter() - started


def watch(quick: bool) -> Figure:
    """The processor time of `campaigns watch` on a terminal, and what a dialer's commits take beside it."""
    seconds = 4.0 if quick else 30.0
    with large.home(_rows(quick)) as home:
        alone = _commits(home.database, seconds / 2)
        with _watching(home) as watcher:
            time.sleep(2.0 if quick else 8.0)  # its imports and its first look
            before, started = _used(watcher), time.perf_counter()
            beside = _commits(home.database, seconds)
            share = (_used(watcher) - before) / (time.perf_counter() - started)
    ratio = round(statistics.median(beside) / statistics.median(alone), 2)
    value = round(100 * share, 2)
    return Figure(
        "watch",
        value,
        f"% of a core for `campaigns watch` at one look a second, {home.leads:,} leads",
        [at_most("value", value, 3.0), at_most("commit_beside_to_alone", ratio, 1.5)],
        {
            "what": "commits of a changed row without a watcher, ms",
            "median_ms": round(statistics.median(alone), 3),
            "p99_ms": round(percentile(alone, 0.99), 3),
        },
        {
            "commit_beside_to_alone": ratio,
            "commit_beside_median_ms": round(statistics.median(beside), 3),
            "commit_beside_p99_ms": round(percentile(beside, 0.99), 3),
            "seconds": seconds,
        },
    )


def _commits(database: Path, seconds: float) -> list[float]:
    """Milliseconds of one commit after the other, twenty a second, as a busy dialer makes them."""
    taken: list[float] = []
    with closing(sqlite3.connect(database, isolation_level=None, timeout=10)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            started = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "UPDATE attempts SET searches = searches + 1 WHERE id = ?", (f"{len(taken):032x}",)
            )
            connection.execute("COMMIT")
            taken.append((time.perf_counter() - started) * 1000)
            time.sleep(0.05)
    return taken


class _watching:
    """`campaigns watch` on a terminal of its own, whose screen nobody reads."""

    def __init__(self, home: large.Home) -> None:
        self._home = home

    def __enter__(self) -> psutil.Process:
        ours, theirs = pty.openpty()
        env = {**self._home.environment, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        self._process = subprocess.Popen(
            _campaigns("watch", large.NAME),
            cwd=self._home.path,
            env=env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._ours = ours
        threading.Thread(target=self._drain, daemon=True).start()
        say("watching")
        return psutil.Process(self._process.pid)

    def _drain(self) -> None:
        with suppress(OSError):
            while os.read(self._ours, 65_536):
                pass

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is not None:
            raise stage.BenchError(f"watch ended by itself, with {self._process.returncode}")
        self._process.terminate()
        code = self._process.wait(10)
        os.close(self._ours)
        if code != 0:
            raise stage.BenchError(f"watch was stopped and ended with {code}")


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
