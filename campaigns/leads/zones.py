"""Whose local time: the zones a number may be in, and the zone a person wrote into a column."""

from __future__ import annotations

import zoneinfo
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

    nanp = prefix.startswith("+1")
    try:
        number = parse(prefix.ljust(12, "0") if nanp else prefix)
    except NumberParseException:
        return ()
    found = set(time_zones_for_geographical_number(number))
    if nanp:
        if len(found) > _MORE_THAN_ANY_AREA_CODE:
            found = set()
        found.update(_BY_AREA_CODE.get(prefix[2:5], ()))
    elif number_type(number) != PhoneNumberType.FIXED_LINE:
        # A mobile may be anywhere in its country; the library answers Sydney for every Australian one.
        # National number 0 matches no prefix but the calling code's own.
        anywhere = PhoneNumber(country_code=number.country_code, national_number=0)
        found.update(time_zones_for_geographical_number(anywhere))
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
