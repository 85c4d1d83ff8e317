"""Archive, delete, reconcile, and the one test call."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from campaigns.cli.documents.table import DOCUMENTS
from campaigns.runtime import open_store
from campaigns.settings import load_settings
from campaigns.simulator.server import Running
from tests.acceptance.conftest import NUMBERS, Cli, Retell
from tests.acceptance.dialing import AT_ONCE, dial_to_the_end

ANYTIME = ("--profile", "none", "--from", "+14155550100")


def pinned(command: str, document: Any) -> Any:
    TypeAdapter(DOCUMENTS[command]).validate_python(document, strict=True)
    return document


# -- archive


def test_an_archived_campaign_is_out_of_sight_and_comes_back(cli: Cli) -> None:
    cli.draft()
    cli.ok("cancel", "spring")
    assert pinned("archive", cli.ok("archive", "spring")) == {"campaign": "spring", "archived": True}
    assert cli.ok("status") == []
    assert [one["campaign"] for one in cli.ok("status", "--all")] == ["spring"]
    assert cli.ok("status", "spring")["leads"]["cancelled"] == 5
    assert "archived already" in cli.refused("archive", "spring")
    assert cli.ok("archive", "spring", "--undo")["archived"] is False
    assert len(cli.ok("status")) == 1
    assert "not archived" in cli.refused("archive", "spring", "--undo")


def test_only_what_is_over_is_archived(cli: Cli) -> None:
    cli.draft()
    assert "draft" in cli.refused("archive", "spring")


# -- delete


def test_a_draft_is_deleted_when_somebody_agrees(cli: Cli) -> None:
    cli.draft()
    line = cli.refused("delete", "spring", code=2)
    assert "5 leads" in line
    assert "--yes" in line
    assert len(cli.ok("leads", "spring")) == 5
    gone = pinned("delete", cli.ok("delete", "spring", "--yes"))
    assert (gone["campaign"], gone["leads"], gone["dials"]) == ("spring", 5, 0)
    assert cli.ok("status", "--all") == []
    cli.draft()  # the name is free, and its file is new again
    assert len(cli.ok("leads", "spring")) == 5


def test_evidence_is_kept(cli: Cli, retell: Retell) -> None:
    retell.start(speed=2000)
    cli.draft("spring", (), "--cps", "100", *AT_ONCE)
    assert (
        "cancel" in cli.refused("delete", "spring", "--yes") if cli("launch", "spring").code == 0 else False
    )
    dial_to_the_end("spring")
    assert "still count" in cli.refused("delete", "spring", "--yes", "--force", "spring")
    store = open_store(load_settings())
    with store.database.write() as connection:
        for column in ("claimed_at", "dialing_at"):
            connection.exec_driver_sql(f"UPDATE attempts SET {column} = {column} - 86400000 * 400")
    line = cli.refused("delete", "spring", "--yes")
    assert "5 dials" in line
    assert "--force spring" in line
    assert "does not name" in cli.refused("delete", "spring", "--yes", "--force", "autumn", code=2)
    assert cli.ok("delete", "spring", "--yes", "--force", "spring")["dials"] == 5
    assert cli.ok("status", "--all") == []


# -- reconcile


def test_a_pass_by_hand_collects_what_is_over(cli: Cli, retell: Retell) -> None:
    simulator = retell.start(speed=2000)
    cli.draft("spring", (), "--cps", "100", *AT_ONCE)
    cli.ok("launch", "spring")
    _dial_only(simulator)
    found = pinned("reconcile", cli.ok("reconcile"))
    assert set(found) == {
        "freed_claims",
        "doubted",
        "adopted",
        "sent_again",
        "unresolved",
        "ended",
        "settled",
    }
    for _ in range(100):
        if cli.ok("status", "spring")["attempts"]["settled"] == 5:
            break
        cli.ok("reconcile")
    assert cli.ok("status", "spring")["attempts"]["settled"] == 5
    assert cli.ok("reconcile")["settled"] == 0


def _dial_only(simulator: Running) -> None:
    import fakeredis

    from campaigns.domain.clock import SystemClock
    from campaigns.runtime import open_retell
    from campaigns.services import dial, dispatch
    from campaigns.services.context import Context
    from campaigns.services.cps import CallsPerSecond

    settings = load_settings()
    with open_retell(settings) as retell:
        context = Context(
            open_store(settings),
            retell,
            SystemClock(),
            CallsPerSecond(fakeredis.FakeRedis()),
            settings.workspace,
        )
        for attempt_id in dispatch.pace(context).attempt_ids:
            dial.dial(context, attempt_id)
    assert len([call for call in simulator.engine.calls if call.rang]) == 5


def test_reconcile_needs_a_key(cli: Cli) -> None:
    assert "RETELL_API_KEY" in cli.refused("reconcile")


# -- call


def test_one_test_call_is_a_campaign_of_one_lead(cli: Cli, retell: Retell) -> None:
    simulator = retell.start(speed=2000, accept_any=True)
    said = cli("call", NUMBERS[0], "--agent", "agent_a", "--var", "first_name=Ann", *ANYTIME, "--json")
    assert said.code == 0, said.err
    made = pinned("call", said.document)
    assert (made["phone"], made["state"], made["outcome"]) == (NUMBERS[0], "settled", "human")
    assert made["transcript"]
    [call] = simulator.engine.calls
    assert call.to_number == NUMBERS[0]
    assert simulator.engine.ledger.requests["create-phone-call"] == 1
    assert cli.ok("status") == []
    [campaign] = cli.ok("status", "--all")
    assert (campaign["campaign"], campaign["state"]) == (made["campaign"], "completed")
    assert cli.ok("attempts", made["campaign"])[0]["id"] == made["attempt"]
    assert cli("audit", made["campaign"]).code == 0


def test_a_test_call_is_held_to_do_not_call(cli: Cli, retell: Retell) -> None:
    simulator = retell.start(accept_any=True)
    store = open_store(load_settings())
    from datetime import UTC, datetime

    store.imports.suppress([NUMBERS[0]], "test", "asked", datetime.now(UTC))
    assert "do-not-call" in cli.refused("call", NUMBERS[0], *ANYTIME)
    assert simulator.engine.calls == []


def test_a_test_call_outside_the_window_is_never_made_later(cli: Cli, retell: Retell) -> None:
    simulator = retell.start(accept_any=True)
    from datetime import UTC, datetime, timedelta

    # A window on the day after tomorrow, wherever the callee is.
    day = (datetime.now(UTC) + timedelta(days=2)).strftime("%a")
    line = cli.refused("call", NUMBERS[0], "--from", "+14155550100", "--window", f"{day} 12:00-13:00")
    assert "cannot be called now" in line
    assert "a calling window opens" in line
    assert simulator.engine.calls == []
    [campaign] = cli.ok("status", "--all")
    assert (campaign["state"], campaign["leads"]["cancelled"]) == ("cancelled", 1)


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("2125550100",), "E.164", 2),
        (("+18005550123",), "toll-free", 1),
        ((NUMBERS[0], "--var", "first_name"), "first_name=Ann", 2),
        ((NUMBERS[0], "--var", "phone_number=1"), "another name", 2),
        ((NUMBERS[0], "--profile", "eu"), "us-sales", 2),
    ],
)
def test_what_no_test_call_is_made_of(
    cli: Cli, retell: Retell, arguments: tuple[str, ...], words: str, code: int
) -> None:
    simulator = retell.start(accept_any=True)
    assert words in cli.refused("call", *arguments, code=code)
    assert simulator.engine.calls == []


def test_a_test_call_that_is_refused_says_why(cli: Cli, retell: Retell) -> None:
    retell.start(faults="status_402_before=1")
    line = cli("call", NUMBERS[0], *ANYTIME).err.splitlines()[-1]
    assert "402" in line
    [campaign] = cli.ok("status", "--all")
    assert campaign["state"] == "cancelled"


def test_no_key_no_call(cli: Cli) -> None:
    assert "RETELL_API_KEY" in cli.refused("call", NUMBERS[0], *ANYTIME)
    assert cli.ok("status", "--all") == []
