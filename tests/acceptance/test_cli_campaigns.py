"""Making, filling and steering campaigns from the command line."""

from __future__ import annotations

import csv
import os
from datetime import UTC, datetime, timedelta

import pytest

from campaigns.domain.states import AttemptState, LeadState
from campaigns.settings import load_settings
from campaigns.store import Store
from tests.acceptance.conftest import NUMBERS, Cli, Retell
from tests.acceptance.dialing import AT_ONCE, dial_to_the_end

IMPORT_KEYS = ["rows", "accepted", "rejected", "duplicates", "suppressed", "held", "by_code"]
STATUS_KEYS = {
    "campaign", "state", "reason", "leads", "attempts", "outcomes", "rejected_rows", "cost_cents", "slots",
    "next_event",
}  # fmt: skip
MIXED = ["+12125550100,Ann", "+12125550100,Ann again", "12,Too short", ",Nobody", "+13125550101,Bo"]
RESULT_COLUMNS = [
    "lead_state", "attempts", "outcome", "last_attempt_at", "call_id", "disconnection_reason",
    "duration_seconds", "cost_cents", "sentiment", "summary", "recording_url", "transcript",
]  # fmt: skip


def state_of(cli: Cli, name: str = "spring") -> str:
    return str(cli.ok("status", name)["state"])


# -- import


def test_import_makes_a_draft_and_counts_every_row(cli: Cli) -> None:
    counts = cli.ok("import", cli.leads(rows=MIXED), "--campaign", "spring")
    assert list(counts) == IMPORT_KEYS
    assert counts["rows"] == 5
    assert counts["rows"] == sum(counts[key] for key in IMPORT_KEYS[1:6])
    assert (counts["accepted"], counts["duplicates"], counts["rejected"]) == (2, 1, 2)
    assert counts["by_code"] == {"duplicate_in_file": 1, "invalid_phone": 1, "missing_phone": 1}
    status = cli.ok("status", "spring")
    assert (status["state"], status["leads"]["pending"], status["rejected_rows"]) == ("draft", 2, 3)


def test_a_dry_run_counts_the_same_and_changes_nothing(cli: Cli) -> None:
    path = cli.leads(rows=MIXED)
    dry = cli.ok("import", path, "--campaign", "spring", "--dry-run")
    assert cli.ok("status") == []
    assert dry == cli.ok("import", path, "--campaign", "spring")


def test_the_same_file_again_adds_nothing(cli: Cli) -> None:
    path = cli.leads()
    cli.ok("import", path, "--campaign", "spring")
    again = cli.ok("import", path, "--campaign", "spring")
    assert (again["rows"], again["accepted"], again["duplicates"]) == (5, 0, 5)
    assert cli.ok("status", "spring")["leads"]["total"] == 5


def test_rejected_rows_are_written_with_line_code_and_message(cli: Cli) -> None:
    out = cli.folder / "bad.csv"
    cli.ok("import", cli.leads(rows=MIXED), "--campaign", "spring", "--rejects", out)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["line", "code", "message", "column", "value", "phone_number", "first_name"]
    assert [(row["line"], row["code"]) for row in rows] == [
        ("3", "duplicate_in_file"), ("4", "invalid_phone"), ("5", "missing_phone"),
    ]  # fmt: skip
    assert all(row["message"] for row in rows)


def test_an_import_that_fails_leaves_nothing_behind(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("campaigns.store.import_rows.ImportWriter.finish", fail)
    error = cli.refused("import", cli.leads(), "--campaign", "spring")
    assert "No space left" in error
    assert cli.ok("status") == []


def test_ctrl_c_during_an_import_leaves_nothing_behind(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("campaigns.store.import_rows.ImportWriter.add_rejects", interrupt)
        assert "nothing of leads.csv was imported" in cli.refused("import", cli.leads(), "--campaign", "a")
    assert cli.ok("status") == []


# -- transitions


def test_the_life_of_a_campaign(cli: Cli) -> None:
    assert cli.ok("create", "spring", "--from", "+14155550100", "--cps", "2")["state"] == "draft"
    cli.ok("import", cli.leads(), "--campaign", "spring")
    assert cli.ok("launch", "spring")["state"] == "running"
    assert cli.ok("launch", "spring")["state"] == "running"
    paused = cli.ok("pause", "spring")
    assert (paused["state"], bool(paused["reason"])) == ("paused", True)
    status = cli.ok("status", "spring")
    assert paused["reason"] in status["next_event"]["what"]
    assert cli.ok("resume", "spring")["state"] == "running"
    assert cli.ok("cancel", "spring")["state"] == "cancelled"
    assert cli.ok("status", "spring")["leads"]["cancelled"] == 5


def test_a_start_by_the_clock(cli: Cli) -> None:
    start = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    cli.draft("spring", (), "--cps", "1", "--start-at", start)
    assert cli.ok("launch", "spring")["state"] == "scheduled"
    status = cli.ok("status", "spring")
    assert status["next_event"] == {"at": start, "what": "dialing begins"}
    said = cli("resume", "spring")
    assert "is scheduled, not paused" in said.err
    cli.ok("pause", "spring")
    assert start in cli("resume", "spring").out
    assert cli.ok("launch", "spring", "--now")["state"] == "running"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--start-at", "2027-03-01 09:00"), "zone"),
        (("--end-at", "2001-03-01T09:00:00Z"), "past"),
        (("--start-at", "2099-03-01T09:00:00Z"), "year"),
        (("--start-at", "soon"), "--start-at"),
    ],
)
def test_a_start_or_an_end_that_cannot_be(cli: Cli, options: tuple[str, str], words: str) -> None:
    assert words in cli.refused("create", "spring", *options, code=2)
    assert cli.ok("status") == []


