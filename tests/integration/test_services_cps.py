"""The calls-per-second bucket: its script on a server with Lua, and the same arithmetic in Python."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import fakeredis
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.pacing import CPS_MARGIN
from campaigns.services.cps import CallsPerSecond

#: A little above one microsecond: the server counts in those.
ROUNDING = 5e-6
#: Seconds by which a busy machine may misjudge when the server was asked.
SLACK = 0.25


class Model:
    """GCRA in plain Python, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1_780_000_000_000_000
        self.due: int | None = None

    def reserve(self, per_second: float, patience: float) -> tuple[bool, float]:
        at = self.now if self.due is None else max(self.now, self.due)
        wait = at - self.now
        if wait > int(patience * 1_000_000):
            return False, wait / 1_000_000
        self.due = at + int(1_000_000 * CPS_MARGIN / per_second)
        return True, wait / 1_000_000


def most_in_a_window(turns: list[float], seconds: float) -> int:
    """Most turns inside any half-open window of that length."""
    turns = sorted(turns)
    return max(sum(start <= turn < start + seconds for turn in turns) for start in turns)


@pytest.fixture
def server() -> Iterator[fakeredis.FakeRedis]:
    client = fakeredis.FakeRedis()
    yield client
    client.close()


@given(
    per_second=st.floats(0.2, 100),
    patience=st.floats(0, 5),
    gaps=st.lists(st.integers(0, 3_000_000), min_size=1, max_size=60),
    window=st.floats(0.1, 20),
)
def test_never_more_than_the_rate_in_any_window(
    per_second: float, patience: float, gaps: list[int], window: float
) -> None:
    model = Model()
    turns = []
    for gap in gaps:
        model.now += gap
        ours, wait = model.reserve(per_second, patience)
        if ours:
            assert wait <= patience
            turns.append((model.now - 1_780_000_000_000_000) / 1e6 + wait)
        else:
            assert wait > patience - ROUNDING
    assert most_in_a_window(turns, window) <= math.ceil(per_second * window) + 1


@given(per_second=st.floats(0.5, 50), tries=st.integers(2, 40))
def test_a_steady_asker_gets_its_full_rate(per_second: float, tries: int) -> None:
    model = Model()
    waits = [model.reserve(per_second, 1e6)[1] for _ in range(tries)]
    assert waits[0] == 0
    for before, after in pairwise(waits):
        assert after - before == pytest.approx(CPS_MARGIN / per_second, abs=ROUNDING)


def test_the_script_does_the_arithmetic_of_the_model(server: fakeredis.FakeRedis) -> None:
    bucket, model = CallsPerSecond(server), Model()
    began = time.monotonic()
    for step in range(30):
        ours, wait = bucket.reserve("acme", 2.0, 10.0)
        model.now = 1_780_000_000_000_000 + int((time.monotonic() - began) * 1e6)
        expected, its_wait = model.reserve(2.0, 10.0)
        assert ours == expected, step
        assert wait == pytest.approx(its_wait, abs=SLACK)


def test_turns_are_even_from_the_first_on(server: fakeredis.FakeRedis) -> None:
    bucket = CallsPerSecond(server)
    turns = []
    for _ in range(20):
        ours, wait = bucket.reserve("acme", 2.0, 60.0)
        assert ours
        turns.append(time.time() + wait)
    assert all(abs(later - turn - CPS_MARGIN / 2) < SLACK for turn, later in pairwise(turns))
    assert most_in_a_window(turns, 3.0) <= 7


def test_patience_is_kept_and_a_refusal_reserves_nothing(server: fakeredis.FakeRedis) -> None:
    bucket = CallsPerSecond(server)
    assert bucket.reserve("acme", 1.0, 2.0) == (True, 0.0)
    assert bucket.reserve("acme", 1.0, 2.0)[0]
    for _ in range(5):
        ours, wait = bucket.reserve("acme", 1.0, 2.0)
        assert not ours
        assert 2.0 < wait <= 2 * CPS_MARGIN
    ours, wait = bucket.reserve("acme", 1.0, 3.0)
    assert ours
    assert wait <= 2 * CPS_MARGIN


def test_a_servers_clock_that_is_set_back_does_not_stop_dialing(server: fakeredis.FakeRedis) -> None:
    """The schedule then lies an hour ahead, where no turn was ever given out."""
    bucket = CallsPerSecond(server)
    server.set("campaigns:cps:acme", str(int((time.time() + 3600) * 1_000_000)))
    assert bucket.reserve("acme", 1.0, 2.0)[0]
    assert 0.5 < bucket.reserve("acme", 1.0, 2.0)[1] <= CPS_MARGIN
    server.set("campaigns:cps:acme", str(int((time.time() + 30) * 1_000_000)))  # of a campaign paced slowly
    assert not bucket.reserve("acme", 1.0, 2.0)[0]


def test_workspaces_do_not_share_a_bucket(server: fakeredis.FakeRedis) -> None:
    bucket = CallsPerSecond(server)
    assert bucket.reserve("acme", 1.0, 0.0) == (True, 0.0)
    assert not bucket.reserve("acme", 1.0, 0.0)[0]
    assert bucket.reserve("other", 1.0, 0.0) == (True, 0.0)


def test_no_turn_is_handed_out_twice_over_threads() -> None:
    shared = fakeredis.FakeServer()

    def ask(number: int) -> list[float]:
        client = fakeredis.FakeRedis(server=shared)
        bucket = CallsPerSecond(client)
        turns = []
        for _ in range(8):
            ours, wait = bucket.reserve("acme", 2.0, 600.0)
            assert ours
            turns.append(time.time() + wait)
        client.close()
        return turns

    with ThreadPoolExecutor(8) as pool:
        turns = sorted(turn for turns in pool.map(ask, range(8)) for turn in turns)
    assert len(turns) == 64
    assert all(abs(later - turn - CPS_MARGIN / 2) < SLACK for turn, later in pairwise(turns))


def test_a_lost_key_never_speeds_up_a_process_that_has_turns_out(server: fakeredis.FakeRedis) -> None:
    bucket = CallsPerSecond(server)
    turns = [time.time() + bucket.reserve("acme", 2.0, 60.0)[1] for _ in range(5)]
    server.flushall()
    turns += [time.time() + bucket.reserve("acme", 2.0, 60.0)[1] for _ in range(5)]
    assert all(abs(later - turn - CPS_MARGIN / 2) < SLACK for turn, later in pairwise(turns))


def test_the_key_goes_away_by_itself_and_not_before_its_time(server: fakeredis.FakeRedis) -> None:
    bucket = CallsPerSecond(server)
    for _ in range(10):
        bucket.reserve("acme", 5.0, 60.0)
    [key] = server.keys("*")
    left = server.pttl(key)
    assert 10 * 1000 * CPS_MARGIN / 5 < left < 10 * 1000 * CPS_MARGIN / 5 + 1100


def test_a_server_that_is_away_says_so() -> None:
    away = fakeredis.FakeServer()
    away.connected = False
    client = fakeredis.FakeRedis(server=away)
    with pytest.raises(redis.RedisError):
        CallsPerSecond(client).reserve("acme", 5.0, 1.0)
    client.close()
