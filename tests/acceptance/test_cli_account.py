"""The account and the installation as the command shows them, and doubt that an operator settles."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from campaigns.runtime import open_retell
from campaigns.settings import load_settings
from campaigns.store import Store
from campaigns.store.schema import attempts
from tests.acceptance.conftest import NUMBERS, Cli, Retell
from tests.acceptance.dialing import AT_ONCE, dial_to_the_end


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.retell.client.RetellClient._pause", lambda *_: 0.0)


# -- account


def test_concurrency(cli: Cli, retell: Retell) -> None:
    retell.start(concurrency=12, reserved_inbound=2, foreign=3)
    assert cli.ok("concurrency") == {
        "limit": 12, "burst_enabled": False, "burst_limit": 0, "reserved_inbound": 2, "reserve": 0, "ceiling": 10,
        "current": 3, "own": 0, "foreign": 3, "free": 7,
    }  # fmt: skip


def test_lines_are_kept_free(cli: Cli, retell: Retell) -> None:
    retell.start(concurrency=12, reserved_inbound=2, foreign=3)
    cli.draft("spring", (), "--profile", "none")
    cli.ok("launch", "spring")
    lines = cli.ok("concurrency", "--reserve", "4")
    assert (lines["reserve"], lines["ceiling"], lines["free"]) == (4, 6, 3)
    assert cli.ok("concurrency") == lines
    text = cli("concurrency").out
    assert "warning" not in text
    assert any(line.split() == ["reserve", "4"] for line in text.splitlines())
    assert "lines of the account kept free: 0 -> 4" in cli("events", "spring").out
    [check] = cli.ok("doctor", "--only", "concurrency")
    assert (check["result"], check["detail"]) == (
        "ok", "3 of 12 lines in use, 3 by others; 6 for outbound calls, 4 kept free",
    )  # fmt: skip
    status = cli.ok("status", "spring")
    assert (status["reserve"], set(status["slots"])) == (4, {"ceiling", "foreign", "own"})
    assert "4 kept free" in cli("status", "spring").out
    [lines_of] = [
        line for line in cli.ok("explain", NUMBERS[0], "--campaign", "spring")[0]["lines"] if line["what"] == "lines"
    ]  # fmt: skip
    assert "4 more are kept free by the operator" in lines_of["says"]


def test_a_reserve_that_leaves_no_line_is_warned_of(cli: Cli, retell: Retell) -> None:
    retell.start(concurrency=12, reserved_inbound=2)
    said = cli("concurrency", "--reserve", "10")
    assert said.code == 0
    assert "with 10 kept free no line is left" in said.out
    [check] = cli.ok("doctor", "--only", "concurrency", code=3)
    assert (check["result"], check["remedy"]) == (
        "warning", "set a smaller reserve: `campaigns concurrency --reserve N`",
    )  # fmt: skip
    assert "warning" not in cli("concurrency", "--reserve", "0").out


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("-1", "write 0 or more"),
        ("many", "write 0 or more"),
        ("2.5", "write 0 or more"),
        ("13", "write 0 to 12"),
    ],
)
def test_what_is_no_reserve(cli: Cli, retell: Retell, given: str, remedy: str) -> None:
    retell.start(concurrency=12)
    cli.ok("concurrency", "--reserve", "3")
    assert remedy in cli.refused("concurrency", "--reserve", given, code=2)
    assert cli.ok("concurrency")["reserve"] == 3


def test_simulated_runs_have_a_reserve_of_their_own(cli: Cli, retell: Retell) -> None:
    retell.start(concurrency=12)
    assert cli.ok("concurrency", "--simulated")["limit"] is None
    assert cli.ok("concurrency", "--simulated", "--reserve", "5")["reserve"] == 5
    assert cli.ok("concurrency")["reserve"] == 0
    store = Store.open(load_settings().store_url())
    store.workspaces.observe("simulator", 20, 0, 0)
    lines = cli.ok("concurrency", "--simulated")
    assert (lines["limit"], lines["ceiling"], lines["free"]) == (20, 15, 15)
    assert "write 0 to 20" in cli.refused("concurrency", "--simulated", "--reserve", "21", code=2)


def test_numbers_and_agents(cli: Cli, retell: Retell) -> None:
    account = retell.start().engine.account
    numbers = cli.ok("numbers")
    assert [one["number"] for one in numbers] == list(account.numbers)
    assert set(numbers[0]) == {
        "number", "type", "nickname", "outbound_agents", "owned", "used_24h", "cap", "calls_per_second",
        "resting_until", "rest_reason",
    }  # fmt: skip
    agents = cli.ok("agents")
    assert [one["agent"] for one in agents] == list(account.agents)
    text = cli("numbers").out
    assert all(number in text for number in account.numbers)


# -- resolve


@pytest.fixture(params=["phone", "batch"])
def doubt(cli: Cli, retell: Retell, request: pytest.FixtureRequest) -> tuple[Cli, str]:
    """A campaign whose only call rang without an answer, and was not looked for in time."""
    simulator = retell.start(speed=2000.0, analysis_delay=(0.0, 0.0))
    cli.draft("spring", ["+12125550100,Ann"], *AT_ONCE, "--mode", request.param)
    cli.ok("launch", "spring")
    dial_to_the_end("spring")
    assert len(simulator.engine.calls) == 1
    store = Store.open(load_settings().store_url())
    with store.database.write() as connection:
        attempt_id = str(connection.execute(sa.select(attempts.c.id)).scalar_one())
        for statement in (
            "UPDATE attempts SET state = 'unresolved', outcome = NULL, call_id = NULL, refusal = '?'",
            "UPDATE leads SET state = 'held', hold_code = 'unresolved_attempt', hold_remedy = 'look', attempts = 0",
            "UPDATE batches SET left_over = 1, reopens_at = 1900000000000",
        ):
            connection.exec_driver_sql(statement)
    return cli, attempt_id


def test_an_unresolved_attempt_needs_a_person(doubt: tuple[Cli, str]) -> None:
    cli, attempt_id = doubt
    said = cli("status", "spring", "--json")
    assert (said.code, said.document["attempts"]["unresolved"]) == (3, 1)
    assert cli("status", "spring").code == 3
    audited = cli("audit", "spring")
    assert audited.code == 1
    assert attempt_id in audited.out


@pytest.mark.parametrize("named", [True, False])
def test_resolved_as_placed_it_goes_on_with_the_call(doubt: tuple[Cli, str], named: bool) -> None:
    cli, attempt_id = doubt
    options = ("--call", call_at_retell()) if named else ()
    answer = cli.ok("resolve", attempt_id, "placed", *options)
    assert answer == {"attempt": attempt_id, "resolved": "placed", "campaign": "spring"}
    dial_to_the_end("spring")
    status = cli.ok("status", "spring")
    assert (status["state"], status["leads"]["reached"]) == ("completed", 1)
    assert cli.ok("audit", "spring")["holds"]
    assert "not an unresolved attempt" in cli.refused("resolve", attempt_id, "placed")


def test_resolved_as_not_placed_it_is_dialed_again(doubt: tuple[Cli, str]) -> None:
    cli, attempt_id = doubt
    said = cli("resolve", attempt_id, "not-placed")
    in_batch = cli.ok("status", "spring")["batches"] is not None
    assert ("it rings at 2030-03-17T17:46:40Z" in said.out) is in_batch
    dial_to_the_end("spring")
    status = cli.ok("status", "spring")
    assert (status["state"], status["leads"]["reached"]) == ("completed", 1)
    assert (status["attempts"]["not_placed"], status["attempts"]["settled"]) == (1, 1)


def test_what_cannot_be_resolved(doubt: tuple[Cli, str], retell: Retell) -> None:
    cli, attempt_id = doubt
    assert "--state unresolved" in cli.refused("resolve", "nobody", "placed")
    assert "--call" in cli.refused("resolve", attempt_id, "not-placed", "--call", "call_1", code=2)
    cli.refused("resolve", attempt_id, "perhaps", code=2)
    retell.start()  # another Retell, which knows nothing of the call
    assert "lists 0 calls" in cli.refused("resolve", attempt_id, "placed")
    assert cli("status", "spring", "--json").document["attempts"]["unresolved"] == 1


def call_at_retell() -> str:
    [campaign] = Store.open(load_settings().store_url()).campaigns.listed()
    with open_retell(load_settings()) as client:
        [call] = client.list_calls(metadata={"campaign_id": campaign.id})
    return call.call_id
