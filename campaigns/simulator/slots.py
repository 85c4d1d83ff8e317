"""Which calls hold a slot of the org's concurrency, known without looking at the others."""

from __future__ import annotations

import heapq
from collections import deque

from campaigns.simulator.calls import Call


class Slots:
    """The calls that ring or talk, and when each stops doing so."""

    def __init__(self) -> None:
        # False: a single call; True: one of a batch.
        self._live: dict[str, bool] = {}
        # An entry whose call was stopped early is stale: its call is no longer live when its time comes.
        self._ends: list[tuple[int, str]] = []
        self.of_batches = 0

    def __len__(self) -> int:
        return len(self._live)

    def take(self, call: Call) -> None:
        """The call holds a slot from now until it ends."""
        batch = call.batch_call_id is not None
        self._live[call.call_id] = batch
        self.of_batches += batch
        end = call.ends_ms()
        if end is not None:
            heapq.heappush(self._ends, (end, call.call_id))

    def release(self, now_ms: int) -> None:
        """Free the slots of the calls that are over by now."""
        while self._ends and self._ends[0][0] <= now_ms:
            self.free(heapq.heappop(self._ends)[1])

    def free(self, call_id: str) -> None:
        """Free the slot of a call, if it has one."""
        self.of_batches -= self._live.pop(call_id, False)

    def next_end(self) -> int | None:
        """When the next slot may come free; None: never by itself."""
        return self._ends[0][0] if self._ends else None


class RateLimit:
    """At most so many dials in any one real second; 0 is no limit."""

    def __init__(self) -> None:
        self._taken: deque[float] = deque()

    def full(self, per_second: int, real: float) -> bool:
        """Whether one more dial at this moment would be too many."""
        while self._taken and real - self._taken[0] >= 1.0:
            self._taken.popleft()
        return 0 < per_second <= len(self._taken)

    def take(self, real: float) -> None:
        """A dial was made."""
        self._taken.append(real)
