"""Importing a messy list end to end, against the least that reading a file and filling the same table can cost, and
against the way one would write it first: row by row."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import statistics
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from campaigns.domain.clock import SystemClock, to_ms
from campaigns.leads import LeadRow, open_lead_file
from campaigns.services.imports import import_file
from campaigns.store import Store
from tests.benchmarks import cycle, stage
from tests.benchmarks.figure import Figure, at_least, at_most, percentile, say
from tests.benchmarks.messy import messy_list

_INSERT = """
    INSERT INTO leads (campaign_id, file_id, line, phone, state, zones, zone_source, priority, next_attempt_at,
        external_id, agent_id, agent_version, extension, consent, zip, state_given, ignore_e164, metadata, sip_headers)
    VALUES (?, ?, ?, ?, 'pending', 'America/New_York', 'number', 5, ?, '', '', '', '', '', '', '', 0, ?, '{}')
"""
#: Read before the environment is cleared.
_ROWS = int(os.environ.get("CAMPAIGNS_BENCH_ROWS", "200000"))
#: Every so many seconds somebody else writes, as a claim does.
_CLAIM_EVERY = 0.02


def import_rate(quick: bool) -> Figure:
    """`CAMPAIGNS_BENCH_ROWS` sets the rows, the known leads and five times as many suppressed numbers."""
    rows = 5_000 if quick else _ROWS
    rounds = 1 if quick or rows > 500_000 else 3
    ours: list[float] = []
    floor: list[float] = []
    naive: list[float] = []
    waits: list[float] = []
    with stage.folder() as where:
        listed = messy_list(where / "leads.csv", rows)
        known = messy_list(where / "known.csv", rows, seed=7)
        few = messy_list(where / "few.csv", max(1_000, rows // 20))
        for number in range(rounds):
            ours.append(_import(where / f"import-{number}.db", listed, known, rows, waits))
            floor.append(_floor(where / f"floor-{number}.db", listed, rows))
            naive.append(_naive(where / f"naive-{number}.db", few))
            say(
                f"import: round {number + 1}: {rows / ours[-1]:,.0f} rows/s, the floor {rows / floor[-1]:,.0f}, "
                f"row by row {1 / naive[-1]:,.0f}"
            )
        command = _command(where, listed, rows)
    value = round(rows / statistics.median(ours))
    times = round(statistics.median(a / b for a, b in zip(ours, floor, strict=True)), 3)
    faster = round(statistics.median(rows * b / a for a, b in zip(ours, naive, strict=True)), 2)
    longest = round(max(waits), 3) if waits else None
    return Figure(
        "import",
        value,
        "rows/s, median",
        [
            at_least("value", value, 100_000),
            at_most("times_the_floor", times, 2.0),
            at_least("times_faster_than_row_by_row", faster, 5.0),
            at_most("longest_wait_of_a_writer", longest, 0.5),
            at_most("command_peak_rss_mib", command["command_peak_rss_mib"], 350),
        ],
        {
            "what": "csv.reader and one executemany into the same table with its indexes, SQLite FULL",
            "rows_per_second": round(rows / statistics.median(floor)),
        },
        {
            "times_the_floor": times,
            "times_faster_than_row_by_row": faster,
            "longest_wait_of_a_writer": longest,
            "p99_wait_of_a_writer": round(percentile(waits, 0.99), 3) if waits else None,
            "rows": rows,
            "suppressed_numbers": 5 * rows,
            "known_leads": rows,
            "seconds": [round(seconds, 3) for seconds in ours],
            "floor_seconds": [round(seconds, 3) for seconds in floor],
            **command,
        },
    )


def _import(path: Path, listed: Path, known: Path, rows: int, waits: list[float]) -> float:
    """Seconds of `import_file` into a campaign that has as many leads, while another writer asks for its turn."""
    store = Store.open(f"sqlite:///{path}")
    try:
        now = SystemClock().now()
        campaign = cycle.campaign(store, "bench", now)
        import_file(store, campaign, known, now, "bench")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT OR IGNORE INTO suppressions (phone, source, reason, added_at) VALUES (?, 'bench', '', 0)",
                ((12_010_000_000 + at * 1_399 % 7_000_000_000,) for at in range(5 * rows)),
            )
            connection.execute("COMMIT")
        done = threading.Event()
        other = threading.Thread(target=_claims, args=(path, done, waits))
        other.start()
        started = time.perf_counter()
        try:
            summary = import_file(store, campaign, listed, now, "bench")
            seconds = time.perf_counter() - started
        finally:
            done.set()
            other.join()
    finally:
        store.close()
    if summary.rows != rows or summary.accepted < rows * 0.6:
        raise stage.BenchError(f"{summary.accepted} of {rows} rows were accepted: {summary.counts()}")
    return seconds


def _claims(path: Path, done: threading.Event, waits: list[float]) -> None:
    """What a claim does to the database, and how long it waits for it."""
    store = Store.open(f"sqlite:///{path}")
    try:
        while not done.wait(_CLAIM_EVERY):
            started = time.perf_counter()
            with store.database.write():
                waits.append(time.perf_counter() - started)
    finally:
        store.close()


def _campaign_and_file(path: Path, header: list[str]) -> tuple[str, int, int]:
    store = Store.open(f"sqlite:///{path}")
    try:
        now = SystemClock().now()
        campaign = cycle.campaign(store, "bench", now)
        with store.imports.writer(campaign.id, now) as writer:
            writer.begin("leads.csv", "0" * 64, 0, header, "bench")
        return campaign.id, writer.file_id, to_ms(now)
    finally:
        store.close()


def _floor(path: Path, listed: Path, rows: int) -> float:
    campaign_id, file_id, at = _campaign_and_file(path, ["phone_number"])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, listed.open(newline="") as file:
        connection.execute("PRAGMA synchronous=FULL")
        started = time.perf_counter()
        reader = csv.reader(file)
        next(reader)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            _INSERT,
            (
                (
                    campaign_id,
                    file_id,
                    line,
                    12_010_000_000 + line * 6_700_417 % 7_000_000_000,
                    at,
                    str(cells),
                )
                for line, cells in enumerate(reader, start=2)
            ),
        )
        connection.execute("COMMIT")
        seconds = time.perf_counter() - started
        (count,) = connection.execute("SELECT count(*) FROM leads").fetchone()
    if count != rows:
        raise stage.BenchError(f"the floor wrote {count} of {rows} rows")
    return seconds


def _naive(path: Path, listed: Path) -> float:
    """Seconds per row of reading row by row, asking the database twice for each, and inserting each."""
    campaign_id, file_id, at = _campaign_and_file(path, ["phone_number"])
    count = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        seen = set[str]()
        for row in open_lead_file(listed).rows():
            count += 1
            if not isinstance(row, LeadRow) or row.phone in seen:
                continue
            seen.add(row.phone)
            number = int(row.phone)
            listed_already = connection.execute(
                "SELECT 1 FROM suppressions WHERE phone = ?", (number,)
            ).fetchone()
            known = connection.execute(
                "SELECT 1 FROM leads WHERE phone = ? AND campaign_id = ?", (number, campaign_id)
            ).fetchone()
            if not listed_already and not known:
                connection.execute(
                    _INSERT, (campaign_id, file_id, row.line, number, at, json.dumps(row.variables))
                )
        connection.execute("COMMIT")
        return (time.perf_counter() - started) / count


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
    if process.returncode not in (0, 3):  # 3: rows of the messy mix are held
        raise stage.BenchError(f"campaigns import failed: {stage.last_words(output)}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "command_seconds": round(seconds, 3),
        "command_peak_rss_mib": round(usage.ru_maxrss * unit / 2**20, 1),
        "rows_read": json.loads(output.read_text())["rows"],
    }
