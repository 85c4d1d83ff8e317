"""How many dials a second one dial worker process makes through real Celery and its message server."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.benchmarks import cycle, stage
from tests.benchmarks.figure import Figure, at_least, at_most, percentile, say
from workers.embedded import Stack
from workers.queues import DIAL_THREADS

#: A process of the stack by a word of its command line.
_WORDS = {
    "dial worker": "dial@campaigns",
    "control worker": "control@campaigns",
    "message server": "unixsocket",
}
_SAMPLE_EVERY = 0.1


def dials_per_second(quick: bool) -> Figure:
    leads = 200 if quick else 4_000
    flags = ["--concurrency", "5000", "--mean-call", "2" if quick else "20", "--analysis-delay", "0-1"]
    with stage.folder() as where, stage.simulator(where, *flags) as simulator:
        listed = stage.lead_list(where / "leads.csv", leads)
        say(f"dials_per_second: {leads} leads through `campaigns run`")
        with stage.runner(where, listed, simulator.url, *stage.call_flags()) as runner:
            with _sampled(runner.process.pid, simulator.pid) as samples:
                _wait_for_dials(runner, simulator, leads)
            summary = runner.finish(300)
            waits = _waits(runner.database)
        ledger = simulator.ledger(rings=True)
        times = sorted(ring["real"] for ring in ledger["rings_list"])
        simulator.reset()
        say(f"dials_per_second: {leads} bare POSTs in {DIAL_THREADS} threads")
        peer = _posts(where, simulator, leads)
        simulator.reset()
        say("dials_per_second: where the time of a dial goes")
        with cycle.bench(where, simulator.url, 300) as made:
            made.guarded(made.claim(50))
            parts: dict[str, Any] = cycle.breakdown(made, 50 if quick else 200)
        parts["celery message"] = _message_cost(where, 500 if quick else 3_000)
    first, last, rate = middle(times)
    cpu = {name: _between(points, first, last) for name, points in samples.items()}
    counted = max(1, round(0.8 * len(times)))
    return Figure(
        "dials_per_second",
        rate,
        "dials/s over the middle 80% of the dials, one dial worker process",
        [
            at_least("value", rate, 150.0),
            at_most("attempts_rung_twice", ledger["attempts_rung_twice"], 0),
            at_most("refusals", sum(ledger["refusals"].values()), 0),
            at_least("rings", ledger["rings"], leads),
        ],
        {"what": f"bare httpx POSTs, one client, {DIAL_THREADS} threads", **peer},
        {
            "cpu_ms_per_dial": {
                name: round(seconds * 1000 / counted, 3)
                for name, seconds in cpu.items()
                if seconds is not None
            },
            "cpu_share": {
                name: round(seconds / (last - first), 3)
                for name, seconds in cpu.items()
                if seconds is not None and last > first
            },
            "waits": waits,
            "parts_in_one_thread": parts,
            "leads": leads,
            "rings": ledger["rings"],
            "refusals": ledger["refusals"],
            "attempts_rung_twice": ledger["attempts_rung_twice"],
            "peak_dials_per_second": ledger["peak_dials_per_second"],
            "peak_concurrency": ledger["peak_concurrency"],
            "state": summary["state"],
        },
    )


def middle(times: list[float]) -> tuple[float, float, float]:
    """(from, to, dials per second) of the middle 80% of the dials; `times` are sorted."""
    low, high = int(len(times) * 0.1), int(len(times) * 0.9) - 1
    span = times[high] - times[low]
    return times[low], times[high], round((high - low) / span, 1) if span > 0 else 0.0


def _wait_for_dials(runner: stage.Runner, simulator: stage.Simulator, leads: int) -> None:
    deadline = time.monotonic() + 60 + leads / 10
    while simulator.ledger()["rings"] < leads:
        runner.check()
        if time.monotonic() > deadline:
            raise stage.BenchError(f"{leads} leads were not dialed in time")
        time.sleep(1.0)  # summing the ledger up costs the simulator time


def _waits(database: Path) -> dict[str, Any]:
    """Whether the worker waits for claims or claims for the worker: milliseconds from the rows of the dials."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT dialing_at - claimed_at, placed_at - dialing_at FROM attempts WHERE call_id IS NOT NULL"
        ).fetchall()
        given_back = dict(
            connection.execute(
                "SELECT refusal, count(*) FROM attempts WHERE call_id IS NULL GROUP BY refusal"
            )
        )
    found: dict[str, Any] = {"given_back": given_back}
    for name, column in (("claimed_to_dialing_ms", 0), ("dialing_to_placed_ms", 1)):
        values = [row[column] for row in rows]
        found[name] = {"p50": percentile(values, 0.5), "p95": percentile(values, 0.95)}
    return found


