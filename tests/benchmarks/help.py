"""How long a person waits for `campaigns --help`, and for the first page of a command's own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.benchmarks.figure import Figure, at_most

_BARE = ("-c", "import typer.rich_utils")


def command_help(quick: bool) -> Figure:
    repeats = 3 if quick else 15
    whole = _milliseconds(("-m", "campaigns.cli.app", "--help"), repeats)
    return Figure(
        "help",
        whole[0],
        "ms from the command to its help, median",
        [at_most("value", whole[0], 250.0)],
        peer={"what": "importing Typer and Rich alone", "ms": _milliseconds(_BARE, repeats)[0]},
        details={
            "cpu_ms": whole[1],
            "status_help_ms": _milliseconds(("-m", "campaigns.cli.app", "status", "--help"), repeats)[0],
            "repeats": repeats,
        },
    )


def _milliseconds(arguments: Sequence[str], repeats: int) -> tuple[float, float]:
    """Median wall time and CPU time of a process, after one that warms the disk's cache."""
    walls: list[float] = []
    cpus: list[float] = []
    for number in range(repeats + 1):
        before, started = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        wall, after = time.perf_counter() - started, os.times()
        if number:
            walls.append(wall * 1000)
            used = after.children_user + after.children_system - before.children_user - before.children_system
            cpus.append(used * 1000)
    return round(statistics.median(walls), 1), round(statistics.median(cpus), 1)
