"""rejected.csv: safe in a spreadsheet, complete, and readable again once mended."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from campaigns.leads import (
    LeadRow,
    RejectedRow,
    RowCode,
    open_lead_file,
    spreadsheet_safe,
    write_rejects,
)


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+cmd",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "+1 212 555 0123",
        "-",
        "+",
        "=",
        "+12345",
        "-1.2.3",
        "+１２３４５６７",
    ],
)
def test_what_could_be_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert spreadsheet_safe(cell) == f"'{cell}"


@pytest.mark.parametrize(
    "cell", ["", "Ann", "+12125550123", "-5", "-1.50", "-1,5", "12", "a=b", "'=1", " =1"]
)
def test_everything_else_stays_as_it_is(cell: str) -> None:
    assert spreadsheet_safe(cell) == cell


def test_columns_and_padding(tmp_path: Path) -> None:
    path = tmp_path / "rejected.csv"
    rows = [
        RejectedRow(3, RowCode.INVALID_PHONE, "Too short.", "phone", "12", ("12", "=EVIL()")),
        RejectedRow(9, RowCode.ROW_TOO_LONG, "Too long.", "", "", ("1", "2", "3", "4")),
        RejectedRow(12, RowCode.MISSING_PHONE, "None.", "phone", "", ("",)),
    ]
    assert write_rejects(path, ("phone", "name", "=city"), rows) == 3
    with path.open(encoding="utf-8", newline="") as file:
        written = list(csv.reader(file))
    assert written == [
        ["line", "code", "message", "column", "value", "phone", "name", "'=city"],
        ["3", "invalid_phone", "Too short.", "phone", "12", "12", "'=EVIL()", ""],
        ["9", "row_too_long", "Too long.", "", "", "1", "2", "3", "4"],
        ["12", "missing_phone", "None.", "phone", "", "", "", ""],
    ]


def test_a_mended_rejects_file_is_read_as_the_list_it_came_from(tmp_path: Path) -> None:
    source, rejects = tmp_path / "leads.csv", tmp_path / "rejected.csv"
    source.write_text(
        'phone,name,note,priority\n212-555-01,Ann,=1+1,1\n,Bob,"a\nb",2\n2125550125,Cy,x,first\n'
    )
    file = open_lead_file(source)
    rejected = [row for row in file.rows() if isinstance(row, RejectedRow)]
    assert write_rejects(rejects, file.header, rejected) == 3

    again = open_lead_file(rejects)
    assert again.header == file.header
    assert dict(again.columns) == dict(file.columns)
    assert [row.cells for row in again.rows()] == [row.cells for row in rejected]

    with rejects.open(newline="") as handle:
        table = list(csv.reader(handle))
    at = table[0].index("phone")
    for number, row in enumerate(table[1:]):
        row[at] = f"212555012{number}"
    table[3][table[0].index("priority")] = "1"
    with rejects.open("w", newline="") as handle:
        csv.writer(handle).writerows(table)
    mended = [row for row in open_lead_file(rejects).rows() if isinstance(row, LeadRow)]
    assert [row.phone for row in mended] == ["+12125550120", "+12125550121", "+12125550122"]
    assert [row.variables for row in mended] == [
        {"name": "Ann", "note": "=1+1"},
        {"name": "Bob", "note": "a\nb"},
        {"name": "Cy", "note": "x"},
    ]


def test_an_escaped_phone_can_be_read_again(tmp_path: Path) -> None:
    source, rejects = tmp_path / "leads.csv", tmp_path / "rejected.csv"
    source.write_text("phone,priority\n+1 212 555 0123,soon\n")
    file = open_lead_file(source)
    write_rejects(rejects, file.header, [row for row in file.rows() if isinstance(row, RejectedRow)])
    (row,) = open_lead_file(rejects).rows()
    assert row.cells == ("+1 212 555 0123", "soon")
