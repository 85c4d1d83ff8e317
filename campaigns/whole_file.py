"""A file that appears whole, or not at all: nobody reads half of it, and a full disk leaves the one before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def whole_file(path: Path, errors: str = "strict") -> Iterator[TextIO]:
    """UTF-8 text that stands at `path` once the block has ended well. Raises OSError that names `path`.

    Line ends are written as they are given: csv has its own, and with others leaves a lone CR inside a cell unquoted.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("w", encoding="utf-8", errors=errors, newline="") as file:
            yield file
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(partial):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
