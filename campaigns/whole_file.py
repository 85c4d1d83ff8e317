"""A file that appears whole, or not at all: nobody reads half of it, and a full disk leaves the one before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def whole_file(path: Path, errors: str = "strict") -> Iterator[TextIO]:
    """UTF-8 text that stands at `path` once the block has ended well, or is written to the pipe or device
    there. Raises OSError that names `path`.

    Line ends are written as they are given: csv has its own, and with others leaves a lone CR inside a cell unquoted.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        # A pipe or a device: a file put in its place would take /dev/stdout from everybody.
        with path.open("w", encoding="utf-8", errors=errors, newline="") as file:
            yield file
        return
    target = path.resolve()  # what a link leads to: the link stays
    partial = target.with_name(f".{target.name}.part")
    try:
        with partial.open("w", encoding="utf-8", errors=errors, newline="") as file:
            yield file
        partial.replace(target)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(partial):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
