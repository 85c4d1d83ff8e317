"""Every command explains itself, and every reading one speaks JSON."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import TypeAdapter

from campaigns.cli.app import app, main
from campaigns.cli.documents.table import DOCUMENTS
from campaigns.cli.reference import leaves, reference
from tests.acceptance.conftest import Cli, Retell

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
#: Those that do something, the ones of a group included, by the words that name them.
LEAVES = {" ".join(words): command for words, command in leaves()}
#: Those that run until they are stopped, that the contract gives no `--json`, or that print
#: nothing but JSON.
WITHOUT_JSON = {"worker", "beat", "simulator", "watch", "console", "schema"}
#: What the contract names and this version has.
EXPECTED = {
    "run", "simulator", "import", "create", "launch", "pause", "resume", "cancel", "status", "export", "report",
    "audit", "leads", "resolve", "numbers", "agents", "concurrency", "worker", "beat", "doctor", "calls", "retell",
    "web-call", "jobs",
}  # fmt: skip


def test_the_commands_of_the_contract_are_there() -> None:
    assert set(COMMANDS) >= EXPECTED


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_help(cli: Cli, name: str) -> None:
    said = cli(*name.split(), "--help")
    assert (said.code, said.err) == (0, "")
    summary = (LEAVES[name].help or "").strip()
    assert len(summary) > 10
    assert summary.splitlines()[0].split(".")[0] in " ".join(said.out.split())
    example = summary.rpartition("Example: ")[2]
    assert example.startswith(f"campaigns {name}"), f"{name} has no example"
    known = {
        spelling
        for parameter in LEAVES[name].params
        for spelling in parameter.opts + parameter.secondary_opts
    }
    assert set(re.findall(r"(?<!\S)--[a-z-]+", example)) <= known, example
    for parameter in LEAVES[name].params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            assert parameter.help, f"{name}: {parameter.name} has no help"
            assert any(spelling in said.out for spelling in parameter.opts)


def test_help_of_the_whole(cli: Cli) -> None:
    said = cli("--help")
    assert said.code == 0
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", said.out)


@pytest.mark.parametrize("name", sorted(set(LEAVES) - WITHOUT_JSON))
def test_every_other_command_knows_json_and_has_a_model_of_it(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in LEAVES[name].params)
    assert name in DOCUMENTS or name.startswith("retell ")


def test_every_model_belongs_to_a_command() -> None:
    assert set(DOCUMENTS) <= set(LEAVES)


def test_the_reference_is_what_the_commands_say() -> None:
    written = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert written == reference(), "write it anew: python -m campaigns.cli.reference > docs/cli.md"


READING = [
    ("status",), ("status", "spring"), ("leads", "spring"), ("report", "spring"), ("export", "spring"),
    ("audit", "spring"), ("concurrency",), ("numbers",), ("agents",), ("doctor",), ("calls", "list"),
]  # fmt: skip


def test_json_is_one_document_and_nothing_else(cli: Cli, retell: Retell) -> None:
    retell.start()
    cli.draft()
    for command in READING:
        said = cli(*command, "--json")
        assert said.code == 0, (command, said.err)
        document, end = json.JSONDecoder().raw_decode(said.out)
        assert said.out[end:].strip() == "", command
        assert isinstance(document, dict | list)
        # What the model does not name is refused, and so is what the model names and the document lacks.
        TypeAdapter(DOCUMENTS[" ".join(word for word in command if word != "spring")]).validate_json(
            said.out, strict=True
        )
        if command[0] != "export":
            assert said.err == "", command


def test_for_people_there_is_text(cli: Cli, retell: Retell) -> None:
    retell.start()
    cli.draft()
    for command in READING:
        said = cli(*command)
        assert said.code == 0, (command, said.err)
        assert said.out.strip()
        assert not said.out.lstrip().startswith(("{", "[{")), command


@pytest.mark.parametrize("name", ["[/]", "[bold]x [/red]", "ü 😀 1/2 :phone: \\"])
def test_a_name_is_never_read_as_markup(cli: Cli, retell: Retell, name: str) -> None:
    retell.start()
    cli.ok("create", name, "--from", "+14155550100")
    cli.ok("import", cli.leads(), "--campaign", name)
    for command in (("status",), ("status", name), ("report", name), ("audit", name), ("pause", name)):
        said = cli(*command)
        if command[0] in ("status", "report"):
            assert name in said.out
    assert cli.ok("status", name)["campaign"] == name
    exported = cli.ok("export", name)
    assert exported["rows"] == 5


def test_without_arguments_it_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words, shown in (([], "doctor"), (["calls"], "stop"), (["jobs"], "add"), (["dnc"], "remove")):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert shown in out
        assert err == ""


def test_quiet_leaves_what_was_asked_for(cli: Cli) -> None:
    assert "draft" in cli("create", "spring").out
    said = cli("--quiet", "create", "fall")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert "fall" in cli("-q", "status").out
    assert cli("-q", "status", "nobody").err.startswith("error: ")
    assert "draft" in cli("create", "winter").out


_COLOUR = re.compile(r"\x1b\[[0-9;]*[34][0-7]m")


@pytest.mark.parametrize("arguments", [("status",), ("--help",)])
def test_no_color_is_honoured(cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    cli.ok("create", "spring")
    monkeypatch.setenv("TERM", "xterm-256color")
    for variable in ("NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
        monkeypatch.delenv(variable, raising=False)
    assert _COLOUR.search(on_a_terminal(*arguments))
    monkeypatch.setenv("NO_COLOR", "1")
    plain = on_a_terminal(*arguments)
    assert "spring" in plain or "Options" in plain
    assert not _COLOUR.search(plain)


def on_a_terminal(*arguments: str) -> str:
    """What the command writes where standard output is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "campaigns.cli.app", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.STDOUT
    ) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                some = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not some:
                break
            text += some
        process.wait(30)
    os.close(ours)
    return text.decode()
