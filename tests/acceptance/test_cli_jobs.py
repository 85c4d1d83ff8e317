"""`campaigns jobs` as a user types it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acceptance.conftest import NUMBERS, Cli

WHEN = ("--cron", "0 9 * * MON-FRI", "--timezone", "America/New_York")


@pytest.fixture
def inbox(cli: Cli) -> Path:
    folder = cli.folder / "inbox"
    folder.mkdir()
    (cli.folder / "campaign.toml").write_text('from = "+14155550100"\ncps = 1.0\n')
    return folder


def add(cli: Cli, *more: str, name: str = "daily") -> None:
    cli.ok("jobs", "add", name, *WHEN, "--source", "inbox/*.csv", "--config", "campaign.toml", *more)


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    os.utime(folder / name, (1, 1))


def test_the_life_of_a_job(cli: Cli, inbox: Path) -> None:
    add(cli)
    [job] = cli.ok("jobs", "list")
    assert (job["job"], job["state"], job["cron"], job["timezone"]) == (
        "daily", "active", "0 9 * * MON-FRI", "America/New_York",
    )  # fmt: skip
    assert len(job["next_times"]) == 5
    assert job["next_at"] == job["next_times"][0]
    assert Path(job["source"]).is_absolute()
    assert Path(job["config"]) == cli.folder / "campaign.toml"
    put(inbox, "a.csv", f"phone_number\n{NUMBERS[0]}\n{NUMBERS[1]}\n12\n")
    run = cli.ok("jobs", "run", "daily")
    assert (run["state"], run["cause"], run["result"]["accepted"]) == ("done", "operator", 2)
    assert sorted(path.name for path in (inbox / "done").iterdir()) == ["a-rejected.csv", "a.csv"]
    status = cli.ok("status", run["campaign"])
    assert (status["state"], status["leads"]["pending"]) == ("running", 2)
    assert cli.ok("jobs", "pause", "daily") == {"job": "daily", "state": "paused", "next_at": None}
    shown = cli.ok("jobs", "show", "daily")
    assert (shown["state"], shown["next_times"]) == ("paused", [])
    assert [one["run"] for one in shown["runs"]] == [run["run"]]
    assert cli.ok("jobs", "resume", "daily")["next_at"] == job["next_at"]
    assert cli.ok("jobs", "remove", "daily")["state"] == "removed"
    assert cli.ok("jobs", "list") == []
    assert cli.ok("status", run["campaign"])["leads"]["pending"] == 2


def test_people_see_times_runs_and_reasons(cli: Cli, inbox: Path) -> None:
    said = cli("jobs", "add", "daily", *WHEN, "--source", "inbox")
    assert said.code == 0
    assert "09:00" in said.out
    assert "America/New_York" in said.out
    shown = cli("jobs", "show", "daily").out
    for words in ("Next times", "Last runs", "run-once", "queue", "inbox"):
        assert words in shown
    assert shown.count("09:00 E") == 5


def test_a_job_that_failed_says_so_where_people_look(cli: Cli, inbox: Path) -> None:
    add(cli)
    put(inbox, "bad.csv", "name\nAnn\n")
    assert "bad.csv" in cli.refused("jobs", "run", "daily")
    for command in (("status",), ("jobs", "list")):
        said = cli(*command)
        assert said.code == 3
        assert "bad.csv" in said.out
    assert cli("jobs", "list", "--json").document[0]["last_run"]["state"] == "failed"
    assert (inbox / "failed" / "bad.csv.error.txt").read_text()
    put(inbox, "good.csv", f"phone_number\n{NUMBERS[0]}\n")
    cli.ok("jobs", "run", "daily")
    assert cli("status").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cron", "0 9 * *", "--timezone", "UTC", "--source", "inbox"), "cron"),
        (("--cron", "0 9 * * *", "--source", "inbox"), "--timezone"),
        ((*WHEN, "--source", "outbox/*.csv"), "outbox"),
        ((*WHEN, "--source", ""), "--source"),
        ((*WHEN, "--source", "inbox", "--config", "nowhere.toml"), "nowhere.toml"),
        ((*WHEN, "--source", "inbox", "--misfire", "burst"), "--misfire"),
        ((*WHEN, "--source", "inbox", "--overlap", "maybe"), "--overlap"),
        ((*WHEN,), "--source"),
    ],
)
def test_a_job_that_cannot_work_is_not_made(
    cli: Cli, inbox: Path, options: tuple[str, ...], words: str
) -> None:
    line = cli("jobs", "add", "daily", *options)
    assert (line.code, line.out, line.err.count("\n")) == (2, "", 1)
    assert words in line.err
    assert cli.ok("jobs", "list") == []


@pytest.mark.parametrize("command", ["show", "run", "pause", "resume", "remove"])
def test_an_unknown_job(cli: Cli, inbox: Path, command: str) -> None:
    assert "jobs add" in cli.refused("jobs", command, "daily")
    add(cli)
    assert "there are: daily" in cli.refused("jobs", command, "weekly")


def test_what_cannot_be_done_now(cli: Cli, inbox: Path) -> None:
    add(cli)
    assert "is active" in cli.refused("jobs", "resume", "daily")
    cli.ok("jobs", "pause", "daily")
    assert "is paused" in cli.refused("jobs", "pause", "daily")
    said = cli("jobs", "add", "daily", *WHEN, "--source", "inbox")
    assert said.code == 2
    assert "exists already" in said.err
