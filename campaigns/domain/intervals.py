"""How sure a share is: Wilson's interval, and whether two shares can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

#: 95%, two-sided.
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    """A share of 1 with its bounds; all None where nothing was counted."""

    rate: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.rate is None or self.low is None or self.high is None:
            return "-"
        return f"{self.rate:.1%} ({100 * self.low:.1f} to {100 * self.high:.1f})"

    def overlaps(self, other: Interval) -> bool:
        """Also where nothing is known of one of them."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return True
        return self.low <= other.high and other.low <= self.high


def wilson(part: int, whole: int) -> Interval:
    """Wilson's score interval of 95% (JASA 22, 1927): of use for few cases and for shares near 0 or 1 too."""
    if whole <= 0:
        return Interval()
    rate, square = part / whole, _Z * _Z
    middle = (rate + square / (2 * whole)) / (1 + square / whole)
    reach = _Z / (1 + square / whole) * sqrt(rate * (1 - rate) / whole + square / (4 * whole * whole))
    # At 0 and at all the bound is the share itself, whatever floating point makes of it.
    low = 0.0 if part == 0 else max(0.0, middle - reach)
    high = 1.0 if part == whole else min(1.0, middle + reach)
    return Interval(rate, low, high)


def verdict(what: str, named: Sequence[tuple[str, Interval]]) -> str:
    """In one sentence which shares differ by more than chance, or that none does."""
    apart = [
        (one, other) if (a.rate or 0) > (b.rate or 0) else (other, one)
        for (one, a), (other, b) in combinations(named, 2)
        if not a.overlaps(b)
    ]
    if not apart:
        which = "the intervals overlap" if len(named) == 2 else "all intervals overlap"
        return f"{what}: {which}, no difference is shown"
    said = "; ".join(f"{more} is above {less}" for more, less in apart)
    left = len(named) * (len(named) - 1) // 2 - len(apart)
    return f"{what}: {said}" + ("; the intervals of the others overlap" if left else "")
