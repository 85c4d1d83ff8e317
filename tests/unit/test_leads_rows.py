"""The cells of a row: what each field becomes, what is held, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from campaigns.leads import (
    LeadRow,
    ReadOptions,
    RejectedRow,
    RowCode,
    SeenPhones,
    open_lead_file,
)


def only_row(tmp_path: Path, content: str, **options: object) -> LeadRow | RejectedRow:
    path = tmp_path / "leads.csv"
    path.write_text(content, encoding="utf-8")
    (row,) = open_lead_file(path, ReadOptions(**options)).rows()  # type: ignore[arg-type]
    return row


def lead(tmp_path: Path, content: str, **options: object) -> LeadRow:
    row = only_row(tmp_path, content, **options)
    assert isinstance(row, LeadRow), row
    return row


def test_every_field(tmp_path: Path) -> None:
    row = lead(
        tmp_path,
        "phone number,first_name,Time Zone,ZIP,State,Country,Priority,Call After,External ID,Consent,"
        "override agent id,override agent version,ignore e164 validation,metadata,custom_sip_headers,empty\n"
        "212-555-0123 x9,Ann,CT,01234,NY,US,2.0,2026-12-01T15:00:00Z,CRM-1,form 7,agent_1,3.0,TRUE,"
        '"{""a"": [1]}","{""X-Id"": 5}",\n',
    )
    assert row.line == 2
    assert (row.phone, row.extension) == ("+12125550123", "9")
    assert (row.zones, row.zone_source, row.held) == (("America/Chicago",), "column", None)
    assert row.priority == 2
    assert row.call_after == datetime(2026, 12, 1, 15, tzinfo=UTC)
    assert (row.external_id, row.consent) == ("CRM-1", "form 7")
    assert (row.agent_id, row.agent_version, row.ignore_e164) == ("agent_1", "3", True)
    assert row.metadata == {"a": [1]}
    assert row.sip_headers == {"X-Id": "5"}
    assert row.variables == {"first_name": "Ann", "ZIP": "01234", "State": "NY", "Country": "US", "empty": ""}
    assert row.cells[0] == "212-555-0123 x9"


def test_defaults(tmp_path: Path) -> None:
    row = lead(tmp_path, "phone_number,first_name,last_name,agent_id\n2125550123,Ann,Lee,agent_7\n")
    assert (row.priority, row.call_after, row.external_id, row.consent) == (5, None, "", "")
    assert (row.agent_id, row.agent_version, row.ignore_e164) == ("agent_7", "", False)
    assert (row.metadata, row.sip_headers) == ({}, {})
    assert row.variables == {"first_name": "Ann", "last_name": "Lee"}


def test_text_cells_stay_text(tmp_path: Path) -> None:
    row = lead(tmp_path, 'phone,zip,code,note\n2125550123,02134,"=""007""",NA\n')
    assert row.variables == {"zip": "02134", "code": "007", "note": "NA"}


# --- zones ---


def test_zone_evidence_in_order(tmp_path: Path) -> None:
    content = "phone,tz\n2125550123,{}\n"
    named = lead(tmp_path, content.format("PT"), timezone="America/Denver")
    assert (named.zones, named.zone_source) == (("America/Los_Angeles",), "column")
    declared = lead(tmp_path, content.format(""), timezone="America/Denver")
    assert (declared.zones, declared.zone_source) == (("America/Denver",), "option")
    by_number = lead(tmp_path, content.format(""))
    assert (by_number.zones, by_number.zone_source) == (("America/New_York",), "number")


def test_an_unknown_zone_holds_the_lead(tmp_path: Path) -> None:
    row = lead(tmp_path, "phone,tz\n2125550123,Gotham\n", timezone="America/Denver")
    assert row.held is not None
    assert row.held.code is RowCode.UNKNOWN_TIMEZONE
    assert "Gotham" in row.held.message
    assert "America/Chicago" in row.held.message
    assert (row.zones, row.zone_source) == ((), "")


@pytest.mark.parametrize("phone", ["+2125550123", "7295550123"])
def test_a_doubtful_number_holds_the_lead(tmp_path: Path, phone: str) -> None:
    row = lead(tmp_path, f"phone\n{phone}\n")
    assert row.held is not None
    assert row.held.code is RowCode.INVALID_PHONE
    assert row.zones


def test_letters_in_a_number_are_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_text("phone\n212-555-CALL\n")
    file = open_lead_file(path)
    assert not file.warnings
    list(file.rows())
    assert file.warnings == ("line 2: letters read as digits: 212-555-CALL is 2125552255",)


# --- call_after ---


