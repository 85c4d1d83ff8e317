"""Rows read by columns are the rows that are read one by one; the numbering plan is the library's."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import numpy as np
import phonenumbers
import pytest

from campaigns.leads import LeadFileError, LeadRow, ReadOptions, SeenPhones, open_lead_file
from campaigns.leads.nanp import WIDTH, clean_numbers, number_plan
from campaigns.leads.phones import _CLEAN
from campaigns.leads.zones import place_of
from tests.benchmarks.messy import HEADER, messy_rows

REST = 10_000


@pytest.mark.parametrize("by_columns", [True, False])
def test_a_place_that_cannot_be_read_is_told_of_once(tmp_path: Path, by_columns: bool) -> None:
    path = tmp_path / "leads.csv"
    path.write_text("phone,state\n" + "".join(f"212555{n:04},Flurida\n" for n in range(100, 150)))
    both(path)
    file = open_lead_file(path, ReadOptions())
    for _ in file.batches(by_columns=by_columns):
        pass
    assert [note for note in file.warnings if "Flurida" in note] == [
        "state 'Flurida' is no place that is known: for leads that say no more, the strictest rules of the whole "
        "country hold"
    ]


def both(path: Path, **options: object) -> list[object]:
    """The rows of a file read by columns, once they are the same as those read one by one."""
    file = open_lead_file(path, ReadOptions(**options))  # type: ignore[arg-type]
    rows = list(file.rows())
    batches = list(file.batches(by_columns=True))
    assert [batch.row(at) for batch in batches for at in range(len(batch.lines))] == rows
    for batch in batches:
        for at, row in enumerate(batch.row(at) for at in range(len(batch.lines))):
            assert (batch.phones[at] > 0) == isinstance(row, LeadRow)
        leads = batch.phones > 0
        kept = [
            row.cells for at in np.flatnonzero(leads).tolist() if isinstance(row := batch.row(at), LeadRow)
        ]
        written = batch.written(leads)
        for start, stop in ((0, len(kept)), (len(kept) // 3, len(kept) // 2), (1, len(kept))):
            text = io.StringIO(written(start, stop).decode() if start < stop else "", newline="")
            assert list(csv.reader(text, delimiter=file.delimiter)) == list(map(list, kept[start:stop]))
    return list(rows)


@pytest.mark.parametrize("together", [20_000, 7])
def test_the_messy_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    monkeypatch.setattr("campaigns.leads.records._TOGETHER", together)
    monkeypatch.setattr("campaigns.leads.decoding.PIECE", 50 * together)
    path = tmp_path / "messy.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([*HEADER, "priority", "timezone", "external_id", "metadata", "call_after", "country"])
        for at, row in enumerate(messy_rows(1_500, seed=3)):
            extra = random.Random(at).choice(
                [
                    ["", "", "", "", "", ""],
                    ["2", "CT", f" x{at}", "", "", "US"],
                    ["high", "", "", "", "", ""],
                    ["", "Mars", "", "", "", ""],
                    ["", "", '="007"', '{"a": 1}', "2026-12-01 09:00", "CA"],
                ]
            )
            writer.writerow([*row, *extra])
    assert len(both(path)) == 1_500


@pytest.mark.parametrize(
    "content",
    [
        "phone,name\n2125550123,a\n\n,,\n2125550124\n2125550125,b,c\n2125550126,d,\n",
        'phone,name\n2125550123,"open\n2125550124,b\n2125550125,c\n',
        'phone,name\n2125550123,"two\nlines"\n2125550124,"a ""quoted"" word"\n2125550125,"end',
        "phone\r2125550123\r(212) 555-0124\r",
        "title\nas of today,x\nphone,name\n2125550123,a\n",
        "2125550123,a\n2125550124,b\n",
        "line,code,message,column,value,phone\n2,bad_value,x,y,z,'+12125550123\n",
        "phone,name\n" + "2125550123,a\n" * 50 + '2125550124,"x\n' + "2125550125,b\n" * 80,
        f"phone,name\n2125550123,{'x' * 200_000}\n2125550124,b\n",
        "phone,required\n2125550123,a\n2125550124, \n",
    ],
)
def test_broken_structure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes(content.encode())
    require = ("required",) if "required" in content else ()
    for together in (20_000, 4, 1):
        monkeypatch.setattr("campaigns.leads.records._TOGETHER", together)
        monkeypatch.setattr("campaigns.leads.decoding.PIECE", 10 * together)
        assert both(path, require=require)


def test_the_plan_is_the_librarys() -> None:
    """A sample of all prefixes, and every one whose answer differs from its neighbour's; `make chaos` asks for all."""
    plan = number_plan()
    assert np.count_nonzero(plan.answer[200_000:] == 0) < 1_000, "the metadata were not understood"
    edges = np.flatnonzero(np.diff(plan.answer)).tolist()
    rng = random.Random(11)
    chosen = set(rng.sample(edges, min(1_500, len(edges)))) | {
        rng.randrange(200_000, 10**6) for _ in range(1_500)
    }
    disagreements = [prefix for prefix in chosen if not agrees(prefix, rng)]
    assert not disagreements


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_the_plan_is_the_librarys_for_every_prefix() -> None:
    rng = random.Random(5)
    assert not [prefix for prefix in range(200_000, 10**6) if not agrees(prefix, rng)]


