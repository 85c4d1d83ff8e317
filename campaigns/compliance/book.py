"""The book of calling rules: one data file per country, read and checked as a whole.

A rule is a row with its source, the date it was compiled, and how sure it is. Nothing about a place is code: to change
a rule, change its row. Not legal advice.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any

from campaigns.domain.caps import Cap
from campaigns.domain.errors import CampaignsError
from campaigns.domain.windows import MINUTES_PER_DAY, Spans

NOT_LEGAL_ADVICE = "Not legal advice: the rules of a careful caller. You answer for your calls."
#: H: statute or regulator read, or several sources. M: secondary sources agree. L: single or contested. K: recalled.
CONFIDENCES = {"H": "high", "M": "medium", "L": "low", "K": "recalled, unread"}
KINDS = ("sales", "informational")

_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_YEARLY = re.compile(r"(\d\d)-(\d\d)")
_EASTER = re.compile(r"easter(?:([+-])(\d{1,2}))?")
_JURISDICTION = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_FILE_KEYS = {"country", "name", "holidays", "rule"}
_MUST = {"jurisdiction", "name", "kinds", "weekdays", "saturday", "sunday", "source", "as_of", "confidence"}
_MAY = {"holidays", "more_holidays", "caps", "note"}


class RulesError(CampaignsError):
    """The rule files cannot be used as they are; nothing may be dialed by them."""


@dataclass(frozen=True, eq=False)
class Rule:
    """One row: the hours of one place by the callee's clock, and the caps there.

    holidays: hours on holidays, None = those of the weekday. calendar: country of the `holidays` package, "" = none.
    more_holidays: the hand list united with it, as `12-24`, `2026-12-24` or `easter-2`. Compared by identity.
    """

    jurisdiction: str
    name: str
    kinds: frozenset[str]
    weekdays: Spans
    saturday: Spans
    sunday: Spans
    holidays: Spans | None
    calendar: str
    more_holidays: tuple[str, ...]
    caps: tuple[Cap, ...]
    source: str
    as_of: date
    confidence: str
    note: str
    _by_year: dict[int, Mapping[date, str]] = field(default_factory=dict, repr=False)

    def hours(self, day: date) -> Spans:
        """The hours of a local date."""
        if self.holidays is not None and self.holiday(day) is not None:
            return self.holidays
        weekday = day.weekday()
        return self.weekdays if weekday < 5 else self.saturday if weekday == 5 else self.sunday

    def holiday(self, day: date) -> str | None:
        """The name of the holiday that a local date is here; None: it is none, or the rule knows of no holidays.

        Raises RulesError where the `holidays` package does not know the place. It is asked now and not when the rules
        are read, since to know one country it imports all.
        """
        if self.holidays is None:
            return None
        known = self._by_year.get(day.year)
        if known is None:
            known = self._by_year[day.year] = self._holidays_of(day.year)
        return known.get(day)

    def _holidays_of(self, year: int) -> Mapping[date, str]:
        named = {day: "holiday" for text in self.more_holidays for day in _days_of(text, year)}
        if self.calendar:
            # Imported late: it takes a tenth of a second, and only some places have rules for holidays.
            from holidays import country_holidays

            place = self.jurisdiction.partition("-")[2] or None
            try:
                named |= dict(country_holidays(self.calendar, subdiv=place, years=year).items())
            except NotImplementedError:
                raise RulesError(
                    f"calling rules, {self.jurisdiction}: the `holidays` package knows no"
                    f" {'-'.join(filter(None, (self.calendar, place)))}",
                    "correct it, or leave `holidays` out",
                ) from None
        return named


@dataclass(frozen=True, eq=False)
class Book:
    """All rules. version: changes with any byte of the data, and with the release of the `holidays` package."""

    rules: Mapping[str, Rule]
    version: str

    def of(self, jurisdiction: str, kind: str) -> tuple[Rule, ...]:
        """The rules that hold for automated calls of a kind into a place, its country's first.

        `US-FL` has those of US and US-FL. `US` alone is somewhere in the US: the rules of all its states hold.
        () where the country has no file: nothing is known of it.
        """
        country, _, part = jurisdiction.partition("-")
        national = self.rules.get(country)
        if national is None:
            return ()
        if part:
            rows = [national, *filter(None, [self.rules.get(jurisdiction)])]
        else:
            rows = [national, *(r for code, r in self.rules.items() if code.startswith(f"{country}-"))]
        return tuple(rule for rule in rows if kind in rule.kinds)

    @property
    def countries(self) -> list[str]:
        return sorted(code for code in self.rules if "-" not in code)


@lru_cache(maxsize=1)
def the_book() -> Book:
    """The rules that come with the program. Raises RulesError naming the file and the row at fault."""
    folder = files("campaigns.compliance") / "rules"
    found = sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    return read_book([(one.name, one.read_bytes()) for one in found])


def read_book(sources: Sequence[tuple[str, bytes]]) -> Book:
    """Read and check rule files, given as (name, bytes). Raises RulesError naming the file and the row at fault."""
    rules: dict[str, Rule] = {}
    digest = hashlib.sha256(importlib.metadata.version("holidays").encode())
    for name, content in sources:
        digest.update(name.encode() + b"\0" + content + b"\0")
        for rule in _File(name).read(content):
            if rule.jurisdiction in rules:
                raise _wrong(name, f"{rule.jurisdiction} has two rules", "keep one")
            rules[rule.jurisdiction] = rule
    if not rules:
        raise RulesError(
            "there are no calling rules", "install the program again: its data files are missing"
        )
    return Book(rules, digest.hexdigest()[:12])


def _wrong(where: str, what: str, remedy: str) -> RulesError:
    return RulesError(f"calling rules, {where}: {what}", remedy)


class _File:
    def __init__(self, name: str) -> None:
        self._where = name

    def read(self, content: bytes) -> list[Rule]:
        try:
            document = tomllib.loads(content.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise self._error(f"is no TOML: {error}", "correct the file") from None
        self._keys(document, {"country", "name", "rule"}, _FILE_KEYS)
        country, rows = document["country"], document["rule"]
        if not isinstance(country, str) or not re.fullmatch("[A-Z]{2}", country):
            raise self._error(f"{country!r} is no country", "write its two letters, as US")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._error("`rule` is no list of tables", "write each as [[rule]]")
        calendar = self._calendar(document.get("holidays", ""))
        file, found = self._where, []
        for number, row in enumerate(rows, start=1):
            self._where = f"{file}, rule {row.get('jurisdiction', number)}"
            found.append(self._rule(row, country, calendar))
        self._where = file
        if not found or found[0].jurisdiction != country:
            raise self._error(f"{country} itself has no rule", "write the country's own row first")
        return found

    def _rule(self, row: Mapping[str, Any], country: str, calendar: str) -> Rule:
        self._keys(row, _MUST, _MUST | _MAY)
        for name in ("jurisdiction", "name", "source", "confidence", "note"):
            if not isinstance(row.get(name, ""), str):
                raise self._error(f"{name} is no text", "quote it")
        place = row["jurisdiction"]
        if not _JURISDICTION.fullmatch(place) or place.partition("-")[0] != country:
            raise self._error(f"{place!r} is no part of {country}", f"write {country}, or as {country}-XX")
        kinds = row["kinds"]
        if not isinstance(kinds, list) or not kinds or not all(kind in KINDS for kind in kinds):
            raise self._error(f"kinds are {kinds!r}", f"list some of {', '.join(KINDS)}")
        if row["confidence"] not in CONFIDENCES:
            raise self._error(
                f"the confidence is {row['confidence']!r}", f"write one of {', '.join(CONFIDENCES)}"
            )
        if type(row["as_of"]) is not date:
            raise self._error("as_of is no date", "write it as 2026-11-20, without quotes")
        if not row["source"].strip():
            raise self._error("there is no source", "say where the rule comes from")
        on_holidays = None if "holidays" not in row else self._spans("holidays", row["holidays"])
        return Rule(
            jurisdiction=place,
            name=row["name"],
            kinds=frozenset(kinds),
            weekdays=self._spans("weekdays", row["weekdays"]),
            saturday=self._spans("saturday", row["saturday"]),
            sunday=self._spans("sunday", row["sunday"]),
            holidays=on_holidays,
            calendar=calendar if on_holidays is not None else "",
            more_holidays=self._hand_list(row.get("more_holidays", []), on_holidays),
            caps=self._caps(row.get("caps", [])),
            source=row["source"],
            as_of=row["as_of"],
            confidence=row["confidence"],
            note=row.get("note", ""),
        )

    def _spans(self, name: str, text: object) -> Spans:
        """`08:00-21:00`, `10:00-13:00, 14:00-20:00`, `none`."""
        if text == "none":
            return ()
        spans: list[tuple[int, int]] = []
        for part in str(text).split(","):
            match = _HOURS.fullmatch(part.strip())
            if match is None:
                raise self._error(f"{name} is {text!r}", "write hours as 08:00-21:00, or none")
            start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
            after = spans[-1][1] if spans else -1
            if not after < start < end <= MINUTES_PER_DAY or int(match[2]) > 59 or int(match[4]) > 59:
                raise self._error(f"{name} is {text!r}", "write times in order, within one day")
            spans.append((start, end))
        return tuple(spans)

    def _caps(self, rows: object) -> tuple[Cap, ...]:
        caps: list[Cap] = []
        for row in rows if isinstance(rows, list) else [None]:
            calls, hours = (row.get("calls"), row.get("hours")) if isinstance(row, dict) else (None, None)
            if type(calls) is not int or type(hours) is not int or calls < 1 or not 1 <= hours <= 720:
                raise self._error(
                    f"a cap is {row!r}", "write it as { calls = 3, hours = 24 }, 720 hours at most"
                )
            caps.append(Cap(calls, hours))
        return tuple(caps)

    def _hand_list(self, texts: object, on_holidays: Spans | None) -> tuple[str, ...]:
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self._error("more_holidays is no list of texts", 'write it as ["12-24", "easter-2"]')
        if texts and on_holidays is None:
            raise self._error("more_holidays without `holidays`", "say which hours those days have")
        for text in texts:
            try:
                _days_of(text, 2028)  # a leap year
            except ValueError:
                raise self._error(
                    f"{text!r} is no holiday", "write it as 12-24, 2026-12-24 or easter-2"
                ) from None
        return tuple(texts)

    def _calendar(self, name: object) -> str:
        if not isinstance(name, str):
            raise self._error(f"holidays is {name!r}", "name a country of the `holidays` package, or none")
        return name

    def _keys(self, row: Mapping[str, Any], must: set[str], may: set[str]) -> None:
        if missing := sorted(must - set(row)):
            raise self._error(f"{', '.join(missing)} is missing", "every row says it")
        if unknown := sorted(set(row) - may):
            raise self._error(f"{', '.join(unknown)} is unknown", f"there are {', '.join(sorted(may))}")

    def _error(self, what: str, remedy: str) -> RulesError:
        return _wrong(self._where, what, remedy)


def _days_of(text: str, year: int) -> Iterable[date]:
    """The dates that a hand list's entry means in a year. Raises ValueError."""
    if match := _YEARLY.fullmatch(text):
        return [date(year, int(match[1]), int(match[2]))] if text != "02-29" or year % 4 == 0 else []
    if match := _EASTER.fullmatch(text):
        days = int(match[2] or 0)
        return [_easter(year) + timedelta(days=-days if match[1] == "-" else days)]
    once = date.fromisoformat(text)
    return [once] if once.year == year else []


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (anonymous algorithm, Meeus/Jones/Butcher)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)
