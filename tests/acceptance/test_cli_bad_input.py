"""Bad input and trouble: one clear line that names the remedy, the right exit code, nothing lost."""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from campaigns.cli.reference import leaves
from campaigns.store import Store
from tests.acceptance.conftest import HEADER, KEY, NUMBERS, Cli, Retell
from tests.faults.rig import free_port
from workers.embedded import HomeLock

CLOCK = "2026-03-10T15:00:00Z,60,1795174234.6"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not wait between its tries."""
    monkeypatch.setattr("campaigns.retell.client.RetellClient._pause", lambda *_: 0.0)


# -- the account


@pytest.mark.parametrize("command", [("concurrency",), ("numbers",), ("agents",), ("run", "leads.csv")])
def test_no_key(cli: Cli, command: tuple[str, ...]) -> None:
    cli.leads()
    line = cli.refused(*command)
    assert "RETELL_API_KEY" in line


def test_a_wrong_key(cli: Cli, retell: Retell, monkeypatch: pytest.MonkeyPatch) -> None:
    retell.start()
    wrong = "key_wrong_0123456789"
    monkeypatch.setenv("RETELL_API_KEY", wrong)
    cli.leads()
    for command in (("concurrency",), ("numbers",), ("run", "leads.csv", "--from", "+14155550100")):
        line = cli.refused(*command)
        assert "401" in line
        assert "RETELL_API_KEY" in line
        assert wrong not in line
    assert cli.ok("status") == []


@pytest.mark.parametrize(("status", "remedy"), [(402, "payment"), (403, "permissions"), (500, "wait")])
def test_an_account_that_cannot_be_used(cli: Cli, retell: Retell, status: int, remedy: str) -> None:
    retell.start(faults=f"all_{status}_before=1")
    cli.leads()
    for command in (("concurrency",), ("run", "leads.csv")):
        line = cli.refused(*command)
        assert str(status) in line
        assert remedy in line


def test_an_unreachable_api(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    monkeypatch.setenv("RETELL_BASE_URL", f"http://127.0.0.1:{free_port()}")
    cli.leads()
    for command in (("concurrency",), ("run", "leads.csv")):
        assert "RETELL_BASE_URL" in cli.refused(*command)


@pytest.mark.parametrize("echo", ["401", "402", "500"])
def test_the_key_is_never_shown_even_where_the_server_repeats_it(
    cli: Cli, retell: Retell, monkeypatch: pytest.MonkeyPatch, echo: str
) -> None:
    retell.start(faults=f"all_{echo}_before=1")
    monkeypatch.setattr("campaigns.simulator.api._MESSAGES", {int(echo): f"bad key {KEY} {KEY[:-1]}"})
    line = cli.refused("concurrency")
    assert KEY not in line
    said = cli("doctor")
    assert said.code == 1
    assert KEY not in said.out


# -- files


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no rows"),
        (b"\n\n \n", ""),
        (b"phone_number,first_name\n", "no rows"),
        (b"name,city\nAnn,Rome\n", "phone"),
        (b"\x00\x01\x02\xff\xfe\x00binary", ""),
        (b"PK\x03\x04 a spreadsheet", ""),
    ],
    ids=["empty", "blank", "header only", "no phone column", "binary", "xlsx"],
)
@pytest.mark.parametrize("command", ["import", "run"])
def test_a_file_that_cannot_be_used(cli: Cli, command: str, content: bytes, words: str) -> None:
    path = cli.folder / "list.csv"
    path.write_bytes(content)
    arguments = ("import", path, "--campaign", "spring") if command == "import" else ("run", path)
    if command == "run":
        arguments = (*arguments, "--simulate")
    line = cli.refused(*arguments, code=2)
    assert words in line
    assert cli.ok("status") == []


def test_a_missing_file_and_a_folder(cli: Cli) -> None:
    for path in ("nowhere.csv", cli.home):
        line = cli.refused("import", path, "--campaign", "spring", code=2)
        assert str(path) in line
    assert "nowhere.csv" in cli.refused("run", "nowhere.csv", "--simulate", code=2)
    assert cli.ok("status") == []


def test_a_file_that_cannot_be_written(cli: Cli) -> None:
    cli.draft()
    for command in ("export", "spring", "--out", "nowhere/x.csv"), ("export", "spring", "--out", cli.home):
        assert "error" in cli.refused(*command)


# -- options


@pytest.mark.parametrize(
    "options",
    [
        ("--mode", "fax"),
        ("--batch-horizon", "5"),
        ("--batch-horizon", "1m"),
        ("--batch-horizon", "3h"),
        ("--batch-horizon", "soon"),
        ("--concurrency", "0"),
        ("--concurrency", "many"),
        ("--cps", "0"),
        ("--cps", "-1"),
        ("--cps", "nan"),
        ("--from", "4155550100"),
        ("--profile", "eu"),
        ("--window", "Mon-Fri"),
        ("--window", "Mon-Fri 20:00-09:00 25:00"),
        ("--window", "Sun 03:00-04:00"),
        ("--timezone", "Mars/Olympus"),
        ("--retry", "sometimes"),
        ("--retry", "no_answer:soon"),
        ("--retry", "human:5m"),
        ("--max-attempts", "0"),
        ("--max-attempts", "-1"),
        # What no database takes in a number would stop every look at it, and every dial of the account.
        ("--max-attempts", f"{10**23}"),
        ("--concurrency", f"{10**23}"),
        ("--number-cap", f"{10**23}"),
        ("--map", "phone"),
        ("--map", "=x"),
        ("--region", "Narnia"),
        ("--bogus",),
    ],
    ids=" ".join,
)
def test_unknown_option_values(cli: Cli, options: tuple[str, ...]) -> None:
    cli.refused("create", "spring", *options, code=2)
    assert cli.ok("status") == []
    cli.leads()
    cli.refused("run", "leads.csv", "--simulate", *options, code=2)
    assert cli.ok("status") == []


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "10001"])
def test_a_speed_that_makes_no_sense(cli: Cli, speed: str) -> None:
    cli.leads()
    cli.refused("run", "leads.csv", "--simulate", "--speed", speed, code=2)


def test_a_speed_is_for_the_simulator_only(cli: Cli) -> None:
    cli.leads()
    assert "--simulate" in cli.refused("run", "leads.csv", "--speed", "2", code=2)


@pytest.mark.parametrize(
    "command",
    [
        ("status", "nobody"), ("leads", "nobody"), ("report", "nobody"), ("export", "nobody"),
        ("audit", "nobody"), ("launch", "nobody"), ("pause", "nobody"), ("resume", "nobody"), ("cancel", "nobody"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_unknown_campaign(cli: Cli, command: tuple[str, ...]) -> None:
    assert "there is none in this home yet" in cli.refused(*command)
    cli.ok("create", "spring")
    assert "spring" in cli.refused(*command)


def _naming(words: tuple[str, ...], command: Any) -> list[str] | None:
    """The command with the name of a campaign that there is not, and what else it must be given; None: it takes none.

    `import` and `create` make a campaign of that name.
    """
    named = next((one for one in command.params if one.name in ("name", "campaign")), None)
    if named is None or words[0] in ("import", "create", "run", "jobs"):
        return None
    given = [named.opts[0], "nobody"] if named.param_type_name == "option" else ["nobody"]
    must = {"outcomes": "busy", "code": "x", "to": "out.csv", "number": NUMBERS[0]}
    for one in command.params:
        if one.required and one is not named:
            given += [one.opts[0], must[one.name]] if one.param_type_name == "option" else [must[one.name]]
    return [*words, *given]


def test_every_command_that_takes_a_campaign_says_which_there_are(cli: Cli, retell: Retell) -> None:
    retell.start()
    cli.ok("create", "spring")
    tried = [named for words, command in leaves() if (named := _naming(words, command)) is not None]
    assert len(tried) > 20
    for command in tried:
        assert "there are: spring" in cli.refused(*command), command
    assert [one["campaign"] for one in cli.ok("status", "--all")] == ["spring"]
    assert not (cli.folder / "out.csv").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("leads", "spring", "--file", "no.csv"), "spring.csv"),
        (("dnc", "export", "out.csv", "--source", "federl"), "federal"),
    ],
)
def test_a_filter_by_a_name_that_is_none_is_no_empty_answer(
    cli: Cli, command: tuple[str, ...], words: str
) -> None:
    cli.draft()
    cli.ok("dnc", "add", "+12125550199", "--source", "federal")
    assert words in cli.refused(*command)
    assert not (cli.folder / "out.csv").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("leads", "spring", "--zone", "Mars/Olympus"),
        ("leads", "spring", "--state", "bogus"),
        ("leads", "spring", "--outcome", "bogus"),
        ("leads", "spring", "--sort", "bogus"),
        ("leads", "spring", "--limit", "many"),
        ("leads", "spring", "--offset", "-1"),
        ("leads", "spring", "--offset", f"{10**23}"),
        ("leads", "spring", "--limit", f"{10**23}"),
        ("leads", "spring", "--min-attempts", f"{10**23}"),
        ("events", "spring", "--limit", f"{10**23}"),
        ("batches", "spring", "--limit", f"{10**23}"),
        ("blackout", "remove", f"{10**23}"),
        ("export", "spring", "--out", "x.csv", "--rejects", "./x.csv"),
        ("leads", "spring", "--phone", "4155"),
        ("leads", "spring", "--json", "--csv"),
        ("attempts", "spring", "--state", "reached"),
        ("attempts", "spring", "--from", "4155"),
        ("events", "spring", "--limit", "0"),
        ("windows", "spring", "--days", "61"),
        ("windows", "spring", "--clock", "Mars/Olympus"),
        ("explain", "hello"),
        ("explain", "+12125550100", "--region", "Narnia"),
        ("dnc", "add", "+12125550100", "--region", "Narnia"),
        ("dnc", "check", "--region", "Narnia"),
        ("dnc", "remove", "+12125550100", "--reason", "x", "--region", "Narnia"),
        ("dnc", "remove", "+12125550100"),
        ("dnc", "add", "+12125550100", "--expires", "soon"),
        ("dnc", "add", "+12125550100", "--expires", "2020-01-01"),
        ("dnc", "add", "1"),
        ("dnc", "import", "spring.csv", "--expires", "2020-01-01"),
        ("dnc", "import", "spring.csv", "--as-of", "2099-01-01"),
        ("dnc", "import", "nowhere.csv"),
        ("recycle", "spring", "--outcomes", "do_not_call"),
        ("recycle", "spring", "--outcomes", ""),
        ("release", "spring", "--code", "unknown_timezone", "--timezone", "Mars/Olympus"),
        ("blackout", "add", "Narnia", "2026-12-01", "--reason", "x"),
        ("blackout", "add", "US-NY", "soon", "--reason", "x"),
        ("watch", "spring", "--every", "0"),
        ("call", "4155"),
        ("jobs", "add", "daily", "--cron", "now and then", "--source", "x"),
    ],
    ids=" ".join,
)
def test_values_that_a_command_does_not_know(cli: Cli, command: tuple[str, ...]) -> None:
    cli.draft()
    before = cli.ok("events", "spring", "--limit", "100")
    said = cli(*command)
    assert (said.code, said.out) == (2, "")
    assert re.fullmatch(r"error: .{15,}(;|: write|: use) ?.*\n", said.err), said.err
    assert cli.ok("events", "spring", "--limit", "100") == before
    assert cli.ok("dnc", "check")["sources"] == {}


@pytest.mark.parametrize(
    "command",
    [
        ("export", "spring", "--out"),
        ("export", "spring", "--rejects"),
        ("evidence", "spring", "--out"),
        ("report", "spring", "--html"),
        ("windows", "spring", "--plot"),
        ("dnc", "export"),
        ("import", "fall.csv", "--campaign", "spring", "--rejects"),
    ],
    ids=" ".join,
)
def test_a_place_where_no_file_can_be_written(cli: Cli, command: tuple[str, ...]) -> None:
    cli.draft()
    cli.leads("fall.csv", [f"{number},Bob" for number in NUMBERS[8:]])
    (cli.folder / "folder").mkdir()
    for place in ("nowhere/x.png", "folder", ""):
        line = cli.refused(*command, place)
        assert line.startswith(f"error: {place or '.'}: "), line
    assert len(cli.ok("files", "spring")) == 1
    assert [path.name for path in (cli.folder / "folder").iterdir()] == []
    assert not list(cli.folder.glob(".*.part"))


def test_the_rejects_are_never_written_over_the_list(cli: Cli) -> None:
    path = cli.leads("fall.csv", [f"{NUMBERS[0]},Ann", "12,Bob"])
    before = path.read_bytes()
    for place in ("fall.csv", path, "./fall.csv"):
        assert "the lead list itself" in cli.refused(
            "import", "fall.csv", "--campaign", "fall", "--rejects", place, code=2
        )
    assert path.read_bytes() == before
    assert cli.ok("status") == []


def test_a_file_beside_a_pipe_leaves_the_pipe(cli: Cli) -> None:
    """What stands in the place of /dev/stdout takes the rows; no file is put there instead."""
    cli.draft()
    pipe = cli.folder / "pipe"
    os.mkfifo(pipe)
    read = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert cli.ok("export", "spring", "--out", pipe)["rows"] == 5
        assert os.read(read, 1 << 16).decode().startswith(HEADER)
    finally:
        os.close(read)
    assert pipe.is_fifo()


def test_a_file_behind_a_link_leaves_the_link(cli: Cli) -> None:
    cli.draft()
    (cli.folder / "link.csv").symlink_to("results.csv")
    cli.ok("export", "spring", "--out", "link.csv")
    assert (cli.folder / "link.csv").is_symlink()
    assert (cli.folder / "results.csv").read_text().startswith(HEADER)


@pytest.mark.parametrize("option", [("--map", "phone=nowhere"), ("--dry-run", "--timezone", "Europe/Paris")])
def test_options_of_an_import_that_was_none_are_not_kept(cli: Cli, option: tuple[str, ...]) -> None:
    cli.draft()
    cli.leads("fall.csv", [f"{number},Bob" for number in NUMBERS[8:]])
    before = cli.ok("events", "spring", "--limit", "100")
    cli("import", "fall.csv", "--campaign", "spring", *option)
    assert cli.ok("events", "spring", "--limit", "100") == before
    assert cli.ok("import", "fall.csv", "--campaign", "spring")["accepted"] == len(NUMBERS[8:])


def test_a_campaign_without_a_name_gets_no_leads(cli: Cli) -> None:
    cli.leads()
    assert "--campaign" in cli.refused("import", "leads.csv", "--campaign", "", code=2)
    assert cli.ok("status") == []


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_a_name_that_cannot_be_one(cli: Cli, name: str) -> None:
    assert "cannot name a campaign" in cli.refused("create", name, code=2)


@pytest.mark.parametrize(
    "arguments", [("bogus",), ("status", "a", "b"), ("import",), ("resolve", "x", "maybe")]
)
def test_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert "--help" in cli.refused(*arguments, code=2)


@pytest.mark.parametrize(
    "arguments",
    [("status", "x"), ("calls", "show", "x"), ("agents", "show", "x"), ("retell", "get-agent", "--agent-id", "x"),
     ("retell", "list-agents", "--pagination-key", "x")],
    ids=" ".join,
)  # fmt: skip
def test_an_argument_that_is_no_text(cli: Cli, retell: Retell, arguments: tuple[str, ...]) -> None:
    """As Python gets an argument of bytes that are not UTF-8."""
    retell.start()
    said = cli(*("\udcff" if word == "x" else word for word in arguments))
    assert said.code in (1, 2)
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


# -- the environment


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETELL_BASE_URL", "api.retellai.com"),
        ("RETELL_BASE_URL", "http://"),
        ("RETELL_BASE_URL", "http://[::1"),
        ("RETELL_BASE_URL", "http://127.0.0.1:99999"),
        ("CAMPAIGNS_DIAL_TIMEOUT", "soon"),
        ("CAMPAIGNS_DIAL_TIMEOUT", "0"),
        ("CAMPAIGNS_POLL_INTERVAL", "-1"),
        ("CAMPAIGNS_CLOCK", "yesterday"),
        ("CAMPAIGNS_CLOCK", "2026-03-10T15:00:00,60,1"),
    ],
)
def test_a_variable_that_cannot_be_read(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    monkeypatch.setenv(name, value)
    assert name in cli.refused("concurrency", code=2)


def test_a_virtual_clock_never_decides_about_real_calls(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.draft()
    monkeypatch.setenv("CAMPAIGNS_CLOCK", CLOCK)
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    for command in (("launch", "spring"), ("pause", "spring"), ("status",), ("run", "spring.csv")):
        assert "CAMPAIGNS_CLOCK" in cli.refused(*command, code=2)


@pytest.mark.parametrize("url", ["redis//nope", "http://localhost", "redis://localhost:99999"])
def test_a_message_server_that_cannot_be_named(cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    monkeypatch.setenv("CAMPAIGNS_REDIS_URL", url)
    said = cli("doctor", "--json")
    assert said.code in (1, 2)
    if said.out:
        [check] = [one for one in said.document if one["check"] == "message server"]
        assert check["result"] == "failure"
        assert check["remedy"]
    else:
        assert "CAMPAIGNS_REDIS_URL" in said.err


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_workers_need_a_message_server(cli: Cli, command: str) -> None:
    assert "CAMPAIGNS_REDIS_URL" in cli.refused(command, code=2)


def test_a_worker_that_takes_nothing(cli: Cli) -> None:
    cli.refused("worker", "--no-dial", "--no-control", code=2)
    cli.refused("worker", "--threads", "65", code=2)


# -- ports, homes, disks


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_second_runner_on_the_same_home(cli: Cli, retell: Retell) -> None:
    retell.start()
    cli.leads()
    with HomeLock(cli.home):
        line = cli.refused("run", "leads.csv", "--from", "+14155550100")
        assert f"another runner (process {os.getpid()})" in line
        assert "CAMPAIGNS_HOME" in line
    assert cli.ok("status") == []


def test_a_port_in_use(cli: Cli, taken_port: int) -> None:
    line = cli.refused("simulator", "--port", str(taken_port))
    assert str(taken_port) in line
    assert "--port" in line


@pytest.mark.parametrize(
    "options",
    [("--port", "99999"), ("--port", "-1"), ("--faults", "gremlins=5%"), ("--speed", "0"), ("--cps", "-1")],
    ids=" ".join,
)
def test_simulator_settings_that_make_no_sense(cli: Cli, options: tuple[str, ...]) -> None:
    cli.refused("simulator", "--port", "0", *options, code=2)


def test_a_home_that_cannot_be_made(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (cli.folder / "file").write_text("")
    for home in (cli.folder / "file" / "below", cli.folder / "file"):
        monkeypatch.setenv("CAMPAIGNS_HOME", str(home))
        assert "CAMPAIGNS_HOME" in cli.refused("status")


def test_a_database_that_cannot_be_opened(cli: Cli) -> None:
    (cli.home / "campaigns.db").unlink()
    (cli.home / "campaigns.db").mkdir()
    assert "CAMPAIGNS_HOME" in cli.refused("status")


def test_a_home_that_cannot_be_written(cli: Cli) -> None:
    """As on a file system that is read-only: the lock of the writers cannot be opened."""
    (cli.home / "campaigns.db-turn").unlink(missing_ok=True)
    (cli.home / "campaigns.db-turn").mkdir()
    for command in (("status",), ("create", "fall"), ("dnc", "check")):
        line = cli.refused(*command)
        assert "campaigns.db-turn" in line
        assert "CAMPAIGNS_HOME" in line
    [check] = [one for one in cli("doctor", "--json").document if one["check"] == "database"]
    assert (check["result"], "permissions" in check["remedy"]) == ("failure", True)


@pytest.mark.parametrize("damage", ["another file", "torn", "cut off"])
def test_a_database_that_is_none_any_more(cli: Cli, damage: str) -> None:
    database = cli.home / "campaigns.db"
    whole = database.read_bytes()
    damaged = {
        "another file": b"not a database, " * 300,
        "torn": whole[:100] + b"\xff" * 40_000 + whole[40_100:],
        "cut off": whole[:5000],
    }
    database.write_bytes(damaged[damage])
    for command in (("status",), ("leads", "spring"), ("create", "fall"), ("dnc", "check"), ("jobs", "list")):
        line = cli.refused(*command)
        assert "campaigns.db" in line
        assert "copy" in line
    assert database.read_bytes() == damaged[damage]
    said = cli("doctor", "--json")
    assert said.code == 1
    [check] = [one for one in said.document if one["check"] == "database"]
    assert (check["result"], "copy" in check["remedy"]) == ("failure", True)


def test_a_home_of_a_newer_version(cli: Cli) -> None:
    store = Store.open(f"sqlite:///{cli.home / 'campaigns.db'}")
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    line = cli.refused("status")
    assert "newer" in line
    assert "upgrade" in line


@pytest.mark.parametrize("url", ["nonsense", "postgresql://127.0.0.1:1/none", "mysql://localhost/x"])
def test_a_database_url_that_leads_nowhere(cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CAMPAIGNS_DATABASE_URL", url)
    assert "CAMPAIGNS_DATABASE_URL" in cli.refused("status")


def test_a_full_disk_loses_nothing(cli: Cli) -> None:
    """Every file of the process may grow to 400 KB: the import fails whole, and works once there is room."""
    path = cli.leads(rows=[f"+1212555{n:04},{'x' * 900}" for n in range(100, 200)] * 20)
    started = time.monotonic()
    full = subprocess.run(
        [sys.executable, "-m", "campaigns.cli.app", "import", str(path), "--campaign", "spring"],
        cwd=cli.folder, capture_output=True, text=True, timeout=60, check=False, preexec_fn=_little_room,
    )  # fmt: skip
    assert time.monotonic() - started < 50
    assert (full.returncode, full.stdout) == (1, "")
    assert full.stderr.startswith("error: "), full.stderr
    assert full.stderr.count("\n") == 1
    assert "disk" in full.stderr
    assert cli.ok("status") == []
    assert cli.ok("import", path, "--campaign", "spring")["rows"] == 2000


def _little_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))


def test_a_dotenv_file_that_cannot_be_read(cli: Cli) -> None:
    dotenv = cli.folder / ".env"
    dotenv.write_text("CAMPAIGNS_DIAL_TIMEOUT=never\n")
    assert "CAMPAIGNS_DIAL_TIMEOUT" in cli.refused("status", code=2)
    dotenv.write_bytes(b"\xff\xfe\x00RETELL")
    assert ".env" in cli.refused("status", code=2)
