"""The embedded stack: a private message server and children that are started again when they die."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from campaigns.domain.errors import CampaignsError
from workers import embedded
from workers.embedded import LONGEST_SOCKET, Child, HomeLock, Stack, answers, socket_path

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.02)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as made:
        yield made


def of(stack: Stack, name: str) -> Child:
    [child] = [child for child in stack.children if child.name == name]
    return child


# -- the socket's path


def test_a_short_home_keeps_its_socket(tmp_path: Path) -> None:
    assert socket_path(Path("/h")) == Path("/h/run/valkey.sock")


@pytest.mark.parametrize("home", ["x" * 120, "ü" * 60, "/".join(["deep"] * 40)])
def test_a_long_home_gets_a_short_private_socket(tmp_path: Path, home: str) -> None:
    path = socket_path(tmp_path / home)
    assert len(str(path).encode()) <= LONGEST_SOCKET
    assert path == socket_path(tmp_path / home)
    assert path != socket_path(tmp_path / f"{home}y")
    assert str(os.getuid()) in str(path.parent)


def test_a_server_in_a_deep_home_answers_and_is_private(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 120)
    with Stack(home) as stack:
        url = stack.valkey()
        assert answers(url)
        path = socket_path(home)
        assert url == f"unix://{path}"
        assert path.parent.stat().st_mode & 0o077 == 0
        assert path.stat().st_mode & 0o077 == 0
    path.parent.rmdir()


def test_a_folder_of_somebody_else_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345678)
    with pytest.raises(CampaignsError, match="somebody else"):
        stack.valkey()


# -- the server


def test_the_server_starts_answers_and_goes(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        url = stack.valkey()
        assert answers(url)
        process = of(stack, "valkey").process
        assert process is not None
    assert process.poll() is not None
    assert not answers(url)
    assert not answers(f"unix://{tmp_path / 'nobody'}")


def test_a_killed_server_is_started_again(stack: Stack) -> None:
    url = stack.valkey()
    child = of(stack, "valkey")
    assert child.process is not None
    child.process.kill()
    child.process.wait()
    until(lambda: answers(url))
    assert child.starts == 2


def test_a_socket_without_a_server_is_no_hindrance(stack: Stack) -> None:
    path = socket_path(stack.home)
    path.parent.mkdir(parents=True)
    path.touch()
    assert answers(stack.valkey())


def test_one_that_was_left_behind_is_adopted_and_replaced_when_it_goes(tmp_path: Path) -> None:
    first = Stack(tmp_path)
    url = first.valkey()
    orphan = of(first, "valkey").process
    assert orphan is not None
    first._stopping.set()  # its runner no longer looks after it
    try:
        with Stack(tmp_path) as second:
            assert second.valkey() == url
            child = of(second, "valkey")
            assert (child.process, child.starts) == (None, 0)
            orphan.terminate()
            orphan.wait(10)
            until(lambda: child.starts == 1 and answers(url))
        assert not answers(url)
    finally:
        orphan.kill()
        orphan.wait()


def test_an_adopted_server_goes_with_its_new_runner(tmp_path: Path) -> None:
    first = Stack(tmp_path)
    url = first.valkey()
    orphan = of(first, "valkey").process
    assert orphan is not None
    first._stopping.set()
    try:
        with Stack(tmp_path) as second:
            second.valkey()
        assert orphan.wait(10) == 0
        assert not answers(url)
    finally:
        orphan.kill()
        orphan.wait()


def test_a_server_that_cannot_start_says_why(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "server_binary", lambda: str(shutil.which("false")))
    monkeypatch.setattr(embedded, "_STARTS_IN", 1.0)
    with pytest.raises(CampaignsError, match="did not start") as caught:
        stack.valkey()
    assert "CAMPAIGNS_REDIS_URL" in caught.value.remedy


# -- children


def test_a_killed_child_is_started_again(stack: Stack) -> None:
    child = stack.add("sleeper", SLEEP, {})
    assert child.process is not None
    killed = child.process
    killed.kill()
    killed.wait()
    until(lambda: child.starts == 2)
    assert child.process.poll() is None
    assert child.process.pid != killed.pid


def test_a_start_that_fails_is_tried_again(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space for its log, no process to be had: the one who looks after all must not die of it."""
    child = stack.add("sleeper", SLEEP, {})
    start, failures = Child.start, [0]

    def full(one: Child) -> None:
        failures[0] += 1
        if failures[0] < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        start(one)

    monkeypatch.setattr(Child, "start", full)
    assert child.process is not None
    child.process.kill()
    until(lambda: child.starts == 2)
    assert failures == [3]