def agrees(prefix: int, rng: random.Random) -> bool:
    national = f"{prefix:06}{rng.randrange(REST):04}"
    answer = number_plan().look_up(national)
    if answer is None:
        return True
    number = phonenumbers.PhoneNumber(country_code=1, national_number=int(national))
    return answer == (phonenumbers.region_code_for_number(number), phonenumbers.number_type(number))


def test_zones_are_the_librarys() -> None:
    from phonenumbers.timezone import time_zones_for_geographical_number

    rng = random.Random(2)
    for _ in range(3_000):
        national = rng.randrange(2_010_000_000, 10_000_000_000)
        found = set(place_of(f"+1{national}").zones)
        library = set(time_zones_for_geographical_number(phonenumbers.parse(f"+1{national}")))
        if len(library) < 12:
            assert library - {"Etc/Unknown"} <= found


def test_clean_cells_are_those_the_expression_matches() -> None:
    rng = random.Random(7)
    cells = [
        "2125550123",
        "+1 (212) 555-0123",
        "1.212.555.0123",
        "12125550123456789012345",
        "+2125550123",
        "１２",
    ]
    for _ in range(4_000):
        cell = list(rng.choice(cells))
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(cell) + 1)
            cell[at : at + rng.randrange(2)] = rng.choice("0123456789+()-. x\u2011")
        cells.append("".join(cell))
    found = clean_numbers(
        np.array([cell.encode() for cell in cells], f"S{WIDTH}").view(np.uint8).reshape(len(cells), WIDTH)
    )
    for cell, number in zip(cells, found.tolist(), strict=True):
        match = _CLEAN.fullmatch(cell)
        assert number == (int("1" + "".join(match.groups())) if match else 0), cell


def test_first_lines_over_many_batches() -> None:
    rng, seen, known = random.Random(1), SeenPhones(), dict[int, int]()
    line = 2
    for _ in range(60):
        numbers = [rng.choice([0, rng.randrange(1, 400)]) for _ in range(rng.randrange(1, 40))]
        lines = list(range(line, line + len(numbers)))
        expected = []
        for number, at in zip(numbers, lines, strict=True):
            first = known.setdefault(number, at) if number else at
            expected.append(0 if first == at else first)
        assert seen.first_lines(np.array(numbers), np.array(lines)).tolist() == expected
        line += len(numbers)


def test_ten_thousand_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    names = io.StringIO()
    csv.writer(names).writerow(["phone", *(f"c{at}" for at in range(10_000))])
    path.write_text(names.getvalue() + "2125550123\n")
    with pytest.raises(LeadFileError, match="10,001 columns"):
        open_lead_file(path)


def test_ten_megabytes_in_one_cell_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text("phone,name\n2125550123," + "x" * (10 << 20) + "\n")
    with pytest.raises(LeadFileError, match="more than 4 MB"):
        open_lead_file(path)
    path.write_text('phone,name\n2125550123,"' + "x\n" * (5 << 20) + '"\n2125550124,b\n')
    rows = open_lead_file(path).batches(by_columns=True)
    assert next(iter(rows)).odd


def test_a_required_column_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_text("phone,name\n2125550123,a\n")
    with pytest.raises(LeadFileError, match="first_name"):
        open_lead_file(path, ReadOptions(require=("first_name",)))
