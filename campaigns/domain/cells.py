"""What a cell of a spreadsheet says."""

from __future__ import annotations

import re

_EXCEL_TEXT = re.compile(r'="([^"]*)"')


def text_of(cell: str) -> str:
    """The text a person sees in a spreadsheet: outer blanks off, `="00123"` is 00123."""
    cell = cell.strip()
    if cell.startswith('="') and (match := _EXCEL_TEXT.fullmatch(cell)) is not None:
        return match[1]
    return cell
