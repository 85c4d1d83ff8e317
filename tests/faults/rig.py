"""A campaign run by the real command with real processes, a simulator that misbehaves, and a hand that kills."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

from workers.embedded import socket_path

FROM = "+14155550100"
_AREAS = [str(code) for code in (201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218,
                                 219, 224, 225, 228, 229, 231, 234, 239, 240, 248)]  # fmt: skip


def write_leads(path: Path, count: int) -> None:
    """Fictional numbers, NPA-555-01XX."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["phone_number", "first_name"])
        for n in range(count):
            writer.writerow([f"+1{_AREAS[n // 100]}5550{100 + n % 100}", f"Lead {n}"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Seen:
    """What a scene saw, for its test to judge: facts, the runner's words, and the closing documents."""

    facts: dict[str, Any]
    said: str = ""
    ledger: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)


class Rig:
    """The runner as a user starts it, in a home of its own, against a simulator process."""

    def __init__(
        self, folder: Path, simulator: Sequence[str], environment: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.leads = folder / "leads.csv"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.kills: list[str] = []
        self.runner: subprocess.Popen[bytes] | None = None
        self.twins: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("CAMPAIGNS_", "RETELL_"))},
            "CAMPAIGNS_HOME": str(self.home),
            "RETELL_API_KEY": "key_of_the_fault_tests",
            "RETELL_BASE_URL": self.url,
            **(environment or {}),
        }
        self.simulator = subprocess.Popen(
            [sys.executable, "-m", "campaigns.simulator", "--port", str(self.port), "--accept-any",
             "--analysis-delay", "0.2-0.5", *simulator],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Retell's own clock and home are none of ours.
            env={
                name: value for name, value in self.environment.items()
                if name == "CAMPAIGNS_CLOCK" or not name.startswith(("CAMPAIGNS_", "RETELL_", "FAULTS_"))
            },
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{self.url}/_simulator/health", timeout=1)
                return
            time.sleep(0.05)
        raise AssertionError("the simulator did not start")

    @property
    def database(self) -> Path:
        return self.home / "campaigns.db"

    @property
    def said(self) -> str:
        """What the runner has printed so far."""
        return (self.folder / "runner.out").read_text()

    def trouble(self, faults: str) -> None:
        """Change the simulator's faults from here on."""
        httpx.post(f"{self.url}/_simulator/settings", json={"faults": faults}, timeout=10).raise_for_status()

    def rings(self) -> int:
        return int(self.ledger()["rings"])

    def until_rings(self, count: int, seconds: float = 120) -> None:
        """Wait until so many calls were made. The runner must be at work all the while."""
        deadline = time.monotonic() + seconds
        while self.rings() < count:
            assert self.wait(0.1) is None, self.said[-2000:]
            assert time.monotonic() < deadline, f"{self.rings()} of {count} rings: {self.said[-2000:]}"

    def next_ring(self, seconds: float = 120) -> float:
        """Seconds from now to the next call."""
        before, started = self.rings(), time.monotonic()
        self.until_rings(before + 1, seconds)
        return time.monotonic() - started

    def start(self, *options: str) -> None:
        with (self.folder / "runner.out").open("ab") as output:
            self.runner = subprocess.Popen(
                [sys.executable, "-m", "campaigns.cli.app", "run", str(self.leads), "--name", "chaos",
                 "--from", FROM, "--profile", "none", "--retry", "none", *options],
                env=self.environment, stdout=output, stderr=output, cwd=self.folder,
            )  # fmt: skip

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "campaigns.cli.app", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        answer = self.command("status", "chaos", "--json")
        return dict(json.loads(answer.stdout))

    def ledger(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/_simulator/ledger", timeout=30).json())

    def rang(self) -> list[float]:
        """Unix times of all calls, as the simulator wrote them down."""
        document = httpx.get(f"{self.url}/_simulator/ledger?rings=1", timeout=60).json()
        return sorted(ring["real"] for ring in document["rings_list"])

    def children(self) -> dict[str, list[psutil.Process]]:
        """The runner's processes by name."""
        found: dict[str, list[psutil.Process]] = {"control": [], "dial": [], "beat": [], "valkey": []}
        for process in psutil.process_iter(["cmdline", "environ"]):
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.info["cmdline"] or [])
                # The server writes its title over its environment; the title names its socket.
                mine = (process.info["environ"] or {}).get("CAMPAIGNS_HOME") == str(self.home)
                mine = mine or str(socket_path(self.home)) in line
                if not mine:
                    continue
                for name, mark in (
                    ("control", "control@campaigns"),
                    ("dial", "dial@campaigns"),
                    ("beat", "workers.beat"),
                    ("valkey", "valkey-server"),
                ):
                    if mark in line or (name == "valkey" and "redis-server" in line):
                        found[name].append(process)
        return found

    def kill(self, name: str) -> bool:
        """SIGKILL a process of the stack, or the runner itself, which is then started again. False: none is there."""
        if name == "runner":
            assert self.runner is not None
            self.runner.kill()
            self.runner.wait()
            self.kills.append(name)
            return True
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline and self.wait(0.2) is None:
            for process in self.children()[name]:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
                    self.kills.append(name)
                    return True
        return False

    def flush(self) -> bool:
        """Empty the message server. False: it is away at the moment."""
        client: Any = redis.Redis(unix_socket_path=str(socket_path(self.home)), socket_timeout=2)
        try:
            client.flushall()
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()
        self.kills.append("flushall")
        return True

    def double(self, name: str) -> None:
        """A second process like that one of the stack, beside it."""
        [process] = self.children()[name]
        line = [word.replace("@campaigns", "@twin") for word in process.cmdline()]
        with (self.folder / f"{name}-twin.log").open("ab") as output:
            twin = subprocess.Popen(
                line, env=process.environ(), stdout=output, stderr=output, cwd=self.folder
            )
        self.twins[name] = twin

    def wait(self, seconds: float) -> int | None:
        """The runner's exit code, or None when it is still at work after so long."""
        assert self.runner is not None
        try:
            return self.runner.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        if self.runner is not None and self.runner.poll() is None:
            self.runner.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.runner.wait(5)
            self.runner.kill()
            self.runner.wait()
        for processes in self.children().values():
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        for twin in self.twins.values():
            twin.kill()
            twin.wait()
        self.simulator.terminate()
        self.simulator.wait(10)


@contextlib.contextmanager
def rig(folder: Path, simulator: Sequence[str], environment: dict[str, str] | None = None) -> Iterator[Rig]:
    made = Rig(folder, simulator, environment)
    try:
        yield made
    finally:
        made.close()


def torment(
    subject: Rig, options: Sequence[str], *, every: float, kills: int, flushes: int, limit: float, seed: int
) -> None:
    """Run to the end while something is killed `every` so often.

    A runner that was killed is started again, as a user or a service manager would.
    """
    dice = random.Random(seed)
    subject.start(*options)
    deadline = time.monotonic() + limit
    names = ["valkey", "control", "dial", "runner", "beat"]
    plan = [*names, *(dice.choice(names) for _ in range(kills))]
    while time.monotonic() < deadline:
        code = subject.wait(every * dice.uniform(0.7, 1.3))
        if code is not None:
            return
        if len(subject.kills) >= kills:
            continue
        if flushes and dice.random() < 0.3 and subject.flush():
            flushes -= 1
            continue
        name = plan.pop(0)
        if subject.kill(name) and name == "runner":
            subject.start(*options)
    raise AssertionError(f"not done after {limit} s: {subject.status()}")


def closing(subject: Rig, **facts: Any) -> Seen:
    """Wait for the run to end by itself, and take down what there is to judge."""
    code = subject.wait(120)
    assert code in (0, 3), subject.said[-3000:]
    subject.trouble("")  # the audit asks Retell too, and a reading is repeated a few times only
    audit = json.loads(subject.command("audit", "chaos", "--json").stdout)
    return Seen({"code": code, **facts}, subject.said, subject.ledger(), subject.status(), audit)


def assert_promises_kept(
    seen: Seen,
    leads: int,
    concurrency: int,
    broken: Sequence[str] = (),
    final: Sequence[str] = ("reached", "exhausted", "held"),
) -> None:
    """Nobody twice, nobody lost, no slot leaked, limits kept. broken: claims of the audit that cannot hold here."""
    ledger, status = seen.ledger, seen.status
    assert ledger["attempts_rung_twice"] == 0, ledger["doubled_attempts"]
    assert ledger["most_rings_of_a_number"] == 1
    assert ledger["rings_without_attempt_id"] == 0
    assert ledger["peak_concurrency"] <= concurrency
    assert status["state"] == "completed"
    found = {state: count for state, count in status["leads"].items() if count and state != "total"}
    assert sum(found.values()) == leads
    assert set(found) <= set(final)
    assert status["slots"]["own"] == 0
    assert ledger["rings"] >= leads - found.get("held", 0)
    failed = {check["claim"]: check["found"] for check in seen.audit["checks"] if not check["holds"]}
    assert set(failed) == set(broken), failed
    print(f"\n{leads} leads, {ledger['rings']} rings, 0 twice, leads {found}, {seen.facts}")
    peak = f"{ledger['peak_concurrency']} of {concurrency}"
    print(f"faults {ledger['faults']}, refused {ledger['refusals']}, peak {peak}")
