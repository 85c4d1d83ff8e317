"""When a lead is tried again: a policy per outcome, one budget per lead, decisions as values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from campaigns.domain.outcomes import CONTACTS, Disposition, Outcome

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DELAY = re.compile(r"^(\d+(?:\.\d+)?)([smhd])$")
#: Outcomes that a policy can never bring back: the answer will not change, or may not be asked again.
NEVER_RETRIED = frozenset(
    {Outcome.HUMAN, Outcome.DO_NOT_CALL, Outcome.INVALID_NUMBER, Outcome.UNKNOWN, Outcome.CONFIG_ERROR}
)
#: Failures of the platform cost no attempt, so they need a bound of their own.
FREE_RETRIES = 5
FREE_BACKOFF = timedelta(seconds=30)
LONGEST_DELAY = timedelta(days=365)


class RetryError(ValueError):
    """A retry SPEC that cannot be read; the message names the remedy."""


def parse_delay(text: str) -> timedelta:
    """`30m` -> timedelta: a number and one of s, m, h, d. Raises RetryError."""
    match = _DELAY.match(text.strip())
    if not match:
        raise RetryError(f"{text.strip()!r} is not a delay: write a number and s, m, h or d, as 30m")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > LONGEST_DELAY.total_seconds():
        raise RetryError(f"{text.strip()!r} is longer than a year: shorten it")
    return timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """delays[outcome][n]: how long after the dial the lead is tried again after the n-th time of that outcome.

    max_attempts: budget of charged attempts per lead, over all outcomes.
    """

    delays: Mapping[Outcome, tuple[timedelta, ...]]
    max_attempts: int

    @classmethod
    def parse(cls, spec: str, max_attempts: int) -> RetryPolicy:
        """Read `none`, or `no_answer:30m,2h;busy:10m;machine:4h`. Raises RetryError naming the remedy."""
        if max_attempts < 1:
            raise RetryError("the number of attempts must be at least 1")
        delays: dict[Outcome, tuple[timedelta, ...]] = {}
        if spec.strip().lower() == "none":
            return cls(delays, max_attempts)
        for part in filter(None, (part.strip() for part in spec.split(";"))):
            name, colon, listed = part.partition(":")
            retriable = ", ".join(sorted(set(Outcome) - NEVER_RETRIED))
            try:
                outcome = Outcome(name.strip())
            except ValueError:
                raise RetryError(f"{name.strip()!r} is not an outcome: use one of {retriable}") from None
            if outcome in NEVER_RETRIED:
                raise RetryError(f"{outcome} is never retried: use one of {retriable}")
            if outcome in delays:
                raise RetryError(f"{outcome} stands twice: give its delays in one list")
            if not colon or not listed.strip():
                raise RetryError(
                    f"{name.strip()} has no delays: write them after a colon, as no_answer:30m,2h"
                )
            delays[outcome] = tuple(parse_delay(text) for text in listed.split(","))
        if not delays:
            raise RetryError("the retry policy is empty: write `none`, or as no_answer:30m,2h;busy:10m")
        return cls(delays, max_attempts)


#: The policy where none is given: widening gaps, so that a lead is tried in different parts of the day.
DEFAULT_RETRY = "no_answer:30m,2h;busy:10m,1h;machine:2h;declined:1d;callback:4h;platform_error:15m"
DEFAULT_MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class RetryAt:
    """The lead is pending again at `at`."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Reached:
    """Final: somebody was spoken to."""


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Final: nothing left to try, for the reason in `why`."""

    why: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A person must look: `code` and `remedy` are shown to the operator."""

    code: str
    remedy: str


LeadDecision = RetryAt | Reached | Exhausted | Hold


def decide(
    policy: RetryPolicy,
    latest: Disposition,
    history: Sequence[tuple[Outcome, bool]],
    dialed_at: datetime,
    now: datetime,
    wanted_at: datetime | None = None,
) -> LeadDecision:
    """What becomes of a lead after an attempt was settled.

    latest: of the attempt just settled. history: (outcome, charged) of every settled attempt of the lead, this
    one included. A retry is measured from the dial and never lies in the past. wanted_at: when the callee asked to be
    called back; the policy's delays do not matter then, its budget does.
    """
    # What costs no attempt uses up no delay of what does, though both may be platform errors.
    same = sum(1 for seen in history if seen == (latest.outcome, latest.charged))
    if latest.outcome is Outcome.UNKNOWN:
        return Hold("unknown_outcome", "look at the call, then release the lead or cancel it")
    if latest.outcome is Outcome.CONFIG_ERROR:
        # The campaign pauses; the lead is as good as new when the account is mended.
        return RetryAt(now)
    if not latest.charged:
        if same > FREE_RETRIES:
            return Hold(
                "platform_error", "the provider failed again and again on this number: release it later"
            )
        return RetryAt(max(now, dialed_at + FREE_BACKOFF * 2 ** (same - 1)))
    contact = latest.outcome in CONTACTS
    ending: LeadDecision = Reached() if contact else Exhausted(f"no retry left after {latest.outcome}")
    if latest.outcome in NEVER_RETRIED:
        return ending
    charged_total = sum(1 for _, charged in history if charged)
    if charged_total >= policy.max_attempts:
        return ending if contact else Exhausted(f"all {policy.max_attempts} attempts used")
    if latest.outcome is Outcome.CALLBACK and wanted_at is not None:
        return RetryAt(max(now, wanted_at))
    delays = policy.delays.get(latest.outcome, ())
    allowed = len(delays) if latest.max_retries is None else min(len(delays), latest.max_retries)
    if same > allowed:
        return ending
    return RetryAt(max(now, dialed_at + delays[same - 1]))
