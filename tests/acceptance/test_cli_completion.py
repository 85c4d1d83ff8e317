"""Pressing Tab: the shells' own protocol, driven as their scripts drive it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from campaigns.cli.app import main
from campaigns.domain.states import AttemptState
from campaigns.store import Store
from tests.acceptance.conftest import Cli

Tab = Callable[..., list[str]]


@pytest.fixture
def tab(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Tab:
    """`tab("campaigns status s")`: what is offered, line by line."""

    def pressed(line: str, shell: str = "bash") -> list[str]:
        monkeypatch.setattr("sys.argv", ["campaigns"])
        monkeypatch.setenv("_CAMPAIGNS_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        cli.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = cli.capsys.readouterr()
        assert (ended.value.code, err) == (0, "")
        monkeypatch.delenv("_CAMPAIGNS_COMPLETE")
        return [offered for offered in out.split("\n") if offered]

    return pressed


@pytest.mark.parametrize(
    "line",
    ["campaigns status s", "campaigns watch s", "campaigns pause s", "campaigns report s", "campaigns audit s",
     "campaigns calls list --campaign s", "campaigns import x.csv --campaign s", "campaigns explain 1 --campaign s"],
)  # fmt: skip
def test_campaigns_by_name(cli: Cli, tab: Tab, line: str) -> None:
    for name in ("spring", "summer", "fall", "two words", "s'$(x)"):
        cli.ok("create", name)
    assert tab(line) == ["summer", "spring"]


@pytest.mark.parametrize(
    ("shell", "offered"),
    [("bash", ["spring"]), ("zsh", ["_arguments '*: :((\"spring\"))'"]), ("fish", ["spring"])],
)
def test_each_shell_gets_it_as_it_reads_it(cli: Cli, tab: Tab, shell: str, offered: list[str]) -> None:
    cli.ok("create", "spring")
    cli.ok("create", "fall")
    assert tab("campaigns status sp", shell) == offered


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("campaigns leads x --state ex", ["exhausted", "expired"]),
        ("campaigns attempts x --state ", [state.value for state in AttemptState]),
        ("campaigns leads x --outcome no", ["no_answer"]),
        ("campaigns attempts x --outcome mach", ["machine"]),
        ("campaigns leads x --sort at", ["attempts"]),
        ("campaigns recycle x --outcomes mach", ["machine"]),
        ("campaigns recycle x --outcomes no_answer,machine,bu", ["no_answer,machine,busy"]),
        ("campaigns recycle x --outcomes no_answer,no_a", []),
        ("campaigns recycle x --outcomes do_not", []),
    ],
)
def test_values_of_options(tab: Tab, line: str, offered: list[str]) -> None:
    assert tab(line) == offered


def test_archived_campaigns_are_out_of_sight(cli: Cli, tab: Tab) -> None:
    cli.ok("create", "spring")
    cli.ok("cancel", "spring")
    assert tab("campaigns status ") == ["spring"]
    cli.ok("archive", "spring")
    assert tab("campaigns status ") == []


def test_nothing_is_made_where_there_is_no_home(cli: Cli, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = cli.folder / "nowhere"
    monkeypatch.setenv("CAMPAIGNS_HOME", str(nowhere))
    assert tab("campaigns status ") == []
    assert not nowhere.exists()
    nowhere.mkdir()
    assert tab("campaigns status ") == []
    assert list(nowhere.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a database, " * 300])
def test_a_database_that_cannot_be_read_offers_nothing(cli: Cli, tab: Tab, content: bytes) -> None:
    database = cli.home / "campaigns.db"
    database.write_bytes(content)
    assert tab("campaigns status ") == []
    assert database.read_bytes() == content


def test_an_environment_that_cannot_be_read_offers_nothing(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPAIGNS_DIAL_TIMEOUT", "never")
    assert tab("campaigns status ") == []


def test_names_are_read_while_somebody_writes(cli: Cli, tab: Tab) -> None:
    cli.ok("create", "spring")
    database = Store.open(f"sqlite:///{cli.home / 'campaigns.db'}").database
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE campaigns SET reason = 'changing'")
        assert tab("campaigns status ") == ["spring"]
