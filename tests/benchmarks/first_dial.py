"""How long a person waits between the command and the first ring."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

from tests.benchmarks import stage
from tests.benchmarks.figure import Figure, at_most, say

_PATIENCE = 60.0


def first_dial(quick: bool) -> Figure:
    runs: list[float] = []
    for number in range(1 if quick else 3):
        with stage.folder() as where:
            runs.append(round(_once(where), 3))
        say(f"first_dial: run {number + 1}: {runs[-1]} s")
    value = statistics.median(runs)
    return Figure(
        "first_dial",
        value,
        "s from the command to the first ring, median",
        [at_most("value", value, 5.0)],
        details={"runs": runs, "leads": stage.SAMPLE.name},
    )


def _once(where: Path) -> float:
    """Real seconds until the simulator's ledger, a file in the home, holds a call."""
    with stage.runner(where, stage.SAMPLE, "", "--simulate") as runner:
        ledger = runner.home / "simulator.jsonl"
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            runner.check()
            if ledger.exists():
                for line in ledger.read_text().splitlines(keepends=True):
                    record = json.loads(line) if line.endswith("\n") else {}
                    if record.get("kind") == "call":
                        return float(record["call"]["created_real"]) - runner.started
            time.sleep(0.05)
    raise stage.BenchError(f"nobody was called within {_PATIENCE:g} s")
