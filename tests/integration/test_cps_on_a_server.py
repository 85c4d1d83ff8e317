"""The calls-per-second bucket on a real server: its own clock, several clients, and its death."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from campaigns.domain.pacing import CPS_MARGIN
from campaigns.services.cps import CallsPerSecond
from workers.embedded import answers, server_binary


@pytest.fixture
def server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with tempfile.TemporaryDirectory(prefix="cps-") as folder:
        path = Path(folder) / "s.sock"
        command = [server_binary(), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        url = f"unix://{path}"
        deadline = time.monotonic() + 10
        while not answers(url):
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield url, process
        process.kill()
        process.wait()


def test_clients_of_one_server_share_one_even_schedule(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    def ask(_: int) -> list[float]:
        with redis.Redis.from_url(server[0]) as client:
            bucket = CallsPerSecond(client)
            turns = []
            for _ in range(10):
                ours, wait = bucket.reserve("acme", 20.0, 600.0)
                assert ours
                turns.append(time.time() + wait)
            return turns

    with ThreadPoolExecutor(4) as pool:
        turns = sorted(turn for turns in pool.map(ask, range(4)) for turn in turns)
    spacing = CPS_MARGIN / 20
    assert turns[-1] - turns[0] == pytest.approx(39 * spacing, abs=spacing)
    # A busy machine delays single answers; no second holds more than the limit and the jitter of one turn.
    assert all(later - first > 1.0 - spacing for first, later in zip(turns, turns[20:], strict=False))
    assert all(later >= turn for turn, later in pairwise(turns))


def test_a_dead_server_stops_dialing(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    with redis.Redis.from_url(server[0], socket_timeout=1) as client:
        bucket = CallsPerSecond(client)
        assert bucket.reserve("acme", 5.0, 0.0)[0]
        server[1].kill()
        server[1].wait()
        with pytest.raises(redis.RedisError):
            bucket.reserve("acme", 5.0, 60.0)
