"""`campaigns watch`: on a terminal, without one, and how it ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from campaigns.cli.view import Screen, done_words, view
from campaigns.domain.states import AttemptState
from campaigns.runtime import open_store
from campaigns.services.forecast import Forecast
from campaigns.services.looking import Looker
from campaigns.services.words import span
from campaigns.settings import load_settings
from campaigns.store import LiveCall
from tests.acceptance.conftest import NUMBERS, Cli

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)


class Stopped:
    """A clock that does not move."""

    speed = 60.0

    def now(self) -> datetime:
        return NOW


def drawn(
    cli: Cli, width: int, height: int, calls: int = 0, name: str | None = None, ascii_only: bool = False
) -> str:
    look = Looker(open_store(load_settings()), lambda _: Stopped(), name).look(12)
    campaign = look.campaigns[0].status.campaign
    live = [
        LiveCall(
            campaign.id, campaign.name, f"{n:032}", NUMBERS[n % 20], "agent_abc", state, NOW - timedelta(seconds=75)
        )
        for n, state in zip(range(calls), [AttemptState.PLACED, AttemptState.AMBIGUOUS] * calls, strict=False)
    ]  # fmt: skip
    console = Console(width=width, height=height, force_terminal=False, record=False)
    with console.capture() as captured:
        console.print(view(type(look)(look.campaigns, live, look.events), width, height, ascii_only), end="")
    return captured.get()


def lines(cli: Cli, every: float, *notes: str) -> list[str]:
    """What a `Screen` that is no terminal writes for one look after the other, each with its note."""
    look = Looker(open_store(load_settings()), lambda _: Stopped()).look(12)
    console = Console(width=80, force_terminal=False)
    with console.capture() as captured, Screen(console, every) as screen:
        for note in notes:
            screen.show(look, note)
    return captured.get().splitlines()


def test_without_a_terminal_a_line_comes_now_and_then_and_a_new_note_at_once(cli: Cli) -> None:
    cli.draft()
    assert len(lines(cli, 60.0, "", "", "")) == 1
    assert len(lines(cli, 0.0, "", "", "")) == 3
    said = lines(cli, 60.0, "", "draining: 3 calls are left", "draining: 3 calls are left", "")
    assert ["draining" in line for line in said] == [False, True, False]
    assert "spring" in said[0]
    assert "5 pending" in said[0]


def test_the_line_names_what_keeps_the_account_from_dialing(cli: Cli) -> None:
    cli.draft()
    store = open_store(load_settings())
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE workspaces SET trouble = 'no answer for +14155550100'")
    assert "trouble: no answer for +*********00" in lines(cli, 0.0, "")[0]


def test_a_note_has_its_line_on_the_screen(cli: Cli) -> None:
    cli.draft()
    look = Looker(open_store(load_settings()), lambda _: Stopped()).look(12)
    console = Console(width=80, height=24)
    with console.capture() as captured:
        console.print(view(look, 80, 24, note="draining: 3 calls are left"), end="")
    assert "draining: 3 calls are left" in captured.get()
    assert len(captured.get().splitlines()) <= 24


@pytest.fixture
def two(cli: Cli) -> Cli:
    """Two running campaigns; the reason of a third one's pause is far longer than a line."""
    for name in ("spring", "autumn", "winter"):
        cli.draft(name, (), "--cps", "1")
        cli.ok("launch", name)
    cli.ok("cancel", "autumn")
    store = open_store(load_settings())
    winter = store.campaigns.by_name("winter")
    assert winter is not None
    store.campaigns.pause(winter.id, "the platform failed " * 20, NOW)
    return cli


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 12), (200, 60), (40, 5)])
@pytest.mark.parametrize("calls", [0, 2, 40])
@pytest.mark.parametrize("name", ["spring", None])
def test_it_fits_the_screen(two: Cli, width: int, height: int, calls: int, name: str | None) -> None:
    lines = drawn(two, width, height, calls, name).rstrip("\n").split("\n")
    assert len(lines) <= height
    assert max(len(line) for line in lines) <= width


def test_it_shows_what_an_operator_asks(two: Cli) -> None:
    text = drawn(two, 100, 30, 2, "spring")
    for words in ("spring", "running", "x60", "pending", "lines", "calls/s (limit 1)", "outcomes", "cost 0.00 USD",
                  "next", "done", "about", "between", "calls in progress: 2", "1:15", "agent_abc", "last events",
                  "draft > running"):  # fmt: skip
        assert words in text
    for number in NUMBERS:
        assert number not in text
    assert "+*********00  on line" in text
    assert "unknown" in text
    both = drawn(two, 100, 30)
    assert "spring" in both
    assert "winter" in both
    assert "autumn" not in both
    assert drawn(two, 80, 24, 2, "spring", ascii_only=True).replace("…", "").isascii()


def test_an_empty_home_says_what_to_do(cli: Cli) -> None:
    look = Looker(open_store(load_settings()), lambda _: Stopped()).look(3)
    console = Console(width=80)
    with console.capture() as captured:
        console.print(view(look, 80, 24))
    assert "campaigns run FILE" in captured.get()


def test_without_a_terminal_it_writes_lines_until_the_campaign_is_over(cli: Cli) -> None:
    cli.draft()
    cli.ok("cancel", "spring")
    said = cli("watch", "spring")
    assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
    assert "| spring | cancelled | 5 cancelled |" in said.out
    assert "\x1b" not in said.out


def test_ctrl_c_ends_it_quietly(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.draft()

    def interrupt(_: float) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("campaigns.cli.watch.time.sleep", interrupt)
    said = cli("watch")
    assert (said.code, said.err) == (0, "")
    assert "draft" in said.out
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_gets_its_screen_back(cli: Cli, stop: signal.Signals) -> None:
    cli.draft()
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-m", "campaigns.cli.app", "watch", "--every", "0.2"],
        cwd=cli.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 60
    try:
        while b"last events" not in seen and time.monotonic() < deadline:
            seen += os.read(ours, 65_536)
        process.send_signal(stop)
        with suppress(OSError):
            while chunk := os.read(ours, 65_536):
                seen += chunk
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert seen.count(b"\x1b[?1049h") == seen.count(b"\x1b[?1049l") == 1
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")  # the cursor is back
    assert b"Traceback" not in seen
    # Nothing is left behind the screen that was.
    assert re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen[seen.rindex(b"\x1b[?1049l") :]).strip() == b""


def test_bad_pauses(cli: Cli) -> None:
    for pause in ("0", "-1", "often"):
        assert "--every" in cli("watch", "--every", pause).err


def test_words_of_a_forecast() -> None:
    later = Forecast(10, NOW + timedelta(hours=3), NOW + timedelta(hours=2), NOW + timedelta(days=2), 10, 8, 12, None,
                     None, None, 0, 0, 0, 0, ())  # fmt: skip
    assert done_words(later, NOW) == "about 18:00 UTC, in 3.0 h; between Tue 17:00 and Thu 03 Dec 15:00"
    assert "in 3 min" in done_words(later, NOW, speed=60)
    assert [span(s) for s in (0, 89, 90, 5399, 5400, 172_800)] == [
        "0 s",
        "89 s",
        "2 min",
        "90 min",
        "1.5 h",
        "2.0 days",
    ]
