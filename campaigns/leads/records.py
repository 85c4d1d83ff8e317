"""Lines -> records, where one broken quotation mark costs one record and not the hundred that follow.

`csv.reader` reads on inside an opened quotation mark until the next one, wherever that is. So the lines each
record took are kept until it is judged; if it swallowed rows, its first line alone is given up and the rest
is read again. That care is slow. Lines of which each is a record of its own, which `scan` sees, need none of it.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from campaigns.leads.scan import Scanned

_SUSPICIOUS_LINES = 20  # a note in a cell is seldom longer: look whether it swallowed rows
_MOST_LINES = 200
_MOST_CHARS = 131_072
#: Lines that are judged together.
_TOGETHER = 65_536


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number as a spreadsheet shows it (from 1), its cells, whether its quoting is broken."""

    line: int
    cells: list[str]
    broken: bool = False


@dataclass(slots=True)
class RecordBatch:
    """Records with consecutive numbers from `first`.

    lines: of each record its line in `scanned`, -1 for one that was read by itself. own: the cells of those, by their
    number. broken: the numbers of those whose quoting is broken.
    """

    first: int
    scanned: Scanned
    lines: npt.NDArray[np.int64]
    own: dict[int, list[str]]
    broken: set[int]
    delimiter: str

    def __len__(self) -> int:
        return len(self.lines)

    def cells(self, number: int) -> list[str]:
        """The cells of one record, [] of a blank line."""
        if (own := self.own.get(number)) is not None:
            return own
        line = self.scanned.line(int(self.lines[number - self.first]))
        return next(csv.reader((line,), delimiter=self.delimiter), [])


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
    def clear(self) -> bool:
        """No line was given back that was not taken again."""
        return not self._again

    @property
    def too_much(self) -> bool:
        return self._chars > _MOST_CHARS or len(self.taken) >= _MOST_LINES


def records_of(lines: Iterable[str], delimiter: str, width: int = 0) -> Iterator[Record]:
    """Every record, blank ones too (their cells are []). Never raises `csv.Error`.

    `width` is the usual number of cells, which tells a swallowed row; 0 takes that of the first two records
    that agree.
    """
    return _carefully(_Feed(lines), delimiter, width, 1, lambda: False)


def batches_of(read: Callable[[], str], delimiter: str, width: int) -> Iterator[RecordBatch]:
    """The same records as those of `records_of`, many at once. read: some whole lines at a time, "" at the end.

    The next lines are read and scanned in a thread, which mostly needs no lock of Python's.
    """
    from campaigns.leads.scan import Scanned

    with ThreadPoolExecutor(1, thread_name_prefix="scanning") as ahead:
        lines = _Lines(partial(ahead.submit, lambda: Scanned(read(), delimiter, width)))
        number = 1
        while lines.fill():
            batch = _next_batch(lines, number, delimiter, width)
            yield batch
            number += len(batch)


def _next_batch(lines: _Lines, number: int, delimiter: str, width: int) -> RecordBatch:
    """The records from the next line on, numbered from `number`."""
    import numpy as np

    scanned, stop = lines.scanned, min(lines.at + _TOGETHER, len(lines.scanned.starts))
    own: dict[int, list[str]] = {}
    broken: set[int] = set()
    found: list[npt.NDArray[np.int64]] = []
    count = 0
    doubtful = np.flatnonzero(~scanned.whole[lines.at : stop]) + lines.at
    while lines.scanned is scanned and lines.at < stop:
        place = int(np.searchsorted(doubtful, lines.at))
        until = int(doubtful[place]) if place < len(doubtful) else stop
        found.append(np.arange(lines.at, until))
        count += until - lines.at
        lines.skip(until - lines.at)
        if until == stop:
            break
        feed = _Feed(lines)
        enough = partial(lines.whole_again, feed)
        for record in _carefully(feed, delimiter, width, number + count, enough):
            if record.broken:
                broken.add(record.line)
            own[record.line] = record.cells
            found.append(np.full(1, -1))
            count += 1
    return RecordBatch(number, scanned, np.concatenate(found), own, broken, delimiter)


class _Lines:
    """Lines that are looked at before they are taken.

    Attributes:
        scanned: some of them.
        at: the next of those.
    """

    def __init__(self, scan: Callable[[], Future[Scanned]]) -> None:
        """scan: begins to read and scan the next lines; there are none in the last of them."""
        self._scan = scan
        self.scanned, self._next = scan().result(), scan()
        self.at = 0

    def fill(self) -> bool:
        """Whether there are more lines; now there are some ahead."""
        if self.at == len(self.scanned.starts) > 0:
            self.scanned, self.at = self._next.result(), 0
            if len(self.scanned.starts):
                self._next = self._scan()
        return self.at < len(self.scanned.starts)

    def skip(self, count: int) -> None:
        self.at += count

    def whole_again(self, feed: _Feed) -> bool:
        """Whether no line is to be read again, and the next one is a record of its own."""
        return feed.clear and self.fill() and bool(self.scanned.whole[self.at])

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.fill():
            raise StopIteration
        self.skip(1)
        return self.scanned.line(self.at - 1)


def _carefully(
    feed: _Feed, delimiter: str, width: int, number: int, enough: Callable[[], bool]
) -> Iterator[Record]:
    """Records one by one, until `enough` is said between two of them."""
    reader = csv.reader(feed, delimiter=delimiter)
    previous = 0
    while not enough():
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
