"""What holds for every file and every cell."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import phonenumbers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.leads import (
    LeadFileError,
    LeadRow,
    Phone,
    RejectedRow,
    normalise_phone,
    open_lead_file,
    place_of,
    spreadsheet_safe,
    write_rejects,
)
from campaigns.leads.records import records_of

MESSY = st.text(alphabet="0123456789+-().,;x#eE '\"=/\t\u202a\uff12ABC", max_size=24)
CELLS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0\x1a"), max_size=12)
NUMBERS = st.sampled_from(
    ["2125550123", "(312) 555-0123", "+2125550123", "911", "", "12", "8005550123", "7295550123"]
)


@settings(deadline=None)
@given(st.one_of(MESSY, st.text(max_size=30)), st.sampled_from(["US", "CA", "GB", "DE"]))
@example("212-555-CALL", "US")
@example("9" * 5000, "US")
@example("0" * 20 + "e1", "GB")
def test_a_number_taken_is_canonical(text: str, region: str) -> None:
    phone = normalise_phone(text, region)
    if not isinstance(phone, Phone):
        assert phone.message.endswith(".")
        return
    again = normalise_phone(phone.e164, region)
    assert isinstance(again, Phone)
    assert again.e164 == phone.e164
    number = phonenumbers.parse(phone.e164)
    assert phonenumbers.is_possible_number(number)
    assert phone.doubt or phonenumbers.is_valid_number(number)


@settings(deadline=None)
@given(st.integers(2_000_000_000, 9_999_999_999))
def test_the_library_alone_decides(national: int) -> None:
    number = phonenumbers.parse(f"+1{national}")
    phone = normalise_phone(str(national))
    if isinstance(phone, Phone):
        assert phone.e164 == f"+1{national}"
        assert phone.doubt or phonenumbers.is_valid_number(number)
        assert set(place_of(phone.e164).zones) == set() or "Etc/Unknown" not in place_of(phone.e164).zones


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
@example(b'phone\n"')
@example(b"\xff\xfep\x00")
@example(b'phone,x\n"2125550123,1\n2125550124,2\n')
@example(b"\x00")
@example(b"sep=\n")
@example(b'sep="\nphone"x\n')
def test_any_bytes_are_read_or_refused_in_words(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leads.csv"
        path.write_bytes(content)
        try:
            file = open_lead_file(path)
        except LeadFileError as error:
            refusal = error
        else:
            assert all(isinstance(row, LeadRow | RejectedRow) for row in file.rows())
            return
        assert refusal.message
        assert refusal.remedy


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(NUMBERS, CELLS, CELLS), max_size=30))
def test_every_record_has_one_account(rows: list[tuple[str, str, str]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow(["phone", "first", "second"])
    writer.writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leads.csv"
        path.write_bytes(buffer.getvalue().encode())
        file = open_lead_file(path)
        out = list(file.rows())
        filled = [i for i, row in enumerate(rows, start=2) if any(cell.strip() for cell in row)]
        assert [row.line for row in out] == filled
        for row in out:
            assert row.cells == rows[row.line - 2]
            if isinstance(row, LeadRow):
                assert row.zones == tuple(sorted(row.zones))
                assert row.held is not None or row.zones


@given(st.lists(st.text(alphabet='ab1,"\n', max_size=12), max_size=12))
def test_no_line_is_lost_between_records(lines: list[str]) -> None:
    text = [f"{line}\n" for line in "\n".join(lines).split("\n")]
    records = list(records_of(text, ","))
    assert [record.line for record in records] == list(range(1, len(records) + 1))
    letters = sum(line.count("a") + line.count("b") for line in text)
    assert sum(cell.count("a") + cell.count("b") for record in records for cell in record.cells) == letters


@given(CELLS)
def test_a_safe_cell_begins_no_formula(cell: str) -> None:
    safe = spreadsheet_safe(cell)
    assert safe.endswith(cell)
    if safe[:1] in ("=", "@", "\t", "\r"):
        raise AssertionError(safe)
    assert spreadsheet_safe(safe) == safe


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_rejects_come_back_as_they_were(names: list[tuple[str, str]]) -> None:
    escaped = ("'=", "'+", "'-", "'@", "'\t", "'\r")
    rows = [("12", *pair) for pair in names if not any(cell.startswith(escaped) for cell in pair)]
    with tempfile.TemporaryDirectory() as folder:
        source, rejects = Path(folder) / "leads.csv", Path(folder) / "rejected.csv"
        with source.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, quoting=csv.QUOTE_ALL)
            writer.writerow(["phone", "first", "second"])
            writer.writerows(rows)
        file = open_lead_file(source)
        rejected = [row for row in file.rows() if isinstance(row, RejectedRow)]
        assert write_rejects(rejects, file.header, rejected) == len(rows)
        again = list(open_lead_file(rejects).rows())
        assert [row.cells for row in again] == rows
