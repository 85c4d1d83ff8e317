"""Every command explains itself, and every reading one speaks JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import typer

from campaigns.cli.app import app, main
from tests.acceptance.conftest import Cli, Retell

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
#: Those that run until they are stopped, that the contract gives no `--json`, or that print nothing but JSON.
WITHOUT_JSON = {"worker", "beat", "simulator", "watch", "console", "schema"}
#: What the contract names and this version has.
EXPECTED = {
    "run", "simulator", "import", "create", "launch", "pause", "resume", "cancel", "status", "export", "report",
    "audit", "leads", "resolve", "jobs", "numbers", "agents", "concurrency", "worker", "beat", "doctor",
}  # fmt: skip


def test_the_commands_of_the_contract_are_there() -> None:
    assert set(COMMANDS) >= EXPECTED


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help(cli: Cli, name: str) -> None:
    said = cli(name, "--help")
    assert (said.code, said.err) == (0, "")
    summary = (COMMANDS[name].help or "").strip()
    assert len(summary) > 10
    assert summary.splitlines()[0].split(".")[0] in " ".join(said.out.split())
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            assert parameter.help, f"{name}: {parameter.name} has no help"
            assert any(spelling in said.out for spelling in parameter.opts)


def test_help_of_the_whole(cli: Cli) -> None:
    said = cli("--help")
    assert said.code == 0
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", said.out)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_JSON))
def test_every_other_command_knows_json(name: str) -> None:
    command = COMMANDS[name]
    for one in getattr(command, "commands", {"": command}).values():
        assert any("--json" in parameter.opts for parameter in one.params), f"{name} {one.name}"


READING = [
    ("status",), ("status", "spring"), ("leads", "spring"), ("report", "spring"), ("export", "spring"),
    ("audit", "spring"), ("concurrency",), ("numbers",), ("agents",), ("doctor",),
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
    assert main([]) in (0, 2)
    out, err = capsys.readouterr()
    assert "doctor" in out + err
    assert "Traceback" not in err
