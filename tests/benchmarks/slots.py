"""How full the lines are, beside the script a user would write first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.benchmarks import stage
from tests.benchmarks.figure import Figure, at_least, at_most, say

SEED = 7


def slots(quick: bool) -> Figure:
    leads, lines, mean = (24, 6, 0.6) if quick else (400, 20, 3.0)
    flags = ["--mean-call", str(mean), "--concurrency", str(lines), "--seed", str(SEED)]
    if quick:
        flags += ["--analysis-delay", "0-0.5"]
    patience = 60 + 4 * leads * (mean + 1) / lines
    with stage.folder() as where:
        listed = stage.lead_list(where / "leads.csv", leads)
        say(f"slots: {leads} leads on {lines} lines, calls of {mean:g} s, by the runner")
        ours = _runner(where, listed, flags, lines, patience)
        say("slots: the same by the naive script")
        naive = _naive(where, listed, flags, lines, patience)
    return Figure(
        "slots",
        ours["utilisation"],
        "busy slot-seconds / available, first to last dial",
        [
            at_least("utilisation", ours["utilisation"], 0.93),
            at_most("gap_mean_seconds", ours["gap_mean_seconds"], 0.25),
            at_most("requests_per_call", ours["requests_per_call"], 2.7),
            at_most("refusals", sum(ours["refusals"].values()), 0),
            at_most("peak_concurrency", ours["peak_concurrency"], lines),
            at_most("attempts_rung_twice", ours["attempts_rung_twice"], 0),
            at_least("rings", ours["rings"], leads),
        ],
        {"what": "asyncio, a semaphore, get-call every second", **naive},
        {**ours, "leads": leads, "lines": lines, "mean_call_seconds": mean, "seed": SEED},
    )


def measured(ledger: dict[str, Any]) -> dict[str, Any]:
    """What the figure looks at, of a simulator's ledger."""
    rings, gap = ledger["rings"], ledger["gap_seconds"]
    first, last = ledger["first_dial_ms"], ledger["last_dial_ms"]
    return {
        "utilisation": ledger["utilisation"],
        "gap_mean_seconds": gap["mean"],
        "gap_p95_seconds": gap["p95"],
        "requests_per_call": round(sum(ledger["requests"].values()) / rings, 3) if rings else None,
        "requests": ledger["requests"],
        "refusals": ledger["refusals"],
        "peak_concurrency": ledger["peak_concurrency"],
        "rings": rings,
        "attempts_rung_twice": ledger["attempts_rung_twice"],
        "most_rings_of_a_number": ledger["most_rings_of_a_number"],
        "dialing_seconds": round((last - first) / 1000, 2) if rings else None,
    }


def _runner(where: Path, leads: Path, flags: list[str], lines: int, patience: float) -> dict[str, Any]:
    with stage.simulator(where, *flags) as simulator:
        options = stage.call_flags("--concurrency", str(lines))
        with stage.runner(where, leads, simulator.url, *options) as runner:
            runner.finish(patience)
            ended = time.time()
        ledger = simulator.ledger(rings=True)
        rang = [ring["real"] for ring in ledger["rings_list"]]
        phases = {
            "to_first_ring": round(min(rang) - runner.started, 2),
            "dialing": round(max(rang) - min(rang), 2),
            "last_dial_to_exit": round(ended - max(rang), 2),
        }
        return {**measured(ledger), "run_seconds": phases}


def _naive(where: Path, leads: Path, flags: list[str], lines: int, patience: float) -> dict[str, Any]:
    output = where / "naive"
    with stage.simulator(where, *flags) as simulator:
        process = stage.start(
            ["-m", "tests.benchmarks.naive", str(leads), simulator.url, str(lines)], where, output
        )
        try:
            stage.finish(process, output, patience)
        finally:
            stage.end(process)
        return measured(simulator.ledger())
