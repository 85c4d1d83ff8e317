"""When an ambiguous dial may be sent again: only on proof that nobody rang. Source: the dial cycle of the design.

A call of ours that is missing from Retell's list proves nothing while the list may lag. It does when a call dialed
*later* stands in it, as early in its life as ours could be: then the list shows calls like ours in time, and ours
is not there. All seconds are real time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

#: Searches that found nothing, before a second send is thought of.
EMPTY_SEARCHES = 3
#: Retell keeps an idempotency key for an hour; a repeated send must reach it well inside.
KEY_SECONDS = 3000.0
#: How often one attempt may be sent in all.
MOST_SENDS = 3
#: The longest a call may ring at Retell; one older than this is no longer `registered`.
LONGEST_RING = 300.0
#: Added to the lease and the whole HTTP time-out: a first sender can then not be on its way any more.
SEND_MARGIN = 5.0


@dataclass(frozen=True, slots=True)
class Absence:
    """What is known of a dial whose call was searched for and not found.

    empty_searches: how many found nothing, the latest included. since_send, since_first_send: age of the latest and
    of the first POST. sender_seconds: lease + whole HTTP time-out, after which no sender can be on its way.
    younger: `call_status` of later dialed calls of ours that the latest search did show.
    """

    empty_searches: int
    since_send: float
    since_first_send: float
    sends: int
    sender_seconds: float
    younger: Collection[str]


def may_send_again(absence: Absence) -> bool:
    """Whether the same attempt may be sent again, under the same idempotency key."""
    if absence.sends >= MOST_SENDS or absence.since_first_send > KEY_SECONDS:
        return False
    if absence.empty_searches < EMPTY_SEARCHES or absence.since_send < absence.sender_seconds + SEND_MARGIN:
        return False
    # Ours could still be ringing, and a list may hide what rings: only a ringing call shows that it does not.
    as_early = {"registered"} if absence.since_send <= LONGEST_RING else {"registered", "ongoing"}
    return any(status in as_early for status in absence.younger)
