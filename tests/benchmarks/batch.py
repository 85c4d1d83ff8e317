"""How full the lines are when Retell's own dialer fills them, beside call by call, and how many requests that takes.

On a clock that runs faster than real time, for the runner and the simulator alike, so that calls are of ordinary length
and the horizon is the default one.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.benchmarks import stage
from tests.benchmarks.figure import Figure, at_least, at_most, say
from tests.benchmarks.slots import measured

SEED = 7
#: A Tuesday, 10:00 in New York.
_BEGIN = "2026-12-01T15:00:00Z"
#: What reading the transcripts costs, in either mode.
_TRANSCRIPTS = "get-call"


def batch(quick: bool) -> Figure:
    leads, lines, mean, speed = (60, 10, 30.0, 60) if quick else (1000, 20, 60.0, 20)
    patience = 90 + 4 * leads * mean / lines / speed
    found: dict[str, dict[str, Any]] = {}
    for mode in ("batch", "phone"):
        say(f"batch: {leads} leads on {lines} lines, calls of {mean:g} s, mode {mode}, clock x{speed}")
        with stage.folder() as where:
            found[mode] = _run(where, mode, leads, lines, mean, speed, patience)
    ours, peer = found["batch"], found["phone"]
    return Figure(
        "batch",
        ours["utilisation"],
        "busy slot-seconds / available, first to last dial",
        [
            at_least("utilisation", ours["utilisation"], round(peer["utilisation"] * 0.95, 4)),
            at_most("requests_per_call", ours["requests_per_call"], 0.5),
            at_most("peak_concurrency", ours["peak_concurrency"], lines),
            at_most("attempts_rung_twice", ours["attempts_rung_twice"], 0),
            at_least("rings", ours["rings"], leads),
        ],
        {"what": "the same campaign, call by call", **peer},
        {
            **ours,
            "leads": leads,
            "lines": lines,
            "mean_call_seconds": mean,
            "clock_speed": speed,
            "seed": SEED,
        },
    )


def _run(
    where: Path, mode: str, leads: int, lines: int, mean: float, speed: int, patience: float
) -> dict[str, Any]:
    listed = stage.lead_list(where / "leads.csv", leads)
    clock = f"{_BEGIN},{speed},{time.time()}"
    flags = ["--mean-call", str(mean), "--concurrency", str(lines), "--seed", str(SEED)]
    with stage.simulator(where, *flags, clock=clock) as simulator:
        options = stage.call_flags("--mode", mode)
        with stage.runner(where, listed, simulator.url, *options, clock=clock) as runner:
            runner.finish(patience)
        figures = measured(simulator.ledger())
    requests = sum(n for name, n in figures["requests"].items() if name != _TRANSCRIPTS)
    return {**figures, "requests_per_call": round(requests / max(1, figures["rings"]), 3)}
