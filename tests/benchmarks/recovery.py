"""How long dialing is interrupted by the death of a single process, and how soon a call without an answer is found."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from tests.benchmarks import stage
from tests.benchmarks.figure import Figure, at_most, say
from tests.faults.rig import rig, write_leads

PROCESSES = ("dial", "control", "beat", "valkey", "runner")


def recovery(quick: bool) -> Figure:
    processes, times = (("dial", "beat"), 1) if quick else (PROCESSES, 2)
    leads, lines, watched = (260, 20, 6.0) if quick else (2600, 20, 14.0)
    simulator = ["--mean-call", "3", "--concurrency", str(lines), "--seed", "3"]
    with stage.folder() as where, rig(where, simulator) as subject:
        write_leads(subject.leads, leads)
        started = time.time()
        subject.start("--concurrency", str(lines))
        subject.until_rings(2 * lines)
        calm_from = time.time()
        time.sleep(watched)
        killed: list[tuple[str, float]] = []
        for name in [name for _ in range(times) for name in processes]:
            say(f"recovery: SIGKILL of {name}")
            # First it dials steadily again.
            subject.until_rings(subject.rings() + lines)
            killed.append((name, time.time()))
            if not subject.kill(name):
                raise stage.BenchError(f"there is no {name} process to kill")
            if name == "runner":
                subject.start("--concurrency", str(lines))
            time.sleep(watched)
        rang = subject.rang()
        ledger = subject.ledger()
    silences = {
        name: [_silence(rang, at, watched) for who, at in killed if who == name] for name in processes
    }
    worst = max(max(found) for found in silences.values())
    return Figure(
        "recovery",
        round(worst, 2),
        "s",
        [at_most("value", worst, 10.0)],
        {
            "what": "the same without a kill; and from the command to the first dial",
            "longest_silence_s": round(_silence(rang, calm_from, watched), 2),
            "first_dial_s": round(rang[0] - started, 2),
        },
        {
            "what": "longest time without a dial after a SIGKILL of one process, the worst of all",
            "by_process_s": {name: [round(one, 2) for one in found] for name, found in silences.items()},
            "attempts_rung_twice": ledger["attempts_rung_twice"],
            "peak_concurrency": ledger["peak_concurrency"],
            "lines": lines,
        },
    )


def _silence(rang: list[float], since: float, watched: float) -> float:
    """The longest time between two dials, from that moment on; one that lasts counts to its end."""
    times = [since, *(at for at in rang if at > since)]
    gaps = [later - at for at, later in pairwise(times) if at - since < watched]
    return max(gaps, default=float("inf"))


def adoption(quick: bool) -> Figure:
    plans = [(2.0, 24)] if quick else [(0.0, 80), (20.0, 80), (60.0, 60)]
    found: dict[str, list[float]] = {}
    twice = 0
    for lag, leads in plans:
        say(f"adoption: {leads} dials, one in four without an answer, the list {lag:g} s late")
        with stage.folder() as where:
            lost, killed, doubled = _adopted(where, lag, leads, quick)
        found[f"lag {lag:g} s"] = lost
        found[f"lag {lag:g} s, worker killed"] = killed
        twice += doubled
    every = [one for seconds in found.values() for one in seconds]
    worst = max(every)
    return Figure(
        "adoption",
        round(worst, 2),
        "s",
        [at_most("value", worst, 15.0)],
        {"what": "median", "seconds": round(median(every), 2)},
        {
            "what": "from a call's showing in the list to its adoption, when its dial got no answer; the worst",
            "calls": {name: len(seconds) for name, seconds in found.items()},
            "worst_s": {name: round(max(seconds), 2) for name, seconds in found.items() if seconds},
            "attempts_rung_twice": twice,
        },
    )


def _adopted(where: Path, lag: float, leads: int, quick: bool) -> tuple[list[float], list[float], int]:
    """Seconds from the listing to the adoption: of dials whose answer was lost, and of a killed worker's."""
    talk = "4" if quick else "15"
    faults = f"drop_after=25%,slow=50%:2.5s,lag={lag:g}s"
    simulator = ["--mean-call", talk, "--concurrency", "20", "--seed", "8", "--faults", faults]
    with rig(where, [*simulator, "--ignore-idempotency"]) as subject:
        write_leads(subject.leads, leads)
        subject.start("--concurrency", "20")
        subject.until_rings(leads // 4)
        killed_at = 0.0
        if not quick:
            killed_at = time.time() * 1000
            subject.kill("dial")
        if subject.wait(400 + 4 * lag) not in (0, 3):
            raise stage.BenchError(f"the campaign did not end well: {subject.said[-600:]}")
        document = httpx.get(f"{subject.url}/_simulator/ledger?rings=1", timeout=60).json()
        listed = {ring["attempt_id"]: ring["real"] + lag for ring in document["rings_list"]}
        lost: list[float] = []
        orphaned: list[float] = []
        for attempt, from_state, sent, placed in _placings(subject.database):
            seconds = max(0.0, placed / 1000 - listed[attempt])
            if from_state == "ambiguous":
                lost.append(seconds)
            elif sent < killed_at < placed and placed - sent > 4000:  # not by an answer: those take 2.5 s
                orphaned.append(seconds)
    return lost, orphaned, int(document["attempts_rung_twice"])


def _placings(database: Path) -> list[tuple[Any, ...]]:
    """(attempt, the state it was in, when it was sent, when its call was known) in real ms."""
    with contextlib.closing(sqlite3.connect(database)) as books:
        return books.execute(
            "SELECT e.attempt_id, e.from_state, a.dialing_real, e.at_real FROM events e"
            " JOIN attempts a ON a.id = e.attempt_id WHERE e.subject = 'attempt' AND e.to_state = 'placed'"
        ).fetchall()
