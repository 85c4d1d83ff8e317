"""Rejected rows as a CSV for people: safe to open in a spreadsheet, and read again once mended."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from campaigns.leads.layout import BEGINS_A_FORMULA, REJECT_COLUMNS
from campaigns.leads.rows import RejectedRow
from campaigns.whole_file import whole_file

_PLAIN_NUMBER = re.compile(r"\+\d{6,15}|-?\d+(?:[.,]\d+)?", re.ASCII)


def spreadsheet_safe(cell: str) -> str:
    """The cell as it can be opened in a spreadsheet without running as a formula.

    What could begin one (= + - @, tab, carriage return) gets an apostrophe in front, unless the whole cell is
    a plain number or an E.164 phone number.
    """
    if not cell.startswith(BEGINS_A_FORMULA) or _PLAIN_NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def write_rejects(path: Path, header: Sequence[str], rejected: Iterable[RejectedRow]) -> int:
    """Write `line,code,message,column,value` and then the file's own columns; returns the number of rows.

    Raises OSError if `path` can't be written.
    """
    with rejects_file(path, header) as write:
        return write(rejected)


@contextmanager
def rejects_file(path: Path, header: Sequence[str]) -> Iterator[Callable[[Iterable[RejectedRow]], int]]:
    """A rejects file that is written bit by bit; it appears whole, when the block has ended well."""
    with whole_file(path, errors="replace") as file:
        writer = csv.writer(file)
        writer.writerow([*REJECT_COLUMNS, *map(spreadsheet_safe, header)])

        def write(rejected: Iterable[RejectedRow]) -> int:
            count = 0
            for row in rejected:
                own = [*row.cells, *[""] * (len(header) - len(row.cells))]
                cells = (str(row.line), row.code.value, row.message, row.column, row.value, *own)
                writer.writerow([spreadsheet_safe(cell) for cell in cells])
                count += 1
            return count

        yield write
