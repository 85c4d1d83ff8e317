"""When a campaign should pause itself: failures that are ours, and that the next dial would meet as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from campaigns.domain.outcomes import Outcome
from campaigns.domain.states import AttemptState

#: Key, payment, permission: one refusal is enough, since every dial meets it.
ACCOUNT_REFUSALS = frozenset({401, 402, 403})
#: Refused dials in a row, with none in between that passed, after which the campaign pauses.
REFUSALS_IN_A_ROW = 5


def pause_reason(latest: Sequence[tuple[int | None, str]], leads: int) -> str | None:
    """The reason to pause, or None.

    latest: the campaign's dials, newest first, each as (status, why): the HTTP status of a refusal, 0 = could not
    be sent, None = it was placed or may have been. leads: how many the campaign has; a short list has no five.
    An unreachable Retell is no reason: dialing stops by itself while the concurrency is unknown, and goes on after.
    """
    if latest and latest[0][0] in ACCOUNT_REFUSALS:
        return latest[0][1]
    enough = max(1, min(REFUSALS_IN_A_ROW, leads))
    row = [entry for entry in latest[:enough] if entry[0] not in (None, 0, 429)]
    if len(row) == enough:
        return f"the last {enough} dials failed: {row[0][1]}" if enough > 1 else row[0][1]
    return None


#: The breaker: over this share of at least so many dials in the sliding window (real time) pauses the campaign.
BREAKER_SHARE, BREAKER_LEAST = 0.5, 5
BREAKER_WINDOW = timedelta(seconds=120)
#: Real time of the first pause; doubled at each trip in a row, up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
#: While it tries again: calls in progress at most, and how many must go through before all is well.
GENTLE_CALLS, GENTLE_SUCCESSES = 2, 3


@dataclass(frozen=True, slots=True)
class RecentDial:
    """What one dial came to, as its row says."""

    state: str
    outcome: str | None
    disconnection_reason: str | None
    refusal_status: int | None
    refusal: str | None

    @property
    def failed(self) -> bool:
        """Whether the platform failed: no answer to the dial, nothing could be sent, or the call broke there."""
        if self.state in (AttemptState.AMBIGUOUS, AttemptState.UNRESOLVED):
            return True
        if self.state == AttemptState.NOT_PLACED:
            return self.refusal_status == 0 and self.refusal not in (LATE, NUMBER_GONE)
        # A full account is no failure; the slots see to that.
        return (
            self.outcome == Outcome.PLATFORM_ERROR
            and self.disconnection_reason != "concurrency_limit_reached"
        )

    @property
    def went_through(self) -> bool:
        return (
            self.state in (AttemptState.PLACED, AttemptState.ENDED, AttemptState.SETTLED) and not self.failed
        )

    @property
    def why(self) -> str:
        return self.disconnection_reason or self.refusal or self.state


#: Refusal of a dial that a worker gave back because it had slept: nobody's failure.
LATE = "woke_up_late"
#: Refusal of a dial from a number that the account does not have any more: neither the platform's nor the lead's fault.
NUMBER_GONE = "number_is_gone"


def breaker_trips(latest: Sequence[RecentDial]) -> str | None:
    """The reason to pause for a while, or None. latest: dials within the window, newest first."""
    counted = [dial for dial in latest if dial.failed or dial.went_through]
    failed = [dial for dial in counted if dial.failed]
    if len(counted) < BREAKER_LEAST or len(failed) <= BREAKER_SHARE * len(counted):
        return None
    words = "; ".join(dict.fromkeys(dial.why for dial in failed[:10]))
    return f"{len(failed)} of the last {len(counted)} dials failed at the platform: {words[:300]}"


#: Over half of at least so many finished calls to numbers that do not exist: the list or the set-up is wrong.
INVALID_LEAST, INVALID_SHARE = 10, 0.5


def mostly_invalid(latest: Sequence[RecentDial]) -> str | None:
    """The reason to pause for good when most numbers are refused as invalid, or None. latest: newest first."""
    finished = [dial.outcome for dial in latest if dial.outcome is not None]
    invalid = finished.count(Outcome.INVALID_NUMBER)
    if len(finished) < INVALID_LEAST or invalid <= INVALID_SHARE * len(finished):
        return None
    return (
        f"{invalid} of {len(finished)} calls ended with an invalid destination: check the list's numbers, the "
        "from-number and the countries it may call, then resume"
    )


def pause_length(trips: int) -> timedelta:
    """Real time of the next pause after `trips` in a row."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(trips, 10)))
