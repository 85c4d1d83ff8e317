"""Dealing lines is fair and never too much; polling costs what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.pacing import (
    DEEPEST_DEBT,
    LONGEST_POLL,
    MOST_CREDIT,
    POLLS_PER_CALL,
    SHORTEST_POLL,
    Demand,
    Slots,
    calls_wanted,
    ceiling,
    deal,
    foreign_calls,
    poll_credit,
    poll_interval,
)

demands = st.lists(
    st.builds(
        Demand,
        campaign_id=st.integers(0, 10_000).map(str),
        weight=st.floats(0.1, 10),
        callable=st.integers(0, 60),
        own=st.integers(0, 40),
        cap=st.none() | st.integers(0, 60),
    ),
    max_size=6,
    unique_by=lambda demand: demand.campaign_id,
)


@given(st.integers(0, 80), demands)
def test_a_deal_gives_what_is_free_to_whoever_has_room(free: int, wanting: list[Demand]) -> None:
    dealt = deal(free, wanting)
    assert dealt.keys() == {demand.campaign_id for demand in wanting}
    room = {demand.campaign_id: demand.room for demand in wanting}
    assert all(0 <= share <= room[name] for name, share in dealt.items())
    assert sum(dealt.values()) == min(free, sum(room.values()))
    for demand in wanting:
        share = dealt[demand.campaign_id]
        assert demand.cap is None or share == 0 or demand.own + share <= demand.cap


@given(st.integers(0, 80), demands)
def test_nobody_is_served_before_somebody_needier(free: int, wanting: list[Demand]) -> None:
    dealt = deal(free, wanting)
    for ours in wanting:
        if dealt[ours.campaign_id] == 0:
            continue
        for other in wanting:
            if other is not ours and dealt[other.campaign_id] < other.room:
                # When ours got its last line, it was no better off than the other is even now.
                mine = (ours.own + dealt[ours.campaign_id] - 1) / ours.weight
                theirs = (other.own + dealt[other.campaign_id]) / other.weight
                assert mine <= theirs + 1e-9


@given(st.integers(1, 60), st.lists(st.integers(1, 5), min_size=2, max_size=5))
def test_weights_are_honoured_to_within_one_line(lines: int, weights: list[int]) -> None:
    wanting = [Demand(str(number), weight, 1000, 0) for number, weight in enumerate(weights)]
    dealt = deal(lines, wanting)
    for demand in wanting:
        fair = lines * demand.weight / sum(weights)
        assert abs(dealt[demand.campaign_id] - fair) <= max(1.0, len(weights) / 2)


@given(st.integers(1, 12), st.lists(st.floats(0.1, 10), min_size=2, max_size=15))
def test_nobody_starves(lines: int, weights: list[float]) -> None:
    """One line frees up at a time, first in first out: even the smallest of more campaigns than lines is served."""
    own, served_at, served = [0] * len(weights), [0] * len(weights), [0] * len(weights)
    queue: list[int] = []
    for now in range(1, 4 * (lines + len(weights))):
        if len(queue) == lines:
            own[queue.pop(0)] -= 1
        wanting = [
            Demand(str(n), weight, 1000, own[n], None, served_at[n]) for n, weight in enumerate(weights)
        ]
        for name, share in deal(lines - len(queue), wanting).items():
            number = int(name)
            own[number] += share
            served[number] += share
            queue += [number] * share
            served_at[number] = now if share else served_at[number]
    assert min(served) > 0


@given(
    st.integers(0, 200), st.integers(0, 50), st.integers(0, 50), st.none() | st.integers(0, 200),
    st.lists(st.integers(-30, 60), max_size=5), st.integers(0, 200),
)  # fmt: skip
def test_own_and_foreign_calls_never_pass_the_ceiling(
    limit: int, inbound: int, reserve: int, shrunk: int | None, seen: list[int], own: int
) -> None:
    top = ceiling(limit, inbound, reserve, shrunk)
    foreign = foreign_calls(seen)
    free = Slots(top, foreign, own).free
    assert 0 <= top <= limit
    assert 0 <= free <= top
    assert free == 0 or free + own + foreign <= top


@given(st.floats(1.0, 90.0), st.integers(1, 200))
def test_polling_costs_its_share_of_a_request_per_call(seconds_per_call: float, lines: int) -> None:
    """A steady account: calls end at lines / length; requests per ended call stay near the figure promised."""
    credit, waiting, polls, ended = 0.0, 0.0, 0, 0
    rate = lines / seconds_per_call
    for _ in range(1500):
        interval = poll_interval(credit, lines)
        assert SHORTEST_POLL <= interval <= LONGEST_POLL + 1e-9
        waiting += rate * interval
        found, waiting = int(waiting), waiting - int(waiting)
        credit = poll_credit(credit, found, lines)
        assert DEEPEST_DEBT <= credit <= MOST_CREDIT
        polls, ended = polls + 1, ended + found
    # Slower than the slowest polling it cannot get, and faster than the fastest neither.
    slowest, fastest = 1 / LONGEST_POLL / rate, 1 / SHORTEST_POLL / rate
    expected = min(fastest, max(slowest, POLLS_PER_CALL))
    assert polls / max(1, ended) == pytest.approx(expected, rel=0.1, abs=0.06)


@given(st.integers(0, 100), st.integers(0, 200), st.one_of(st.none(), st.integers(0, 50)))
def test_nobody_looks_for_more_than_the_lines_or_its_own_cap(
    lines: int, in_progress: int, cap: int | None
) -> None:
    wanted = calls_wanted(lines, in_progress, cap)
    assert 0 <= wanted <= lines
    if cap is not None:
        assert in_progress + wanted <= max(cap, in_progress)
        assert wanted == lines or in_progress + wanted >= cap, "nor for fewer"
    else:
        assert wanted == lines
