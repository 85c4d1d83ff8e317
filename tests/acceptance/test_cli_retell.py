"""`campaigns retell`: what goes over the wire, what is asked before, and every error that a user can cause."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from campaigns.retell.operations import OPERATIONS, Danger, Operation
from tests.acceptance.conftest import KEY, Cli
from tests.faults.rig import free_port
from tests.integration.test_retell_operations import BODIES, arguments
from tests.recording import Recorder

SENDABLE = [name for name, operation in OPERATIONS.items() if operation.danger is not Danger.RINGS]
RINGING = sorted(set(OPERATIONS) - set(SENDABLE))
DANGEROUS = [name for name in SENDABLE if OPERATIONS[name].danger is not None]


def options(operation: Operation) -> list[str]:
    """The operation's parameters as a user writes them."""
    words: list[str] = []
    for name, value in arguments(operation).items():
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(str(value))
    if operation.takes_body:
        words += ["--data", json.dumps(BODIES[operation.name])]
    return words


@pytest.mark.parametrize("name", SENDABLE)
def test_every_operation_as_it_is_sent(cli: Cli, api: Recorder, name: str) -> None:
    operation = OPERATIONS[name]
    api.answer = lambda sent: (200, {"answered": "ü"})
    yes = ["--yes"] if operation.danger else []
    said = cli("retell", name, *options(operation), *yes)
    assert (said.code, said.err) == (0, "")
    assert said.document == {"answered": "ü"}
    [sent] = api.sent
    assert sent.method == operation.method
    assert sent.path.count("/") == operation.path.count("/")
    assert sent.query == {
        parameter.name: str(arguments(operation)[parameter.name]).replace("True", "true")
        for parameter in operation.in_query
    }
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    if operation.form:
        assert {part[0] for part in sent.parts} == set(BODIES[name])
    else:
        assert sent.json == BODIES.get(name)


def test_the_list_of_operations(cli: Cli) -> None:
    rows = cli.ok("retell", "--list")
    assert [row["operation"] for row in rows] == list(OPERATIONS)
    assert {row["danger"] for row in rows} == {None, "deletes", "buys", "hangs up", "rings"}
    assert cli.ok("retell") == rows
    text = cli("retell", "--list").out
    assert all(name in text for name in OPERATIONS)
    assert "list-voices" in cli("retell").out


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_the_help_of_an_operation_comes_from_its_row(cli: Cli, name: str) -> None:
    operation = OPERATIONS[name]
    said = cli("retell", name, "--help")
    text = " ".join(said.out.split())
    assert said.code == 0
    assert f"{operation.method} {operation.path}" in text
    assert f"Example: campaigns retell {name}" in text
    for parameter in (*operation.in_path, *(one.name for one in operation.in_query), *operation.required):
        assert parameter.replace("_", "-") in text.replace("_", "-")
    assert ("--data" in text) == operation.takes_body
    assert ("--all" in text) == (operation.paging is not None)
    assert ("--yes" in text) == (operation.danger is not None)


# -- nothing rings


@pytest.mark.parametrize("name", RINGING)
@pytest.mark.parametrize(
    "more", [(), ("--yes",), ("--data", '{"from_number": "+1", "to_number": "+1"}', "--yes")]
)
def test_raw_dialing_is_refused(cli: Cli, api: Recorder, name: str, more: tuple[str, ...]) -> None:
    line = cli.refused("retell", name, *more, code=2)
    assert "do-not-call" in line
    assert "`campaigns run FILE`" in line
    assert api.sent == []


# -- asked before


@pytest.mark.parametrize("name", DANGEROUS)
def test_without_a_terminal_and_without_yes_it_is_refused(cli: Cli, api: Recorder, name: str) -> None:
    line = cli.refused("retell", name, *options(OPERATIONS[name]), code=2)
    assert "--yes" in line
    assert str(OPERATIONS[name].danger) in line
    assert api.sent == []


