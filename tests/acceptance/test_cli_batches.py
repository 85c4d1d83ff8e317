"""`campaigns batches`, and batch mode in what the other commands show."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from campaigns.cli.documents.table import DOCUMENTS
from tests.acceptance.conftest import NUMBERS, Cli, Retell
from tests.acceptance.dialing import AT_ONCE, dial_to_the_end

LEADS = [f"{number},Ann" for number in NUMBERS[:3]]


def shown(cli: Cli, *arguments: str) -> Any:
    found = cli.ok(*arguments)
    TypeAdapter(DOCUMENTS[arguments[0]]).validate_python(found, strict=True)
    return found


@pytest.fixture
def launched(cli: Cli, retell: Retell) -> Cli:
    retell.start(speed=2000)
    cli.draft("spring", LEADS, *AT_ONCE, "--mode", "batch")
    cli.ok("launch", "spring")
    return cli


def test_what_was_sent_and_what_became_of_it(launched: Cli) -> None:
    cli = launched
    assert shown(cli, "batches", "spring") == []
    assert shown(cli, "status", "spring")["batches"] == {"open": 0, "waiting": 0, "until": None}
    dial_to_the_end("spring", until="sent")
    [waiting] = shown(cli, "batches", "spring", "--open")
    assert (waiting["state"], waiting["tasks"], waiting["waiting"]) == ("sent", 3, 3)
    status = shown(cli, "status", "spring")
    assert status["batches"] == {"open": 1, "waiting": 3, "until": waiting["ends_at"]}
    assert status["slots"]["own"] == 3
    [explained] = shown(cli, "explain", NUMBERS[0], "--campaign", "spring")
    [line] = [line for line in explained["lines"] if line["what"] == "batch"]
    assert f"does not ring it after {waiting['ends_at']}" in line["says"]
    dial_to_the_end("spring")
    [over] = shown(cli, "batches", "spring")
    assert (over["state"], over["calls"], over["waiting"], over["returned"], over["left_over"]) == (
        "over",
        3,
        0,
        0,
        0,
    )
    assert over["windows"][0]["start"] < over["windows"][0]["end"] <= 1440
    assert shown(cli, "batches", "spring", "--open") == []
    assert shown(cli, "batches", "spring", "--limit", "1") == [over]
    assert cli.ok("audit", "spring")["holds"] is True
    assert cli.ok("export", "spring")["rows"] == 3


def test_for_people(launched: Cli) -> None:
    dial_to_the_end("spring")
    said = launched("batches", "spring")
    text = said.out + said.err
    assert "over" in text
    assert "+14155550100" in text


def test_a_long_reason_leaves_room_for_the_rest(
    cli: Cli, retell: Retell, monkeypatch: pytest.MonkeyPatch
) -> None:
    retell.start(speed=2000)
    cli.draft("spring", LEADS, *AT_ONCE, "--mode", "batch", "--agent", "agent_nobody_has")
    cli.ok("launch", "spring")
    dial_to_the_end("spring", until="not_sent")
    monkeypatch.setenv("COLUMNS", "100")
    said = cli("batches", "spring").out
    [refused] = shown(cli, "batches", "spring")
    assert [line.split()[:2] for line in said.splitlines() if line.startswith(refused["batch"][:8])] == [
        [refused["batch"][:8], "not_sent"],
        [f"{refused['batch'][:8]}:", "Retell"],
    ]
    assert refused["why"] in " ".join(said.split())


def test_a_campaign_that_dials_call_by_call_has_none(cli: Cli) -> None:
    cli.draft("spring", LEADS)
    assert "call by call" in cli.refused("batches", "spring", code=2)
    assert shown(cli, "status", "spring")["batches"] is None
    assert "nobody" in cli.refused("batches", "nobody")
