"""The sample lists do what their README says, and ring nobody."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from campaigns.leads import LeadRow, RejectedRow, RowCode, SeenPhones, open_lead_file

SAMPLES = Path(__file__).parents[2] / "sample_csvs"


def read(name: str) -> tuple[list[LeadRow], Counter[str]]:
    file, seen = open_lead_file(SAMPLES / name), SeenPhones()
    good: list[LeadRow] = []
    other: Counter[str] = Counter()
    for row in file.rows():
        if isinstance(row, LeadRow):
            [first] = seen.first_lines(np.array([int(row.phone)]), np.array([row.line]))
            if first:
                row = file.reject(row, RowCode.DUPLICATE_IN_FILE, int(first))
        if isinstance(row, RejectedRow):
            other[row.code.value] += 1
        elif row.held is not None:
            other[f"held {row.held.code.value}"] += 1
        else:
            good.append(row)
    return good, other


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.csv")), ids=lambda path: path.name)
def test_every_number_is_fictitious(path: Path) -> None:
    rows = [row for row in open_lead_file(path).rows() if isinstance(row, LeadRow)]
    assert rows
    assert all(re.fullmatch(r"\+1\d{3}55501\d\d", row.phone) for row in rows)


def test_the_national_list() -> None:
    good, other = read("leads_us_240.csv")
    assert Counter(row.zones[0] for row in good) == {
        "America/New_York": 103,
        "America/Detroit": 2,
        "America/Chicago": 68,
        "America/Los_Angeles": 46,
        "America/Denver": 17,
        "America/Phoenix": 9,
    }
    assert {row.zone_source for row in good} == {"column", "zip"}
    assert other == {
        "missing_phone": 1,
        "invalid_phone": 3,
        "not_dialable": 1,
        "duplicate_in_file": 1,
        "foreign_country": 1,
        "held unknown_timezone": 1,
    }


def test_the_spreadsheet_export() -> None:
    good, other = read("leads_messy_excel.csv")
    assert len(good) == 11
    assert other == {
        "invalid_phone": 3,
        "held invalid_phone": 1,
        "not_dialable": 1,
        "bad_value": 1,
        "row_too_long": 1,
        "missing_phone": 1,
    }


def test_the_dashboard_columns() -> None:
    good, other = read("leads_retell_dashboard.csv")
    assert len(good) == 25
    assert other == {"bad_value": 1}
    assert any(row.agent_id and row.agent_version and row.metadata for row in good)
    assert any(row.sip_headers for row in good)
    assert set(good[0].variables) == {"first_name", "last_name", "appointment_time"}


def test_the_callbacks() -> None:
    good, other = read("leads_callbacks.csv")
    assert len(good) == 20
    assert other == {"bad_value": 2}
    assert any(row.call_after for row in good)
    assert {row.priority for row in good} == {1, 2, 5, 9}


def test_the_do_not_call_list_meets_the_national_list() -> None:
    listed = {row.phone for row in read("dnc.csv")[0]}
    assert len(listed) == 12
    assert sum(row.phone in listed for row in read("leads_us_240.csv")[0]) == 6
