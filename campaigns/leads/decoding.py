"""Bytes -> text: which encoding a file has, and its lines without what no cell may contain.

The whole file is examined, never its head alone: the one accent that decides may stand in row 19,995.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from campaigns.leads.rows import LeadFileError

_CHUNK = 1 << 20
_BOMS = (  # the longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_TEXT = (
    (b"PK\x03\x04", "an Excel workbook or ZIP archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF"),
)
#: Characters of a file that are read together.
PIECE = 2 * _CHUNK
#: No line of a list is longer; a file of one endless line must not fill the memory.
LONGEST_LINE = 4 << 20
# Control characters that no list has, and how many of them, and which share, make a file binary. Not NUL and Ctrl-Z,
# which are dropped.
_CONTROLS = re.compile(r"[\x01-\x08\x0e-\x19\x1b-\x1f\x7f]")
_MOST_CONTROLS = 30
_BINARY_FROM = 0.05
# Bytes that are no UTF-8 beside characters that are: damage if they are few, another encoding otherwise.
_DAMAGED_AT_MOST = 0.2


@dataclass(frozen=True, slots=True)
class Decoding:
    """A codec name, and the warning to show if it isn't certain ("" if it is)."""

    encoding: str
    warning: str = ""


def recognise_encoding(path: Path) -> Decoding:
    """Byte-order mark, then UTF-16 by its zeros, then strict UTF-8, damaged UTF-8, and Windows-1252 at last.

    Raises LeadFileError for a file that holds no text, and OSError where it can't be read.
    """
    with path.open("rb") as file:
        head = file.read(4096)
        for magic, what in _NOT_TEXT:
            if head.startswith(magic):
                raise LeadFileError(
                    f"{path.name} is {what}, not a CSV", "Save it as CSV (UTF-8) and use that"
                )
        for bom, encoding in _BOMS:
            if head.startswith(bom):
                return Decoding(encoding)
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if max(even, odd) * 10 > len(head) * 3 and min(even, odd) * 10 < len(head):
            encoding = "utf-16-be" if even > odd else "utf-16-le"
            _check_text(path, head, encoding)
            return Decoding(encoding)
    _check_text(path, head, "cp1252")
    good, bad = _utf8_census(path)
    if not bad:
        return Decoding("utf-8")
    if bad <= good * _DAMAGED_AT_MOST:
        return Decoding(
            "utf-8", f"{bad} bytes are not UTF-8 and were replaced by \ufffd; check the names with that sign"
        )
    return Decoding(
        "cp1252",
        "the file is no UTF-8 and was read as Windows-1252; if accents look wrong, name its encoding",
    )


def _check_text(path: Path, head: bytes, encoding: str) -> None:
    """Raises LeadFileError for a beginning that is full of what no text has: a picture, a program."""
    text = head.decode(encoding, "replace")
    controls = len(_CONTROLS.findall(text))
    if controls > _MOST_CONTROLS and controls > len(text) * _BINARY_FROM:
        raise LeadFileError(
            f"{path.name} holds binary data, not text", "Export the list as CSV (UTF-8) and use that"
        )


def check_lines(path: Path) -> None:
    """Raises LeadFileError for a file with a line that is longer than any list has, and OSError."""
    position = last = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            # The first break and the last one of a chunk bound every gap that is longer than it.
            breaks = [chunk.find(b"\n"), chunk.find(b"\r")]
            found = [at for at in breaks if at >= 0]
            if found and position + min(found) - last <= LONGEST_LINE:
                last = position + max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
            position += len(chunk)
            if position - last > LONGEST_LINE:
                raise LeadFileError(
                    f"{path.name} has a line of more than {LONGEST_LINE >> 20} MB, which is no row of a list",
                    "Look whether it is a CSV at all; export the list again",
                )


def _utf8_census(path: Path) -> tuple[int, int]:
    """How many characters beyond ASCII are proper UTF-8, and how many bytes are not."""
    good = bad = 0
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            text = decoder.decode(chunk, final=not chunk)
            if not text.isascii():
                beyond = len(text) - len(text.encode("ascii", "ignore"))
                escaped = len(text) - len(text.encode("utf-8", "ignore").decode("utf-8"))
                good, bad = good + beyond - escaped, bad + escaped
            if not chunk:
                return good, bad


def check_encoding(name: str) -> str:
    """The codec's own name for what the operator wrote. Raises LeadFileError for an unknown one."""
    try:
        info = codecs.lookup(name)
        "a".encode(info.name).decode(info.name)
    except (LookupError, UnicodeError, ValueError):
        raise LeadFileError(
            f"There is no encoding {name!r}", "Give one such as utf-8, utf-16, cp1252, latin-1 or mac-roman"
        ) from None
    # A byte-order mark is no part of the first header.
    return "utf-8-sig" if info.name == "utf-8" else info.name


def lines_of(path: Path, encoding: str) -> Iterator[str]:
    """The file's lines with their endings (LF, CRLF or CR), without NUL, Ctrl-Z and byte-order marks."""
    with text_reader(path, encoding) as read:
        while text := read():
            yield from split_lines(text)


def split_lines(text: str) -> Iterator[str]:
    """The lines of a text, with their endings."""
    return iter(io.StringIO(text, newline=""))


@contextmanager
def text_reader(path: Path, encoding: str) -> Iterator[Callable[[], str]]:
    """`lines_of` by some megabytes: call what is given for the next whole lines together, "" at the end."""
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        kept, first = "", True

        def read() -> str:
            nonlocal kept, first
            text = kept
            while more := file.read(PIECE):
                while more.endswith("\r") and (one := file.read(1)):  # half of a line break, perhaps
                    more += one
                text += more
                if (end := 1 + max(text.rfind("\n"), text.rfind("\r"))) > 0:
                    text, kept = text[:end], text[end:]
                    break
            else:
                kept = ""
            if first:
                text, first = text.removeprefix("\ufeff"), False
            for sign in "\0\x1a":
                text = text.replace(sign, "")
            if not text.isascii() and not _is_text(text):
                text = text.encode("utf-8", "replace").decode()
            return text

        yield read


def _is_text(text: str) -> bool:
    """No half of a surrogate pair, which some codecs let through: it could be neither stored nor sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
