"""A fault of the machine in mid-dialing, with real processes: the campaign ends by itself and every promise holds."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from tests.faults.rig import Rig, Seen, assert_promises_kept, closing, rig, write_leads
from workers.embedded import socket_path

pytestmark = pytest.mark.timeout(400)

LINES = 6
STEPPED = Path(__file__).with_name("stepped")
SIMULATOR = ("--mean-call", "2", "--concurrency", str(LINES), "--seed", "5", "--ignore-idempotency")
NOT_DIALED = "nothing is dialed while the database cannot be written: "


def begin(subject: Rig, leads: int, *options: str, rings: int = 12) -> None:
    """A campaign in mid-dialing."""
    write_leads(subject.leads, leads)
    subject.start("--concurrency", str(LINES), *options)
    subject.until_rings(rings)


def pids(subject: Rig) -> dict[str, list[int]]:
    return {name: [process.pid for process in found] for name, found in subject.children().items()}


def cpu_seconds(subject: Rig) -> float:
    return sum(sum(one.cpu_times()[:2]) for found in subject.children().values() for one in found)


def during(subject: Rig, seconds: float) -> dict[str, Any]:
    """What happens while nothing can be written; a dial that was committed just before may still ring."""
    time.sleep(1)
    rings, processes, cpu = subject.rings(), pids(subject), cpu_seconds(subject)
    time.sleep(seconds)
    return {
        "rang": subject.rings() - rings,
        "same processes": pids(subject) == processes,
        "cpu per second": round((cpu_seconds(subject) - cpu) / seconds, 3),
    }


def assert_stood_still(seen: Seen) -> None:
    """Nothing rang that was not committed, no process died of it, and none span."""
    assert seen.facts["rang"] == 0
    assert seen.facts["same processes"]
    assert seen.facts["cpu per second"] < 0.8


# -- the database is locked


def locked(folder: Path, *seconds: float) -> Seen:
    """Another process holds the database exclusively, for so long each time."""
    with rig(folder, SIMULATOR) as subject:
        begin(subject, 25 + 15 * len(seconds))
        facts: dict[str, Any] = {}
        for locked_for in seconds:
            with contextlib.closing(sqlite3.connect(subject.database, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                facts = during(subject, locked_for - 1)
                other.execute("ROLLBACK")
            facts[f"next ring after {locked_for:g} s"] = round(subject.next_ring(), 2)
        return closing(subject, **facts)


def locked_for_longer_than_a_writer_waits(folder: Path) -> Seen:
    return locked(folder, 11)


def locked_again_and_again(folder: Path) -> Seen:
    return locked(folder, 8, 12, 30)


@pytest.mark.scene(of=locked_for_longer_than_a_writer_waits)
def test_a_database_that_is_locked_in_mid_dialing(seen: Seen) -> None:
    assert_promises_kept(seen, 40, LINES)
    assert_stood_still(seen)
    assert NOT_DIALED + "database is locked" in seen.said
    assert "database_writable_again" in seen.said


@pytest.mark.chaos
@pytest.mark.scene(of=locked_again_and_again)
def test_a_database_that_is_locked_again_and_again(seen: Seen) -> None:
    assert_promises_kept(seen, 70, LINES)
    assert_stood_still(seen)


# -- the disk is full


def no_space_for_any_file(folder: Path) -> Seen:
    """The kernel refuses every write to every file of the runner, the workers and beat (RLIMIT_FSIZE)."""
    with rig(folder, SIMULATOR) as subject:
        begin(subject, 40)
        assert subject.runner is not None
        runner = psutil.Process(subject.runner.pid)

        def limit(size: int) -> None:
            found = subject.children()
            for one in (*found["control"], *found["dial"], *found["beat"], runner):
                resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        limit(0)
        facts = during(subject, 4)
        limit(resource.RLIM_INFINITY)
        return closing(subject, **facts, next_ring=round(subject.next_ring(), 2))


# Beside the full disk, which runs always.
@pytest.mark.chaos
@pytest.mark.scene(of=no_space_for_any_file)
def test_no_file_can_be_written_in_mid_dialing(seen: Seen) -> None:
    assert_promises_kept(seen, 40, LINES)
    assert_stood_still(seen)
    assert "database_writable_again" in seen.said


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 24 MB in memory. Only root may mount one."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def a_full_disk(folder: Path) -> Seen:
    """The home, the logs and the runner's own output are on a disk on which something else takes all the space."""
    if os.getuid() != 0:
        return no_space_for_any_file(folder)
    with small_disk(folder) as disk, rig(disk, SIMULATOR) as subject:
        begin(subject, 40)
        ballast = os.open(disk / "ballast", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with contextlib.suppress(OSError):
            while True:
                os.write(ballast, bytes(4096))
        os.close(ballast)
        facts = during(subject, 12)
        (disk / "ballast").unlink()
        seen = closing(subject, **facts, next_ring=round(subject.next_ring(), 2))
        assert NOT_DIALED + "database or disk is full" in seen.said
        return seen


@pytest.mark.chaos
@pytest.mark.scene(of=a_full_disk)
def test_a_full_disk_in_mid_dialing(seen: Seen) -> None:
    assert_promises_kept(seen, 40, LINES)
    assert_stood_still(seen)


# -- two of everything


def two_of_everything(folder: Path) -> Seen:
    """A second beat, deciding and dialing worker; every dial message that waits is put into the queue once more."""
    doubled = 0
    with rig(folder, (*SIMULATOR, "--cps", "8")) as subject:
        begin(subject, 60, "--cps", "8", rings=4)
        for name in ("beat", "control", "dial"):
            subject.double(name)
        dialing = [*subject.children()["dial"], psutil.Process(subject.twins["dial"].pid)]
        broker: Any = redis.Redis(unix_socket_path=str(socket_path(subject.home)))
        while subject.rings() < 45:
            for one in dialing:
                one.send_signal(signal.SIGSTOP)
            time.sleep(1)
            for message in broker.lrange("campaigns:dial", 0, -1):
                doubled += 1
                broker.rpush("campaigns:dial", message)
            for one in dialing:
                one.send_signal(signal.SIGCONT)
            assert subject.wait(1.5) is None
        broker.close()
        alive = [name for name, twin in subject.twins.items() if twin.poll() is None]
        return closing(subject, doubled=doubled, twins=sorted(alive))


@pytest.mark.scene(of=two_of_everything)
def test_two_beats_two_pacers_and_every_message_twice(seen: Seen) -> None:
    assert_promises_kept(seen, 60, LINES)
    assert seen.facts["doubled"] >= 5
    assert seen.facts["twins"] == ["beat", "control", "dial"]
    assert seen.ledger["peak_dials_per_second"] <= 8


# -- the clock is set


def a_clock_that_is_set(folder: Path) -> Seen:
    """An hour forward, back, an hour back, and right again, for all our Python processes (`stepped`)."""
    clock = folder / "clock"
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{STEPPED}{os.pathsep}{root}", "FAULTS_CLOCK": str(clock)}
    with rig(folder, (*SIMULATOR, "--faults", "drop_after=15%"), environment) as subject:
        begin(subject, 60, rings=8)
        rang: list[int] = []
        for wrong_by in (3600, -3600):
            clock.write_text(str(wrong_by))
            before, deadline = -1, time.monotonic() + 10
            while subject.rings() != before and time.monotonic() < deadline:
                before = subject.rings()  # what was claimed by the right clock may still be dialed
                time.sleep(2)
            time.sleep(3)
            rang.append(subject.rings() - before)
            clock.write_text("0")
            subject.until_rings(before + 12)
        seen = closing(subject)
        with contextlib.closing(sqlite3.connect(subject.database)) as books:
            [(first, last)] = books.execute("SELECT min(at_real), max(at_real) FROM events")
        seen.facts |= {
            "hours in the books": round((last - first) / 3_600_000, 2),
            "rang by a wrong clock": rang,
        }
        return seen


@pytest.mark.scene(of=a_clock_that_is_set)
def test_a_clock_that_is_set_in_mid_dialing(seen: Seen) -> None:
    assert_promises_kept(seen, 60, LINES)
    assert seen.facts["rang by a wrong clock"] == [0, 0]
    assert 1.9 < seen.facts["hours in the books"] < 2.1
