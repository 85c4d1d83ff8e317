"""What a cell of a spreadsheet says, and a row of them as text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

_EXCEL_TEXT = re.compile(r'="([^"]*)"')


def text_of(cell: str) -> str:
    """The text a person sees in a spreadsheet: outer blanks off, `="00123"` is 00123."""
    cell = cell.strip()
    if cell.startswith('="') and (match := _EXCEL_TEXT.fullmatch(cell)) is not None:
        return match[1]
    return cell


def csv_line(cells: Sequence[str], delimiter: str) -> bytes:
    """A row that `csv.reader` reads again as it was: UTF-8, without the line break behind it."""
    text = io.StringIO(newline="")
    # Cells with any of these characters are quoted.
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n").encode()
