"""Whose local time: the zones a number may be in, and the zone a person wrote into a column."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from functools import lru_cache

_EASTERN, _CENTRAL = "America/New_York", "America/Chicago"
_MOUNTAIN, _PACIFIC = "America/Denver", "America/Los_Angeles"

# Area codes that lie in several zones, by hand: one zone from the library does not mean certainty (423,
# mostly Eastern, gives Chicago for 571 of its 792 exchanges). Its zones are united with these.
_SPLIT_AREA_CODES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("850 448 270 364 423 729 606 812 930 219 574 906", (_EASTERN, _CENTRAL)),
    ("605 701 308 620 785 915 432", (_CENTRAL, _MOUNTAIN)),
    ("208 986 541 458", ("America/Boise", _PACIFIC)),
    ("775", (_MOUNTAIN, _PACIFIC)),
    ("250 236 672 778 257", ("America/Edmonton", "America/Vancouver")),
    ("928", ("America/Phoenix", _MOUNTAIN)),
    ("907", ("America/Adak", "America/Anchorage")),
    ("807", ("America/Toronto", "America/Winnipeg")),
    ("418 581 367", ("America/Toronto", "America/Halifax")),
    ("709 879", ("America/St_Johns", "America/Halifax")),
    (
        "867",
        (
            "America/Whitehorse",
            "America/Yellowknife",
            "America/Edmonton",
            "America/Winnipeg",
            "America/Toronto",
            "America/Iqaluit",
        ),
    ),
    ("306 639 474", ("America/Regina", "America/Edmonton")),
)
_BY_AREA_CODE = {code: zones for codes, zones in _SPLIT_AREA_CODES for code in codes.split()}

# The library answers with all zones of a calling code where it knows nothing better: toll-free, 900, 5xx, 6xx
# and area codes newer than its tables give 42. No single area code has more than a handful.
_MORE_THAN_ANY_AREA_CODE = 12

# What people write instead of an IANA name. "EST" and "MST" are IANA names too, of zones without daylight
# saving; in a lead list they mean the zone whose clocks change.
_ALIASES = {
    alias: zone
    for zone, aliases in (
        (_EASTERN, ("et", "est", "edt", "eastern")),
        (_CENTRAL, ("ct", "cst", "cdt", "central")),
        (_MOUNTAIN, ("mt", "mst", "mdt", "mountain")),
        (_PACIFIC, ("pt", "pst", "pdt", "pacific")),
        ("America/Anchorage", ("akt", "akst", "akdt", "alaska", "alaskan")),
        ("Pacific/Honolulu", ("ht", "hst", "hawaii", "hawaiian", "hawaii-aleutian")),
        ("America/Phoenix", ("arizona", "us mountain")),
        ("America/Halifax", ("at", "ast", "adt", "atlantic")),
        ("America/St_Johns", ("nt", "nst", "ndt", "newfoundland")),
    )
    for alias in aliases
}
_NOT_ZONES_OF_PEOPLE = {"factory", "localtime", "posixrules"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lead may be.

    zones: sorted candidate IANA zones; a call must suit all of them. () = unknown. source: the evidence for them,
    "column", "option", "number", or "" when there are none. problem: why the zones are unknown, as a sentence.
    """

    zones: tuple[str, ...]
    source: str
    problem: str = ""


def place_of(
    phone: str, timezone: str = "", zip_code: str = "", state: str = "", country: str = "", option: str = ""
) -> Place:
    """Where the lead of an E.164 number may be, from the cells of its row (as written, "" if none).

    option: the zone an operator named for leads that name none. Pure; within +1 the last four digits never matter.
    """
    if timezone:
        zone = zone_named(timezone)
        if zone is None:
            return Place((), "", f"{timezone!r} is no time zone")
        return Place((zone,), "column")
    if option:
        return Place((option,), "option")
    zones = zones_of(phone)
    return Place(zones, "number") if zones else Place((), "", "the time zone of the number is unknown")


def zones_of(phone: str) -> tuple[str, ...]:
    """The sorted IANA zones an E.164 number may be in; () when nothing is known (toll-free, new area codes).

    Several zones are several possibilities: a caller must suit all of them.
    """
    # Within +1 the library's longest prefix is the exchange (+1NPANXX), so the last four digits never matter.
    return _zones_of_prefix(phone[:8] if phone.startswith("+1") else phone)


@lru_cache(maxsize=65_536)
def _zones_of_prefix(prefix: str) -> tuple[str, ...]:
    from phonenumbers import PhoneNumber, PhoneNumberType, number_type, parse
    from phonenumbers.phonenumberutil import NumberParseException
    from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_geographical_number

    if prefix.startswith("+1"):
        return _nanp_zones(prefix)
    try:
        number = parse(prefix)
    except NumberParseException:
        return ()
    found = set(time_zones_for_geographical_number(number))
    if number_type(number) != PhoneNumberType.FIXED_LINE:
        # A mobile may be anywhere in its country; the library answers Sydney for every Australian one.
        # National number 0 matches no prefix but the calling code's own.
        anywhere = PhoneNumber(country_code=number.country_code, national_number=0)
        found.update(time_zones_for_geographical_number(anywhere))
    found.discard(UNKNOWN_TIMEZONE)
    return tuple(sorted(found))


def _nanp_zones(prefix: str) -> tuple[str, ...]:
    """What the library answers, by its own table: asking it takes twenty times as long."""
    from phonenumbers.timezone import UNKNOWN_TIMEZONE
    from phonenumbers.tzdata import TIMEZONE_DATA

    found: set[str] = set()
    for end in range(len(prefix), 1, -1):
        if (zones := TIMEZONE_DATA.get(prefix[1:end])) is not None:
            found.update(zones)
            break
    if len(found) > _MORE_THAN_ANY_AREA_CODE:
        found = set()
    found.update(_BY_AREA_CODE.get(prefix[2:5], ()))
    found.discard(UNKNOWN_TIMEZONE)
    return tuple(sorted(found))


@lru_cache(maxsize=4096)
def zone_named(text: str) -> str | None:
    """The IANA zone meant by `text` ("America/Denver", "us/eastern", "PST", "Central Time"), or None."""
    name = " ".join(text.split()).lower()
    alias = name.partition("(")[0].strip()
    for ending in (" time", " standard", " daylight"):
        alias = alias.removesuffix(ending)
    if (zone := _ALIASES.get(alias)) is not None:
        return zone
    return _iana_names().get(name.replace(" ", "_"))


@lru_cache(maxsize=1)
def _iana_names() -> dict[str, str]:
    names = {name.lower(): name for name in zoneinfo.available_timezones()}
    return {key: name for key, name in names.items() if key not in _NOT_ZONES_OF_PEOPLE}
