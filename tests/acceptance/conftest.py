"""The command as a user types it, in this process, in a home of its own; a simulated Retell where it is asked for."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import TypeAdapter

from campaigns.cli.app import main
from campaigns.cli.documents.table import DOCUMENTS
from campaigns.simulator.config import SimulatorConfig
from campaigns.simulator.server import Running, running
from campaigns.store import Store
from tests.recording import Recorder, recording

KEY = "key_0123456789abcdef_secret"
HEADER = "phone_number,first_name"
#: Fictional numbers, NPA-555-01XX, of two zones.
NUMBERS = [f"+1212555{n:04}" for n in range(100, 110)] + [f"+1213555{n:04}" for n in range(100, 110)]


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


def pin(arguments: Sequence[str | Path], text: str) -> None:
    """Hold a command's document against its model: no field more, none less, none of another type."""
    words = [str(argument) for argument in arguments]
    name = next(name for name in (" ".join(words[:2]), words[0], "") if name in DOCUMENTS or not name)
    if name == "retell" and words[1:] not in ([], ["--list"]):
        return  # what Retell answers
    if name:
        TypeAdapter(DOCUMENTS[name]).validate_json(text, strict=True)


@dataclass
class Cli:
    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def __call__(self, *arguments: str | Path) -> Said:
        self.capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = self.capsys.readouterr()
        assert KEY not in out + err
        assert "Traceback" not in out + err
        return Said(code, out, err)

    def ok(self, *arguments: str | Path, code: int = 0) -> Any:
        """The document of a command that must succeed; 3: and say that something needs a person."""
        said = self(*arguments, "--json")
        assert said.code == code, said.err
        pin(arguments, said.out)
        return said.document

    def refused(self, *arguments: str | Path, code: int = 1) -> str:
        """The one line in which a command says what is wrong and what to do."""
        said = self(*arguments)
        assert said.code == code, said
        assert said.out == ""
        assert said.err.count("\n") == 1, said.err
        assert said.err.startswith("error: "), said.err
        assert re.search("; |: (use|write)", said.err), f"no remedy: {said.err}"
        return said.err

    def leads(self, name: str = "leads.csv", rows: Sequence[str] = (), header: str = HEADER) -> Path:
        """A lead list in the folder."""
        path = self.folder / name
        path.write_text("\n".join([header, *(rows or [f"{one},Ann" for one in NUMBERS[:5]])]) + "\n")
        return path

    def draft(self, name: str = "spring", rows: Sequence[str] = (), *options: str) -> None:
        """A campaign with leads, in New York and Los Angeles."""
        self.ok("create", name, "--from", "+14155550100", *options)
        self.ok("import", self.leads(f"{name}.csv", rows), "--campaign", name)


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the current schema and no rows."""
    path = tmp_path_factory.mktemp("home") / "campaigns.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.upper().startswith(("CAMPAIGNS_", "RETELL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    return monkeypatch


def _nothing_to_say() -> None:
    """Logs only what nothing in these tests says."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture
def cli(
    tmp_path: Path,
    empty_home: Path,
    clean_environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Cli]:
    """`cli("status", "spring")`, with a home, without a key, in an empty folder."""
    clean_environment.chdir(tmp_path)
    made = Cli(tmp_path, capsys)
    made.home.mkdir()
    shutil.copy(empty_home, made.home / "campaigns.db")
    clean_environment.setenv("CAMPAIGNS_HOME", str(made.home))
    # Logs of a run in this process would go to a stream that pytest closes.
    for module in ("run", "jobs"):
        clean_environment.setattr(f"campaigns.cli.{module}.configure_logs", _nothing_to_say)
    opened: list[Store] = []
    real_open = Store.open

    def open_and_note(url: str) -> Store:
        opened.append(real_open(url))
        return opened[-1]

    clean_environment.setattr(Store, "open", open_and_note)
    yield made
    structlog.reset_defaults()
    for store in opened:
        store.close()


class Retell(ExitStack):
    """Starts a simulated Retell for the test, and points the command at it."""

    def __init__(self, environment: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._environment = environment

    def start(self, **settings: Any) -> Running:
        server: AbstractContextManager[Running] = running(
            SimulatorConfig(**{"api_key": KEY, "outcomes": "human=1", **settings})
        )
        started = self.enter_context(server)
        self._environment.setenv("RETELL_BASE_URL", started.url)
        self._environment.setenv("RETELL_API_KEY", KEY)
        return started


@pytest.fixture
def retell(clean_environment: pytest.MonkeyPatch) -> Iterator[Retell]:
    with Retell(clean_environment) as made:
        yield made


@pytest.fixture
def api(clean_environment: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """A plain recording server in Retell's place; `answer` says what it answers."""
    with recording() as recorder:
        clean_environment.setenv("RETELL_BASE_URL", recorder.url)
        clean_environment.setenv("RETELL_API_KEY", KEY)
        clean_environment.setattr("campaigns.retell.client.RetellClient._pause", lambda *_: 0.0)
        yield recorder
