"""Recognising a file (encoding, delimiter, header, columns) and its structure (quotes, widths, blanks)."""

from __future__ import annotations

import codecs
import time
from pathlib import Path

import pytest

from campaigns.leads import (
    LeadFile,
    LeadFileError,
    LeadRow,
    ReadOptions,
    RejectedRow,
    RowCode,
    open_lead_file,
)

Rows = list[LeadRow | RejectedRow]


def opened(tmp_path: Path, content: str | bytes, **options: object) -> LeadFile:
    path = tmp_path / "leads.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_lead_file(path, ReadOptions(**options))  # type: ignore[arg-type]


def leads(rows: Rows) -> list[LeadRow]:
    return [row for row in rows if isinstance(row, LeadRow)]


def outcomes(file: LeadFile) -> list[tuple[int, str]]:
    return [(r.line, r.phone if isinstance(r, LeadRow) else r.code.value) for r in file.rows()]


# --- encoding ---


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
        (b"", "utf-8"),
    ],
)
def test_unicode_encodings(tmp_path: Path, bom: bytes, encoding: str) -> None:
    file = opened(tmp_path, bom + "phone,name\r\n2125550123,Renée\r\n".encode(encoding))
    (row,) = leads(list(file.rows()))
    assert file.header == ("phone", "name")
    assert row.variables == {"name": "Renée"}
    assert file.warnings == ()


