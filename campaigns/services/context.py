"""What every service works with, made once per process by the composition root."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from campaigns.domain.clock import Clock

# Who is only handed a context does not wait for what it is made of.
if TYPE_CHECKING:
    from campaigns.retell import RetellClient
    from campaigns.services.cps import Limiter
    from campaigns.store import Store


@dataclass(frozen=True)
class Context:
    """workspace: name of the account. dial_timeout, poll_interval: real seconds (None: adaptive). default_cps: of a
    campaign that names none, None = no limit.

    watched: since when, by a clock that nobody sets, this process has looked for an unknown dial: (attempt, sends).
    """

    store: Store
    retell: RetellClient
    clock: Clock
    limiter: Limiter
    workspace: str
    dial_timeout: float = 15.0
    poll_interval: float | None = None
    default_cps: float | None = None
    sleep: Callable[[float], None] = field(default=time.sleep)
    watched: dict[tuple[str, int], float] = field(default_factory=dict)

    def soon(self, real_seconds: float) -> datetime:
        """The business instant that many real seconds from now: for backing off from a real machine."""
        return self.clock.now() + timedelta(seconds=real_seconds * self.clock.speed)
