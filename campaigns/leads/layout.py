"""The shape of a file, from its first 256 KB: the delimiter, where the header is, some rows to judge by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from campaigns.leads.columns import looks_like_phone, name_columns, names_phone
from campaigns.leads.records import Record, records_of
from campaigns.leads.rows import LeadFileError

_SAMPLE_CHARS = 256 * 1024
_SAMPLE_RECORDS = 300
# However long they are: a header, and a row to judge by.
_FEWEST_LINES = 4
_JUDGED_RECORDS = 60
_HEADER_WITHIN = 20
#: More is no list, and every row would take a page.
MOST_COLUMNS = 1_000
_DELIMITERS = (",", ";", "\t", "|")
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE | re.DOTALL)

# What `write_rejects` puts before the file's own columns. A mended rejects file is read as if without them.
BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ESCAPED = tuple(f"'{sign}" for sign in BEGINS_A_FORMULA)
REJECT_COLUMNS = ("line", "code", "message", "column", "value")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the records of a file are to be read.

    Attributes:
        delimiter: between the cells.
        header: usable column names, without the columns of a rejects file.
        header_line: record number of the header; 0 if the file has none.
        skipped_columns: how many leading columns are a rejects file's own.
        sample: some records after the header, without the skipped columns.
        warnings: what was ignored.
    """

    delimiter: str
    header: tuple[str, ...]
    header_line: int
    skipped_columns: int
    sample: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...]


def without_sep_line(lines: Iterable[str]) -> Iterator[str]:
    """The lines less Excel's `sep=;`, which no spreadsheet shows or counts."""
    rest = iter(lines)
    for first in rest:
        if _SEP_LINE.fullmatch(first) is None:
            yield first
        break
    yield from rest


def recognise_layout(
    lines: Iterable[str], delimiter: str | None, phone_column: str | None, region: str
) -> Layout:
    """Judge a file by its beginning. `phone_column` is the operator's word for the phone's column, if given.

    Raises LeadFileError for a file without a single filled cell.
    """
    head, whole = _head_of(lines)
    if head and (sep := _SEP_LINE.fullmatch(head[0])) is not None:
        head = head[1:]
        delimiter = delimiter or sep[1]
    if delimiter is None:
        delimiter = max(_DELIMITERS, key=lambda candidate: _score(head, whole, candidate, region))
    records = _sample(head, whole, delimiter)
    if not records:
        raise LeadFileError("The file has no rows", "Export the list again, with at least one lead")
    position = _header_position(records, phone_column, region)
    if position is None:
        width = _usual_width(records)
        names, body, header_line = [""] * width, records, 0
    else:
        header = records[position]
        body, header_line = records[position + 1 :], header.line
        names = _without_trailing(header.cells, body)
    if len(names) > MOST_COLUMNS:
        raise LeadFileError(
            f"The file has {len(names):,} columns; a list has at most {MOST_COLUMNS:,}",
            "Leave out what the agent does not need, or look whether it is a list at all",
        )
    skipped = len(REJECT_COLUMNS) if _is_rejects_header(names) else 0
    warnings = []
    if position:
        warnings.append(f"{position} title {'lines' if position > 1 else 'line'} above the header ignored")
    if position is None:
        warnings.append("the file has no header: its columns are called column_1, column_2 and so on")
    return Layout(
        delimiter,
        name_columns([unescaped(name) if skipped else name for name in names[skipped:]]),
        header_line,
        skipped,
        tuple(tuple(record.cells[skipped:]) for record in body[:_JUDGED_RECORDS]),
        tuple(warnings),
    )


def unescaped(cell: str) -> str:
    """A cell of a rejects file as it was before it was made safe for a spreadsheet."""
    return cell[1:] if cell.startswith(_ESCAPED) else cell


def _head_of(lines: Iterable[str]) -> tuple[list[str], bool]:
    """The first lines, and whether they are the whole file."""
    head: list[str] = []
    chars = 0
    for line in lines:
        if chars > _SAMPLE_CHARS and len(head) >= _FEWEST_LINES:
            return head, False
        head.append(line)
        chars += len(line)
    return head, True


def _sample(head: Sequence[str], whole: bool, delimiter: str) -> list[Record]:
    """The first records that aren't blank; a record cut off by the end of the sample is left out."""
    records = list(islice(records_of(head, delimiter), _SAMPLE_RECORDS))
    if not whole and len(records) < _SAMPLE_RECORDS:
        records = records[:-1]
    return [r for r in records if not r.broken and any(cell.strip() for cell in r.cells)]


def _score(head: Sequence[str], whole: bool, delimiter: str, region: str) -> float:
    """Columns that agree, a column of phones, a header that names one."""
    records = _sample(head, whole, delimiter)[:_JUDGED_RECORDS]
    if not records:
        return 0.0
    width = _usual_width(records)
    agreeing = sum(len(r.cells) == width for r in records) / len(records) if width > 1 else 0.0
    phones = 0.0
    for position in range(width):
        column = [r.cells[position] for r in records if len(r.cells) > position]
        phones = max(phones, sum(looks_like_phone(cell, region) for cell in column) / len(records))
    named = any(names_phone(cell) for r in records[:_HEADER_WITHIN] for cell in r.cells)
    return agreeing + 2 * phones + named


def _usual_width(records: Sequence[Record]) -> int:
    return Counter(len(r.cells) for r in records).most_common(1)[0][0]


def _header_position(records: Sequence[Record], phone_column: str | None, region: str) -> int | None:
    """Where in `records` the header is; None if the file begins with data."""
    wanted = _plain(phone_column or "")
    for position, record in enumerate(records[:_HEADER_WITHIN]):
        if any(looks_like_phone(cell, region) for cell in record.cells):
            break
        if any(names_phone(cell) or (wanted and _plain(cell) == wanted) for cell in record.cells):
            return position
    width = _usual_width(records)
    for position, record in enumerate(records[:_HEADER_WITHIN]):
        if any(looks_like_phone(cell, region) for cell in record.cells):
            return None
        if width == 1 or sum(bool(cell.strip()) for cell in record.cells) > 1:
            return position
    return 0


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def _without_trailing(names: Sequence[str], body: Sequence[Record]) -> list[str]:
    """The header less the empty columns that a delimiter at the end of every line makes."""
    kept = list(names)
    while kept and not kept[-1].strip():
        at = len(kept) - 1
        if any(len(r.cells) > at and r.cells[at].strip() for r in body):
            break
        kept.pop()
    return kept


def _is_rejects_header(names: Sequence[str]) -> bool:
    ours = len(REJECT_COLUMNS)
    return len(names) > ours and tuple(name.strip() for name in names[:ours]) == REJECT_COLUMNS
