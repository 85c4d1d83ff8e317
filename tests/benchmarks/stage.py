"""What the figures are measured on: folders, lead lists, simulators and runners, none of which outlives its block."""

from __future__ import annotations

import csv
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import psutil

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "sample_csvs" / "leads_us_240.csv"
FROM = "+14155550100"
KEY = "key_bench"
#: Area codes of six zones; their 555 numbers belong to nobody.
_AREAS = ("212", "312", "303", "213", "808", "602", "617", "214", "206", "404", "702", "215")
_HEADER = ("phone_number", "first_name", "last_name", "company", "city", "interest", "external_id")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_LOCAL = build_opener(ProxyHandler({}))


class BenchError(Exception):
    """Something did not run, so that there is nothing to measure."""


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


def lead_list(path: Path, rows: int) -> Path:
    """A list of `rows` leads with numbers of their own."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        for n in range(rows):
            phone = f"+1{_AREAS[n % len(_AREAS)]}555{n // len(_AREAS):04}"
            writer.writerow(
                (phone, f"First{n}", f"Last{n}", f"Company {n % 997}", "Springfield", "solar quote", f"X-{n}")
            )
    return path


# -- processes -----------------------------------------------------------------------------------------------


def environment(**more: str) -> dict[str, str]:
    """Of a child: nothing of the operator's account, database or proxies gets into a measurement."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CAMPAIGNS_", "RETELL_")) and name.lower() not in _PROXIES
    }
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH", ""))))
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


def _by(clock: str) -> dict[str, str]:
    return {"CAMPAIGNS_CLOCK": clock} if clock else {}


def _die_with_parent() -> None:
    """In the child, before exec: killed when the benchmark is, where the kernel can."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def start(
    arguments: Sequence[str], cwd: Path, output: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A Python child in a session of its own; standard output to `output`, the rest to `output`.err.

    It runs in `cwd`, a folder of the figure, so that no `.env` is read.
    """
    with output.open("wb") as out, output.with_name(output.name + ".err").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env=dict(environment() if env is None else env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )


def peak_mib(pid: int) -> float:
    """The most memory the process has had since it began its program, 0 where the system does not say.

    What it is charged with when it has ended contains the memory of whoever forked it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next(
        (int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0
    )


def family(pid: int) -> list[psutil.Process]:
    """The process and all that it started."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(process: subprocess.Popen[bytes], patience: float = 10.0) -> None:
    """Kill a child; whatever else is left of its session gets time to leave in order, also after it fell over."""
    if process.poll() is None:
        process.kill()
    process.wait()
    others = _session(process.pid)
    for other in others:
        with suppress(psutil.NoSuchProcess):
            other.terminate()
    _, left = psutil.wait_procs(others, timeout=patience)
    for other in left:
        with suppress(psutil.NoSuchProcess):
            other.kill()
    psutil.wait_procs(left, timeout=patience)


def _session(leader: int) -> list[psutil.Process]:
    """The processes of the session that a child of ours began; no other can have its number while one lives."""
    members: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(OSError):
            if process.pid != leader and os.getsid(process.pid) == leader:
                members.append(process)
    return members


def last_words(output: Path) -> str:
    """The end of what a child said, for an error message."""
    text = ""
    for path in (output.with_name(output.name + ".err"), output):
        with suppress(OSError):
            text = text or path.read_text(errors="replace").strip()
    return text[-600:] or "it left no message"


def finish(process: subprocess.Popen[bytes], output: Path, seconds: float, ok: Sequence[int] = (0,)) -> None:
    """Wait for a child to end by itself. Raises BenchError when it fails, or takes longer."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{output.name} did not end in {seconds:g} s: {last_words(output)}") from None
    if code not in ok:
        raise BenchError(f"{output.name} ended with {code}: {last_words(output)}")


# -- simulator and runner ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Simulator:
    url: str
    pid: int

    def ledger(self, rings: bool = False) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._ask("GET", f"ledger{'?rings=1' if rings else ''}"))
        return document

    def reset(self) -> None:
        self._ask("POST", "reset")

    def _ask(self, method: str, path: str) -> bytes:
        request = Request(f"{self.url}/_simulator/{path}", method=method)
        with _LOCAL.open(request, timeout=60) as answer:
            body: bytes = answer.read()
        return body


@contextmanager
def simulator(where: Path, *flags: str, clock: str = "") -> Iterator[Simulator]:
    """A simulator on a free port, that accepts any number and agent. clock: as CAMPAIGNS_CLOCK."""
    output = where / "simulator"
    env = environment(**_by(clock))
    process = start(["-m", "campaigns.simulator", "--port", "0", "--accept-any", *flags], where, output, env)
    try:
        deadline = time.monotonic() + 30
        while not (said := output.read_text()).endswith("\n"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"the simulator did not start: {last_words(output)}")
            time.sleep(0.02)
        yield Simulator(said.split()[-1], process.pid)
        if process.poll() is not None:
            raise BenchError(f"the simulator died: {last_words(output)}")
    finally:
        end(process)


@dataclass(frozen=True, slots=True)
class Runner:
    """`campaigns run` and its stack. started: Unix time just before it was started."""

    process: subprocess.Popen[bytes]
    home: Path
    output: Path
    started: float

    @property
    def database(self) -> Path:
        return self.home / "campaigns.db"

    def finish(self, seconds: float) -> dict[str, Any]:
        """Wait for the campaign to be completed; its closing document."""
        finish(self.process, self.output, seconds)
        document: dict[str, Any] = json.loads(self.output.read_text())
        return document

    def check(self) -> None:
        """Raises BenchError when it has ended."""
        if self.process.poll() is not None:
            raise BenchError(f"the runner ended too early: {last_words(self.output)}")


@contextmanager
def runner(where: Path, leads: Path, url: str, *flags: str, clock: str = "") -> Iterator[Runner]:
    """`campaigns run LEADS` with a home of its own; killed with its whole stack where it does not end by itself."""
    home = where / "home"
    env = environment(CAMPAIGNS_HOME=str(home), **_by(clock))
    if url:
        env |= {"RETELL_API_KEY": KEY, "RETELL_BASE_URL": url}
    output = where / "runner"
    started = time.time()
    process = start(["-m", "campaigns.cli.app", "run", str(leads), *flags, "--json"], where, output, env)
    try:
        yield Runner(process, home, output, started)
    finally:
        end(process)


def call_flags(*more: str) -> list[str]:
    """Flags of a run in which nothing but the limits holds a dial back."""
    return ["--from", FROM, "--profile", "none", "--retry", "none", *more]
