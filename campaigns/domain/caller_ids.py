"""Which of its numbers a campaign calls somebody from.

Order: the number that the lead was called from before, while it may be used; then numbers with the lead's area code,
then numbers of the lead's state, then all. Among equals the one that was used least recently.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from campaigns.domain.retry import parse_delay

#: Over which time the cap of a number counts: rolling, from the moment an attempt is written, before its dial.
CAP_WINDOW = timedelta(hours=24)
CAP_WINDOW_MS = int(CAP_WINDOW.total_seconds() * 1000)
#: Retell's reasons after which a number rests: a carrier has labelled or blocked it.
RESTS_AFTER = frozenset({"marked_as_spam", "network_blocked"})
#: Long enough for the campaign's other numbers to take over, short enough that one carrier's verdict ends no day.
DEFAULT_REST = "4h"
#: Calls per second that Retell allows at most, by the type of a number; 1 is what an account begins with.
#: Source: Retell's documentation of concurrency and calls per second, as of 2026-01.
MOST_CPS = {"retell-twilio": 5.0, "retell-telnyx": 16.0, "custom": 150.0}
#: The bucket of numbers whose type nobody has told yet.
UNKNOWN_TYPE = "unknown"


def area_code_of(number: str) -> str:
    """The area code of a number of the North American plan; "" for any other."""
    return number[2:5] if number.startswith("+1") and len(number) == 12 else ""


def parse_rest(text: str) -> timedelta | None:
    """`4h`, or `none` for no rest. Raises ValueError."""
    return None if text.strip().lower() == "none" else parse_delay(text)


def cps_of(number_type: str | None, wanted: float | None) -> float | None:
    """Calls per second from numbers of one type: as wanted, and never more than Retell allows. None = no limit."""
    if wanted is None:
        return None
    return min(wanted, MOST_CPS.get(number_type or UNKNOWN_TYPE, wanted))


@dataclass(frozen=True, slots=True)
class Caller:
    """A from-number and what is known of its use. Instants are business milliseconds.

    places: states and provinces of its area code, as `US-CA`. last_at: its last attempt, None = none lately. left:
    attempts left under the cap, None = no cap. frees_at: when there is one again, where none is left. resting_until: no
    call before. gone: the account does not have it any more. taken: how often it was chosen in this very claim.
    """

    number: str
    area_code: str = ""
    places: frozenset[str] = frozenset()
    type: str | None = None
    last_at: int | None = None
    left: int | None = None
    frees_at: int | None = None
    resting_until: int | None = None
    gone: bool = False
    taken: int = 0

    def usable(self, now: int) -> bool:
        return not self.gone and (self.left is None or self.left > 0) and not self.is_resting(now)

    def is_resting(self, now: int) -> bool:
        return self.resting_until is not None and self.resting_until > now

    def with_uses(self, used: int, oldest: int | None, last_at: int | None, cap: int | None) -> Caller:
        """used: attempts of the last 24 hours, counted no further than `cap`; oldest, last_at: of those."""
        if cap is None:
            return replace(self, last_at=last_at)
        full = used >= cap and oldest is not None
        return replace(
            self,
            last_at=last_at,
            left=max(0, cap - used),
            frees_at=oldest + CAP_WINDOW_MS if full and oldest is not None else None,
        )

    def after_use(self, now: int, uses: int = 1) -> Caller:
        """What it is once so many attempts more are written."""
        left = None if self.left is None else self.left - uses
        return replace(self, last_at=now, left=left, taken=self.taken + uses)


@dataclass(frozen=True, slots=True)
class NoneFree:
    """No number may be used. until: business ms at which one may; None = not by itself."""

    why: str
    until: int | None


def choose(
    callers: Sequence[Caller], phone: str, places: Collection[str], before: str | None, now: int
) -> Caller | NoneFree:
    """The number to call `phone` from. places: where the lead may be. before: what it was called from last."""
    usable = [caller for caller in callers if caller.usable(now)]
    if not usable:
        return none_free(callers, now)
    if before is not None:
        for caller in usable:
            if caller.number == before:
                return caller
    if len(usable) > 1:
        area_code = area_code_of(phone)
        near = [caller for caller in usable if area_code and caller.area_code == area_code]
        usable = near or [caller for caller in usable if not caller.places.isdisjoint(places)] or usable
    return min(usable, key=_longest_unused)


def _longest_unused(caller: Caller) -> tuple[int, int]:
    return -1 if caller.last_at is None else caller.last_at, caller.taken


def none_free(callers: Sequence[Caller], now: int) -> NoneFree:
    """Why none of them may be used now, and when the first one may."""
    gone = sum(caller.gone for caller in callers)
    busy = [caller for caller in callers if not caller.gone]
    full = [
        caller for caller in busy if caller.left == 0 and _rests_until(caller, now) <= (caller.frees_at or 0)
    ]
    resting = [caller for caller in busy if caller not in full]
    parts = [
        f"{count} {what}"
        for count, what in (
            (len(resting), "resting"),
            (len(full), "at the cap of 24 hours"),
            (gone, "not the account's any more"),
        )
        if count
    ]
    return NoneFree(
        f"no from-number is free: {', '.join(parts) or 'there is none'}",
        min(
            (until for caller in busy if (until := _free_at(caller, now)) is not None),
            default=None,
        ),
    )


def _free_at(caller: Caller, now: int) -> int | None:
    """When it may be used, as things stand."""
    until = max(_rests_until(caller, now), (caller.frees_at or 0) if caller.left == 0 else 0)
    return until or None


def _rests_until(caller: Caller, now: int) -> int:
    """0 = it does not rest."""
    return (caller.resting_until or 0) if caller.is_resting(now) else 0


def uses_left(callers: Sequence[Caller], now: int) -> int | None:
    """Attempts that all of them together may still make now; None = any number."""
    usable = [caller for caller in callers if caller.usable(now)]
    if any(caller.left is None for caller in usable):
        return None
    return sum(caller.left or 0 for caller in usable)