@contextmanager
def _sampled(pid: int, simulator_pid: int) -> Iterator[dict[str, list[tuple[float, float]]]]:
    """(Unix time, CPU seconds so far) of each process of the stack, taken until the block ends."""
    samples: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    stop = threading.Event()

    def take() -> None:
        known = {"simulator": psutil.Process(simulator_pid), "runner": psutil.Process(pid)}
        while not stop.wait(_SAMPLE_EVERY):
            with suppress(psutil.Error):
                if len(known) < 2 + len(_WORDS):
                    for process in known["runner"].children():
                        command = " ".join(process.cmdline())
                        known |= {name: process for name, word in _WORDS.items() if word in command}
            for name, process in known.items():
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    samples[name].append((time.time(), times.user + times.system))

    thread = threading.Thread(target=take, name="sampler", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def _between(points: list[tuple[float, float]], first: float, last: float) -> float | None:
    """CPU seconds between two moments; None where the samples do not reach."""
    if not points or points[0][0] > first or points[-1][0] < last:
        return None
    return _at(points, last) - _at(points, first)


def _at(points: list[tuple[float, float]], moment: float) -> float:
    before = points[0]
    for point in points:
        if point[0] >= moment:
            span = point[0] - before[0]
            share = (moment - before[0]) / span if span > 0 else 0.0
            return before[1] + share * (point[1] - before[1])
        before = point
    return before[1]


def _posts(where: Path, simulator: stage.Simulator, count: int) -> dict[str, Any]:
    output = where / "posts"
    arguments = ["-m", "tests.benchmarks.posts", simulator.url, str(count), str(DIAL_THREADS)]
    process = stage.start(arguments, where, output)
    try:
        stage.finish(process, output, 60 + count / 10)
    finally:
        stage.end(process)
    answer: dict[str, Any] = json.loads(output.read_text())
    return answer


def _message_cost(where: Path, messages: int) -> dict[str, float]:
    """CPU and wall milliseconds of one message whose task does nothing, in a worker like the one that dials."""
    with Stack(where / "noop") as stack:
        url = stack.valkey()
        from tests.benchmarks.noop import QUEUE
        from workers.app import make_app

        env = stage.environment(CAMPAIGNS_REDIS_URL=url, MALLOC_ARENA_MAX="2")
        flags = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
        worker = stack.celery(
            "noop",
            "tests.benchmarks.noop",
            ["worker", "-n", "noop@bench", "-Q", QUEUE, "-c", str(DIAL_THREADS), *flags],
            env,
        )
        app, server = make_app(url), redis.Redis.from_url(url)

        def run(count: int) -> float:
            with app.amqp.producer_pool.acquire(block=True) as producer:
                for n in range(count):
                    app.send_task("bench.noop", (f"{n:032x}",), queue=QUEUE, producer=producer)
            sent = time.perf_counter()
            while server.llen(f"campaigns:{QUEUE}") or server.hlen("campaigns:unacked"):
                if time.perf_counter() - sent > 60:
                    raise stage.BenchError(f"the worker took no messages: {worker.last_words()}")
                time.sleep(0.01)
            return time.perf_counter()

        try:
            run(DIAL_THREADS)
            if worker.process is None:
                raise stage.BenchError("the worker did not start")
            process = psutil.Process(worker.process.pid)
            before, started = process.cpu_times(), time.perf_counter()
            seconds = run(messages) - started
            after = process.cpu_times()
        finally:
            server.close()
            app.close()
        cpu = after.user + after.system - before.user - before.system
        return {"cpu_ms": round(cpu * 1000 / messages, 3), "wall_ms": round(seconds * 1000 / messages, 3)}