def test_an_end_that_is_past_expires_nobody_who_waits(cli: Cli, retell: Retell) -> None:
    """A year mistyped: all leads of a campaign that ran were `expired` within the second, for good."""
    retell.start()
    cli.draft("spring", (), "--end-at", "2098-03-01 09:00", "--timezone", "America/New_York")
    cli.ok("launch", "spring")
    cli.ok("pause", "spring")
    for command in (
        ("run", "spring.csv", "--name", "spring", "--end-at", "2020-03-01 09:00"),
        ("run", "spring.csv", "--name", "spring", "--end-at", "2020-03-01 09:00Z"),
    ):
        assert "past" in cli.refused(*command, code=2)
    status = cli.ok("status", "spring")
    assert (status["end_at"], status["leads"]["pending"]) == ("2098-03-01T14:00:00Z", 5)


def test_a_simulated_run_by_the_name_of_a_real_campaign_changes_nothing_of_it(
    cli: Cli, retell: Retell
) -> None:
    """Its workers would have dialed real people by the options, and out of the list, of a rehearsal."""
    retell.start()
    cli.draft("spring")
    cli.ok("launch", "spring")
    cli.leads("more.csv", [f"{NUMBERS[9]},Zoe"])
    before = cli.ok("status", "spring"), cli.ok("events", "spring", "--limit", "1000")
    line = cli.refused(
        "run",
        "more.csv",
        "--simulate",
        "--name",
        "spring",
        "--profile",
        "none",
        "--window",
        "Mon-Sun 00:00-24:00",
    )
    assert "belongs to the retell account" in line
    assert (cli.ok("status", "spring"), cli.ok("events", "spring", "--limit", "1000")) == before


@pytest.mark.parametrize(
    ("before", "command", "words"),
    [
        ([], "pause", "only a running campaign"),
        ([], "resume", "is draft, not paused"),
        (["launch"], "resume", "is running, not paused"),
        (["launch", "pause"], "pause", "is paused"),
        (["cancel"], "cancel", "is cancelled already"),
        (["cancel"], "launch", "another name"),
        (["cancel"], "pause", "is cancelled"),
        (["cancel"], "resume", "is cancelled"),
    ],
)
def test_what_cannot_be_done_now(cli: Cli, before: list[str], command: str, words: str) -> None:
    cli.draft("spring", (), "--cps", "1")
    for step in before:
        cli.ok(step, "spring")
    was = state_of(cli)
    assert words in cli.refused(command, "spring")
    assert state_of(cli) == was


def test_a_campaign_without_leads_is_not_launched(cli: Cli) -> None:
    cli.ok("create", "spring", "--from", "+14155550100")
    assert "campaigns import" in cli.refused("launch", "spring")


def test_nothing_is_imported_into_a_finished_campaign(cli: Cli) -> None:
    cli.draft()
    cli.ok("cancel", "spring")
    more = cli.leads("more.csv", ["+13125550111,Cy"])
    assert "cancelled" in cli.refused("import", more, "--campaign", "spring")


def test_a_name_is_taken_once(cli: Cli) -> None:
    cli.draft()
    assert "exists already" in cli.refused("create", "spring")


def test_the_only_number_is_taken_and_several_are_named(cli: Cli, retell: Retell) -> None:
    simulator = retell.start()
    cli.ok("import", cli.leads(), "--campaign", "spring")
    line = cli.refused("launch", "spring")
    assert "--from" in line
    for number in simulator.engine.account.numbers:
        assert number in line
    simulator.engine.account.numbers.clear()
    assert "no phone number" in cli.refused("launch", "spring")


# -- looking


