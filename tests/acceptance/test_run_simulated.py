"""`campaigns run FILE --simulate` as a user types it, with all its processes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import pin

pytestmark = pytest.mark.timeout(60)


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CAMPAIGNS_", "RETELL_"))}
    return subprocess.run(
        [sys.executable, "-m", "campaigns.cli.app", "run", "leads.csv", "--simulate", "--speed", "600",
         "--retry", "none", *options],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_list_is_dialed_to_its_end(tmp_path: Path) -> None:
    """Twenty rows, of which one is bad and one cannot be called before a person looks at it."""
    lines = [f"+1212555{n:04},Ann,America/New_York" for n in range(100, 118)]
    lines += ["+12125550118,Bo,Mars/Olympus", "12,Cy,"]
    (tmp_path / "leads.csv").write_text("\n".join(["phone_number,first_name,timezone", *lines]) + "\n")
    done = run(tmp_path, "--name", "night shift/1", "--json")
    assert done.returncode == 3, done.stderr
    pin(["run"], done.stdout)
    document = json.loads(done.stdout)
    assert (document["campaign"], document["state"], document["calls"]) == ("night shift/1", "completed", 18)
    leads = document["leads"]
    assert (leads["held"], leads["reached"] + leads["exhausted"], leads["total"]) == (1, 18, 19)
    assert document["held"][0]["code"] == "unknown_timezone"
    for words in ("20 rows", "lines ", "results: ", "rejects: "):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    home = tmp_path / ".campaigns"
    assert tmp_path / document["results"] == home / "night_shift_1-results.csv"
    results = rows(tmp_path / document["results"])
    assert [row["attempts"] for row in results] == ["1"] * 18 + ["0"]
    [rejected] = rows(home / "night_shift_1-rejected.csv")
    assert (rejected["line"], rejected["code"]) == ("21", "invalid_phone")

    again = run(tmp_path, "--name", "night shift/1", "--json")
    assert again.returncode == 3
    assert json.loads(again.stdout)["calls"] == 18
    assert "nothing is dialed" in again.stderr
    assert (home / "simulator.jsonl").read_text().count('"kind":"call"') == 18
