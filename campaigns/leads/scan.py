"""A text of many lines as arrays: where its lines end, which of them are records for sure, and where their cells are.

What `csv.reader` would say of the same line, without an object for every cell. A line is *whole* if it is one record
whatever stands around it: every quotation mark in it opens or closes a cell, or stands doubled inside one. All other
lines are for `records` to judge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_LF, _CR, _QUOTE = 10, 13, 34
#: Longer lines are judged one by one: `csv.reader` refuses cells of that size.
_LONGEST = 100_000
#: Cells that are longer are not compared with one another, but taken one by one.
_WIDEST = 32

Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Scanned:
    """Lines of a text.

    Attributes:
        starts, ends: of each line within the UTF-8 of the text, without its line break.
        whole: which of them are one record each.
        plain: which of those have the usual number of cells.
    """

    def __init__(self, text: str, delimiter: str, width: int) -> None:
        self._raw = text.encode()
        self._delimiter = delimiter
        codes = self._codes = np.frombuffer(self._raw, np.uint8)
        size = len(codes)
        breaks = np.flatnonzero(codes == _LF)
        returns = np.flatnonzero(codes == _CR)
        if len(returns):
            alone = returns[codes[np.minimum(returns + 1, size - 1)] != _LF]
            breaks = np.union1d(breaks, alone) if len(alone) else breaks
        ends = breaks
        if len(returns):
            after_return = (breaks > 0) & (codes[breaks] == _LF) & (codes[np.maximum(breaks, 1) - 1] == _CR)
            ends = breaks - after_return
        starts = np.concatenate([np.zeros(1, np.int64), breaks + 1])
        if size and (not len(breaks) or breaks[-1] < size - 1):
            ends = np.append(ends, size)
        else:
            starts = starts[:-1]
        self.starts, self.ends = starts, ends
        if len(delimiter.encode()) > 1:
            self.whole = self.plain = np.zeros(len(starts), bool)
            return
        sign = ord(delimiter)
        self.whole, between = self._quoting(np.flatnonzero(codes == sign), sign)
        self.whole &= ends - starts < _LONGEST
        # Where the cells of all lines end but the last of each, and the first of these of each line.
        self._between = np.append(between, size)
        self._first = np.searchsorted(between, starts)
        count = np.searchsorted(between, ends) - self._first
        self.plain = self.whole & (count == width - 1)

    def _quoting(self, signs: Positions, sign: int) -> tuple[Mask, Positions]:
        """(which lines are whole, the delimiters that stand outside of quotation marks)."""
        codes, starts, ends = self._codes, self.starts, self.ends
        is_quote = codes == _QUOTE
        quotes = np.flatnonzero(is_quote)
        whole = np.ones(len(starts), bool)
        if not len(quotes):
            return whole, signs
        line = np.searchsorted(starts, quotes, "right") - 1
        first = np.searchsorted(quotes, starts)
        opens = (np.arange(len(quotes)) - first[line]) % 2 == 0
        before = codes[np.maximum(quotes - 1, 0)]
        after = codes[np.minimum(quotes + 1, len(codes) - 1)]
        good = np.where(
            opens,
            (quotes == starts[line]) | (before == sign) | (before == _QUOTE),
            (quotes + 1 == ends[line]) | (after == sign) | (after == _QUOTE),
        )
        whole[line[~good]] = False
        whole[np.diff(np.append(first, len(quotes))) % 2 == 1] = False
        # Without the marks of other lines every line begins outside of them.
        is_quote[quotes[~whole[line]]] = False
        inside = np.cumsum(is_quote, dtype=np.uint8)
        return whole, signs[inside[signs] % 2 == 0]

    def line(self, at: int) -> str:
        """A line with its break."""
        until = self.starts[at + 1] if at + 1 < len(self.starts) else None
        return self._raw[self.starts[at] : until].decode()

    def between(self, first: int, last: int) -> bytes:
        """The lines from the one to the other, both included, as UTF-8 and without the last break."""
        return self._raw[self.starts[first] : self.ends[last]]

    def cells(self, which: Positions, position: int) -> Cells:
        """The cells at a position of the record, of lines that are all plain."""
        first = self._first[which] + position
        starts = self._between[first - 1] + 1 if position else self.starts[which]
        return Cells(self._raw, starts, np.minimum(self._between[first], self.ends[which]))


class Cells:
    """One cell of each of many lines."""

    def __init__(self, raw: bytes, starts: Positions, ends: Positions) -> None:
        self._raw = raw
        codes = np.frombuffer(raw, np.uint8)
        quoted = (
            (starts < ends) & (codes[np.minimum(starts, len(codes) - 1)] == _QUOTE)
            if len(codes)
            else starts < 0
        )
        self._quoted = quoted
        self._starts, self._ends = starts + quoted, ends - quoted

    def matrix(self, width: int) -> npt.NDArray[np.uint8]:
        """The first bytes of each cell, a row of them each, zeros behind its end. Doubled quotation marks stay so."""
        codes = np.frombuffer(self._raw, np.uint8)
        columns = np.arange(width)
        at = self._starts[:, None] + columns
        found = codes[np.minimum(at, len(codes) - 1)] if len(codes) else np.zeros(at.shape, np.uint8)
        found[at >= self._ends[:, None]] = 0
        return found

    def text(self, at: int) -> str:
        """One of them, as `csv.reader` would give it."""
        found = self._raw[self._starts[at] : self._ends[at]].decode()
        return found.replace('""', '"') if self._quoted[at] else found

    def distinct(self) -> tuple[list[str], Positions]:
        """(texts, for each cell the position of its own among them). Long ones may be there several times."""
        count = len(self._starts)
        widest = int((self._ends - self._starts).max(initial=0))
        if widest > _WIDEST:
            return [self.text(at) for at in range(count)], np.arange(count)
        if widest == 0:
            return [""], np.zeros(count, np.int64)
        # As numbers they are compared fastest.
        wide = -(-widest // 8) * 8
        rows = self.matrix(wide)
        keys = rows.view(np.uint64).ravel() if wide == 8 else rows.view(f"S{wide}").ravel()
        first, which = alike(keys)
        return [self.text(at) for at in first.tolist()], which


def alike(keys: npt.NDArray[Any]) -> tuple[Positions, Positions]:
    """(of each distinct key the position of one that is it, for each key which of those is its own)."""
    distinct, which = np.unique(keys, return_inverse=True)
    one = np.zeros(len(distinct), np.int64)
    one[which] = np.arange(len(keys))
    return one, which
