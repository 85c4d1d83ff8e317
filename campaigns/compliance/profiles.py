"""Profiles of calling rules: the envelope that a campaign's own windows can only narrow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from campaigns.domain.errors import UsageError
from campaigns.domain.windows import Schedule, WindowError


@dataclass(frozen=True, slots=True)
class Profile:
    """windows: specs by the callee's wall clock. attempts_per_day: per number in any 24 hours, over all campaigns."""

    windows: tuple[str, ...]
    attempts_per_day: int | None
    source: str


PROFILES: dict[str, Profile] = {
    "us-sales": Profile(("daily 08:00-21:00",), 3, "47 CFR 64.1200(c)(1); federal hours, as of 2026-11-20"),
    "us-informational": Profile(("daily 08:00-21:00",), 3, "47 CFR 64.1200(c)(1), kept by a careful caller"),
    "none": Profile((), None, "the operator's own responsibility: no hours, no cap"),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the gate asks: the schedule in force and the rolling cap."""

    schedule: Schedule
    attempts_per_day: int | None


@lru_cache(maxsize=256)
def rules_for(profile: str, windows: tuple[str, ...]) -> Rules:
    """The rules of a campaign: its windows within those of its profile.

    Raises UsageError for an unknown profile, an unreadable window, or windows that the profile leaves nothing of.
    """
    known = PROFILES.get(profile)
    if known is None:
        raise UsageError(f"{profile!r} is not a profile", f"use one of {', '.join(PROFILES)}")
    try:
        own = Schedule.parse(windows)
        schedule = own.intersect(Schedule.parse(known.windows))
    except WindowError as error:
        raise UsageError(str(error)) from None
    if schedule.never_opens:
        raise UsageError(
            f"the window {', '.join(windows)} never opens within profile {profile} ({', '.join(known.windows)})",
            "widen the window, or choose another --profile",
        )
    return Rules(schedule, known.attempts_per_day)