def test_status_has_the_keys_of_the_contract(cli: Cli) -> None:
    cli.draft()
    status = cli.ok("status", "spring")
    assert set(status) >= STATUS_KEYS
    assert set(status["leads"]) == {"total", *(state.value for state in LeadState)}
    assert set(status["attempts"]) == {state.value for state in AttemptState}
    assert set(status["slots"]) == {"ceiling", "foreign", "own"}
    assert set(status["next_event"]) == {"at", "what"}
    assert status["leads"]["total"] == 5
    assert cli.ok("status") == [status]


def test_leads_by_state(cli: Cli) -> None:
    cli.draft()
    assert [lead["phone"] for lead in cli.ok("leads", "spring")] == NUMBERS[:5]
    assert len(cli.ok("leads", "spring", "--state", "pending")) == 5
    assert cli.ok("leads", "spring", "--state", "held") == []
    line = cli.refused("leads", "spring", "--state", "gone", code=2)
    for state in LeadState:
        assert state.value in line


def test_held_leads_need_a_person(cli: Cli) -> None:
    rows = ["+12125550100,Ann,Mars/Olympus", "+12125550101,Bo,America/New_York"]
    path = cli.leads(rows=rows, header="phone_number,first_name,timezone")
    rehearsed = cli.ok("import", path, "--campaign", "spring", "--dry-run", code=3)
    counts = cli.ok("import", path, "--campaign", "spring", code=3)
    assert rehearsed == counts
    assert (counts["accepted"], counts["held"], counts["by_code"]) == (1, 1, {"unknown_timezone": 1})
    assert (
        cli.ok("import", cli.leads(rows=["12,Rejected", "+12125550102,Cy"]), "--campaign", "spring")["held"]
        == 0
    )
    said = cli("status", "spring", "--json")
    assert (said.code, said.document["leads"]["held"]) == (3, 1)
    [held] = said.document["held"]
    assert (held["code"], held["leads"], bool(held["remedy"])) == ("unknown_timezone", 1, True)
    assert cli("status").code == 3
    [lead] = cli.ok("leads", "spring", "--state", "held")
    assert (lead["line"], lead["hold_code"], lead["hold_remedy"]) == (2, "unknown_timezone", held["remedy"])


# -- a campaign that was dialed


@pytest.fixture
def dialed(cli: Cli, retell: Retell) -> Cli:
    """A completed campaign of five leads."""
    retell.start(speed=2000.0, analysis_delay=(0.0, 0.0))
    cli.draft("spring", [f"{number},=Ann" for number in NUMBERS[:5]], *AT_ONCE)
    cli.ok("launch", "spring")
    dial_to_the_end("spring")
    return cli


def test_export_has_the_columns_of_the_contract(dialed: Cli) -> None:
    written = dialed.ok("export", "spring", "--out", "results.csv", "--rejects", "rejected.csv")
    assert (written["rows"], written["rejected_rows"]) == (5, 0)
    with (dialed.folder / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0])
    assert columns[:14] == ["phone_number", "first_name", *RESULT_COLUMNS]
    assert all(column.startswith("analysis.") for column in columns[14:])
    assert columns[14:]
    assert [row["phone_number"].lstrip("'") for row in rows] == NUMBERS[:5]
    for row in rows:
        assert (row["lead_state"], row["outcome"], row["attempts"]) == ("reached", "human", "1")
        assert row["call_id"].startswith("call_")
        assert float(row["duration_seconds"]) >= 0
        assert row["transcript"]
        assert row["first_name"] == "'=Ann"  # no formula in a spreadsheet


def test_audit_holds_and_fails(dialed: Cli) -> None:
    assert dialed.ok("audit", "spring")["holds"] is True
    store = Store.open(load_settings().store_url())
    store.campaigns.create(
        "other", "retell", store.campaigns.listed()[0].options, load_settings().clock().now()
    )
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE attempts SET call_id = 'call_x' WHERE rowid = 1")
    said = dialed("audit", "spring", "--json")
    assert (said.code, said.document["holds"]) == (1, False)
    failed = {check["claim"]: check["found"] for check in said.document["checks"] if not check["holds"]}
    assert any("call_x" in found for founds in failed.values() for found in founds)
    people = dialed("audit", "spring")
    assert (people.code, "FAILS" in people.out, "call_x" in people.out) == (1, True, True)
    assert dialed("audit", "other").code == 0


def test_report_of_a_finished_campaign(dialed: Cli) -> None:
    report = dialed.ok("report", "spring")
    assert report["state"] == "completed"
    assert (report["calls"], report["dialed_leads"], report["contact_rate"]) == (5, 5, 1.0)
    assert report["attempts_per_lead"] == {"1": 5}
    assert report["cost_cents"] >= 0
    assert "contact rate" in dialed("report", "spring").out
    more = dialed.leads("more.csv", ["+13125550111,Cy"])
    assert dialed.ok("import", more, "--campaign", "spring")["accepted"] == 1
    assert dialed.ok("launch", "spring")["state"] == "running"  # a completed one goes on with new leads
