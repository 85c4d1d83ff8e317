"""Importing a list end to end, against the least that reading a file and filling the same table can cost."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import statistics
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from campaigns.domain.clock import SystemClock, to_ms
from campaigns.services.imports import import_file
from campaigns.store import Store
from tests.benchmarks import cycle, stage
from tests.benchmarks.figure import Figure, at_least, at_most, say

_INSERT = """
    INSERT INTO leads (campaign_id, file_id, line, phone, state, zones, zone_source, priority, next_attempt_at,
        external_id, agent_id, agent_version, extension, consent, ignore_e164, variables, metadata, sip_headers, cells)
    VALUES (?, ?, ?, ?, 'pending', 'America/New_York', 'phone', 5, ?, ?, '', '', '', '', 0, '{}', '{}', '{}', ?)
"""


def import_rate(quick: bool) -> Figure:
    rows, rounds = (5_000, 1) if quick else (100_000, 3)
    ours: list[float] = []
    floor: list[float] = []
    with stage.folder() as where:
        listed = stage.lead_list(where / "leads.csv", rows)
        for number in range(rounds):
            ours.append(_import(where / f"import-{number}.db", listed, rows))
            floor.append(_floor(where / f"floor-{number}.db", listed, rows))
            say(
                f"import: round {number + 1}: {rows / ours[-1]:,.0f} rows/s, the floor {rows / floor[-1]:,.0f}"
            )
        command = _command(where, listed, rows)
    value = round(rows / statistics.median(ours))
    least = round(rows / statistics.median(floor))
    times = round(statistics.median(a / b for a, b in zip(ours, floor, strict=True)), 3)
    return Figure(
        "import",
        value,
        "rows/s, median",
        [at_most("times_the_floor", times, 2.0), at_least("accepted", command["accepted"], rows)],
        {
            "what": "csv.reader and one executemany into the same table with its indexes, SQLite FULL",
            "rows_per_second": least,
        },
        {
            "times_the_floor": times,
            "rows": rows,
            "seconds": [round(seconds, 3) for seconds in ours],
            "floor_seconds": [round(seconds, 3) for seconds in floor],
            **command,
        },
    )


def _import(path: Path, listed: Path, rows: int) -> float:
    """Seconds of `import_file`: reading, numbers, zones, duplicates, do-not-call, one durable transaction."""
    store = Store.open(f"sqlite:///{path}")
    try:
        now = SystemClock().now()
        campaign = cycle.campaign(store, "bench", now)
        started = time.perf_counter()
        summary = import_file(store, campaign, listed, now, "bench")
        seconds = time.perf_counter() - started
    finally:
        store.close()
    if summary.accepted != rows:
        raise stage.BenchError(f"{summary.accepted} of {rows} rows were accepted: {summary.counts()}")
    return seconds


def _floor(path: Path, listed: Path, rows: int) -> float:
    store = Store.open(f"sqlite:///{path}")
    try:
        now = SystemClock().now()
        campaign = cycle.campaign(store, "bench", now)
        with store.imports.writer(campaign.id, now) as writer:
            writer.begin(listed.name, "0" * 64, 0, ["phone_number"], "bench")
            file_id = writer.file_id
    finally:
        store.close()
    at = to_ms(now)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, listed.open(newline="") as file:
        connection.execute("PRAGMA synchronous=FULL")
        started = time.perf_counter()
        reader = csv.reader(file)
        next(reader)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            _INSERT,
            (
                (campaign.id, file_id, line, cells[0], at, cells[-1], str(cells))
                for line, cells in enumerate(reader, start=2)
            ),
        )
        connection.execute("COMMIT")
        seconds = time.perf_counter() - started
        (count,) = connection.execute("SELECT count(*) FROM leads").fetchone()
    if count != rows:
        raise stage.BenchError(f"the floor wrote {count} of {rows} rows")
    return seconds


def _command(where: Path, listed: Path, rows: int) -> dict[str, Any]:
    """The same by `campaigns import`: seconds with the program's start, and the most memory it took."""
    output = where / "import"
    env = stage.environment(CAMPAIGNS_HOME=str(where / "home"))
    arguments = ["-m", "campaigns.cli.app", "import", str(listed), "--campaign", "bench", "--json"]
    started = time.perf_counter()
    process = stage.start(arguments, where, output, env)
    try:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        stage.end(process)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise stage.BenchError(f"campaigns import failed: {stage.last_words(output)}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "command_seconds": round(seconds, 3),
        "command_peak_rss_mib": round(usage.ru_maxrss * unit / 2**20, 1),
        "accepted": json.loads(output.read_text())["accepted"],
    }