@pytest.mark.parametrize(("word", "code", "sent"), [("y", 0, 1), ("n", 1, 0), ("", 1, 0)])
def test_on_a_terminal_it_asks(cli: Cli, api: Recorder, word: str, code: int, sent: int) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{word}\n".encode())
    command = [sys.executable, "-m", "campaigns.cli.app", "retell", "delete-agent", "--agent-id", "agent_1"]
    done = subprocess.run(
        command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert "This deletes agent_1 (delete-agent). Go on? [y/N]" in shown
    assert (done.returncode, len(api.sent)) == (code, sent)
    assert "Traceback" not in shown
    assert code == 0 or "nothing was done" in shown


# -- bodies


def test_a_body_from_a_file_and_from_standard_input(
    cli: Cli, api: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cli.folder / "body.json").write_text('{"agent_name": "Zoë"}', encoding="utf-8")
    cli("retell", "update-agent", "--agent-id", "a", "--data", "@body.json")
    monkeypatch.setattr("sys.stdin", io.StringIO('{"agent_name": "Ann"}'))
    cli("retell", "update-agent", "--agent-id", "a", "--data", "-")
    assert [sent.json for sent in api.sent] == [{"agent_name": "Zoë"}, {"agent_name": "Ann"}]


def test_files_for_a_knowledge_base(cli: Cli, api: Recorder) -> None:
    (cli.folder / "menu.txt").write_bytes(b"soup\x00\xff")
    data = '{"knowledge_base_name": "menu"}'
    cli("retell", "create-knowledge-base", "--data", data, "--file", "menu.txt", "--file", "menu.txt")
    cli("retell", "add-knowledge-base-sources", "--knowledge-base-id", "kb_1", "--file", "menu.txt")
    upload = ("knowledge_base_files", "menu.txt", b"soup\x00\xff")
    assert api.sent[0].parts == [("knowledge_base_name", None, b"menu"), upload, upload]
    assert api.sent[1].parts == [upload]


UPDATE = ("update-agent", "--agent-id", "a")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "needs a body"),
        (("--data", "{"), "not JSON"),
        (("--data", "[1]"), "no object"),
        (("--data", '{"a": NaN}'), "NaN"),
        (("--data", '{"a": 1e999}'), "not JSON"),
        (("--data", "@nowhere.json"), "nowhere.json"),
        (("--data", "@."), "directory"),
        (("--data", "@latin.json"), "UTF-8"),
        (("--data", "[" * 100_000), "nested"),
        (("--data",), "--data"),
        (("--bogus",), "--bogus"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bodies_that_cannot_be_used(cli: Cli, api: Recorder, arguments: tuple[str, ...], words: str) -> None:
    (cli.folder / "latin.json").write_bytes(b'{"a": "\xe9"}')
    assert words in cli.refused("retell", *UPDATE, *arguments, code=2)
    assert api.sent == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("bogus",),
        ("get-agent",),
        ("get-agent", "--agent-id", ""),
        ("get-agent", "--agent-id", ".."),
        ("list-agents", "--limit", "many"),
        ("list-agents", "--sort-order", "sideways"),
        ("create-agent", "--data", "{}"),
        ("create-agent",),
        ("create-knowledge-base", "--file", "nowhere.txt", "--data", '{"knowledge_base_name": "x"}'),
        ("add-knowledge-base-sources", "--knowledge-base-id", "kb_1"),
        ("get-concurrency", "--data", "{}"),
        ("get-concurrency", "--all"),
    ],
    ids=" ".join,
)
def test_usage_that_cannot_be_sent(cli: Cli, api: Recorder, arguments: tuple[str, ...]) -> None:
    cli.refused("retell", *arguments, code=2)
    assert api.sent == []


# -- what Retell answers


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "names the field"), (401, "RETELL_API_KEY"), (402, "payment"), (403, "permissions"), (404, "id"),
     (409, "check"), (422, "id"), (429, "wait"), (500, "wait"), (302, "RETELL_BASE_URL")],
)  # fmt: skip
def test_a_refusal_has_status_message_and_remedy(cli: Cli, api: Recorder, status: int, words: str) -> None:
    api.answer = lambda sent: (status, {"status": "error", "message": f"no, {KEY}"})
    line = cli.refused("retell", "get-agent", "--agent-id", "a")
    assert f"Retell answered {status}: no, [key]" in line
    assert words in line


def test_a_change_that_nobody_can_vouch_for_is_sent_once(cli: Cli, api: Recorder) -> None:
    api.answer = lambda sent: None
    line = cli.refused("retell", "create-phone-number", "--data", '{"area_code": 415}', "--yes")
    assert "look before you try again" in line
    assert len(api.sent) == 1


def test_an_answer_that_is_no_json(cli: Cli, api: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.recording.json.dumps", lambda value: "<html>")
    assert "not JSON" in cli.refused("retell", "get-concurrency")


def test_an_answer_without_a_body_is_null(cli: Cli, api: Recorder) -> None:
    api.answer = lambda sent: (204, None)
    assert cli("retell", "delete-agent", "--agent-id", "a", "--yes").document is None


def test_all_pages(cli: Cli, api: Recorder) -> None:
    def answer(sent: Any) -> Any:
        last = sent.query.get("pagination_key") == "1"
        return 200, {"items": [len(api.sent)], "has_more": not last, "pagination_key": "1"}

    api.answer = answer
    said = cli("retell", "list-agents", "--limit", "1", "--all")
    assert said.document == {"items": [1, 2], "has_more": False}
    assert [sent.query["limit"] for sent in api.sent] == ["1", "1"]


def test_no_key_and_no_server(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "RETELL_API_KEY" in cli.refused("retell", "get-concurrency")
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    monkeypatch.setenv("RETELL_BASE_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("campaigns.retell.client.RetellClient._pause", lambda *_: 0.0)
    assert "RETELL_BASE_URL" in cli.refused("retell", "get-concurrency")


def test_verbose_tells_what_is_asked_with_masked_numbers(cli: Cli, api: Recorder) -> None:
    command = [
        "-m",
        "campaigns.cli.app",
        "-v",
        "retell",
        "get-phone-number",
        "--phone-number",
        "+14155550123",
    ]
    said = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=60, check=False, cwd=Path.cwd()
    )
    assert json.loads(said.stdout) == {}
    assert "method=GET path=/get-phone-number/+*********23 status=200" in said.stderr
    assert "5550123" not in said.stderr
    assert KEY not in said.stderr
