"""The choice of a from-number and the shares of agents, held against what they promise, whatever the values."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.caller_ids import (
    CAP_WINDOW_MS,
    MOST_CPS,
    Caller,
    NoneFree,
    area_code_of,
    choose,
    cps_of,
    none_free,
    parse_rest,
    uses_left,
)
from campaigns.domain.intervals import Interval, verdict, wilson
from campaigns.domain.split import Variant, next_agent, split_key, variants

NOW = 1_800_000_000_000
AREAS = {"415": "US-CA", "213": "US-CA", "212": "US-NY", "604": "CA-BC"}
LEADS = {
    "+14155550123": ["US-CA"],
    "+12125550123": ["US-NY"],
    "+17025550123": ["US-NV"],
    "+442079460000": ["GB"],
}

ages = st.none() | st.integers(NOW - 10, NOW + 10)


@st.composite
def pools(draw: st.DrawFn) -> list[Caller]:
    found = []
    for n in range(draw(st.integers(1, 8))):
        area = draw(st.sampled_from([*AREAS, ""]))
        caller = Caller(
            f"+1{area or '800'}55501{n:02}",
            area,
            frozenset([AREAS[area]] if area else []),
            last_at=draw(ages),
            resting_until=draw(ages),
            gone=draw(st.booleans()),
            taken=draw(st.integers(0, 2)),
        )
        if draw(st.booleans()):
            cap, used = draw(st.integers(1, 5)), draw(st.integers(0, 5))
            oldest = NOW - draw(st.integers(1, CAP_WINDOW_MS - 1)) if used else None
            caller = caller.with_uses(min(cap, used), oldest, caller.last_at, cap)
        found.append(caller)
    return found


befores = st.none() | st.integers(0, 8).map(lambda n: f"+141555501{n:02}")


@given(pools(), st.sampled_from(sorted(LEADS)), befores)
def test_the_number_chosen_may_be_used_and_none_stands_before_it(
    pool: list[Caller], phone: str, before: str | None
) -> None:
    found = choose(pool, phone, LEADS[phone], before, NOW)
    usable = [one for one in pool if one.usable(NOW)]
    if isinstance(found, NoneFree):
        assert not usable
        assert uses_left(pool, NOW) == 0
        return
    assert found in usable
    assert not found.gone
    assert not found.is_resting(NOW)
    assert found.left != 0

    def rank(one: Caller) -> tuple[bool, bool, bool, int, int]:
        return (
            one.number != before,
            one.area_code == "" or one.area_code != area_code_of(phone),
            one.places.isdisjoint(LEADS[phone]),
            -1 if one.last_at is None else one.last_at,
            one.taken,
        )

    assert all(rank(found) <= rank(other) for other in usable)


@given(pools())
def test_when_none_is_free_it_is_told_when_one_will_be(pool: list[Caller]) -> None:
    if any(one.usable(NOW) for one in pool):
        return
    found = none_free(pool, NOW)
    assert "no from-number is free" in found.why
    if found.until is None:
        assert all(one.gone for one in pool)
        return
    assert found.until > NOW

    def later(one: Caller, at: int) -> Caller:
        """The number as it is then, if nobody uses it."""
        free = one.frees_at is not None and one.frees_at <= at
        return replace(one, left=1 if free else one.left)

    assert not any(later(one, found.until - 1).usable(found.until - 1) for one in pool)
    assert any(later(one, found.until).usable(found.until) for one in pool)


def test_of_two_reasons_the_one_that_lasts_longer_is_told() -> None:
    full = Caller("+14155550100").with_uses(3, NOW - 1000, NOW - 10, 3)
    hours = 3_600_000
    found = none_free([replace(full, resting_until=NOW + 4 * hours)], NOW)
    assert (found.why, found.until) == (
        "no from-number is free: 1 at the cap of 24 hours", NOW - 1000 + CAP_WINDOW_MS,
    )  # fmt: skip
    found = none_free([replace(full, resting_until=NOW + 48 * hours)], NOW)
    assert (found.why, found.until) == ("no from-number is free: 1 resting", NOW + 48 * hours)


@given(pools(), st.lists(st.sampled_from(sorted(LEADS)), max_size=60))
def test_no_number_is_used_above_its_cap_in_a_claim(pool: list[Caller], phones: list[str]) -> None:
    left = {one.number: one.left for one in pool}
    room, made = uses_left(pool, NOW), Counter[str]()
    for phone in phones:
        found = choose(pool, phone, LEADS[phone], None, NOW)
        if isinstance(found, NoneFree):
            break
        made[found.number] += 1
        pool = [one.after_use(NOW) if one.number == found.number else one for one in pool]
    for number, count in made.items():
        assert left[number] is None or count <= left[number]
    assert room is None or sum(made.values()) == min(room, len(phones))


@given(st.integers(2, 7), st.integers(1, 80))
def test_numbers_that_are_alike_take_turns(numbers: int, leads: int) -> None:
    pool, made = [Caller(f"+1212555{n:04}", "212") for n in range(numbers)], Counter[str]()
    for _ in range(leads):
        found = choose(pool, "+14155550123", ["US-CA"], None, NOW)
        assert isinstance(found, Caller)
        made[found.number] += 1
        pool = [one.after_use(NOW) if one.number == found.number else one for one in pool]
    counts = [made[one.number] for one in pool]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(("text", "hours"), [("4h", 4.0), ("1d", 24.0), ("30m", 0.5), (" None ", None)])
def test_rest(text: str, hours: float | None) -> None:
    rest = parse_rest(text)
    assert (None if rest is None else rest.total_seconds() / 3600) == hours


def test_calls_per_second_by_type() -> None:
    assert [cps_of(kind, 200.0) for kind in MOST_CPS] == [5.0, 16.0, 150.0]
    assert [cps_of(kind, 1.0) for kind in (*MOST_CPS, None, "new")] == [1.0] * 5
    assert cps_of(None, 7.0) == cps_of("new", 7.0) == 7.0
    assert cps_of("custom", None) is None


# -- agents --------------------------------------------------------------------------------------------------

weights = st.lists(
    st.fractions(Fraction(1, 100), 100, max_denominator=100) | st.integers(1, 1000).map(Fraction),
    min_size=1,
    max_size=6,
)


@given(weights, st.integers(1, 300))
def test_every_agent_is_within_one_lead_of_its_share_at_any_time(shares: list[Fraction], leads: int) -> None:
    among = [Variant(f"agent_{n}", weight) for n, weight in enumerate(shares)]
    had: dict[str, int] = {}
    total = sum(shares)
    for n in range(1, leads + 1):
        agent = next_agent(among, had)
        had[agent] = had.get(agent, 0) + 1
        for one in among:
            assert abs(had.get(one.agent, 0) - n * one.weight / total) < 1


@given(weights, st.dictionaries(st.sampled_from([f"agent_{n}" for n in range(6)]), st.integers(0, 50)))
def test_somebody_always_gets_the_next_lead(shares: list[Fraction], had: dict[str, int]) -> None:
    among = [Variant(f"agent_{n}", weight) for n, weight in enumerate(shares)]
    assert next_agent(among, had) in {one.agent for one in among}
    assert next_agent(among, had) == next_agent(among, dict(had)), "the same facts, the same agent"


def test_variants() -> None:
    found = variants(("agent_a=2", "agent_b", "agent_c=0.5"))
    assert [(one.agent, one.weight) for one in found] == [
        ("agent_a", 2), ("agent_b", 1), ("agent_c", Fraction(1, 2)),
    ]  # fmt: skip
    assert split_key(found) == "agent_a=2,agent_b=1,agent_c=1/2"


@pytest.mark.parametrize(
    "spec", ["", "=1", "a=", "a=0", "a=-1", "a=1001", "a=x", "a=1/2", "a=inf", "a=nan", "a=1e-9"]
)
def test_what_is_no_agent_with_a_weight(spec: str) -> None:
    with pytest.raises(ValueError, match=r"agent|weight"):
        Variant.parse(spec)


# -- intervals -----------------------------------------------------------------------------------------------


def test_wilson_is_what_tables_say() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81/263, 15/148, 0/20, 1/29.
    for part, whole, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
                                   (1, 29, 0.0061, 0.1718)):  # fmt: skip
        found = wilson(part, whole)
        assert found.low == pytest.approx(low, abs=5e-5)
        assert found.high == pytest.approx(high, abs=5e-5)
    assert wilson(0, 0) == Interval()


@given(st.integers(0, 500), st.integers(1, 500))
def test_an_interval_holds_its_share(part: int, whole: int) -> None:
    found = wilson(min(part, whole), whole)
    assert 0 <= (found.low or 0) <= (found.rate or 0) <= (found.high or 0) <= 1
    assert (found.low or 0) < (found.high or 0)


def test_it_is_said_plainly_what_differs() -> None:
    few, many, none = wilson(3, 10), wilson(900, 1000), wilson(0, 0)
    assert verdict("contact rate", [("a", few), ("b", wilson(4, 10))]) == (
        "contact rate: the intervals overlap, no difference is shown"
    )
    assert verdict("contact rate", [("a", few), ("b", many)]) == "contact rate: b is above a"
    assert verdict("x", [("a", none), ("b", many)]) == "x: the intervals overlap, no difference is shown"
    assert verdict("x", [("a", few), ("b", many), ("c", few)]) == (
        "x: b is above a; b is above c; the intervals of the others overlap"
    )
