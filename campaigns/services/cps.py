"""Calls per second: a token bucket (GCRA) on the Redis server's own clock, shared by all workers.

GCRA paces evenly where window counters let a second's worth out at once. Losing the key costs nothing: the next
dial starts a new, empty schedule. Losing the server stops dialing.
Formula: allowed at max(now, TAT); then TAT = max(now, TAT) + interval (ATM Forum GCRA, virtual scheduling).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, cast

import redis

from campaigns.domain.pacing import CPS_MARGIN

_GCRA = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = tonumber(ARGV[1])
local patience = tonumber(ARGV[2])
local tat = tonumber(redis.call('GET', KEYS[1]) or '0')
-- No turn is ever given out further ahead than that: the server's clock was set back.
if tat > now + tonumber(ARGV[3]) then tat = now end
if tat < now then tat = now end
local wait = tat - now
if wait > patience then return {0, wait} end
redis.call('SET', KEYS[1], string.format('%.0f', tat + interval), 'PX', math.ceil((tat + interval - now) / 1000) + 1000)
return {1, wait}
"""


#: Seconds by which a schedule may lie further ahead than its next turn: another campaign may be paced more slowly.
_AHEAD = 60.0


class Limiter(Protocol):
    """Anything that hands out turns to dial."""

    def reserve(self, key: str, per_second: float, patience: float) -> tuple[bool, float]:
        """(reserved, seconds): whether a turn is ours, and how long until it, or until asking again is worth it."""


class CallsPerSecond:
    """The bucket. One per process; thread-safe. Raises redis.RedisError when the server is away.

    The process also keeps its own schedule: turns that it has already handed out still hold when the server comes
    back empty and starts a new one.
    """

    def __init__(self, client: redis.Redis, seconds: Callable[[], float] = time.monotonic) -> None:
        self._script = client.register_script(_GCRA)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def reserve(self, key: str, per_second: float, patience: float) -> tuple[bool, float]:
        """Reserve the next turn of `key` if it comes within `patience` real seconds.

        A reserved turn that is not used is lost, which slows dialing and never speeds it up.
        """
        interval = CPS_MARGIN / per_second
        arguments = [
            int(seconds * 1_000_000) for seconds in (interval, patience, patience + interval + _AHEAD)
        ]
        with self._lock:  # turns must come back in the order in which the server gave them
            answer = self._script(keys=[f"campaigns:cps:{key}"], args=arguments)
            granted, wait = cast("list[int]", answer)
            if not granted:
                return False, wait / 1_000_000
            now = self._seconds()
            turn = max(now + wait / 1_000_000, self._next.get(key, 0.0))
            self._next[key] = turn + interval
        return True, turn - now
