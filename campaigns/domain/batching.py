"""How many calls may be left with Retell's own dialer, what they hold, and when they are lost: arithmetic on values.

A task that waits in a batch is not a call; it becomes one when Retell has a line for it. All batches of the account
share the lines that their `reserved_concurrency` leaves them, so what they hold together is what may become calls at
once: the calls that are known, and as many waiting tasks as those lines still have room for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from campaigns.domain.recovery import LONGEST_RING

BATCH_MODE = "batch"
#: For how long calls may be left with Retell's dialer: nothing of ours rings later. And what an operator may choose.
DEFAULT_HORIZON, SHORTEST_HORIZON, LONGEST_HORIZON = "5m", 120.0, 7200.0
#: Seconds before a window opens, or a campaign starts, from which a batch may be sent, with a `trigger_timestamp`.
SENT_AHEAD = 60.0
#: A window ends with a whole minute: of the horizon so much (seconds) may be cut off.
CUT_OFF = 60.0
#: Most tasks of one batch: all its calls are listed by one request.
MOST_TASKS = 500
#: The same number of calls of this length (seconds) are believed in before any was observed.
FIRST_CALL, FIRST_WEIGHT = 60.0, 10
#: Doubt about the length of the calls ahead, in standard deviations of their sum: a task that is left over is dear.
DOUBT = 3.0
#: Share of what may wait at Retell at which more is sent.
REFILL_BELOW = 0.5
#: Business seconds between two looks at a batch: calls that a look should bring, and the bounds.
CALLS_PER_LOOK = 8.0
SHORTEST_LOOK, LONGEST_LOOK = 15.0, 75.0
#: The same while a call of a batch must be stopped as soon as it shows.
URGENT_LOOK = 2.0
#: Proof that a task never became a call: empty searches since its window's end, and business seconds since.
EMPTY_SEARCHES, END_MARGIN = 3, 60.0
#: Business seconds after the window's end at which a task without proof is left to an operator: the longest ring and
#: the longest call (2 h) are then over, and a list that shows calls only when they end would show it.
GIVE_UP = LONGEST_RING + 7200.0 + 600.0
#: How often a lead may come back from a batch without a call before it is held.
LEFT_OVER_PER_LEAD = 3
#: Tasks of a batch with a lead that Retell refused in a batch before, by how often: the bad one is found by halving.
REFUSED_SIZES = (MOST_TASKS, 8, 1)


class BatchState(StrEnum):
    CLAIMED = "claimed"  # its leads are claimed; nothing was sent
    SENDING = "sending"  # committed before the first byte leaves
    SENT = "sent"  # Retell gave a batch id; tasks wait there
    UNKNOWN = "unknown"  # Retell may have it: its calls are searched for, it is never sent again
    NOT_SENT = "not_sent"  # final: never sent, refused, or nobody was left to be dialed
    OVER = "over"  # final: each of its tasks is a call, or known not to be one


#: Batches of which tasks may wait at Retell, or are about to.
OPEN_BATCH = frozenset({BatchState.CLAIMED, BatchState.SENDING, BatchState.SENT, BatchState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class CallSeconds:
    """Length of a call, from the first ring to the end: mean and standard deviation, in seconds."""

    mean: float = FIRST_CALL
    deviation: float = FIRST_CALL


def call_seconds(observed: Sequence[float]) -> CallSeconds:
    """Of the calls that were observed, beside a belief that weighs less the more there are."""
    count = len(observed) + FIRST_WEIGHT
    mean = (sum(observed) + FIRST_WEIGHT * FIRST_CALL) / count
    spread = sum((one - mean) ** 2 for one in observed) + FIRST_WEIGHT * FIRST_CALL**2
    return CallSeconds(max(1.0, mean), math.sqrt(spread / count))


def ahead(lines: int, seconds: float, calls: CallSeconds, cps: float | None = None) -> int:
    """Tasks that may wait behind `lines` busy lines and are still all dialed within `seconds`, with `DOUBT`.

    The k-th of them is dialed when k calls have ended: after about k * mean / lines. Never above the calls per second.
    """
    if lines <= 0 or seconds <= 0:
        return 0
    # mean * n + DOUBT * deviation * sqrt(n) <= lines * seconds, solved for sqrt(n).
    half = DOUBT * calls.deviation / 2
    root = (math.sqrt(half * half + calls.mean * lines * seconds) - half) / calls.mean
    most = int(root * root + 1e-9)
    return most if cps is None else min(most, int(cps * seconds))


def lines_held(placed: int, queues: Iterable[tuple[int, int]]) -> int:
    """The most lines that batches may be using: `placed` calls, and the tasks that wait.

    queues: (lines, waiting) of each batch; it dials while all batches together use fewer than its `lines`. In whatever
    order Retell dials, none of a batch's tasks takes the sum beyond its own lines.
    """
    held = placed
    for lines, waiting in sorted(queues):
        held = max(held, min(held + waiting, lines))
    return held


def lines_for(most: int, budget: int, placed: int, queues: Sequence[tuple[int, int]], tasks: int) -> int:
    """The lines of one more batch of `tasks`: at most `most`, and so few that all batches stay within `budget`."""
    for lines in range(most, 0, -1):
        if lines_held(placed, [*queues, (lines, tasks)]) <= budget:
            return lines
    return 0


def lines_for_next(
    budget: int, keeps: int | None, placed: int, queues: Sequence[tuple[int, int]], tasks: int
) -> int:
    """The lines of one more batch, of a campaign that keeps so many for itself; None: as many as all batches have.

    Batches share their lines at Retell; one of a campaign with a cap, or of one that has to give lines back, dials only
    while all of them use fewer than its own.
    """
    return lines_for(budget if keeps is None else min(budget, keeps), budget, placed, queues, tasks)


def tasks_wanted(lines: int, cap: int | None, room: int, ahead: Callable[[int], int]) -> int:
    """For how many tasks a claim looks: for all lines of the account, or the campaign's cap, and what may wait behind.

    How many of them are sent is known when the lines are dealt. room: tasks of one claim at most.
    """
    most = lines if cap is None else min(lines, cap)
    return min(room, most + ahead(most))


def shared_out(total: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """`total` lines over campaigns by what they want, rounded up for each: none is thought to hold less than it may."""
    every = sum(wanted.values())
    if every <= 0:
        return dict.fromkeys(wanted, 0)
    return {name: min(count, -(-total * count // every)) for name, count in wanted.items()}


def room(lines: int, placed: int, waiting: int, most_ahead: int) -> int:
    """Tasks that may be sent now: the lines that are not in use, and what may wait behind them, less what waits."""
    return max(0, max(0, lines - placed) + most_ahead - waiting)


def wants_more(waiting: int, most_ahead: int) -> bool:
    """Whether it is time for another batch: not for each call that ends, and before the last task is dialed."""
    return waiting <= most_ahead * REFILL_BELOW


def look_every(lines: int, calls: CallSeconds, horizon: float) -> float:
    """Business seconds until a batch is looked at again: for every few calls, well within the horizon."""
    longest = max(SHORTEST_LOOK, min(LONGEST_LOOK, horizon / 4))
    return min(longest, max(SHORTEST_LOOK, CALLS_PER_LOOK * calls.mean / max(1, lines)))


@dataclass(frozen=True, slots=True)
class Missing:
    """What is known of tasks without a call. since_end: business seconds since their window ended; below 0: it is open.

    searches: how many since then found nothing, the latest included. younger: `call_status` of calls of ours that were
    made after that end, by Retell's clock too, and that the latest search did show. found: calls of the batch so far;
    taken: tasks that Retell counted in it, None where it did not say.
    """

    since_end: float
    searches: int
    younger: Collection[str]
    found: int
    taken: int | None


class Verdict(StrEnum):
    WAIT = "wait"
    REFUSED = "refused_in_batch"  # Retell took fewer, and all that it took are calls
    LEFT_OVER = "left_in_batch"  # the window is over, and a list that is not lagging has no call
    UNRESOLVED = "unresolved"


def judge(missing: Missing) -> Verdict:
    """What tasks without a call have come to.

    Sent again is never meant: a lead goes back to the pacer only where it is known that no call of the batch can come.
    """
    # Before the window's end even a small count says nothing: Retell may not have counted all yet, and the rest waits.
    if missing.since_end < END_MARGIN or missing.searches < EMPTY_SEARCHES:
        return Verdict.WAIT
    if missing.taken is not None and missing.taken <= missing.found:
        return Verdict.REFUSED
    # As for a single dial: ours could still be ringing, and a list may hide what rings.
    as_early = {"registered"} if missing.since_end <= LONGEST_RING else {"registered", "ongoing"}
    if any(status in as_early for status in missing.younger):
        return Verdict.LEFT_OVER
    return Verdict.UNRESOLVED if missing.since_end > GIVE_UP else Verdict.WAIT
