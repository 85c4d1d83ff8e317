"""`pause --all`, `--stop-calls` and `recycle` as a user types them."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import Cli


def test_all_campaigns_are_paused_at_once(cli: Cli) -> None:
    for name in ("spring", "autumn"):
        cli.draft(name, (), "--cps", "1")
        cli.ok("launch", name)
    cli.ok("create", "draft")
    done = cli.ok("pause", "--all")
    assert done == {
        "paused": ["spring", "autumn"], "stopped_calls": [], "not_stopped": {}, "unknown_dials": 0,
    }  # fmt: skip
    assert {one["campaign"]: one["state"] for one in cli.ok("status")} == {
        "spring": "paused", "autumn": "paused", "draft": "draft",
    }  # fmt: skip
    assert "nothing was running" in cli("pause", "--all").out
    assert cli.ok("pause", "--all", "--stop-calls")["stopped_calls"] == []
    assert cli.ok("pause", "spring", "--stop-calls")["paused"] == []
    assert cli.ok("resume", "spring")["state"] == "running"


def test_jobs_that_go_on_are_named(cli: Cli) -> None:
    (cli.folder / "inbox").mkdir()
    cli.ok("jobs", "add", "daily", "--cron", "0 9 * * *", "--timezone", "UTC", "--source", "inbox")
    said = cli("pause", "--all")
    assert "daily" in said.out + said.err


@pytest.mark.parametrize("arguments", [(), ("spring", "--all")])
def test_what_is_to_be_paused_must_be_said(cli: Cli, arguments: tuple[str, ...]) -> None:
    cli.draft()
    assert "--all" in cli.refused("pause", *arguments, code=2)


def test_recycle(cli: Cli) -> None:
    cli.draft("spring", (), "--cps", "1")
    for outcomes in ("human", "do_not_call", "sometimes", "", "no_answer,human"):
        assert "no_answer" in cli.refused("recycle", "spring", "--outcomes", outcomes, code=2)
    assert "no lead of spring" in cli.refused("recycle", "spring", "--outcomes", "no_answer, machine")
    cli.ok("cancel", "spring")
    assert "cancelled" in cli.refused("recycle", "spring", "--outcomes", "no_answer")
