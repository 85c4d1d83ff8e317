"""Business time, injected everywhere.

Windows, retry delays and every `*_at` column live in *business* time, which a simulated run may speed up.
Leases and network time-outs are *real* time always: a suspended worker is suspended in the real world.
"""

from __future__ import annotations

import math
import mmap
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECONDS = struct.Struct("=d")


class Clock(Protocol):
    """What the rest of the code may ask of time."""

    @property
    def speed(self) -> float:
        """Business seconds that pass in one real second."""

    def now(self) -> datetime:
        """The business instant, an aware datetime in UTC."""


@dataclass(frozen=True, slots=True)
class SystemClock:
    """Business time is the wall clock."""

    speed: float = field(default=1.0, init=False)

    def now(self) -> datetime:
        return datetime.now(UTC)


class Skips:
    """Business seconds that a simulated run left out, in a file that all its processes look at.

    One number, written by the runner alone: a reader sees it before or after, never half.
    """

    def __init__(self, path: Path) -> None:
        """Make the file where there is none. Raises OSError."""
        self.path = path
        with path.open("ab") as file:
            file.truncate(_SECONDS.size)
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _SECONDS.size)

    def seconds(self) -> float:
        """All that was left out so far."""
        skipped: float = _SECONDS.unpack_from(self._shared)[0]
        return skipped

    def leave_out(self, seconds: float) -> None:
        """Let business time be so much later from now on, in every process."""
        _SECONDS.pack_into(self._shared, 0, self.seconds() + max(0.0, seconds))


@dataclass(frozen=True, slots=True)
class ScaledClock:
    """Business time = start + (Unix time - anchor) * speed + skips, the same in every process that shares these."""

    start: datetime
    speed: float
    anchor: float
    unix_time: Callable[[], float] = field(default=time.time, compare=False, repr=False)
    skips: Skips | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError("the clock's start needs a UTC offset, as in 2026-03-08T13:30:00Z")
        if not self.speed > 0:
            raise ValueError("the clock's speed must be above zero")
        if not (math.isfinite(self.speed) and math.isfinite(self.anchor)):
            raise ValueError("the clock's speed and anchor must be finite numbers")

    def now(self) -> datetime:
        seconds = (self.unix_time() - self.anchor) * self.speed
        if self.skips is not None:
            seconds += self.skips.seconds()
        return (self.start + timedelta(seconds=seconds)).astimezone(UTC)

    def spec(self) -> str:
        """The text form that `parse_clock` reads, as kept in CAMPAIGNS_CLOCK."""
        start = self.start.astimezone(UTC).isoformat().replace("+00:00", "Z")
        # In full, not rounded: all processes must see the very same instants.
        skips = "" if self.skips is None else f",{self.skips.path}"
        return f"{start},{repr(self.speed).removesuffix('.0')},{self.anchor!r}{skips}"


def parse_clock(spec: str) -> Clock:
    """Read CAMPAIGNS_CLOCK: empty for the wall clock, otherwise `START,SPEED,ANCHOR`, and `,FILE` of its skips if any.

    START is an ISO 8601 instant with an offset, SPEED business seconds per second, ANCHOR a Unix time in seconds.
    Raises ValueError with the remedy when the text has another form.
    """
    if not spec.strip():
        return SystemClock()
    parts = [part.strip() for part in spec.split(",", 3)]
    if len(parts) not in (3, 4) or not all(Path(file).is_absolute() for file in parts[3:]):
        raise ValueError(f"{spec!r} is not START,SPEED,ANCHOR (as 2026-03-08T13:30:00Z,60,1795174234.6)")
    try:
        start = datetime.fromisoformat(parts[0])
        speed, anchor = float(parts[1]), float(parts[2])
    except ValueError as error:
        raise ValueError(f"{spec!r} is not START,SPEED,ANCHOR: {error}") from None
    if len(parts) == 3:
        return ScaledClock(start, speed, anchor)
    try:
        return ScaledClock(start, speed, anchor, skips=Skips(Path(parts[3])))
    except OSError as error:
        raise ValueError(f"{parts[3]!r} cannot hold a clock's skips: {error.strerror}") from None


def to_ms(instant: datetime) -> int:
    """Milliseconds since the Unix epoch, the unit of every `*_at` column."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """The instant of a `*_at` column."""
    return datetime.fromtimestamp(ms / 1000, UTC)
