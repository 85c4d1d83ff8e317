"""A campaign of 20 leads launched while a large one has every line: when it first rings, and when it is done."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.benchmarks import stage
from tests.benchmarks.figure import Figure, at_most, say

_LINES, _SMALL, _SEED = 20, 20, 7
_MEAN = 3.0


def small_beside_large(quick: bool) -> Figure:
    large = 400 if quick else 50_000
    say(f"small_beside_large: {_SMALL} leads beside {large:,} on {_LINES} lines")
    beside = _beside(large)
    say(f"small_beside_large: the same leads alone on {_LINES // 2} lines, its share")
    alone = _alone()
    ratio = round(beside["finished"] / alone, 3)
    return Figure(
        "small_beside_large",
        beside["first_dial"],
        "s from the launch of the small campaign to its first ring",
        [at_most("value", beside["first_dial"], 2.0), at_most("to_share_alone", ratio, 1.3)],
        {
            "what": f"alone on an account of {_LINES // 2} lines, from its first ring",
            "finished_seconds": alone,
        },
        {
            "finished_seconds": beside["finished"],
            "to_share_alone": ratio,
            "large_leads": large,
            "small_leads": _SMALL,
            "lines": _LINES,
            "mean_call_seconds": _MEAN,
            "large_in_progress_at_launch": beside["others"],
        },
    )


def _simulator(lines: int) -> list[str]:
    return [
        "--mean-call",
        str(_MEAN),
        "--concurrency",
        str(lines),
        "--seed",
        str(_SEED),
        "--analysis-delay",
        "0-0.5",
    ]


def _lists(where: Path, large: int) -> tuple[Path, Path]:
    """The small list has the same numbers, hence the same lengths of calls, in both measurements."""
    small = stage.lead_list(where / "small.csv", _SMALL)
    everybody = stage.lead_list(where / "large.csv", large + _SMALL)
    rows = everybody.read_text().splitlines(keepends=True)
    everybody.write_text("".join([rows[0], *rows[_SMALL + 1 :]]))
    return small, everybody


def _beside(large: int) -> dict[str, Any]:
    """Seconds from the launch of the small campaign to its first ring and to its last call's end."""
    with stage.folder() as where, stage.simulator(where, *_simulator(_LINES)) as simulator:
        small, everybody = _lists(where, large)
        with stage.runner(where, everybody, simulator.url, *stage.call_flags("--name", "large")) as runner:
            env = stage.environment(
                CAMPAIGNS_HOME=str(runner.home), RETELL_API_KEY=stage.KEY, RETELL_BASE_URL=simulator.url
            )

            def command(*arguments: str) -> None:
                done = subprocess.run(
                    [sys.executable, "-m", "campaigns.cli.app", *arguments],
                    cwd=where, env=env, capture_output=True, text=True, timeout=120, check=False,
                )  # fmt: skip
                if done.returncode:
                    raise stage.BenchError(f"{arguments[0]}: {done.stderr[-300:]}")

            _wait(lambda: simulator.ledger()["rings"] >= 2 * _LINES, 180)
            command("create", "small", *stage.call_flags())
            command("import", str(small), "--campaign", "small")
            query = "SELECT count(*) FROM attempts WHERE state IN ('claimed', 'dialing', 'placed')"
            others = int(_ask(runner.database, query)[0])
            command("launch", "small")
            _wait(lambda: _small(runner.database)["done"] == _SMALL, 120)
            runner.check()
            found = _small(runner.database)
            return {
                "first_dial": round((found["first"] - found["launched"]) / 1000, 3),
                "finished": round((found["last"] - found["launched"]) / 1000, 3),
                "others": others,
            }


def _alone() -> float:
    """Seconds from the first ring of the small campaign to its last call's end, on its share of the lines."""
    with stage.folder() as where, stage.simulator(where, *_simulator(_LINES // 2)) as simulator:
        small, _ = _lists(where, 0)
        with stage.runner(where, small, simulator.url, *stage.call_flags("--name", "small")) as runner:
            runner.finish(120)
            found = _small(runner.database)
    return round((found["last"] - found["first"]) / 1000, 3)


def _wait(until: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            raise stage.BenchError(f"nothing happened within {seconds:g} s")
        time.sleep(0.25)


def _ask(database: Path, query: str) -> tuple[Any, ...]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        row: tuple[Any, ...] = connection.execute(query).fetchone()
    return row


def _in_progress(database: Path) -> int:
    return int(
        _ask(database, "SELECT count(*) FROM attempts WHERE state IN ('claimed', 'dialing', 'placed')")[0]
    )


def _small(database: Path) -> dict[str, Any]:
    """Business times are real ones here: launched, first call, last end, how many ended."""
    launched, first, last, done = _ask(
        database,
        "SELECT max(c.running_since), min(a.placed_at), max(a.ended_at), count(a.ended_at) FROM campaigns c"
        " LEFT JOIN attempts a ON a.campaign_id = c.id WHERE c.name = 'small'",
    )
    return {"launched": launched, "first": first, "last": last, "done": done}
