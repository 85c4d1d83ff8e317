"""What people's lists look like, as measured, through the command as a user types it: one test for each line of the
tables of untidy phones, of structure, and of recognising a file."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.acceptance.conftest import Cli

HELD = 3


def imported(
    cli: Cli, content: str | bytes, *options: str
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, str]]]:
    """(the counts, the leads, the rejected rows) of a list that was imported."""
    path = cli.folder / "list.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    said = cli("import", path, "--campaign", "facts", "--rejects", "rejected.csv", "--json", *options)
    counts = said.document
    assert said.code == (HELD if counts["held"] else 0), said.err
    assert counts["rows"] == sum(
        counts[name] for name in ("accepted", "rejected", "duplicates", "suppressed", "held")
    )
    leads = cli.ok("leads", "facts")
    with (cli.folder / "rejected.csv").open(newline="") as file:
        rejected = list(csv.DictReader(file))
    assert counts["accepted"] + counts["held"] == len(leads)
    return counts, leads, rejected


# Line of the table -> the cells as they stand in a list, and what becomes of each: a number, or "code: words of why".
PHONES: dict[str, dict[str, str]] = {
    "a float": {"2125550101.0": "+12125550101"},
    "a float of nine digits": {"212555012.0": "invalid_phone: too short"},
    "exact scientific notation": {"2.12555012E9": "+12125550120"},
    "scientific notation that lost digits": {"1.21255E+10": "invalid_phone: scientific notation and has lost digits"},
    "a plus and one digit missing": {"+2125550123": "held invalid_phone: no country code"},
    "an apostrophe": {"'2125550102": "+12125550102"},
    "a formula of text": {'="2125550103"': "+12125550103"},
    "the country code twice": {"1 1 212 555 0104": "+12125550104"},
    "dashes that do not break": {"212\u2011555\u20110105": "+12125550105"},
    "marks of direction": {"\u202a212-555-0106\u202c": "+12125550106"},
    "fullwidth digits": {"２１２５５５０１０７": "+12125550107"},
    "an extension": {
        "212-555-0108 x12": "+12125550108 x 12",
        "212-555-0109 ext. 45": "+12125550109 x 45",
        "212-555-0110 #77": "+12125550110 x 77",
    },
    "a remark": {"212-555-0111 (cell)": "+12125550111"},
    "two numbers in a cell": {
        "212-555-0112 / 212-555-0113": "invalid_phone: several phone numbers",
        "2125550112 2125550113": "invalid_phone: several",
        "212-555-0112, 212-555-0113": "invalid_phone: several phone numbers",
    },
    "letters": {"212-555-CALL": "+12125552255"},
    "seven digits": {"555-0114": "invalid_phone: no area code"},
    "foreign without a plus": {
        "442079460958": "invalid_phone: region",
        "02079460958": "invalid_phone: region",
        "00442079460958": "invalid_phone: region",
    },
    "policy": {
        "900-555-0115": "not_dialable: premium-rate",
        "800-555-0116": "not_dialable: toll-free",
        "911": "not_dialable: emergency",
        "876-555-0117": "foreign_country: JM",
    },
}  # fmt: skip


def test_phones(cli: Cli) -> None:
    cells = [(line, cell) for line, some in PHONES.items() for cell in some]
    path = cli.folder / "phones.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["phone", "external_id"], *([cell, at] for at, (_, cell) in enumerate(cells))]
        )
    counts, leads, rejected = imported(cli, path.read_bytes())
    extensions = extensions_of(cli)
    found: dict[int, str] = {}
    for lead in leads:
        number = " x ".join(filter(None, [lead["phone"], extensions[lead["id"]]]))
        held = lead["state"] == "held"
        found[int(lead["external_id"])] = (
            f"held {lead['hold_code']}: {lead['hold_remedy']}" if held else number
        )
    for row in rejected:
        assert row["column"] == "phone"
        found[int(row["external_id"])] = f"{row['code']}: {row['message']}"
    expected = {at: PHONES[line][cell] for at, (line, cell) in enumerate(cells)}
    wrong = {
        cells[at]: found[at]
        for at, words in expected.items()
        if not all(map(found[at].__contains__, words.split(": ")))
    }
    assert not wrong
    assert counts["rows"] == len(cells)


def test_letters_are_flagged(cli: Cli) -> None:
    path = cli.folder / "list.csv"
    path.write_text("phone\n212-555-CALL\n")
    assert (
        "warning: line 2: letters read as digits: 212-555-CALL is 2125552255"
        in cli("import", path, "--campaign", "facts").out
    )


def extensions_of(cli: Cli) -> dict[int, str]:
    """Lead -> its extension, of which the commands that list leads do not speak."""
    with closing(sqlite3.connect(cli.home / "campaigns.db")) as database:
        return dict(database.execute("SELECT id, extension FROM leads"))


# Line of the list -> the file, and what becomes of it: each lead's number and name, and each reject's line and code.
GOOD = "".join(f"2125550{n},N{n}\n" for n in range(100, 199))
STRUCTURE: dict[str, tuple[str | bytes, dict[str, str], dict[int, str]]] = {
    "a delimiter at the end of every line": (
        "phone,name\n2125550101,Ann,\n2125550102,Bo,\n", {"+12125550101": "Ann", "+12125550102": "Bo"}, {},
    ),
    "one field too many": (
        "phone,name\n2125550101,Lee, Ann\n2125550102,Bo\n", {"+12125550102": "Bo"}, {2: "row_too_long"},
    ),
    "one field too few, the phone's": (
        "name,phone\nAnn\nBo,2125550102\n", {"+12125550102": "Bo"}, {2: "missing_phone"},
    ),
    "an unbalanced quotation mark": (
        f'phone,name\n2125550199,"open\n{GOOD}',
        {f"+12125550{n}": f"N{n}" for n in range(100, 199)}, {2: "bad_value"},
    ),
    "ctrl-z at the end": ("phone,name\r\n2125550101,Ann\r\n\x1a", {"+12125550101": "Ann"}, {}),
    "cr-only line ends": (
        "phone,name\r2125550101,Ann\r2125550102,Bo\r", {"+12125550101": "Ann", "+12125550102": "Bo"}, {},
    ),
    "blank lines and lines of commas": (
        "phone,name\n\n2125550101,Ann\n,,,\n \n2125550102,Bo\n", {"+12125550101": "Ann", "+12125550102": "Bo"}, {},
    ),
    "title lines and a total": (
        "Spring list\nmade by Ann\nphone,name\n2125550101,Ann\nTotal,1\n",
        {"+12125550101": "Ann"}, {5: "invalid_phone"},
    ),
    "NA is a name": ("phone,name\n2125550101,NA\n", {"+12125550101": "NA"}, {}),
    "a byte order mark": (b"\xef\xbb\xbfphone,name\n2125550101,Ann\n", {"+12125550101": "Ann"}, {}),
    "utf-16 by its zeros": ("phone,name\n2125550101,Zoë\n".encode("utf-16-le"), {"+12125550101": "Zoë"}, {}),
    "utf-8, an accent far down": (
        ("phone,name\n" + "5,x\n" * 19_995 + "2125550101,Zoë\n").encode(), {"+12125550101": "Zoë"}, {},
    ),
    "cp1252": ("phone,name\n2125550101,Zoë Müller\n".encode("cp1252"), {"+12125550101": "Zoë Müller"}, {}),
    "mostly utf-8": (
        "phone,name\n2125550101,Zoë ëëëëë\n2125550102,\xc9\n".encode().replace(b"\xc3\x89", b"\xc9"),
        {"+12125550101": "Zoë ëëëëë", "+12125550102": "\ufffd"}, {},
    ),
    "semicolons": ("phone;name\n2125550101;Lee, Ann\n", {"+12125550101": "Lee, Ann"}, {}),
    "tabs": ("phone\tname\n2125550101\tLee, Ann\n", {"+12125550101": "Lee, Ann"}, {}),
    "bars": ("phone|name\n2125550101|Lee, Ann\n", {"+12125550101": "Lee, Ann"}, {}),
    "sep=": ("sep=;\nphone;name\n2125550101;a,b\n", {"+12125550101": "a,b"}, {}),
    "the phone by its content": (
        "who,name\n2125550101,Ann\n2125550102,Bo\n", {"+12125550101": "Ann", "+12125550102": "Bo"}, {},
    ),
    "names repeated are numbered": ("phone,name,name\n2125550101,Ann,x\n", {"+12125550101": "Ann"}, {}),
    "names stripped": (" Phone , name \n2125550101,Ann\n", {"+12125550101": "Ann"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("line", list(STRUCTURE))
def test_structure(cli: Cli, line: str) -> None:
    content, leads, rejects = STRUCTURE[line]
    _, found, rejected = imported(cli, content)
    rejects_found = {int(row["line"]): row["code"] for row in rejected if row["phone"] != "5"}
    assert rejects_found == rejects
    assert {lead["phone"] for lead in found} == set(leads)
    cli("export", "facts", "--out", "results.csv")
    with (cli.folder / "results.csv").open(newline="", encoding="utf-8") as file:
        names = [row["name"] for row in csv.DictReader(file) if row["lead_state"]]
    assert sorted(names) == sorted(leads.values())


def test_a_file_without_a_header(cli: Cli) -> None:
    _, leads, _ = imported(cli, "2125550101,Ann\n2125550102,Bo\n")
    assert [(lead["line"], lead["phone"]) for lead in leads] == [(1, "+12125550101"), (2, "+12125550102")]


def test_two_columns_of_phones_are_asked_about(cli: Cli) -> None:
    path = cli.folder / "list.csv"
    path.write_text("home,work\n2125550101,2135550101\n2125550102,2135550102\n")
    assert "--map phone=home" in cli.refused("import", path, "--campaign", "facts", code=2)
    _, leads, _ = imported(cli, path.read_bytes(), "--map", "phone=work")
    assert {lead["phone"] for lead in leads} == {"+12135550101", "+12135550102"}


def test_what_a_file_could_not_be_read_with_is_not_remembered(cli: Cli) -> None:
    path = cli.folder / "list.csv"
    path.write_text("home,work\n2125550101,2135550101\n")
    cli("import", path, "--campaign", "facts", "--map", "phone=home")
    kept = cli.ok("files", "facts")
    path.write_text("home,work\n2125550102,2135550102\n")
    assert "--map phone=COLUMN" in cli.refused(
        "import", path, "--campaign", "facts", "--map", "phone=x", code=2
    )
    cli("import", path, "--campaign", "facts", "--map", "phone=work", "--dry-run")
    assert cli.ok("files", "facts") == kept
    cli("import", path, "--campaign", "facts")
    assert {file["mapping"]["phone"] for file in cli.ok("files", "facts")} == {"home"}


def test_line_numbers_are_those_of_a_spreadsheet(cli: Cli) -> None:
    _, leads, rejected = imported(cli, 'phone,name\n2125550101,"two\nlines"\n\n12,x\n2125550102,Bo\n')
    assert [lead["line"] for lead in leads] == [2, 5]
    assert [row["line"] for row in rejected] == ["4"]


def test_a_suppressed_number_that_repeats_is_suppressed_on_every_row(cli: Cli) -> None:
    cli.ok("dnc", "add", "+12125550101")
    path = cli.folder / "list.csv"
    path.write_text("phone\n2125550101\n(212) 555-0101\n2125550102\n2125550102\n")
    counts = cli.ok("import", path, "--campaign", "facts")
    assert (counts["suppressed"], counts["duplicates"], counts["accepted"]) == (2, 1, 1)


def test_the_dashboards_columns_and_ours_mean_what_they_say(cli: Cli) -> None:
    header = [
        "phone number", "override agent id", "override agent version", "ignore e164 validation", "metadata",
        "custom_sip_headers", "zip", "state", "country", "priority", "call_after", "external_id",
        "consent", "first_name",
    ]  # fmt: skip
    path = cli.folder / "list.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [header, ["2125550101", "agent_x", "3.0", "TRUE", '{"a": 1}', '{"X-A": "b"}', "01234", "NY", "US", "2",
                      "2099-01-02 09:30", "00042", "web form", "NA"]]
        )  # fmt: skip
    said = cli("import", path, "--campaign", "facts", "--dry-run")
    assert said.code == 0, said.err
    columns = said.out.partition("First leads")[0].splitlines()
    fields = {" ".join(line.split()[:-1]): line.split()[-1] for line in columns[3:] if line.strip()}
    assert fields == {
        "phone number": "phone", "override agent id": "agent_id", "override agent version": "agent_version",
        "ignore e164 validation": "ignore_e164", "metadata": "metadata", "custom_sip_headers": "sip_headers",
        "zip": "zip", "state": "state", "country": "country", "priority": "priority", "call_after": "call_after",
        "external_id": "external_id", "consent": "consent", "first_name": "variable",
    }  # fmt: skip
    assert json.loads(cli("import", path, "--campaign", "facts", "--json").out)["accepted"] == 1
    [lead] = cli.ok("leads", "facts")
    assert (lead["priority"], lead["external_id"], lead["next_attempt_at"][:10]) == (2, "00042", "2099-01-02")


def test_what_could_be_a_formula_is_escaped_where_people_read(cli: Cli) -> None:
    _, _, rejected = imported(cli, "phone,name\n12,=1+1\n13,@x\n14,+cmd\n15,-2+3\n16,\tx\n2125550101,ok\n")
    assert [row["name"] for row in rejected] == ["'=1+1", "'@x", "'+cmd", "'-2+3", "'\tx"]
