"""The entry of the command line: its table of commands, what it loads, what it shows where."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from campaigns.cli.app import PANELS, commands_of
from campaigns.store import Store

ROOT = Path(__file__).parents[2]
#: Typer itself brings pydantic.
HEAVY = (
    "sqlalchemy", "sqlalchemy.dialects.postgresql", "holidays", "celery", "pandas", "httpx", "alembic", "redis",
    "phonenumbers", "structlog",
)  # fmt: skip
ROWS = {name: row for commands in PANELS.values() for name, row in commands.items()}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("module", sorted({module for module, _ in ROWS.values()}))
def test_the_table_names_what_the_modules_register(module: str) -> None:
    registered = commands_of(module)
    assert set(registered) == {name for name, (its, _) in ROWS.items() if its == module}
    for name, command in registered.items():
        assert (command.help or "").splitlines()[0] == ROWS[name][1], name


def test_every_module_that_registers_commands_is_in_the_table() -> None:
    files = (ROOT / "campaigns" / "cli").glob("*.py")
    registering = {file.stem for file in files if "\ndef register(" in file.read_text()}
    assert registering == {module for module, _ in ROWS.values()}


LOADED = f"""
import sys
from campaigns.cli.app import main
try:
    main(sys.argv[1:])
finally:
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    sys.stderr.write(f"loaded: {{loaded}}")
"""


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("nonsense",)])
def test_what_only_shows_text_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    said = run("-c", LOADED, *arguments)
    assert said.stderr.endswith("loaded: []"), said.stderr


def test_status_loads_nothing_but_the_database(tmp_path: Path) -> None:
    """It is what operators ask for most, and most of its time is spent on imports."""
    Store.open(f"sqlite:///{tmp_path / 'campaigns.db'}").close()
    said = run("-c", LOADED, "status", CAMPAIGNS_HOME=str(tmp_path))
    assert said.returncode == 0
    assert said.stderr.endswith("loaded: ['sqlalchemy']"), said.stderr


@pytest.mark.parametrize("locale", [{}, {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}])
def test_a_terminal_that_cannot_show_a_letter_is_told_so(tmp_path: Path, locale: dict[str, str]) -> None:
    """It was said of the arguments, which are right."""
    Store.open(f"sqlite:///{tmp_path / 'campaigns.db'}").close()
    environment = {"CAMPAIGNS_HOME": str(tmp_path), **locale}
    assert run("-m", "campaigns.cli.app", "create", "spring", **environment).returncode == 0
    said = run("-m", "campaigns.cli.app", "windows", "spring", **environment)
    assert said.returncode == (1 if locale else 0)
    assert said.stderr == (
        "error: this terminal's ascii cannot show all letters; use a UTF-8 locale, or PYTHONUTF8=1\n"
        if locale
        else ""
    )


def test_a_command_leaves_one_whole_database_behind(tmp_path: Path) -> None:
    """Nothing in a write-ahead log, which a copy of the file would lack."""
    said = run("-m", "campaigns.cli.app", "create", "spring", CAMPAIGNS_HOME=str(tmp_path))
    assert said.returncode == 0, said.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["campaigns.db", "campaigns.db-turn"]


def test_completion_of_a_command_loads_nothing_heavy() -> None:
    program = LOADED.replace("main(sys.argv[1:])", "sys.argv = ['campaigns']; main()")
    said = run("-c", program, _CAMPAIGNS_COMPLETE="complete_bash", COMP_WORDS="campaigns re", COMP_CWORD="1")
    assert said.returncode == 0
    assert set(said.stdout.split()) == {name for name in ROWS if name.startswith("re")}
    assert said.stderr.endswith("loaded: []"), said.stderr


def test_completion_of_an_option() -> None:
    program = "import sys; from campaigns.cli.app import entry; sys.argv = ['campaigns']; entry()"
    said = run(
        "-c",
        program,
        _CAMPAIGNS_COMPLETE="complete_bash",
        COMP_WORDS="campaigns create --prof",
        COMP_CWORD="2",
    )
    assert (said.returncode, said.stdout.split()) == (0, ["--profile"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_each_shell(shell: str) -> None:
    said = run(
        "-m",
        "campaigns.cli.app",
        "--show-completion",
        shell,
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )
    assert said.returncode == 0
    assert "_COMPLETE" in said.stdout


def test_version() -> None:
    said = run("-m", "campaigns.cli.app", "--version")
    assert (said.returncode, said.stdout) == (0, f"campaigns {importlib.metadata.version('campaigns')}\n")


def test_a_slip_of_the_finger_is_answered_with_the_command_that_was_meant() -> None:
    said = run("-m", "campaigns.cli.app", "stauts")
    assert said.returncode == 2
    assert "Did you mean 'status'" in said.stderr
