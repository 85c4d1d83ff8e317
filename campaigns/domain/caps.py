"""Rolling caps: at most so many calls to one number in so many hours of elapsed time, never of calendar days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, order=True)
class Cap:
    """At most `calls` calls to a number in any `hours` hours."""

    calls: int
    hours: int

    @property
    def span_ms(self) -> int:
        return self.hours * _HOUR_MS

    def used(self, dials_ms: Iterable[int], now_ms: int) -> int:
        """How many of the dials (business ms) count at that instant."""
        since = now_ms - self.span_ms
        return sum(dialed > since for dialed in dials_ms)

    def __str__(self) -> str:
        return f"{self.calls} in any {self.hours} hours"


def released_at(caps: Iterable[Cap], dials_ms: Sequence[int], now_ms: int) -> int | None:
    """The instant (business ms) from which one more dial keeps every cap; None: at once."""
    latest: int | None = None
    for cap in caps:
        counted = sorted(dialed for dialed in dials_ms if dialed > now_ms - cap.span_ms)
        if len(counted) >= cap.calls:
            free_at = counted[-cap.calls] + cap.span_ms
            latest = free_at if latest is None else max(latest, free_at)
    return latest


def strictest(caps: Iterable[Cap]) -> tuple[Cap, ...]:
    """The caps without those that another one implies, sorted."""
    kept = set(caps)
    return tuple(
        sorted(
            cap
            for cap in kept
            if not any(
                other != cap and other.calls <= cap.calls and other.hours >= cap.hours for other in kept
            )
        )
    )
