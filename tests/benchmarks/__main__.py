"""`python -m tests.benchmarks [FIGURE...] [--quick]`: one JSON line per figure on standard output.

Exit code 0 when everything could be measured (whether or not a goal was met: the line says so), 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.batch import batch
from tests.benchmarks.beside import small_beside_large
from tests.benchmarks.claim import claim
from tests.benchmarks.cycle import dial_cycle_cpu
from tests.benchmarks.dials import dials_per_second
from tests.benchmarks.east_first import east_first
from tests.benchmarks.fairness import fairness
from tests.benchmarks.figure import Figure, say
from tests.benchmarks.first_dial import first_dial
from tests.benchmarks.gate import gate
from tests.benchmarks.help import command_help
from tests.benchmarks.imports import import_rate
from tests.benchmarks.jobs import jobs
from tests.benchmarks.looking import report, status, watch
from tests.benchmarks.memory import memory_at_rest
from tests.benchmarks.pause import pause
from tests.benchmarks.recovery import adoption, recovery
from tests.benchmarks.slots import slots
from tests.benchmarks.stage import environment

FIGURES: dict[str, Callable[[bool], Figure]] = {
    "slots": slots,
    "batch": batch,
    "dials_per_second": dials_per_second,
    "dial_cycle_cpu": dial_cycle_cpu,
    "first_dial": first_dial,
    "memory_at_rest": memory_at_rest,
    "claim": claim,
    "gate": gate,
    "east_first": east_first,
    "import": import_rate,
    "fairness": fairness,
    "small_beside_large": small_beside_large,
    "jobs": jobs,
    "help": command_help,
    "recovery": recovery,
    "adoption": adoption,
    "pause": pause,
    "status": status,
    "report": report,
    "watch": watch,
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"default: all of {', '.join(FIGURES)}")
    parser.add_argument(
        "--quick", action="store_true", help="everything small: whether it runs, not how fast"
    )
    options = parser.parse_args(argv)
    unknown = sorted(set(options.figures) - set(FIGURES))
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Away from the operator's environment and `.env`: no figure has anything to do with their account.
    clean = environment()
    os.environ.clear()
    os.environ.update(clean)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as neutral:
        before = Path.cwd()
        os.chdir(neutral)
        try:
            results = [_measure(name, options.quick) for name in options.figures or FIGURES]
        finally:
            os.chdir(before)
    return 0 if all(results) else 1


def _measure(name: str, quick: bool) -> bool:
    """Print the figure's line; False when it could not be measured."""
    started, load = time.monotonic(), os.getloadavg()[0]
    try:
        figure = FIGURES[name](quick)
    except Exception as error:
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"
        print(json.dumps({"figure": name, "value": None, "met": False, "error": why}), flush=True)
        return False
    print(figure.line(quick, load), flush=True)
    say(f"{name}: {time.monotonic() - started:.0f} s")
    return True


if __name__ == "__main__":
    sys.exit(main())
