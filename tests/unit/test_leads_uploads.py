"""What people upload: packed, zipped, piped in, workbooks; and what is refused."""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest

from campaigns.leads import LeadFileError, LeadRow, open_lead_file, plain_file

CSV = b"phone,name\n2125550123,Ann\n(212) 555-0124,Bob\n"


def phones(path: Path) -> list[str]:
    with plain_file(path) as (plain, _, _):
        return [row.phone for row in open_lead_file(plain).rows() if isinstance(row, LeadRow)]


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_text_is_read_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes(CSV)
    with plain_file(path) as (plain, original, notes):
        assert (plain, original, notes) == (path, path, ())


@pytest.mark.parametrize("kind", ["gz", "zip", "stdin", "stdin gz", "tsv"])
def test_what_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = tmp_path / "leads"
    if kind == "gz":
        path.write_bytes(gzip.compress(CSV))
    elif kind == "zip":
        zipped(path, **{"folder/leads.csv": CSV, "__MACOSX/leads.csv": b"x", ".hidden": b"x"})
    elif kind == "tsv":
        path.write_bytes(CSV.replace(b",", b"\t"))
    else:
        content = gzip.compress(CSV) if kind.endswith("gz") else CSV
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        path = Path("-")
    assert phones(path) == ["+12125550123", "+12125550124"]


def test_a_workbook(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "empty"
    sheet = book.create_sheet("leads")
    sheet.append(["phone", "name", "zip"])
    sheet.append([2125550123, "Ann", "01234"])
    sheet.append([2125550124.0, "NA", None])
    book.create_sheet("more").append(["x"])
    path = tmp_path / "leads.xlsx"
    book.save(path)
    with plain_file(path) as (plain, original, notes):
        rows = list(open_lead_file(plain).rows())
        assert original == path
    assert [(row.phone, row.variables) for row in rows if isinstance(row, LeadRow)] == [
        ("+12125550123", {"name": "Ann", "zip": "01234"}),
        ("+12125550124", {"name": "NA", "zip": ""}),
    ]
    assert notes == ("the sheet leads is read, and not empty, more",)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "0 files"),
        ({"a.csv": CSV, "b.csv": CSV}, "2 files: a.csv, b.csv"),
        ({"../a.csv": CSV}, "path outside"),
        ({"a.csv.gz": gzip.compress(CSV)}, "an archive inside"),
        ({"bomb.csv": b"0" * (70 << 20)}, "unpacks to more than 64 MB"),
        ({"[Content_Types].xml": b"<Types/>"}, "cannot be read as a workbook"),
    ],
)
def test_a_zip_that_is_refused(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    path = zipped(tmp_path / "leads.zip", **files)
    with pytest.raises(LeadFileError, match=words) as caught:
        phones(path)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "content", [gzip.compress(CSV, mtime=0)[:20], b"PK\x03\x04 nothing", b"\x1f\x8b\x08broken"]
)
def test_a_damaged_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "leads.gz"
    path.write_bytes(content)
    with pytest.raises(LeadFileError, match="damaged"):
        phones(path)


def test_a_gzip_bomb_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"0" * (80 << 20)))
    with pytest.raises(LeadFileError, match="unpacks to more than"):
        phones(path)


def test_a_workbook_without_the_reader_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    path = zipped(tmp_path / "leads.xlsx", **{"[Content_Types].xml": b"<Types/>"})
    with pytest.raises(LeadFileError, match=r"campaigns\[xlsx\]"):
        phones(path)