@pytest.mark.parametrize(
    ("phone", "text", "expected"),
    [
        ("2125550123", "2026-12-01 10:00", "2026-12-01T15:00"),
        ("2125550123", "2026-12-01", "2026-12-01T05:00"),
        ("2125550123", "2026-12-01T10:00:00-08:00", "2026-12-01T18:00"),
        ("2125550123", "2026-12-01T10:00Z", "2026-12-01T10:00"),
        ("2125550123", "12/1/2026 1:30 PM", "2026-12-01T18:30"),
        ("2125550123", "12/1/2026 12:05 am", "2026-12-01T05:05"),
        ("2125550123", "07/04/2026", "2026-07-04T04:00"),
        ("4235550123", "2026-12-01 10:00", "2026-12-01T16:00"),  # Eastern or Central: the later
        ("2125550123", "2026-11-01 01:30", "2026-11-01T06:30"),  # comes twice: the second
        ("2125550123", "2026-03-08 02:30", "2026-03-08T07:30"),  # does not exist: the later reading
    ],
)
def test_call_after_is_local_unless_it_says_otherwise(
    tmp_path: Path, phone: str, text: str, expected: str
) -> None:
    row = lead(tmp_path, f"phone,call_after\n{phone},{text}\n")
    assert row.call_after == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_call_after_without_any_zone_is_never_too_early(tmp_path: Path) -> None:
    row = lead(tmp_path, "phone,tz,call_after\n2125550123,Gotham,2026-12-01 10:00\n")
    assert row.call_after == datetime(2026, 12, 1, 22, tzinfo=UTC)


def test_an_ambiguous_date_is_refused_outside_the_us(tmp_path: Path) -> None:
    refused = only_row(tmp_path, "phone,call_after\n02079460958,3/4/2026\n", region="GB")
    assert isinstance(refused, RejectedRow)
    assert lead(tmp_path, "phone,call_after\n02079460958,13/4/2026\n", region="GB").call_after is not None


# --- refused values ---


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("priority", "urgent"),
        ("priority", "0"),
        ("priority", "-1"),
        ("priority", "1.5"),
        ("priority", "9" * 5000),
        ("call_after", "tomorrow"),
        ("call_after", "2026-13-01"),
        ("call_after", "20261201"),
        ("call_after", "9999-12-31 23:59"),
        ("call_after", "0001-01-01T00:00:00+14:00"),
        ("call_after", "13/13/2026"),
        ("call_after", "1/1/2026 13:00 PM"),
        ("metadata", "{a: 1}"),
        ("metadata", "[1]"),
        ("metadata", '"{""a"": NaN}"'),
        ("metadata", '"{""a"": ""\\ud800""}"'),
        ("metadata", "[" * 5000),
        ("custom_sip_headers", '"{""X-A"": [1]}"'),
        ("custom_sip_headers", '"{""X-A"": true}"'),
        ("ignore e164 validation", "perhaps"),
    ],
)
def test_a_bad_value_names_its_cell_and_the_remedy(tmp_path: Path, column: str, value: str) -> None:
    row = only_row(tmp_path, f"phone,{column}\n2125550123,{value}\n")
    assert isinstance(row, RejectedRow), row
    assert (row.line, row.code, row.column) == (2, RowCode.BAD_VALUE, column)
    assert row.value == row.cells[1]
    assert any(verb in row.message for verb in ("Write", "Correct"))


# --- turning away afterwards ---


def test_duplicates_name_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_text("phone\n2125550123\n2125550124\n(212) 555-0123\n12125550123\n")
    file, seen = open_lead_file(path), SeenPhones()
    rows = [row for row in file.rows() if isinstance(row, LeadRow)]
    numbers = np.array([int(row.phone) for row in rows])
    assert seen.first_lines(numbers[:3], np.array([2, 3, 4])).tolist() == [0, 0, 2]
    assert seen.first_lines(np.array([numbers[3], 0, 0]), np.array([5, 6, 7])).tolist() == [2, 0, 0]
    rejected = file.reject(rows[2], RowCode.DUPLICATE_IN_FILE, 2)
    assert (rejected.line, rejected.column, rejected.value) == (4, "phone", "(212) 555-0123")
    assert "line 2" in rejected.message


@pytest.mark.parametrize("code", list(RowCode))
def test_reject_knows_the_codes_that_come_after_reading(tmp_path: Path, code: RowCode) -> None:
    path = tmp_path / "leads.csv"
    path.write_text("phone\n2125550123\n")
    file = open_lead_file(path)
    row = next(file.rows())
    assert isinstance(row, LeadRow)
    if code in (RowCode.DUPLICATE_IN_FILE, RowCode.DUPLICATE_IN_CAMPAIGN, RowCode.SUPPRESSED):
        rejected = file.reject(row, code, 2)
        assert rejected.code is code
        assert "+12125550123" in rejected.message
    else:
        with pytest.raises(ValueError, match="while reading"):
            file.reject(row, code)
