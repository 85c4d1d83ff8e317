"""Shares of the lines are fair over time, whatever the weights, and no line is ever left idle for it."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.domain.fairness import MOST_DEBT, NO_SHARES, Shares, fair_shares, jain
from campaigns.domain.pacing import Demand, deal

weights = st.lists(st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.0, 5.0, 8.0]), min_size=2, max_size=8)
demands = st.lists(
    st.builds(
        Demand,
        campaign_id=st.integers(0, 10_000).map(str),
        weight=st.floats(0, 10),
        callable=st.integers(0, 60),
        own=st.integers(0, 40),
        cap=st.none() | st.integers(0, 60),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda demand: demand.campaign_id,
)


def served(weighted: list[float], lines: int, seed: int, seconds: int, *, memory: bool = True) -> list[float]:
    """Line-seconds of campaigns that always have somebody to call; calls of 10 to 110 s."""
    chance = random.Random(seed)
    own, used = [0] * len(weighted), [0.0] * len(weighted)
    served_at = [0] * len(weighted)
    ends: list[tuple[float, int]] = []
    shares = NO_SHARES
    for second in range(0, seconds, 2):
        while ends and ends[0][0] <= second:
            own[heapq.heappop(ends)[1]] -= 1
        free = lines - sum(own)
        if not free:
            continue
        wanting = [Demand(str(n), w, free, own[n], None, served_at[n]) for n, w in enumerate(weighted)]
        dealt = deal(free, wanting, shares.debts_at(second * 1000) if memory else None)
        assert sum(dealt.values()) == free
        shares = Shares.from_json(shares.after(free, wanting, dealt, second * 1000).to_json())
        for n in range(len(weighted)):
            for _ in range(dealt[str(n)]):
                length = chance.uniform(10, 110)
                heapq.heappush(ends, (second + length, n))
                own[n] += 1
                used[n] += length
                served_at[n] = second * 1000 + 1
    return used


def index(
    weighted: list[float], lines: int, seed: int, seconds: int = 12_000, *, memory: bool = True
) -> float:
    used = served(weighted, lines, seed, seconds, memory=memory)
    return jain([one / weight for one, weight in zip(used, weighted, strict=True)])


@settings(max_examples=12, deadline=None)
@given(weights, st.integers(3, 25), st.integers(0, 1000))
def test_line_seconds_over_weight_are_alike(weighted: list[float], lines: int, seed: int) -> None:
    assert index(weighted, lines, seed) >= 0.98


@pytest.mark.parametrize("lines", [7, 20])
def test_without_the_memory_they_are_not(lines: int) -> None:
    """What the memory is for: whole lines, rounded the same way at each moment."""
    weighted = [1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 5.0, 5.0, 7.0]
    assert index(weighted, lines, 1, memory=False) < 0.97
    assert index(weighted, lines, 1) > 0.99


@given(st.integers(0, 80), demands, st.integers(0, 100_000), st.data())
def test_debts_change_who_is_served_and_never_how_many(
    free: int, wanting: list[Demand], now: int, data: st.DataObject
) -> None:
    debts = {
        one.campaign_id: data.draw(st.floats(-MOST_DEBT, MOST_DEBT))
        for one in wanting
        if data.draw(st.booleans())
    }
    dealt = deal(free, wanting, debts)
    room = {one.campaign_id: one.room for one in wanting}
    assert all(0 <= share <= room[name] for name, share in dealt.items())
    assert sum(dealt.values()) == min(free, sum(room.values()))


@given(st.integers(0, 80), demands)
def test_fair_shares_are_all_the_lines_there_is_a_use_for(free: int, wanting: list[Demand]) -> None:
    shares = fair_shares(free, wanting)
    lines = free + sum(one.own for one in wanting)
    assert sum(shares.values()) <= lines + 1e-6
    for one in wanting:
        assert shares[one.campaign_id] >= -1e-9
    if all(one.room >= free and one.cap is None for one in wanting):
        assert sum(shares.values()) == pytest.approx(lines)
        total = sum(one.share_weight for one in wanting)
        for one in wanting:
            assert shares[one.campaign_id] == pytest.approx(lines * one.share_weight / total)


@given(st.integers(0, 80), demands, st.integers(0, 10**9), st.integers(0, 10**8))
def test_a_memory_is_bounded_and_survives_being_written_down(
    free: int, wanting: list[Demand], now: int, later: int
) -> None:
    shares = NO_SHARES
    for turn in range(3):
        shares = shares.after(free, wanting, deal(free, wanting, shares.debts_at(now)), now + turn * later)
    assert Shares.from_json(shares.to_json()) == shares
    assert all(abs(debt) <= MOST_DEBT for debt in shares.debts_at(now + 10**9).values())


def test_who_wants_nothing_is_forgotten_and_hoards_nothing() -> None:
    both = [Demand("a", 1, 99, 2), Demand("b", 1, 99, 0)]
    shares = NO_SHARES.after(2, both, {"a": 0, "b": 2}, 0)
    assert shares.debts_at(600_000) == {"a": 0.0, "b": 0.0}
    short = NO_SHARES.after(0, [Demand("a", 1, 99, 4), Demand("b", 1, 99, 0)], {}, 0)
    assert short.debts_at(300_000) == {"a": 2.0, "b": -2.0}
    assert short.debts_at(10**9) == {"a": MOST_DEBT, "b": -MOST_DEBT}
    third = Demand("c", 1, 99, 0)
    gone = short.after(0, [Demand("a", 1, 99, 4), Demand("b", 1, 0, 0), third], {}, 300_000)
    assert set(gone.debts) == {"a", "c"}
    # One alone has no share to be above of.
    assert short.after(1, [Demand("a", 1, 99, 4)], {"a": 1}, 300_000) == NO_SHARES


def test_a_weight_of_nothing_is_served_last_and_divides_by_nothing() -> None:
    none, some = Demand("none", 0.0, 99, 0), Demand("some", 1.0, 3, 0)
    assert deal(5, [none, some]) == {"none": 2, "some": 3}
    assert deal(1, [none, Demand("some", 1.0, 99, 5)]) == {"none": 1, "some": 0}
    assert fair_shares(5, [none, some])["some"] == 3


def test_jain() -> None:
    assert jain([1, 1, 1]) == 1
    assert jain([1, 0, 0, 0]) == 0.25
    assert jain([0, 0]) == 1
