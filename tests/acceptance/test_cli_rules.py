"""When a person may be called, as an operator asks: explain, windows, evidence, blackout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Cli

#: A Tuesday, 10:00 in New York and 07:00 in Los Angeles; time stands still as good as.
CLOCK = "2026-12-01T15:00:00Z,0.001,{now}"


@pytest.fixture(autouse=True)
def tuesday(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("CAMPAIGNS_CLOCK", CLOCK.format(now=time.time()))
    monkeypatch.setenv(
        "RETELL_BASE_URL", "http://127.0.0.1:9"
    )  # a virtual clock is refused against the real API


def explained(cli: Cli, number: str, *more: str) -> dict[str, Any]:
    [one] = cli.ok("explain", number, *more)
    return dict(one)


def says(one: dict[str, Any], what: str) -> str:
    return "\n".join(line["says"] for line in one["lines"] if line["what"] == what)


def test_a_draft_says_that_it_is_one_and_shows_every_rule(cli: Cli) -> None:
    cli.draft("spring", ["(212) 555-0100,Ann"])
    one = explained(cli, "212-555-0100", "--campaign", "spring")
    assert (one["phone"], one["campaign"], one["lead_state"]) == ("+12125550100", "spring", "pending")
    assert (one["callable_now"], one["next_callable_at"], one["why"]) == (False, None, "spring is draft")
    assert says(one, "zones") == "America/New_York, from the number"
    assert says(one, "local time") == "Tue 2026-12-01 10:00 in America/New_York"
    assert "47 CFR 64.1200" in says(one, "rule US")
    assert "Confidence high" in says(one, "rule US")
    assert says(one, "cap") == "0 of 3 in any 24 hours used, over all campaigns"
    assert says(one, "do-not-call") == "not on the list"
    assert {"campaign", "lead", "retry delay", "places", "gate", "lines", "calls per second"} <= {
        line["what"] for line in one["lines"]
    }
    shown = cli("explain", "+12125550100")
    assert shown.code == 0
    assert "Not legal advice" in shown.out


def test_a_lead_that_sleeps_says_when_it_is_next_callable(cli: Cli, launched: Cli) -> None:
    one = explained(cli, "+12135550100")
    assert one["next_callable_at"] == "2026-12-01T16:00:00Z"  # 08:00 in Los Angeles
    assert "outside the calling window" in one["why"]
    assert [line["passes"] for line in one["lines"] if line["what"] == "rule US"] == [False]
    awake = explained(cli, "+12125550100")
    assert (awake["callable_now"], awake["next_callable_at"]) == (True, "2026-12-01T15:00:00Z")


@pytest.fixture
def launched(cli: Cli) -> Cli:
    cli.draft("spring", ["+12125550100,Ann", "+12135550100,Bob", "+12075550100,Cy"])
    cli.ok("launch", "spring")
    return cli


def test_a_blackout_is_in_the_way_until_it_is_lifted(cli: Cli, launched: Cli) -> None:
    made = cli.ok("blackout", "add", "New York", "2026-12-01", "2026-12-03", "--reason", "snow")
    assert (made["place"], made["first"], made["last"], made["lifted_at"]) == (
        "US-NY", "2026-12-01", "2026-12-03", None,
    )  # fmt: skip
    one = explained(cli, "+12125550100")
    assert one["next_callable_at"] == "2026-12-04T13:00:00Z"
    assert says(one, "blackout") == "US-NY 2026-12-01 to 2026-12-03: snow"
    assert cli.ok("blackout", "list") == [made]
    assert "snow" in cli("blackout", "list").out
    assert cli.ok("blackout", "remove", str(made["id"]))["lifted_by"]
    assert explained(cli, "+12125550100")["callable_now"]
    assert len(cli.ok("blackout", "list")) == 1


def test_a_number_of_no_campaign_is_explained_too(cli: Cli) -> None:
    one = explained(cli, "+12075550100")
    assert (one["campaign"], one["why"]) == (None, "no campaign has this number")
    assert "Whether holidays are banned is unclear" in says(one, "rule US-ME")
    assert "0 of 1 in any 8 hours used" in says(one, "cap")
    cli.draft("spring", ["+12125550100,Ann"])
    assert (
        explained(cli, "+12075550100", "--campaign", "spring")["why"] == "spring has no lead of this number"
    )


def test_a_number_in_two_campaigns_is_explained_in_both(cli: Cli) -> None:
    cli.draft("one", ["+12125550100,Ann"])
    cli.draft("two", ["+12125550100,Ann"])
    assert {one["campaign"] for one in cli.ok("explain", "+12125550100")} == {"one", "two"}


def test_a_held_lead_says_why_and_what_to_do(cli: Cli) -> None:
    cli.ok("create", "spring", "--from", "+14155550100")
    path = cli.leads("held.csv", ["+12125550100,AE"], header="phone_number,state")
    assert cli.ok("import", path, "--campaign", "spring", code=3)["by_code"] == {"unknown_timezone": 1}
    one = explained(cli, "+12125550100")
    assert one["lead_state"] == "held"
    assert says(one, "lead").startswith("line 2 is held, unknown_timezone: ")
    assert "military mail" in says(one, "lead")


def test_state_and_zip_decide_whose_rules_hold(cli: Cli) -> None:
    cli.ok("create", "spring", "--from", "+14155550100")
    path = cli.leads("list.csv", ["+12125550100,RI,"], header="phone_number,state,zip")
    cli.ok("import", path, "--campaign", "spring")
    one = explained(cli, "+12125550100")
    assert says(one, "places") == "US-NY, US-RI"
    assert says(one, "rule US-RI").startswith("Tue 09:00-18:00")


def test_the_strip_counts_leads_by_the_hour(cli: Cli, launched: Cli) -> None:
    found = cli.ok("windows", "spring", "--days", "2", "--clock", "America/New_York")
    assert (found["waiting"], found["zone"], len(found["days"])) == (3, "America/New_York", 2)
    assert found["days"][0]["date"] == "2026-12-01"
    # New York 8-21, Maine 9-17, Los Angeles 11-24 by New York's clock.
    assert found["days"][1]["callable"] == [0] * 8 + [1, 2, 2] + [3] * 6 + [2] * 4 + [1] * 3
    shown = cli("windows", "spring", "--days", "2", "--clock", "America/New_York")
    assert "Wed 12-02" in shown.out
    assert "█" in shown.out
    assert "Not legal advice" in shown.out


def test_the_strip_is_drawn_as_png(cli: Cli, launched: Cli, tmp_path: Path) -> None:
    picture = tmp_path / "strip.png"
    cli.ok("windows", "spring", "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_remedy_is_named(
    cli: Cli, launched: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = cli.refused("windows", "spring", "--plot", str(tmp_path / "strip.png"))
    assert "pip install campaigns[plot]" in said


def test_evidence_of_a_campaign_that_dialed_nobody_is_an_empty_file(
    cli: Cli, launched: Cli, tmp_path: Path
) -> None:
    table, lines = tmp_path / "evidence.csv", tmp_path / "evidence.jsonl"
    assert cli.ok("evidence", "spring", "--out", str(table)) == {"evidence": str(table), "rows": 0}
    assert table.read_text().startswith("attempt,send,campaign,")
    cli.ok("evidence", "spring", "--out", str(lines))
    assert lines.read_text() == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "12"),
        ("explain", "+18005550123"),
        ("blackout", "add", "Narnia", "2026-12-01"),
        ("blackout", "add", "US-LA", "tomorrow"),
        ("blackout", "add", "US-LA", "2026-12-02", "2026-12-01"),
        ("windows", "spring", "--clock", "Mars"),
    ],
)
def test_bad_words_are_one_line_with_a_remedy(cli: Cli, arguments: tuple[str, ...]) -> None:
    cli.refused(*arguments, code=2)


@pytest.mark.parametrize(
    "arguments",
    [("blackout", "remove", "7"), ("windows", "nothing"), ("explain", "+12125550100", "--campaign", "x")],
)
def test_what_is_not_there_is_said(cli: Cli, arguments: tuple[str, ...]) -> None:
    cli.refused(*arguments)
