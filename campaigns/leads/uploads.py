"""What people upload -> a plain text file: packed, zipped, piped in, or a workbook. Never more than fits."""

from __future__ import annotations

import csv
import gzip
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

from campaigns.leads.rows import LeadFileError

_CHUNK = 1 << 20
#: A list packs to a tenth or so. What unpacks to more than this is made to fill a disk.
_MOST_TIMES = 200
_HARMLESS = 64 << 20
_MOST_BYTES = 8 << 30
#: A workbook is read as a whole, and takes twenty times its text.
_MOST_SHEET = 256 << 20


@contextmanager
def plain_file(path: Path) -> Iterator[tuple[Path, Path, tuple[str, ...]]]:
    """(the text to read, the file as it was uploaded, what to tell); `-` is standard input, and a pipe is like it.

    A file that is text already is given back as it is. Raises LeadFileError for what cannot be unpacked, and OSError.
    """
    piped = str(path) == "-" or _is_pipe(path)
    if not piped and not _packed(path):
        yield path, path, ()
        return
    with tempfile.TemporaryDirectory(prefix="campaigns-") as folder:
        original = path
        if piped:
            # Read once, since what was read of a pipe is gone from it.
            original = Path(folder) / "standard input"
            with original.open("wb") as file, _pipe(path) as source:
                _copy(source, file, _MOST_BYTES, original.name)
            if not _packed(original):
                yield original, original, ()
                return
        target = Path(folder, "unpacked", original.name)  # errors name the file that the operator knows
        target.parent.mkdir()
        notes = _unpack(original, target, original.name)
        yield target, original, notes


def _is_pipe(path: Path) -> bool:
    try:
        return path.is_fifo()
    except OSError:
        return False  # whoever reads it says what is wrong


@contextmanager
def _pipe(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
    else:
        with path.open("rb") as pipe:
            yield pipe


def _packed(path: Path) -> bool:
    try:
        return _begins(path, b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False  # whoever reads it says what is wrong


def _begins(path: Path, *magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(magic)


def _unpack(path: Path, target: Path, name: str) -> tuple[str, ...]:
    try:
        if not _begins(path, b"PK"):
            with gzip.open(path, "rb") as packed, target.open("wb") as file:
                _copy(packed, file, _limit(path), name)
            notes: tuple[str, ...] = ()
        else:
            notes = _unzip(path, target, name)
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        raise LeadFileError(
            f"{name} is damaged, encrypted, or packed in a way that is not known here",
            "Unpack it and use the CSV in it",
        ) from None
    if _packed(target):
        raise LeadFileError(f"{name} has an archive inside", "Unpack it and use the CSV in it")
    return notes


def _limit(path: Path) -> int:
    return min(_MOST_BYTES, max(_HARMLESS, path.stat().st_size * _MOST_TIMES))


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _copy(source: _Source, target: BinaryIO, most: int, name: str) -> None:
    total = 0
    while chunk := source.read(_CHUNK):
        total += len(chunk)
        if total > most:
            raise LeadFileError(
                f"{name} unpacks to more than {most >> 20:,} MB, which is no list",
                "Look what is in it; split a list that is really so long",
            )
        target.write(chunk)


def _unzip(path: Path, target: Path, name: str) -> tuple[str, ...]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if any(member.filename == "[Content_Types].xml" for member in members):
            return _workbook(path, archive, target, name)
        lists = [member for member in members if not _is_clutter(member.filename)]
        outside = [m.filename for m in lists if _leads_outside(m.filename)]
        if outside:
            raise LeadFileError(
                f"{name} has a file with a path outside of it: {outside[0]!r}", "Pack the CSV alone"
            )
        if len(lists) != 1:
            names = ", ".join(member.filename for member in lists[:5])
            raise LeadFileError(
                f"{name} has {len(lists)} files{': ' + names if names else ''}", "Pack one CSV alone"
            )
        with archive.open(lists[0]) as packed, target.open("wb") as file:
            _copy(packed, file, _limit(path), name)
    return ()


def _is_clutter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or (bool(parts) and parts[-1].startswith("."))


def _leads_outside(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return ".." in parts or name.startswith(("/", "\\")) or ":" in (parts[0] if parts else "")


def _workbook(path: Path, archive: zipfile.ZipFile, target: Path, name: str) -> tuple[str, ...]:
    """The first sheet that has rows, every cell as text. Raises LeadFileError without openpyxl."""
    if sum(member.file_size for member in archive.infolist()) > _MOST_SHEET:
        raise LeadFileError(
            f"{name} is a workbook of more than {_MOST_SHEET >> 20} MB", "Save the sheet as CSV (UTF-8)"
        )
    try:
        import openpyxl  # noqa: F401 - what pandas reads workbooks with
    except ImportError:
        raise LeadFileError(
            f"{name} is an Excel workbook, which needs openpyxl",
            "Install campaigns[xlsx], or save the sheet as CSV (UTF-8) and use that",
        ) from None
    import pandas as pd

    as_text: dict[str, Any] = {"header": None, "dtype": str, "keep_default_na": False, "na_filter": False}
    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets = [str(sheet) for sheet in book.sheet_names]
            for sheet in sheets:
                frame = pd.read_excel(book, sheet_name=sheet, **as_text)
                if len(frame):
                    break
            else:
                raise LeadFileError(f"{name} has no rows", "Export the list again, with at least one lead")
    except LeadFileError:
        raise
    except Exception as error:  # whatever a library makes of a broken workbook
        raise LeadFileError(
            f"{name} cannot be read as a workbook: {type(error).__name__}", "Save it as CSV (UTF-8)"
        ) from None
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(frame.itertuples(index=False, name=None))
    others = [other for other in sheets if other != sheet]
    if others:
        return (f"the sheet {sheet} is read, and not {', '.join(others)}",)
    return ()
