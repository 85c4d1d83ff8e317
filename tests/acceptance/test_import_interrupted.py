"""Ctrl-C at a real process: the campaign has the whole file or nothing of it, and the command says which."""

from __future__ import annotations

import csv
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.conftest import Cli

ROWS = 60_000
COMMAND = [sys.executable, "-c", "import sys; from campaigns.cli.app import main; sys.exit(main())"]
AREAS = [str(code) for code in (201, 202, 203, 205, 206, 207)]


@pytest.fixture(scope="module")
def leads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lists") / "long.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["phone", "note"])
        for at in range(ROWS):
            writer.writerow([f"+1{AREAS[at // 10_000]}555{at % 10_000:04}", "x" * 40])
    return path


def rows_in(home: Path, table: str) -> int:
    with closing(sqlite3.connect(f"file:{home / 'campaigns.db'}?mode=ro", uri=True)) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def come(home: Path, moment: str) -> bool:
    if moment == "while it is read":
        return any(path.stat().st_size > 0 for path in home.glob("*-import-*"))
    return rows_in(home, "leads") > 0


@pytest.mark.parametrize("moment", ["while it is read", "while it moves in"])
def test_ctrl_c(
    leads: Path, cli: Cli, empty_home: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A process may be past the moment when the signal reaches it: what it says is so all the same; tried again."""
    said: list[str] = []
    while not said or said[-1] != moment:
        assert len(said) < 8, said
        home = cli.folder / f"home{len(said)}"
        home.mkdir()
        shutil.copy(empty_home, home / "campaigns.db")
        monkeypatch.setenv("CAMPAIGNS_HOME", str(home))
        said.append(interrupted(leads, cli, home, moment))


def interrupted(leads: Path, cli: Cli, home: Path, moment: str) -> str:
    """Interrupt an import; when it was, by its own words, after they were held against the database."""
    cli.ok("create", "spring", "--from", "+14155550100")
    with subprocess.Popen(
        [*COMMAND, "import", leads, "--campaign", "spring"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home,
    ) as process:  # fmt: skip
        while process.poll() is None and not come(home, moment):
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    total = cli.ok("status", "spring")["leads"]["total"]
    assert [path.name for path in home.iterdir() if "-import-" in path.name] == []
    if process.returncode == 0:
        assert (total, f"{ROWS:,} imported" in out) == (ROWS, True)
        return "too late"
    assert (process.returncode, out) == (1, "")
    if "nothing" in err:
        assert (
            err == "error: stopped by Ctrl-C: nothing of long.csv was imported; run the same command again\n"
        )
        assert total == 0
        assert cli.ok("import", leads, "--campaign", "spring")["accepted"] == ROWS
        return "while it is read"
    assert err == (
        "error: stopped by Ctrl-C when long.csv was read: the whole of it is imported; see `campaigns status spring`\n"
    )
    assert total == ROWS
    return "while it moves in"
