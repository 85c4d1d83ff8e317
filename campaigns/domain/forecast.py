"""When a campaign will be done: expected leads flow through its windows, its lines and its retry policy.

A fluid, not a simulation of single calls: amounts of leads are fractions, each call splits into its outcomes. Pure; the
windows come in as functions, so that it knows nothing of calling rules.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from campaigns.domain.outcomes import CONTACTS, Outcome
from campaigns.domain.retry import NEVER_RETRIED, RetryPolicy

#: Shares of the outcomes where a campaign has few calls of its own, and how many calls that guess is worth.
ASSUMED_OUTCOMES: Mapping[Outcome, float] = {
    Outcome.HUMAN: 0.3, Outcome.MACHINE: 0.3, Outcome.NO_ANSWER: 0.3, Outcome.BUSY: 0.05, Outcome.DECLINED: 0.05,
}  # fmt: skip
ASSUMED_WEIGHT = 20
#: Business seconds for which a call holds its line, likewise.
ASSUMED_SECONDS = 60.0
#: A forecast looks no further.
HORIZON = timedelta(days=60)
_STEPS = 200
_SHORTEST_STEP, _LONGEST_STEP = timedelta(seconds=10), timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Cohort:
    """Leads that share a calling window (`group`), are due at the same time, and have had as many attempts."""

    group: Hashable
    due: datetime
    tried: int
    leads: float


@dataclass(frozen=True, slots=True)
class Course:
    """How it is assumed to go on. calls_per_second: while there is somebody to call. seconds: length of a call.

    left_over: how many leads may still be open when the campaign counts as done: they are expectations.
    """

    calls_per_second: float
    seconds: float
    shares: Mapping[Outcome, float]
    policy: RetryPolicy
    left_over: float = 0.5


@dataclass(frozen=True, slots=True)
class Projection:
    """done_at None: not within HORIZON. never: leads that no window ever lets through."""

    done_at: datetime | None
    calls: float
    never: float


OpenUntil = Callable[[Hashable, datetime], datetime | None]
NextOpening = Callable[[Hashable, datetime], datetime | None]


def shares_of(outcomes: Mapping[str, int]) -> dict[Outcome, float]:
    """Share of each outcome: what was seen, and the less of it, the more of what is assumed."""
    total = sum(outcomes.values()) + ASSUMED_WEIGHT
    return {
        outcome: (outcomes.get(outcome, 0) + ASSUMED_WEIGHT * ASSUMED_OUTCOMES.get(outcome, 0.0)) / total
        for outcome in Outcome
    }


def project(
    cohorts: Sequence[Cohort], now: datetime, course: Course, open_until: OpenUntil, next_opening: NextOpening
) -> Projection:
    """Let the cohorts flow from `now` on. Cohorts that are being called now are given as due now.

    open_until: until when a group may be called, None = not now. next_opening: when it may next, None = never.
    """
    return _Flow(cohorts, now, course, open_until, next_opening).run()


class _Flow:
    def __init__(
        self,
        cohorts: Sequence[Cohort],
        now: datetime,
        course: Course,
        open_until: OpenUntil,
        next_opening: NextOpening,
    ) -> None:
        self._course = course
        self._open_until, self._next_opening = open_until, next_opening
        self._start = now
        total = sum(cohort.leads for cohort in cohorts)
        length = timedelta(seconds=min(total / course.calls_per_second, HORIZON.total_seconds()) / _STEPS)
        self._step = min(max(length, _SHORTEST_STEP), _LONGEST_STEP)
        self._ready: dict[tuple[Hashable, int], float] = {}
        self._later: dict[tuple[int, Hashable, int], float] = {}
        self._order: list[tuple[int, int, Hashable, int]] = []
        self._count = count()
        self._left = total
        self._calls = 0.0
        self._windows: dict[Hashable, tuple[datetime, datetime | None]] = {}
        for cohort in cohorts:
            self._wait(cohort.group, cohort.tried, cohort.due, cohort.leads)

    def run(self) -> Projection:
        now, end = self._start, self._start + HORIZON
        done = now
        while self._left > self._course.left_over and now < end:
            self._wake(now)
            open_now = sorted(
                ((until, key) for key in self._ready if (until := self._until(key[0], now)) is not None),
                key=lambda one: (one[0], str(one[1])),
            )
            if not open_now:
                opening = self._opening(now)
                if opening is None:
                    break
                now = max(opening, now + timedelta(seconds=1))
                continue
            capacity = self._course.calls_per_second * self._step.total_seconds()
            used = 0.0
            for _, key in open_now:
                amount = min(self._ready[key], capacity - used)
                if amount <= 0:
                    break
                used += amount
                self._ready[key] -= amount
                if self._ready[key] <= 1e-9:
                    del self._ready[key]
                self._call(key, amount, now)
            done = now + self._step * (used / capacity) + timedelta(seconds=self._course.seconds)
            now += self._step
        never = self._never(now)
        if self._left - never > self._course.left_over:
            return Projection(None, self._calls, never)
        return Projection(max(done, self._start), self._calls, never)

    def _call(self, key: tuple[Hashable, int], amount: float, now: datetime) -> None:
        group, tried = key
        self._calls += amount
        self._left -= amount
        for outcome, share in self._course.shares.items():
            delay = self._delay(outcome, tried)
            if share > 0 and delay is not None:
                self._left += amount * share
                again = max(delay, timedelta(seconds=self._course.seconds))
                self._wait(group, tried + 1, now + again, amount * share)

    def _delay(self, outcome: Outcome, tried: int) -> timedelta | None:
        """How long until the lead is tried again after its attempt number `tried`, from 0; None = it is done."""
        policy = self._course.policy
        delays = policy.delays.get(outcome, ())
        over = outcome in NEVER_RETRIED or tried + 1 >= policy.max_attempts or tried >= len(delays)
        return None if over or (outcome in CONTACTS and not delays) else delays[tried]

    def _wait(self, group: Hashable, tried: int, due: datetime, amount: float) -> None:
        step = max(0, -((self._start - due) // self._step))
        key = (step, group, tried)
        if key not in self._later:
            # Groups have no order of their own: whoever came first goes first.
            heappush(self._order, (step, next(self._count), group, tried))
        self._later[key] = self._later.get(key, 0.0) + amount

    def _wake(self, now: datetime) -> None:
        while self._order and self._start + self._order[0][0] * self._step <= now:
            step, _, group, tried = heappop(self._order)
            amount = self._later.pop((step, group, tried))
            self._ready[(group, tried)] = self._ready.get((group, tried), 0.0) + amount

    def _until(self, group: Hashable, now: datetime) -> datetime | None:
        """Asked anew only when what was known has run out: windows are costly to judge."""
        known = self._windows.get(group)
        if known is not None and now < known[0]:
            return known[1]
        until = self._open_until(group, now)
        valid = until if until is not None else (self._next_opening(group, now) or self._start + HORIZON)
        self._windows[group] = (max(valid, now + timedelta(seconds=1)), until)
        return until

    def _opening(self, now: datetime) -> datetime | None:
        """When somebody can be called next."""
        times = [self._next_opening(group, now) for group in {group for group, _ in self._ready}]
        if self._order:
            times.append(self._start + self._order[0][0] * self._step)
        return min((time for time in times if time is not None), default=None)

    def _never(self, now: datetime) -> float:
        amounts = [(group, amount) for (group, _), amount in self._ready.items()]
        amounts += [(group, amount) for (_, group, _), amount in self._later.items()]
        return sum(amount for group, amount in amounts if self._next_opening(group, now) is None)
