"""How many calls may be started now, for whom, and how often to look: arithmetic on values.

Slots (DESIGN): ceiling = min(limit, operator's own) - reserved inbound - reserve; foreign = max(0, current - own);
free = ceiling - foreign - own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

#: Pace a little below the stated calls per second: the way to the provider jitters, its counter does not forgive.
CPS_MARGIN = 1.05
#: Attempts claimed ahead of the calls-per-second limit, in seconds of it: enough to never wait for the pacer.
CLAIM_AHEAD_SECONDS = 1.5
#: Poll requests that one finished call may cost on average.
POLLS_PER_CALL = 0.5
SHORTEST_POLL = 0.2
LONGEST_POLL = 2.0
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
    """What one campaign could use: callable leads, its own cap on calls in progress, and those in progress."""

    campaign_id: str
    weight: float
    callable: int
    own: int
    cap: int | None = None

    @property
    def room(self) -> int:
        return self.callable if self.cap is None else max(0, min(self.callable, self.cap - self.own))


def deal(free: int, demands: Sequence[Demand]) -> dict[str, int]:
    """Deal free slots one by one to the campaign that is furthest below its weighted share of calls in progress.

    What a campaign cannot use flows to the others at once.
    """
    dealt: dict[str, int] = {demand.campaign_id: 0 for demand in demands}
    for _ in range(free):
        open_to = [demand for demand in demands if dealt[demand.campaign_id] < demand.room]
        if not open_to:
            break
        neediest = min(open_to, key=lambda d: ((d.own + dealt[d.campaign_id] + 1) / d.weight, d.campaign_id))
        dealt[neediest.campaign_id] += 1
    return dealt


def claim_room(cps: float | None, waiting: int) -> int | None:
    """How many attempts may be claimed beyond the `waiting` ones without outrunning the calls per second.

    None: no limit. A claim holds a slot, so claiming what cannot be dialed within a moment only ages it.
    """
    if cps is None:
        return None
    return max(0, int(cps * CLAIM_AHEAD_SECONDS) + 1 - waiting)


def poll_interval(open_calls: int, ended_per_second: float, fixed: float | None = None) -> float:
    """Real seconds until the open calls are looked at again.

    Often enough that a freed slot is seen soon, seldom enough that a finished call costs half a request:
    interval = polls per call / calls that end per second, within bounds. `fixed` overrides (CAMPAIGNS_POLL_INTERVAL).
    """
    if fixed is not None:
        return fixed
    if open_calls == 0 or ended_per_second <= 0:
        return 1.0
    return min(LONGEST_POLL, max(SHORTEST_POLL, 1.0 / (ended_per_second / POLLS_PER_CALL)))


def smoothed_rate(previous: float, ended: int, seconds: float, memory: float = 5.0) -> float:
    """Exponentially weighted calls ended per real second, with a memory in seconds."""
    if seconds <= 0:
        return previous
    share = min(1.0, seconds / memory)
    return previous + share * (ended / seconds - previous)


@dataclass(frozen=True, slots=True)
class Group:
    """Leads of one campaign that share zones and priority, and when their window closes; the unit of a probe."""

    zones: str
    priority: int
    closes_at: datetime


def claim_order(open_until: Mapping[str, datetime], segments: Sequence[tuple[str, int]]) -> list[list[Group]]:
    """Groups in the order in which they are dialed; groups of equal rank stand together, oldest lead first.

    open_until: the zones that are open now, and until when. segments: (zones, priority) that the campaign has;
    a callback's priority is below every other. Order: priority, then the window that closes soonest.
    """
    groups = [
        Group(zones, priority, open_until[zones]) for zones, priority in segments if zones in open_until
    ]
    groups.sort(key=lambda group: (group.priority, group.closes_at, group.zones))
    ranked: list[list[Group]] = []
    for group in groups:
        if ranked and (ranked[-1][0].priority, ranked[-1][0].closes_at) == (group.priority, group.closes_at):
            ranked[-1].append(group)
        else:
            ranked.append([group])
    return ranked
