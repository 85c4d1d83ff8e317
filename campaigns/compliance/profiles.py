"""Profiles of calling rules, and the rules of one campaign: the profile's, narrowed by its windows and blackouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from campaigns.compliance.book import Book, Rule, the_book
from campaigns.domain.caps import Cap, strictest
from campaigns.domain.entities import Blackout, Callee
from campaigns.domain.errors import UsageError
from campaigns.domain.windows import ALL_DAY, HORIZON_DAYS, Hours, Openings, Schedule, Spans, WindowError

#: How far ahead a window without any hours is said to stay open.
AT_ANY_TIME = timedelta(days=HORIZON_DAYS)
#: Behind and ahead of every zone on Earth: a blackout of somebody whose zone nobody knows begins and ends by these.
_WIDEST = ("Etc/GMT+12", "Etc/GMT-14")
#: Callees alike that one campaign's rules keep ready.
_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Profile:
    """kind: which rows of the book hold for these calls, None = none. caps: per number, over all campaigns."""

    name: str
    kind: str | None
    caps: tuple[Cap, ...]
    what: str


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("us-sales", "sales", (Cap(3, 24),), "national and state rules for automated sales calls"),
        Profile(
            "us-informational",
            "informational",
            (Cap(3, 24),),
            "national hours only, kept by a careful caller",
        ),
        Profile("none", None, (), "no hours and no cap: the operator's own responsibility"),
    )
}


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What holds for callees of the same zones and places.

    openings: when they may be rung; None = at any time, unless there is a problem. problem: (code, why) for which
    nobody may ever ring them as they stand.
    """

    rules: tuple[Rule, ...]
    caps: tuple[Cap, ...]
    blackouts: tuple[Blackout, ...]
    openings: Openings | None
    problem: tuple[str, str] | None


class Rules:
    """The rules of a campaign. Two that were made of the same parts are the same. Thread-safe."""

    def __init__(
        self, profile: Profile, own: Schedule, blackouts: tuple[Blackout, ...] = (), book: Book | None = None
    ) -> None:
        self.profile = profile
        self.own = own
        self.blackouts = blackouts
        self.book = book or the_book()
        self._terms: dict[Callee, Terms] = {}

    @property
    def version(self) -> str:
        """Of the data that these rules were made of."""
        return self.book.version

    def terms(self, callee: Callee) -> Terms:
        """What holds for one callee; kept for all that are alike."""
        found = self._terms.get(callee)
        if found is None:
            if len(self._terms) >= _KEPT:
                self._terms.clear()
            found = self._terms[callee] = self._made(callee)
        return found

    def until(self, callee: Callee, now: datetime) -> datetime | None:
        """Until when the callee's window stays open; None when it is not. Caps and do-not-call are not asked."""
        terms = self.terms(callee)
        if terms.problem is not None:
            return None
        if terms.openings is None:
            return now + AT_ANY_TIME
        return terms.openings.until(now)

    def next_opening(self, callee: Callee, now: datetime) -> datetime | None:
        """The earliest instant from `now` on at which the callee's window is open; None when there is none."""
        terms = self.terms(callee)
        if terms.problem is not None:
            return None
        return now if terms.openings is None else terms.openings.next(now)

    def _made(self, callee: Callee) -> Terms:
        rows: dict[str, Rule] = {}
        problem: tuple[str, str] | None = None
        kind = self.profile.kind
        if kind is not None:
            if not callee.jurisdictions:
                problem = "no_rules", "nobody knows in which country this number is"
            for place in callee.jurisdictions:
                found = self.book.of(place, kind)
                if not found:
                    known = ", ".join(self.book.countries)
                    problem = "no_rules", f"there are no calling rules for {place} (there are for {known})"
                rows |= {rule.jurisdiction: rule for rule in found}
        blackouts = tuple(one for one in self.blackouts if one.concerns(callee))
        caps = strictest([*self.profile.caps, *(cap for rule in rows.values() for cap in rule.caps)])
        law: list[Hours] = [rule.hours for rule in rows.values()]
        if blackouts:
            law.append(_outside(blackouts))
        own = [] if self.own.windows is None else [self.own.hours]
        zones = callee.zones
        openings: Openings | None = None
        if not zones and (rows or own):
            problem = problem or ("unknown_timezone", "the callee's time zone is unknown")
        elif problem is None and (law or own):
            try:
                openings = Openings(zones or _WIDEST, law, own)
            except WindowError as error:
                problem = "unknown_timezone", str(error)
        return Terms(tuple(rows.values()), caps, blackouts, openings, problem)


def _outside(blackouts: Sequence[Blackout]) -> Hours:
    spans = [(one.first, one.last) for one in blackouts]

    def hours(day: date) -> Spans:
        return () if any(first <= day <= last for first, last in spans) else ALL_DAY

    return hours


@lru_cache(maxsize=256)
def rules_for(profile: str, windows: tuple[str, ...], blackouts: tuple[Blackout, ...] = ()) -> Rules:
    """The rules of a campaign: its windows and the operator's blackouts within its profile.

    Raises UsageError for an unknown profile, an unreadable window, or windows that the profile leaves nothing of.
    """
    known = PROFILES.get(profile)
    if known is None:
        raise UsageError(f"{profile!r} is not a profile", f"use one of {', '.join(PROFILES)}")
    try:
        own = Schedule.parse(windows)
    except WindowError as error:
        raise UsageError(str(error)) from None
    rules = Rules(known, own, blackouts)
    if known.kind is not None and not _ever_opens(own, rules.book, known.kind):
        raise UsageError(
            f"the window {', '.join(windows)} never opens within profile {profile} ({known.what})",
            "widen the window, or choose another --profile",
        )
    return rules


def _ever_opens(own: Schedule, book: Book, kind: str) -> bool:
    """Whether some country's own hours leave something of the windows in an ordinary week."""
    if own.windows is None:
        return True
    for rule in (book.rules[code] for code in book.countries):
        by_weekday = (*[rule.weekdays] * 5, rule.saturday, rule.sunday)
        if kind in rule.kinds and any(
            max(window.start, start) < min(window.end, end)
            for window in own.windows
            for start, end in by_weekday[window.weekday]
        ):
            return True
    return False
