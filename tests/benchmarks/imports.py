"""Importing a messy list end to end, against the least that reading a file and filling the same table can cost, and
against the way one would write it first: row by row."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
_CAMPAIGN, _OTHER = "bench", "floor"
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
        before = _before(where / "before.db", messy_list(where / "known.csv", rows, seed=7), rows)
        for number in range(rounds):
            for found, way in ((ours, _import), (floor, _floor), (naive, _naive)):
                with _copy(before) as path:
                    found.append(way(path, listed, rows, waits))
            say(
                f"import: round {number + 1}: {rows / ours[-1]:,.0f} rows/s, the floor {rows / floor[-1]:,.0f}, "
                f"row by row {rows / naive[-1]:,.0f}"
            )
        with _copy(before) as path:
            command = _command(where, path, listed)
    value = round(rows / statistics.median(ours))
    times = round(statistics.median(a / b for a, b in zip(ours, floor, strict=True)), 3)
    faster = round(statistics.median(b / a for a, b in zip(ours, naive, strict=True)), 2)
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
            "what": "csv.reader and one executemany into the same database with its indexes, SQLite FULL",
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


def _before(path: Path, known: Path, rows: int) -> Path:
    """A database with a campaign that has as many leads, another without, and five times as many suppressed numbers."""
    store = Store.open(f"sqlite:///{path}")
    try:
        now = SystemClock().now()
        import_file(store, cycle.campaign(store, _CAMPAIGN, now), known, now, "bench")
        cycle.campaign(store, _OTHER, now)
    finally:
        store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT OR IGNORE INTO suppressions (phone, source, reason, added_at) VALUES (?, 'bench', '', 0)",
            ((12_010_000_000 + at * 1_399 % 7_000_000_000,) for at in range(5 * rows)),
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@contextmanager
def _copy(before: Path) -> Iterator[Path]:
    """The same database for everybody, none of it waiting to be written."""
    path = before.with_name("copy.db")
    shutil.copy(before, path)
    os.sync()
    try:
        yield path
    finally:
        for one in before.parent.glob("copy.db*"):
            one.unlink()


def _import(path: Path, listed: Path, rows: int, waits: list[float]) -> float:
    """Seconds of `import_file`, while another writer asks for its turn."""
    store = Store.open(f"sqlite:///{path}")
    try:
        campaign = store.campaigns.by_name(_CAMPAIGN)
        assert campaign is not None
        done = threading.Event()
        other = threading.Thread(target=_claims, args=(path, done, waits))
        other.start()
        started = time.perf_counter()
        try:
            summary = import_file(store, campaign, listed, SystemClock().now(), "bench")
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


def _campaign_and_file(path: Path, name: str) -> tuple[str, int, int]:
    store = Store.open(f"sqlite:///{path}")
    try:
        now = SystemClock().now()
        campaign = store.campaigns.by_name(name)
        assert campaign is not None
        with store.imports.writer(campaign.id, now) as writer:
            writer.begin("leads.csv", "0" * 64, 0, ["phone_number"], "bench")
        return campaign.id, writer.file_id, to_ms(now)
    finally:
        store.close()


def _floor(path: Path, listed: Path, rows: int, _: list[float]) -> float:
    """Seconds of `csv.reader` and one `executemany`: nothing is looked at, nothing is looked up."""
    campaign_id, file_id, at = _campaign_and_file(path, _OTHER)
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
        (count,) = connection.execute(
            "SELECT count(*) FROM leads WHERE campaign_id = ?", (campaign_id,)
        ).fetchone()
    if count != rows:
        raise stage.BenchError(f"the floor wrote {count} of {rows} rows")
    return seconds


def _naive(path: Path, listed: Path, rows: int, _: list[float]) -> float:
    """Seconds of reading row by row, asking the database twice for each, and inserting each, in one transaction."""
    campaign_id, file_id, at = _campaign_and_file(path, _CAMPAIGN)
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
        seconds = time.perf_counter() - started
    if count != rows:
        raise stage.BenchError(f"row by row read {count} of {rows} rows")
    return seconds


def _command(where: Path, database: Path, listed: Path) -> dict[str, Any]:
    """The same by `campaigns import`: seconds with the program's start, and the most memory it took."""
    output = where / "import"
    env = stage.environment(
        CAMPAIGNS_HOME=str(where / "home"), CAMPAIGNS_DATABASE_URL=f"sqlite:///{database}"
    )
    arguments = ["-m", "campaigns.cli.app", "import", str(listed), "--campaign", _CAMPAIGN, "--json"]
    started = time.perf_counter()
    process = stage.start(arguments, where, output, env)
    peak = 0.0
    try:
        while process.poll() is None:
            peak = max(peak, stage.peak_mib(process.pid))
            time.sleep(0.02)
    finally:
        stage.end(process)
    seconds = time.perf_counter() - started
    if process.returncode not in (0, 3):  # 3: rows of the messy mix are held
        raise stage.BenchError(f"campaigns import failed: {stage.last_words(output)}")
    return {
        "command_seconds": round(seconds, 3),
        "command_peak_rss_mib": round(peak, 1) or None,
        "rows_read": json.loads(output.read_text())["rows"],
    }