def test_one_that_falls_over_again_and_again_is_not_started_all_the_time(stack: Stack) -> None:
    child = stack.add("faller", [sys.executable, "-c", "raise SystemExit('I cannot')"], {})
    time.sleep(1.5)
    assert 2 <= child.starts <= 5
    assert child.last_words() == "I cannot"


def test_one_that_never_worked_ends_the_run_and_one_that_did_is_started_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_SHORT_LIVES", 2)
    child = stack.add("faller", [sys.executable, "-c", "raise SystemExit('I cannot')"], {})
    until(lambda: child.short_lives >= 2)
    with pytest.raises(CampaignsError, match="the faller process cannot start: I cannot"):
        stack.check()
    child.longest_life = embedded._WORKED  # a full disk, a server that is away: it may pass
    stack.check()


def test_children_get_their_environment_and_a_log(stack: Stack) -> None:
    stack.add("speaker", [sys.executable, "-c", "import os, time; print(os.environ['WORD'], flush=True);"
                                                "time.sleep(60)"], {"WORD": "hello"})  # fmt: skip
    until(lambda: "hello" in (stack.logs / "speaker.log").read_text())
    assert stack.logs == stack.home.resolve() / "logs"


def test_stop_leaves_nobody_and_starts_nobody(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stubborn = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    children = [stack.add("one", SLEEP, {}), stack.add("two", [sys.executable, "-c", stubborn], {})]
    until(lambda: "up" in (stack.logs / "two.log").read_text())
    embedded_wait = embedded._STOPS_IN
    embedded._STOPS_IN = 0.5
    try:
        stack.stop()
    finally:
        embedded._STOPS_IN = embedded_wait
    assert all(child.process is not None and child.process.poll() is not None for child in children)
    assert [child.starts for child in children] == [1, 1]
    assert stack.children == []


def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom workers.embedded import Stack\n"
        "stack = Stack(Path(sys.argv[1]))\nstack.valkey()\n"
        "stack.add('sleeper', [sys.executable, '-c', 'import time; time.sleep(60)'], {})\n"
        "print(*(c.process.pid for c in stack.children), flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    with parent.stdout:
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(children) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()

    def gone(child: psutil.Process) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return child.status() == psutil.STATUS_ZOMBIE
        return True

    until(lambda: all(map(gone, children)))


# -- the home


def test_one_runner_per_home(tmp_path: Path) -> None:
    with HomeLock(tmp_path):
        with pytest.raises(CampaignsError, match=f"process {os.getpid()}") as caught, HomeLock(tmp_path):
            pass
        assert "CAMPAIGNS_HOME" in caught.value.remedy
        with HomeLock(tmp_path / "another"):
            pass
    with HomeLock(tmp_path):
        pass


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom workers.embedded import HomeLock\n"
        "with HomeLock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"held\n"
    with pytest.raises(CampaignsError, match=f"process {holder.pid}"), HomeLock(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with HomeLock(tmp_path):
        assert (tmp_path / "runner.lock").read_text() == str(os.getpid())


def test_of_many_at_once_one_gets_the_home(tmp_path: Path) -> None:
    barrier, held, refused = threading.Barrier(6, timeout=10), [], []

    def take() -> None:
        barrier.wait()
        try:
            with HomeLock(tmp_path):
                held.append(1)
                time.sleep(0.5)
        except CampaignsError:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 5)