def test_an_accent_far_down_decides_the_encoding(tmp_path: Path) -> None:
    lines = (
        ["phone,name"] + [f"212555{i:04},Ann" for i in range(100, 20_000 // 2)] + ["2125550123,Ren\u00e9e"]
    )
    file = opened(tmp_path, "\n".join(lines).encode("cp1252"))
    assert file.encoding == "cp1252"
    assert "Windows-1252" in file.warnings[0]
    path = tmp_path / "leads.csv"
    last = path.read_text("cp1252").splitlines()[-1]
    assert last.endswith("Renée")


def test_damaged_utf8_stays_utf8(tmp_path: Path) -> None:
    good = "".join(f"212555010{i},Renée Müller\n" for i in range(9))
    file = opened(tmp_path, b"phone,name\n" + good.encode() + b"2125550110,Jos\xe9\n")
    assert file.encoding == "utf-8"
    assert "1 bytes" in file.warnings[0]
    assert leads(list(file.rows()))[-1].variables["name"] == "Jos\ufffd"


def test_the_operator_overrides_the_encoding(tmp_path: Path) -> None:
    file = opened(tmp_path, "phone,name\n2125550123,Zoë\n".encode("mac-roman"), encoding="mac-roman")
    assert leads(list(file.rows()))[0].variables["name"] == "Zoë"


@pytest.mark.parametrize("encoding", ["no-such", "rot13", "utf-16"])
def test_an_impossible_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(LeadFileError, match="encoding"):
        opened(tmp_path, "phone\n2125550123\n", encoding=encoding)


@pytest.mark.parametrize(
    ("magic", "what"), [(b"PK\x03\x04", "Excel"), (b"%PDF-1.7", "PDF"), (b"\x1f\x8b", "gzip")]
)
def test_what_is_no_text_is_named(tmp_path: Path, magic: bytes, what: str) -> None:
    with pytest.raises(LeadFileError, match=what):
        opened(tmp_path, magic + b"\0" * 50)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LeadFileError, match="No such file"):
        open_lead_file(tmp_path / "absent.csv")


@pytest.mark.parametrize("content", ["", "\n\n", " , ,\n,,\n", "sep=;\n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    with pytest.raises(LeadFileError, match="no rows"):
        opened(tmp_path, content)


# --- delimiter ---


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    content = "name,phone,note\nAnn,2125550123,x\nBob,2125550124,y\n".replace(",", delimiter)
    file = opened(tmp_path, content)
    assert file.delimiter == delimiter
    assert [row.phone for row in leads(list(file.rows()))] == ["+12125550123", "+12125550124"]


def test_commas_inside_semicolon_files(tmp_path: Path) -> None:
    file = opened(tmp_path, 'name;phone;sum\n"Lee, Ann";2125550123;1,50\n"Ray, Bob";2125550124;2,50\n')
    assert file.delimiter == ";"
    assert leads(list(file.rows()))[0].variables == {"name": "Lee, Ann", "sum": "1,50"}


def test_a_sep_line_is_honoured_and_not_counted(tmp_path: Path) -> None:
    file = opened(tmp_path, "sep=^\r\nphone^name\r\n2125550123^Ann\r\n")
    assert file.delimiter == "^"
    assert outcomes(file) == [(2, "+12125550123")]


def test_the_operator_overrides_the_delimiter(tmp_path: Path) -> None:
    assert opened(tmp_path, "phone:name\n2125550123:Ann\n", delimiter=":").header == ("phone", "name")
    with pytest.raises(LeadFileError, match="one character"):
        opened(tmp_path, "phone\n", delimiter="::")


def test_one_column_needs_no_delimiter(tmp_path: Path) -> None:
    assert outcomes(opened(tmp_path, "phone\n2125550123\n")) == [(2, "+12125550123")]


# --- header ---


def test_a_file_without_a_header(tmp_path: Path) -> None:
    file = opened(tmp_path, "Ann,2125550123\nBob,2125550124\n")
    assert file.header == ("column_1", "column_2")
    assert file.columns["phone"] == "column_2"
    assert outcomes(file) == [(1, "+12125550123"), (2, "+12125550124")]
    assert any("no header" in warning for warning in file.warnings)


def test_title_lines_above_the_header_are_ignored_and_counted(tmp_path: Path) -> None:
    file = opened(tmp_path, "Autumn list,,\n,,\nas of,2026-11-20,\nname,phone,city\nAnn,2125550123,NY\n")
    assert file.header == ("name", "phone", "city")
    assert outcomes(file) == [(5, "+12125550123")]
    assert any("2 title lines" in warning for warning in file.warnings)


def test_names_are_trimmed_numbered_and_filled(tmp_path: Path) -> None:
    file = opened(tmp_path, " phone ,name,name,,name_2\n2125550123,a,b,c,d\n")
    assert file.header == ("phone", "name", "name_2", "column_4", "name_2_2")
    row = leads(list(file.rows()))[0]
    assert row.variables == {"name": "a", "name_2": "b", "column_4": "c", "name_2_2": "d"}


def test_a_delimiter_at_the_end_of_every_line_shifts_nothing(tmp_path: Path) -> None:
    file = opened(tmp_path, "name,phone,\nAnn,2125550123,\nBob,2125550124,\n")
    assert file.header == ("name", "phone")
    assert [row.variables["name"] for row in leads(list(file.rows()))] == ["Ann", "Bob"]


# --- columns ---


@pytest.mark.parametrize(
    "name",
    [
        "phone",
        "Phone Number",
        "phone_number",
        "MOBILE",
        "Cell",
        "tel",
        "To Number",
        "MSISDN",
        "Téléfono",
        "Phone #",
    ],
)
def test_the_phone_by_its_name(tmp_path: Path, name: str) -> None:
    file = opened(tmp_path, f"id,{name}\n7,2125550123\n")
    assert file.columns["phone"] == name
    assert not file.warnings


def test_the_phone_by_its_content(tmp_path: Path) -> None:
    file = opened(tmp_path, "who,reach\nAnn,2125550123\nBob,212-555-0124\n")
    assert file.columns["phone"] == "reach"
    assert any("reach" in warning for warning in file.warnings)


@pytest.mark.parametrize(
    "content",
    [
        "phone,mobile\n2125550123,2125550124\n",
        "day,night\n2125550123,2125550124\n",
        "number,reach\nA-1,2125550123\nA-2,2125550124\n",
    ],
)
def test_two_candidates_are_asked_about(tmp_path: Path, content: str) -> None:
    first, second = content.split("\n")[0].split(",")
    with pytest.raises(LeadFileError, match=rf"{first}, {second}.*--map phone=") as caught:
        opened(tmp_path, content)
    assert "--map phone=" in caught.value.remedy
    assert opened(tmp_path, content, mapping={"phone": second}).columns["phone"] == second


def test_a_named_phone_wins_over_others_that_look_like_one(tmp_path: Path) -> None:
    file = opened(tmp_path, "phone,fax\n2125550123,2125550124\n")
    assert file.columns["phone"] == "phone"
    assert any("fax" in warning for warning in file.warnings)


def test_of_two_named_columns_the_filled_one_is_taken(tmp_path: Path) -> None:
    assert opened(tmp_path, "mobile,phone\n,2125550123\n,2125550124\n").columns["phone"] == "phone"


def test_no_phone_column(tmp_path: Path) -> None:
    with pytest.raises(LeadFileError, match=r"No column holds phone numbers.*name, city"):
        opened(tmp_path, "name,city\nAnn,NY\n")


def test_mapping_overrides_recognition(tmp_path: Path) -> None:
    file = opened(
        tmp_path,
        "phone,Best Number,zone,tz\n2125550123,2125550124,CT,ET\n",
        mapping={"phone": "best number", "timezone": "zone"},
    )
    row = leads(list(file.rows()))[0]
    assert (row.phone, row.zones) == ("+12125550124", ("America/Chicago",))
    assert row.variables == {"phone": "2125550123", "tz": "ET"}


@pytest.mark.parametrize(
    ("mapping", "words"),
    [({"fone": "phone"}, "call_after"), ({"phone": "Handy"}, "Its columns are phone, name")],
)
def test_a_wrong_mapping_names_the_choices(tmp_path: Path, mapping: dict[str, str], words: str) -> None:
    with pytest.raises(LeadFileError, match=words):
        opened(tmp_path, "phone,name\n2125550123,Ann\n", mapping=mapping)


@pytest.mark.parametrize("options", [{"region": "XX"}, {"timezone": "Gotham"}])
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(LeadFileError, match="Give"):
        opened(tmp_path, "phone\n2125550123\n", **options)


# --- structure ---


def test_line_numbers_are_record_numbers(tmp_path: Path) -> None:
    content = 'phone,note\n2125550123,"two\nlines"\n\n,,\n2125550124,x\nTotal,2\n'
    assert outcomes(opened(tmp_path, content)) == [
        (2, "+12125550123"),
        (5, "+12125550124"),
        (6, "invalid_phone"),
    ]


def test_widths(tmp_path: Path) -> None:
    content = "name,phone,city\nA,2125550123\nB,2125550124,NY,extra\nC,2125550125,NY,,\nD\nE,2125550126,NY\n"
    file = opened(tmp_path, content)
    rows = list(file.rows())
    assert outcomes(file) == [
        (2, "+12125550123"),
        (3, "row_too_long"),
        (4, "+12125550125"),
        (5, "missing_phone"),
        (6, "+12125550126"),
    ]
    assert rows[0].cells == ("A", "2125550123", "")
    assert rows[1].cells == ("B", "2125550124", "NY", "extra")
    assert isinstance(rows[3], RejectedRow)
    assert "ends before" in rows[3].message


@pytest.mark.parametrize("following", [3, 19, 20, 99, 500])
@pytest.mark.parametrize("quoted", [False, True])
def test_an_unclosed_quotation_mark_costs_one_row(tmp_path: Path, following: int, quoted: bool) -> None:
    name = '"Lee, Ann"' if quoted else "Ann"
    body = "".join(f"21255501{i % 100:02},{name},NY\n" for i in range(following))
    file = opened(tmp_path, f'phone,name,city\n2025550100,ok,NY\n2025550101,"broken,NY\n{body}')
    rows = list(file.rows())
    assert [row.line for row in rows] == list(range(2, following + 4))
    bad = [row for row in rows if isinstance(row, RejectedRow)]
    assert [(row.line, row.code) for row in bad] == [(3, RowCode.BAD_VALUE)]
    assert "quotation mark" in bad[0].message
    assert len(leads(rows)) == following + 1


def test_two_unclosed_quotation_marks_do_not_close_each_other(tmp_path: Path) -> None:
    file = opened(tmp_path, 'phone,name\n2125550123,"Ann\n2125550124,"Bob\n2125550125,Cy\n')
    assert outcomes(file) == [(2, "bad_value"), (3, "bad_value"), (4, "+12125550125")]


def test_long_notes_are_no_runaway(tmp_path: Path) -> None:
    note = "\n".join(f"line {i}, said hello" for i in range(60))
    file = opened(tmp_path, f'phone,name,note\n2125550123,Ann,"{note}"\n2125550124,Bob,x\n')
    rows = leads(list(file.rows()))
    assert [row.phone for row in rows] == ["+12125550123", "+12125550124"]
    assert rows[0].variables["note"] == note


def test_a_quoted_line_break_in_the_first_column(tmp_path: Path) -> None:
    file = opened(tmp_path, 'note,phone\n"a\nb",2125550123\n"c\nd",2125550124\n')
    assert outcomes(file) == [(2, "+12125550123"), (3, "+12125550124")]


def test_a_cell_beyond_the_csv_limit_is_one_reject(tmp_path: Path) -> None:
    file = opened(tmp_path, f"phone,note\n2125550123,a\n2125550124,{'x' * 200_000}\n2125550125,b\n")
    assert outcomes(file) == [(2, "+12125550123"), (3, "bad_value"), (4, "+12125550125")]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings(tmp_path: Path, ending: str) -> None:
    content = ending.join(["phone,name", "2125550123,Ann", "2125550124,Bob"])
    assert outcomes(opened(tmp_path, content)) == [(2, "+12125550123"), (3, "+12125550124")]


def test_nul_and_ctrl_z_are_dropped(tmp_path: Path) -> None:
    file = opened(tmp_path, b"phone,name\n2125550\x00123,A\x00nn\n2125550124,Bob\n\x1a")
    rows = leads(list(file.rows()))
    assert [(row.phone, row.variables["name"]) for row in rows] == [
        ("+12125550123", "Ann"),
        ("+12125550124", "Bob"),
    ]


def test_rows_can_be_read_again(tmp_path: Path) -> None:
    file = opened(tmp_path, "phone\n2125550123\n")
    assert list(file.rows()) == list(file.rows())
    assert file.size_bytes == 17


def test_a_hostile_file_of_quotation_marks_stays_fast(tmp_path: Path) -> None:
    file = opened(tmp_path, "phone,name\n2125550123,Ann\n" + '2125550124,"x\n' * 3000)
    started = time.monotonic()
    assert sum(1 for _ in file.rows()) == 3001
    assert time.monotonic() - started < 5
