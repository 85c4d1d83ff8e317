"""What is read from arrays of bytes is what `csv.reader` reads."""

from __future__ import annotations

import csv
import io
from itertools import chain, islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.cells import csv_line
from campaigns.leads.records import batches_of, records_of
from campaigns.leads.scan import Scanned
from campaigns.store.row_blocks import cells_of, pack, unpack

TEXTS = st.text(st.sampled_from('a1é€😀 ,;"\n\r')).map(lambda text: text * (1 + len(text) % 3))
CELLS = st.lists(st.text(st.sampled_from('a1é "\n\r,;'), max_size=5), min_size=1, max_size=4)
SIGNS = st.sampled_from(",;\t")


def lines_of(text: str) -> list[str]:
    return list(io.StringIO(text, newline=""))


@given(TEXTS, SIGNS, st.integers(1, 3))
def test_a_whole_line_is_one_record_and_its_cells_are_those_of_the_library(
    text: str, sign: str, width: int
) -> None:
    scanned = Scanned(text, sign, width)
    lines = lines_of(text)
    assert [scanned.line(at) for at in range(len(scanned.starts))] == lines
    for at in np.flatnonzero(scanned.whole).tolist():
        # Whatever stands before and behind it.
        [before, cells, behind] = csv.reader(
            chain(["x\n"], [lines[at].rstrip("\r\n") + "\n"], ["y\n"]), delimiter=sign
        )
        assert (before, behind) == (["x"], ["y"])
        assert bool(scanned.plain[at]) == (len(cells or [""]) == width)
    plain = np.flatnonzero(scanned.plain)
    for position in range(width if len(plain) else 0):
        found = scanned.cells(plain, position)
        texts, which = found.distinct()
        expected = [
            (next(csv.reader([lines[at]], delimiter=sign), []) or [""])[position] for at in plain.tolist()
        ]
        assert [texts[at] for at in which.tolist()] == expected
        assert [found.text(at) for at in range(len(plain))] == expected


@given(st.lists(TEXTS, max_size=4), SIGNS, st.integers(1, 3))
def test_records_read_together_are_those_read_one_by_one(texts: list[str], sign: str, width: int) -> None:
    pieces = [text + "\n" for text in texts]
    waiting = iter(pieces)
    batches = list(batches_of(lambda: next(waiting, ""), sign, width))
    records = [
        (number, batch.cells(number), number in batch.broken)
        for batch in batches
        for number in range(batch.first, batch.first + len(batch))
    ]
    assert records == [
        (record.line, record.cells, record.broken)
        for record in records_of(lines_of("".join(pieces)), sign, width)
    ]


@given(st.lists(CELLS, min_size=1, max_size=5), SIGNS)
def test_rows_kept_in_a_block_come_back_as_they_were(rows: list[list[str]], sign: str) -> None:
    lines = list(islice(range(2, 99, 7), len(rows)))
    block = pack(lines, b"\n".join(csv_line(row, sign) for row in rows), sign)
    assert unpack(block) == dict(zip(lines, rows, strict=True))
    assert cells_of(block, lines[-1]) == rows[-1]
    assert cells_of(block, 1) == cells_of(None, 1) == []
