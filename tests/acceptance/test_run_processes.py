"""`campaigns run` against an API of its own process: drained, killed, refused, and to the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from campaigns.domain.clock import SystemClock
from campaigns.services.report import Status, status
from campaigns.store import Store
from tests.faults.rig import Rig, rig, write_leads

pytestmark = pytest.mark.timeout(90)


def until(condition: Callable[[], bool], seconds: float = 25.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)


def said(subject: Rig) -> str:
    return (subject.folder / "runner.out").read_text()


def books(subject: Rig) -> Status:
    """What the database says."""
    store = Store.open(f"sqlite:///{subject.home / 'campaigns.db'}")
    try:
        campaign = store.campaigns.by_name("chaos")
        assert campaign is not None
        return status(store, campaign, SystemClock().now())
    finally:
        store.close()


def processes(subject: Rig) -> list[psutil.Process]:
    return [process for found in subject.children().values() for process in found]


def assert_nothing_left(subject: Rig, seconds: float) -> None:
    until(lambda: processes(subject) == [], seconds)


def assert_finished(subject: Rig, leads: int, limit: int) -> None:
    """The run ends by itself; everybody was rung once, nothing is left running, no log knows the key."""
    assert subject.wait(40) == 0, said(subject)
    assert_nothing_left(subject, 2)
    ledger = subject.ledger()
    assert (ledger["rings"], ledger["attempts_rung_twice"], ledger["open"]) == (leads, 0, 0)
    assert ledger["most_rings_of_a_number"] == 1
    assert ledger["peak_concurrency"] <= limit
    now = books(subject)
    assert (now.campaign.state, now.leads["reached"]) == ("completed", leads)
    key = subject.environment["RETELL_API_KEY"]
    assert key not in said(subject)
    assert all(key not in log.read_text() for log in (subject.home / "logs").iterdir())
    for name in ("chaos-results.csv", "chaos-rejected.csv"):
        assert (subject.home / name).exists()


def test_drained_then_killed_then_finished_everybody_is_rung_once(tmp_path: Path) -> None:
    """One campaign, three runs: the first is stopped with Ctrl-C, the second killed, the third ends by itself."""
    with rig(tmp_path, ("--mean-call", "2", "--concurrency", "3")) as subject:
        write_leads(subject.leads, 9)
        subject.start()
        runner = subject.runner
        assert runner is not None
        until(lambda: subject.ledger()["open"] == 3)
        runner.send_signal(signal.SIGINT)
        until(lambda: books(subject).campaign.state == "paused", 5)
        rings = subject.ledger()["rings"]
        assert subject.wait(30) == 1
        assert_nothing_left(subject, 2)
        assert_drained(subject, rings)

        subject.start()
        until(lambda: subject.ledger()["open"] == 3)
        assert len(processes(subject)) == 4
        assert subject.kill("runner")
        assert_nothing_left(subject, 10)
        assert books(subject).campaign.state == "running"

        subject.start()
        assert_finished(subject, 9, 3)
        for words in ("completed", "contact rate", "attempts per lead", "cost", "slot use", "results: "):
            assert words in said(subject)
        assert subject.command("audit", "chaos").returncode == 0


def assert_drained(subject: Rig, rings: int) -> None:
    """No dial after the stop; the calls that were in progress are over and in the books."""
    ledger = subject.ledger()
    assert (ledger["rings"], ledger["open"]) == (rings, 0)
    now = books(subject)
    assert (now.campaign.state, now.own, now.attempts["settled"]) == ("paused", 0, rings)
    assert "Ctrl-C" in str(now.campaign.reason)
    [line] = [line for line in said(subject).splitlines() if line.startswith("error: ")]
    assert "Ctrl-C" in line


def test_dials_that_are_all_refused_pause_the_campaign(tmp_path: Path) -> None:
    with rig(tmp_path, ("--concurrency", "6", "--faults", "402_before=1")) as subject:
        write_leads(subject.leads, 12)
        subject.start()
        assert subject.wait(40) == 1, said(subject)
        [line] = [line for line in said(subject).splitlines() if line.startswith("error: ")]
        for words in ("chaos is paused", "402", "payment"):
            assert words in line
        now = books(subject)
        assert (now.campaign.state, now.leads["pending"], subject.ledger()["rings"]) == ("paused", 12, 0)
        assert "402" in str(now.campaign.reason)
