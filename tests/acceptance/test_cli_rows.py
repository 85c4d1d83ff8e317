"""Lists of leads, attempts and events: filters, orders, pages, three forms."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from campaigns.cli.documents.rows import Attempt, Event, Lead
from campaigns.cli.documents.table import DOCUMENTS
from campaigns.domain.outcomes import Outcome
from campaigns.domain.states import AttemptState
from tests.acceptance.conftest import NUMBERS, Cli, Retell
from tests.acceptance.dialing import AT_ONCE, dial_to_the_end

ROWS = [f"{number},=SUM(1),{zone}" for number, zone in [
    (NUMBERS[0], "America/New_York"), (NUMBERS[1], "America/Chicago"), (NUMBERS[2], "America/Chicago"),
    (NUMBERS[10], "Mars/Olympus"),
]]  # fmt: skip


@pytest.fixture
def spring(cli: Cli) -> Cli:
    """Three pending leads, and one that is held."""
    cli.ok("create", "spring", "--from", "+14155550100")
    cli.ok(
        "import", cli.leads(rows=ROWS, header="phone,external_id,timezone"), "--campaign", "spring", code=3
    )
    return cli


@pytest.fixture
def dialed(cli: Cli, retell: Retell) -> Cli:
    simulator = retell.start(speed=2000)
    for number, reason in zip(NUMBERS[:3], ("user_hangup", "dial_busy", "dial_no_answer"), strict=True):
        simulator.engine.script(number, reason)
    cli.draft("spring", [f"{number},Ann" for number in NUMBERS[:3]], *AT_ONCE)
    cli.ok("launch", "spring")
    dial_to_the_end("spring")
    return cli


def listed(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    found = cli.ok(*arguments)
    TypeAdapter(DOCUMENTS[arguments[0]]).validate_python(found, strict=True)
    return list(found)


def phones(cli: Cli, *arguments: str) -> list[str]:
    return [lead["phone"] for lead in listed(cli, "leads", "spring", *arguments)]


# -- leads


def test_leads_are_filtered(spring: Cli) -> None:
    everyone = [NUMBERS[0], NUMBERS[1], NUMBERS[2], NUMBERS[10]]
    assert phones(spring) == everyone
    assert phones(spring, "--state", "held") == [NUMBERS[10]]
    assert phones(spring, "--hold", "unknown_timezone") == [NUMBERS[10]]
    assert phones(spring, "--zone", "America/Chicago") == NUMBERS[1:3]
    assert phones(spring, "--zone", "America/Denver") == []
    assert phones(spring, "--phone", NUMBERS[1]) == [NUMBERS[1]]
    assert phones(spring, "--file", "leads.csv") == everyone
    assert phones(spring, "--outcome", "busy") == []
    assert phones(spring, "--min-attempts", "1") == []


def test_leads_are_sorted_and_paged(spring: Cli) -> None:
    everyone = [NUMBERS[0], NUMBERS[1], NUMBERS[2], NUMBERS[10]]
    assert phones(spring, "--sort", "-phone") == sorted(everyone, reverse=True)
    assert phones(spring, "--sort", "-line") == everyone[::-1]
    assert phones(spring, "--sort", "state")[0] == NUMBERS[10]
    assert phones(spring, "--limit", "2") == everyone[:2]
    assert phones(spring, "--limit", "2", "--offset", "2") == everyone[2:]
    assert phones(spring, "--offset", "9") == []
    said = spring("leads", "spring", "--limit", "3")
    assert NUMBERS[2] in said.out
    assert NUMBERS[10] not in said.out
    assert "--offset 3" in said.out
    assert "--offset" not in spring("leads", "spring").out


def test_leads_as_a_table_for_spreadsheets_have_no_formula(spring: Cli) -> None:
    said = spring("leads", "spring", "--csv")
    assert said.err == ""
    header, *rows = list(csv.reader(io.StringIO(said.out)))
    assert header == list(Lead.model_fields)
    documents = spring.ok("leads", "spring")
    assert len(rows) == len(documents) == 4
    for row, document in zip(rows, documents, strict=True):
        shown = dict(zip(header, row, strict=True))
        assert shown["phone"].lstrip("'") == document["phone"]
        assert shown["contacted"] == "false"
        assert shown["external_id"] == "'=SUM(1)"
        assert all(cell[:1] not in ("=", "@", "\t") for cell in row)


def test_what_became_of_leads(dialed: Cli) -> None:
    found = {lead["phone"]: lead for lead in listed(dialed, "leads", "spring")}
    human, busy = found[NUMBERS[0]], found[NUMBERS[1]]
    assert (human["state"], human["outcome"], human["contacted"], human["attempts"]) == (
        "reached",
        "human",
        True,
        1,
    )
    assert (busy["state"], busy["outcome"], busy["contacted"], busy["succeeded"]) == (
        "exhausted", "busy", False, False,
    )  # fmt: skip
    assert human["call_id"].startswith("call_")
    assert human["last_attempt_at"].endswith("Z")
    assert human["next_attempt_at"] is None
    assert phones(dialed, "--outcome", "busy") == [NUMBERS[1]]
    assert phones(dialed, "--min-attempts", "1") == NUMBERS[:3]


# -- attempts


def test_attempts_are_listed_filtered_and_sorted(dialed: Cli) -> None:
    found = listed(dialed, "attempts", "spring")
    assert [one["claimed_at"] for one in found] == sorted((one["claimed_at"] for one in found), reverse=True)
    assert {(one["phone"], one["outcome"]) for one in found} == set(
        zip(NUMBERS[:3], ("human", "busy", "no_answer"), strict=True)
    )
    assert {one["state"] for one in found} == {"settled"}

    def having(*arguments: str) -> list[str]:
        return [one["phone"] for one in listed(dialed, "attempts", "spring", *arguments)]

    assert having("--outcome", "busy") == having("--phone", NUMBERS[1]) == [NUMBERS[1]]
    assert len(having("--state", "settled")) == len(having("--from", "+14155550100")) == 3
    assert having("--state", "unresolved") == having("--agent", "nobody") == []
    assert having("--sort", "-duration")[0] == NUMBERS[0]
    assert len(having("--limit", "1", "--offset", "1")) == 1
    said = dialed("attempts", "spring")
    for one in found:
        assert one["id"] in said.out
    header = next(csv.reader(io.StringIO(dialed("attempts", "spring", "--csv").out)))
    assert header == list(Attempt.model_fields)


# -- events


def test_events_tell_what_happened_in_order(dialed: Cli) -> None:
    found = listed(dialed, "events", "spring", "--limit", "1000")
    assert [event["id"] for event in found] == sorted(event["id"] for event in found)
    assert (found[0]["subject"], found[0]["to_state"]) == ("campaign", "draft")
    assert (found[-1]["subject"], found[-1]["to_state"]) == ("campaign", "completed")
    assert len(listed(dialed, "events", "spring", "--limit", "3")) == 3
    assert listed(dialed, "events", "spring", "--limit", "3") == found[-3:]
    text = dialed("events", "spring").out
    assert "running > completed" in text
    assert "+1212555" not in text


def test_following_events_shows_new_ones_until_ctrl_c(spring: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(("launch", "pause"))

    def pause(_: float) -> None:
        step = next(looks, None)
        if step is None:
            raise KeyboardInterrupt
        before = spring.capsys.readouterr().out
        assert spring(step, "spring").code == 0
        print(before, end="")

    monkeypatch.setattr("campaigns.cli.rows.time.sleep", pause)
    said = spring("events", "spring", "--follow", "--json")
    assert said.code == 0
    events = [Event(**json.loads(line)) for line in said.out.splitlines() if line.startswith("{")]
    moves = [event.to_state for event in events if event.from_state != event.to_state]
    assert moves == ["draft", "running", "paused"]


# -- what cannot be read


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("leads", "spring", "--state", "gone"), "pending"),
        (("leads", "spring", "--outcome", "won"), ", ".join(Outcome)),
        (("leads", "spring", "--sort", "name"), "priority"),
        (("leads", "spring", "--limit", "0"), "--limit"),
        (("leads", "spring", "--offset", "-1"), "--offset"),
        (("leads", "spring", "--min-attempts", "few"), "--min-attempts"),
        (("leads", "spring", "--phone", "2125550100"), "+14155550100"),
        (("leads", "spring", "--csv", "--json"), "one of them"),
        (("attempts", "spring", "--state", "pending"), ", ".join(AttemptState)),
        (("attempts", "spring", "--outcome", "won"), "human"),
        (("attempts", "spring", "--sort", "line"), "time"),
        (("attempts", "spring", "--from", "x"), "--from"),
        (("events", "spring", "--limit", "0"), "--limit"),
    ],
)
def test_bad_options(spring: Cli, arguments: tuple[str, ...], words: str) -> None:
    said = spring(*arguments)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert words in said.err


@pytest.mark.parametrize(
    "command", ["leads", "attempts", "events", "report", "forecast", "watch", "archive", "delete"]
)
def test_an_unknown_campaign(spring: Cli, command: str) -> None:
    assert "there are: spring" in spring.refused(command, "sprig")
