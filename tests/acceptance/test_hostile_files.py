"""Files that are no lists, or are made to do harm: each is refused in one line, and nothing is left behind."""

from __future__ import annotations

import io
import os
import random
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import Cli

HEAD = "phone,name\n2125550101,Ann\n"


def zipped(**members: str | bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


HOSTILE: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "10 MB in a cell": (lambda: f'{HEAD}2125550102,"{"x" * 10_000_000}"\n', "a line of more than 4 MB"),
    "10 MB in a cell, with line breaks": (
        lambda: f'{HEAD}2125550102,"{("x" * 999 + chr(10)) * 10_000}"\n2125550103,Bo\n',
        "Line 3 opens a cell of more than 4 MB",
    ),
    "10,000 columns": (lambda: ",".join(["phone", *map(str, range(9_999))]) + "\n" + HEAD, "10,000 columns"),
    "a zip bomb": (lambda: zipped(**{"a.csv": bytes(80 << 20)}), "unpacks to more than"),
    "a path outside": (lambda: zipped(**{"../../etc/a.csv": HEAD}), "path outside"),
    "two files in a zip": (lambda: zipped(**{"a.csv": HEAD, "b.csv": HEAD}), "2 files: a.csv, b.csv"),
    "a PDF in a zip": (lambda: zipped(**{"a.csv": b"%PDF-1.4"}), "list.csv is a PDF"),
    "a zip in a zip": (lambda: zipped(**{"a.csv": zipped(**{"b.csv": HEAD})}), "an archive inside"),
    "half a zip": (lambda: zipped(**{"a.csv": HEAD})[:60], "damaged"),
    "binary junk": (lambda: random.Random(1).randbytes(100_000), "binary data, not text"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + random.Random(2).randbytes(3_000), "binary data, not text"),
    "a broken workbook": (lambda: zipped(**{"[Content_Types].xml": "junk"}), "cannot be read as a workbook"),
    "nothing": (lambda: b"", "no rows"),
    "names of a page each": (lambda: ",".join(["n" * 9_000] * 100) + "\nx\n", "and 80 more"),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_a_hostile_file(cli: Cli, kind: str) -> None:
    make, words = HOSTILE[kind]
    path = cli.folder / "list.csv"
    content = make()
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    line = cli.refused("import", path, "--campaign", "spring", code=2)
    assert words in line
    assert len(line) < 1_500
    assert cli.ok("status") == []
    assert sorted(left.name for left in cli.folder.iterdir() if left != cli.home) == ["list.csv"]


def test_a_file_that_may_not_be_read(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cli.leads()
    opened = Path.open

    def refuse(self: Path, *args: object, **kwargs: object) -> object:
        if self == path:
            raise PermissionError(13, os.strerror(13), str(self))
        return opened(self, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    assert "leads.csv can't be read: Permission denied" in cli.refused(
        "import", path, "--campaign", "spring", code=2
    )


def test_a_pipe_is_read_once(cli: Cli) -> None:
    """As the shell makes one of `<(command)`."""
    pipe = cli.folder / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(HEAD,), daemon=True)
    writer.start()
    assert cli.ok("import", pipe, "--campaign", "spring")["accepted"] == 1
    writer.join()


def test_what_a_file_says_never_reaches_the_terminal_as_a_command(cli: Cli) -> None:
    path = cli.folder / "list.csv"
    path.write_bytes(zipped(**{"a\x1b]0;owned\x07.csv": "", "b.csv": ""}))
    assert "a\ufffd]0;owned\ufffd.csv" in cli.refused("import", path, "--campaign", "spring", code=2)
    path.write_text("phone,na\x1b[2Jme\n2125550101,\x1b[31mAnn\u202e\n")
    said = cli("import", path, "--dry-run")
    assert said.code == 0
    assert "\ufffd[31mAnn\ufffd" in said.out
    assert not {"\x1b", "\x07", "\u202e"} & set(said.out + said.err)


def test_one_control_character_costs_no_list(cli: Cli) -> None:
    path = cli.folder / "list.csv"
    path.write_text("phone,name\n2125550101,A\x07\n")
    assert cli.ok("import", path, "--campaign", "spring")["accepted"] == 1
