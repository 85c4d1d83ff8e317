"""`pause --all`, `--stop-calls` and `recycle` as a user types them."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from campaigns.store import Store
from tests.acceptance.conftest import Cli, Retell, pin
from tests.acceptance.dialing import AT_ONCE, dial_to_the_end


def test_all_campaigns_are_paused_at_once(cli: Cli) -> None:
    for name in ("spring", "autumn"):
        cli.draft(name, (), "--cps", "1")
        cli.ok("launch", name)
    cli.ok("create", "draft")
    done = cli.ok("pause", "--all")
    assert done == {
        "paused": ["spring", "autumn"], "stopped_calls": [], "not_stopped": {}, "unknown_dials": 0,
        "waiting_at_retell": 0, "rung_until": None,
    }  # fmt: skip
    assert {one["campaign"]: one["state"] for one in cli.ok("status")} == {
        "spring": "paused", "autumn": "paused", "draft": "draft",
    }  # fmt: skip
    assert "nothing was running" in cli("pause", "--all").out
    assert cli.ok("pause", "--all", "--stop-calls")["stopped_calls"] == []
    assert cli.ok("pause", "spring", "--stop-calls")["paused"] == []
    assert cli.ok("resume", "spring")["state"] == "running"


@pytest.mark.parametrize("command", ["pause", "cancel"])
def test_what_waits_at_retell_is_told_and_hung_up(cli: Cli, retell: Retell, command: str) -> None:
    simulator = retell.start(concurrency=3, mean_call=600.0)
    cli.draft("spring", (), *AT_ONCE, "--mode", "batch")
    cli.ok("launch", "spring")
    dial_to_the_end("spring", until="sent")
    simulator.engine.advance()
    said = cli(command, "spring", "--stop-calls")
    assert said.code == 3
    assert "hung up: " in said.out
    assert "waiting: Retell may still ring" in said.out
    for _ in range(5):  # Retell dials the next of them on the lines that are free again
        again = cli(command, "spring", "--stop-calls", "--json")
        pin([command], again.out)
        assert again.code == (3 if again.document["waiting_at_retell"] else 0)
        assert (again.document["rung_until"] is None) is (again.code == 0)
        if again.code == 0:
            break
    assert sum(call.stopped_ms is not None for call in simulator.engine.calls) == 5
    assert cli.ok("status", "spring")["state"] == {"pause": "paused", "cancel": "cancelled"}[command]


def test_cancelled_without_a_call(cli: Cli) -> None:
    cli.draft()
    done = cli.ok("cancel", "spring", "--stop-calls")
    assert done == {
        "campaign": "spring", "state": "cancelled", "reason": None, "stopped_calls": [], "not_stopped": {},
        "unknown_dials": 0, "waiting_at_retell": 0, "rung_until": None,
    }  # fmt: skip
    assert cli.ok("cancel", "spring", "--stop-calls") == done
    assert "already" in cli.refused("cancel", "spring")


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


@pytest.mark.parametrize("workspace", ["retell", "simulator"])
def test_recycled_leads_wait_and_the_campaign_goes_on_where_it_can(cli: Cli, workspace: str) -> None:
    cli.draft("spring", (), "--cps", "1")
    cli.ok("launch", "spring")
    with closing(Store.open(f"sqlite:///{cli.home / 'campaigns.db'}")) as store:
        with store.database.write() as connection:
            connection.execute(sa.text("UPDATE leads SET state = 'exhausted', outcome = 'no_answer'"))
            connection.execute(
                sa.text("INSERT INTO workspaces (name) VALUES ('simulator') ON CONFLICT DO NOTHING")
            )
            connection.execute(sa.text(f"UPDATE campaigns SET workspace = '{workspace}'"))
        found = store.campaigns.by_name("spring")
        assert found is not None
        assert store.campaigns.complete_if_done(found.id, datetime.now(UTC))
    done = cli.ok("recycle", "spring", "--outcomes", "no_answer,busy")
    state = "running" if workspace == "retell" else "completed"
    assert done == {
        "campaign": "spring", "outcomes": ["no_answer", "busy"], "recycled": 5, "state": state,
    }  # fmt: skip
    assert cli.ok("status", "spring")["leads"]["pending"] == 5
