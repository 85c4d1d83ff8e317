"""Lines -> records, where one broken quotation mark costs one record and not the hundred that follow.

`csv.reader` reads on inside an opened quotation mark until the next one, wherever that is. So the lines each
record took are kept until it is judged; if it swallowed rows, its first line alone is given up and the rest
is read again.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_SUSPICIOUS_LINES = 20  # a note in a cell is seldom longer: look whether it swallowed rows
_MOST_LINES = 200
_MOST_CHARS = 131_072


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number as a spreadsheet shows it (from 1), its cells, whether its quoting is broken."""

    line: int
    cells: list[str]
    broken: bool = False


class _EnoughRead(Exception):
    """The record being read took more lines than any record has."""


class _Feed:
    """The lines for `csv.reader`, remembering those of the record being read, to give them back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self._chars = 0
        self.limit = _SUSPICIOUS_LINES
        self.taken: list[str] = []
        self.ended_inside = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= self.limit or self._chars > _MOST_CHARS:
            raise _EnoughRead
        if self._again:
            line = self._again.popleft()
        else:
            try:
                line = next(self._lines)
            except StopIteration:
                # Asked for more in the middle of a record: a quotation mark was never closed.
                self.ended_inside = bool(self.taken)
                raise
        self.taken.append(line)
        self._chars += len(line)
        return line

    def next_record(self) -> None:
        self.taken = []
        self._chars = 0
        self.ended_inside = False

    def give_back(self, count: int) -> None:
        """Read the last `count` lines taken again."""
        self._again.extendleft(reversed(self.taken[len(self.taken) - count :]))

    @property
    def too_much(self) -> bool:
        return self._chars > _MOST_CHARS or len(self.taken) >= _MOST_LINES


def records_of(lines: Iterable[str], delimiter: str, width: int = 0) -> Iterator[Record]:
    """Every record, blank ones too (their cells are []). Never raises `csv.Error`.

    `width` is the usual number of cells, which tells a swallowed row; 0 takes that of the first two records
    that agree.
    """
    feed = _Feed(lines)
    reader = csv.reader(feed, delimiter=delimiter)
    number = 1
    previous = 0
    while True:
        feed.next_record()
        feed.limit = _SUSPICIOUS_LINES
        cells: list[str] | None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except _EnoughRead:
            cells = _read_on(feed, delimiter, width)
            reader = csv.reader(feed, delimiter=delimiter)
        except csv.Error:  # a field beyond the limit of the csv module
            cells = None
            reader = csv.reader(feed, delimiter=delimiter)
        taken = feed.taken
        if cells is None or feed.ended_inside or (len(taken) > 1 and _swallowed(taken, delimiter, width)):
            if len(taken) > 1:
                feed.give_back(len(taken) - 1)
                reader = csv.reader(feed, delimiter=delimiter)
            yield Record(number, _naive_cells(taken[0], delimiter), broken=True)
        else:
            if not width and cells and len(cells) == previous:
                width = previous
            previous = len(cells)
            yield Record(number, cells)
        number += 1


def _read_on(feed: _Feed, delimiter: str, width: int) -> list[str] | None:
    """The rest of a long record whose beginning was read, or None if it is a runaway."""
    if _swallowed(feed.taken, delimiter, width) or feed.too_much:
        return None
    lines = feed.taken
    feed.give_back(len(lines))
    feed.next_record()
    feed.limit = _MOST_LINES
    try:
        return next(csv.reader(feed, delimiter=delimiter))
    except (_EnoughRead, StopIteration, csv.Error):
        return None


def _swallowed(taken: list[str], delimiter: str, width: int) -> bool:
    """Whether a line inside the record is a whole row of its own.

    The line that closes a proper quoted field has an odd number of quotation marks; a row has an even one, or
    the mark that seems to close the field stands at the beginning of another.
    """
    try:
        next(csv.reader(taken, delimiter=delimiter, strict=True))
    except csv.Error as error:
        # At the end of the lines read so far the field may simply be open still.
        if "unexpected end" not in str(error):
            return True
    for line in taken[1:]:
        if line.count('"') % 2 == 0 and line.strip() and _is_row(line, delimiter, width):
            return True
    return False


def _is_row(line: str, delimiter: str, width: int) -> bool:
    if not width or line.count(delimiter) < width - 1:
        return False
    try:
        cells = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return False
    return len(cells) >= width and not any(cells[width:]) and any(_digits(cell) >= 7 for cell in cells)


def _digits(text: str) -> int:
    return sum(char.isdigit() for char in text)


def _naive_cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line whose quoting is broken, for whoever will mend it: split at every delimiter."""
    return line.rstrip("\r\n").split(delimiter)
