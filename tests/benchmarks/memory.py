"""What the whole stack holds in memory while a campaign waits for its window."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks import stage
from tests.benchmarks.figure import Figure, at_most, say

_MIB = 2**20
_ROLES = (
    ("dial@campaigns", "dial worker"),
    ("control@campaigns", "control worker"),
    ("beat", "beat"),
    ("valkey", "message server"),
    ("redis-server", "message server"),
    ("campaigns.cli.app", "runner"),
)


def memory_at_rest(quick: bool) -> Figure:
    rest = 3.0 if quick else 15.0
    with stage.folder() as where, stage.simulator(where) as simulator:
        options = stage.call_flags("--window", _closed_window())
        with stage.runner(where, stage.SAMPLE, simulator.url, *options) as runner:
            _wait_for_rest(runner, rest)
            found = _measure(runner.process.pid)
            dials = simulator.ledger()["rings"]
    if absent := {role for _, role in _ROLES} - {process["process"] for process in found}:
        raise stage.BenchError(f"not running: {', '.join(sorted(absent))}")
    if dials:
        raise stage.BenchError(f"{dials} calls were made in a closed window")
    total = {kind: round(sum(process[kind] for process in found), 1) for kind in ("pss", "rss")}
    return Figure(
        "memory_at_rest",
        total["pss"],
        "MiB PSS of the whole stack",
        [at_most("value", total["pss"], 350.0)],
        details={
            "rss_mib": total["rss"],
            "processes": found,
            "at_rest_seconds": rest,
            "leads": stage.SAMPLE.name,
            "note": "before the first dial; the stand-in for Retell is not counted; PSS shares out what is shared",
        },
    )


def _closed_window() -> str:
    """An hour on the day three days from now, which no zone is near."""
    day = (datetime.now(UTC) + timedelta(days=3)).strftime("%a")
    return f"{day} 12:00-13:00"


def _wait_for_rest(runner: stage.Runner, rest: float) -> None:
    deadline = time.monotonic() + 60
    while not _running(runner.database):
        runner.check()
        if time.monotonic() > deadline:
            raise stage.BenchError("the campaign was not launched within 60 s")
        time.sleep(0.1)
    say(f"memory_at_rest: the campaign waits; {rest:g} s of rest")
    time.sleep(rest)
    runner.check()


def _running(database: Path) -> bool:
    if not database.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT count(*) FROM campaigns WHERE state = 'running'").fetchone()
    except sqlite3.OperationalError:
        return False  # not migrated yet
    return bool(row[0])


def _measure(pid: int) -> list[dict[str, Any]]:
    """Each process of the stack, in MiB."""
    found: list[dict[str, Any]] = []
    numbers: defaultdict[str, int] = defaultdict(int)
    for process in stage.family(pid):
        try:
            command = " ".join(process.cmdline())
            memory = process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        role = next((role for part, role in _ROLES if part in command), "other")
        numbers[role] += 1
        # Where the system knows no PSS, what is private to the process comes closest.
        shared_out = getattr(memory, "pss", memory.uss)
        found.append(
            {"process": role, "pss": round(shared_out / _MIB, 1), "rss": round(memory.rss / _MIB, 1)}
        )
    return found
