"""The rows of a file as they were, many in one compressed block: most of a list's bytes, and seldom read."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import orjson

from campaigns.domain.cells import text_of

#: Rows of a block: enough for the compression, few enough for whoever wants one of them.
ROWS = 128


def pack(lines: Sequence[int], rows: bytes, delimiter: str) -> bytes:
    """One block of rows: their ascending line numbers, and as many rows of CSV."""
    return zlib.compress(b"\n".join((orjson.dumps([delimiter, lines]), rows)), 1)


def unpack(block: bytes) -> Mapping[int, list[str]]:
    """Line -> cells, for every row of a block."""
    head, _, text = zlib.decompress(block).partition(b"\n")
    first, second = orjson.loads(head)
    if isinstance(first, str):
        rows = csv.reader(io.StringIO(text.decode(), newline=""), delimiter=first)
        return dict(zip(second, rows, strict=True))
    # Imported before rows were kept as they had been written.
    return dict(zip(first, second, strict=True))


def cells_of(block: bytes | None, line: int) -> list[str]:
    """The cells of one row; [] if the block does not have it."""
    return [] if block is None else unpack(block).get(line, [])


@lru_cache(maxsize=64)
def _names(header: str, positions: str) -> tuple[tuple[str, int], ...]:
    names = orjson.loads(header)
    return tuple((names[at], at) for at in orjson.loads(positions))


def variables_of(header: str, positions: str, cells: Sequence[str]) -> dict[str, str]:
    """The dynamic variables of a row: the columns that mean nothing else, by name, as the text a person sees.

    header, positions: the file's columns `header` and `variables`, as JSON.
    """
    return {name: text_of(cells[at]) for name, at in _names(header, positions) if at < len(cells)}
