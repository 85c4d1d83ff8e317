"""Which of several agents speaks to a lead: shares by weight, kept to within one lead whenever one looks.

Quota method of Balinski and Young (American Mathematical Monthly 82, 1975): of the agents that stay below their quota,
rounded up, the one with the most weight for the leads it would then have. It never gives an agent more than its share
rounded up, nor fewer than its share rounded down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import lcm

MOST_WEIGHT = 1000


@dataclass(frozen=True, slots=True)
class Variant:
    """An agent and its weight against the campaign's others."""

    agent: str
    weight: Fraction = Fraction(1)

    @classmethod
    def parse(cls, spec: str) -> Variant:
        """`agent_a`, or `agent_a=2`. Raises ValueError that names the remedy."""
        agent, equals, weight = (part.strip() for part in spec.partition("="))
        if not agent:
            raise ValueError(f"{spec!r} names no agent")
        if not equals:
            return cls(agent)
        try:
            read = Fraction(weight) if "/" not in weight else None
        except ValueError:
            read = None
        if read is None or not 0 < read <= MOST_WEIGHT or read.denominator > 10_000:
            raise ValueError(
                f"{weight!r} is no weight: write a number above 0 and at most {MOST_WEIGHT}, as {agent}=2"
            )
        return cls(agent, read)


@lru_cache(maxsize=64)
def variants(specs: tuple[str, ...]) -> tuple[Variant, ...]:
    """All of a campaign. Raises ValueError that names the remedy, also where an agent stands twice."""
    found = tuple(map(Variant.parse, specs))
    names = [variant.agent for variant in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands twice: give it once, with one weight")
    return found


@lru_cache(maxsize=64)
def _whole(among: tuple[Variant, ...]) -> tuple[int, ...]:
    """The weights as whole numbers."""
    common = lcm(*(variant.weight.denominator for variant in among))
    return tuple(int(variant.weight * common) for variant in among)


def next_agent(among: Sequence[Variant], had: Mapping[str, int]) -> str:
    """Who gets the next lead of a stratum. had: leads of each agent in it so far."""
    weights = _whole(tuple(among))
    total, leads = sum(weights), sum(had.get(variant.agent, 0) for variant in among) + 1
    best: tuple[int, int, str] | None = None
    for variant, weight in zip(among, weights, strict=True):
        has = had.get(variant.agent, 0)
        if has * total >= leads * weight:
            continue  # one more would be above its share, rounded up
        if best is None or weight * best[1] > best[0] * (has + 1):
            best = weight, has + 1, variant.agent
    if best is None:
        raise AssertionError("shares of a whole cannot all be used up")
    return best[2]


def split_key(among: Sequence[Variant]) -> str:
    """The shares as text: with other shares the counting begins anew."""
    return ",".join(f"{variant.agent}={variant.weight}" for variant in among)
