"""How many calls may be started now, for whom, and how often to look: arithmetic on values.

Slots (DESIGN): ceiling = limit - reserved inbound - reserve of the operator; foreign = max(0, current - own);
free = ceiling - foreign - own.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from campaigns.domain.entities import Callee

#: Weight of a campaign that has none: what nobody else wants.
LEAST_WEIGHT = 1e-6
#: Pace a little below the stated calls per second: the way to the provider jitters, its counter does not forgive.
CPS_MARGIN = 1.05
#: Attempts claimed ahead of the calls-per-second limit, in seconds of it: enough to never wait for the pacer.
CLAIM_AHEAD_SECONDS = 1.5
#: Attempts of a campaign that may wait for the workers: enough for 64 threads, few enough to be dialed in time.
MOST_WAITING = 128
#: Real seconds after which pacing goes on when it could have claimed more: the workers take them up meanwhile.
PACE_AGAIN = 0.25
#: Poll requests that one finished call pays for.
POLLS_PER_CALL = 0.57
#: Credit to begin with, so that the first ends are not missed, and the debt at which polling is slowest.
MOST_CREDIT, DEEPEST_DEBT = 8.0, -18.0
SHORTEST_POLL, LONGEST_POLL = 0.22, 2.0
IDLE_POLL = 1.0
#: After a refusal for concurrency the ceiling comes down to what was open, for this long (real seconds).
SHRINK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Slots:
    """The lines of the account at one moment."""

    ceiling: int
    foreign: int
    own: int

    @property
    def free(self) -> int:
        return max(0, self.ceiling - self.foreign - self.own)


def ceiling(limit: int, reserved_inbound: int = 0, reserve: int = 0, shrunk_to: int | None = None) -> int:
    """Lines that outbound calls may use, foreign ones included."""
    allowed = limit - reserved_inbound - reserve
    if shrunk_to is not None:
        allowed = min(allowed, shrunk_to)
    return max(0, allowed)


def foreign_calls(observations: Sequence[int]) -> int:
    """Calls of others on the account, from `current - own` seen at the last few snapshots.

    One observation is a lower bound, since an own attempt that is not yet, or no longer, a call hides a foreign
    one; the greatest of a few is close to the truth and errs on the side of fewer calls.
    """
    return max(0, *observations) if observations else 0


@dataclass(frozen=True, slots=True)
class Demand:
    """What one campaign could use: callable leads, its own cap on calls in progress, and those in progress.

    served_at: when it last got a line; any unit, 0 = never.
    """

    campaign_id: str
    weight: float
    callable: int
    own: int
    cap: int | None = None
    served_at: int = 0

    @property
    def share_weight(self) -> float:
        """Never 0: a row that was written by hand must not stop the others."""
        return max(self.weight, LEAST_WEIGHT)

    @property
    def room(self) -> int:
        return self.callable if self.cap is None else max(0, min(self.callable, self.cap - self.own))


def deal(free: int, demands: Sequence[Demand], debts: Mapping[str, float] | None = None) -> dict[str, int]:
    """Deal free slots one by one to the campaign with the fewest calls in progress for its weight.

    Of equals the one that has waited longest comes first, so that nobody starves where there are more campaigns
    than lines. What a campaign cannot use flows to the others at once. debts: lines that count as in progress, by
    campaign (`domain.fairness`).
    """
    debts = debts or {}
    dealt: dict[str, int] = {demand.campaign_id: 0 for demand in demands}

    def place(demand: Demand) -> tuple[float, int, str]:
        name = demand.campaign_id
        return (demand.own + dealt[name] + debts.get(name, 0.0)) / demand.share_weight, demand.served_at, name

    by_name = {demand.campaign_id: demand for demand in demands}
    queue = [place(demand) for demand in demands if demand.room > 0]
    heapq.heapify(queue)
    for _ in range(free):
        if not queue:
            break
        demand = by_name[queue[0][2]]
        dealt[demand.campaign_id] += 1
        if dealt[demand.campaign_id] < demand.room:
            heapq.heapreplace(queue, place(demand))
        else:
            heapq.heappop(queue)
    return dealt


def calls_wanted(lines: int, in_progress: int, cap: int | None) -> int:
    """Calls for which a campaign looks for leads on so many lines, below its own cap.

    One at its cap looks for nobody, so that it keeps no other from the numbers that both have.
    """
    return lines if cap is None else max(0, min(lines, cap - in_progress))


def claim_room(cps: float | None, waiting: int) -> int:
    """How many attempts may be claimed beyond the `waiting` ones.

    A claim holds a slot and ages: what cannot be dialed within a moment, by the calls per second or by the
    workers, is better left to the next pacing.
    """
    ahead = MOST_WAITING if cps is None else min(MOST_WAITING, int(cps * CLAIM_AHEAD_SECONDS) + 1)
    return max(0, ahead - waiting)


def poll_credit(credit: float, ended: int, open_calls: int) -> float:
    """Credit after one poll: each call that it found ended pays for a share of a request, the poll costs one.

    So polling costs POLLS_PER_CALL requests per call in the long run, however long calls are. Without open calls
    nothing is asked, and the credit is whole again.
    """
    if open_calls == 0:
        return MOST_CREDIT
    return max(DEEPEST_DEBT, min(MOST_CREDIT, credit + POLLS_PER_CALL * ended - 1))


def poll_interval(credit: float, open_calls: int, fixed: float | None = None) -> float:
    """Real seconds until the open calls are looked at again: short while there is credit, longer with the debt.

    fixed: overrides all of it (CAMPAIGNS_POLL_INTERVAL).
    """
    if fixed is not None:
        return fixed
    if open_calls == 0:
        return IDLE_POLL
    debt = max(0.0, -credit) / -DEEPEST_DEBT
    return SHORTEST_POLL + debt * (LONGEST_POLL - SHORTEST_POLL)


class Segment(NamedTuple):
    """Leads of one campaign that share zones, jurisdictions and priority; the columns' own text."""

    zones: str
    jurisdictions: str
    priority: int

    @property
    def callee(self) -> Callee:
        return Callee.of(self.zones, self.jurisdictions)


@dataclass(frozen=True, slots=True)
class Group:
    """A segment whose window is open, and when it closes; the unit of a probe."""

    segment: Segment
    closes_at: datetime


def claim_order(open_until: Mapping[Segment, datetime]) -> list[list[Group]]:
    """Groups in the order in which they are dialed; groups of equal rank stand together, oldest lead first.

    open_until: the segments that are open now, and until when; a callback's priority is below every other. Order:
    priority, then the window that closes soonest.
    """
    groups = [Group(segment, closes_at) for segment, closes_at in open_until.items()]
    groups.sort(key=lambda group: (group.segment.priority, group.closes_at, group.segment))
    ranked: list[list[Group]] = []
    for group in groups:
        if ranked and (ranked[-1][0].segment.priority, ranked[-1][0].closes_at) == (
            group.segment.priority,
            group.closes_at,
        ):
            ranked[-1].append(group)
        else:
            ranked.append([group])
    return ranked
