"""Where a lead is: the zones it may be in, by the best evidence there is, and the places whose rules hold for it."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from campaigns.leads.places import (
    Region,
    country_named,
    region_coded,
    region_named,
    regions_of_area_code,
    regions_of_postal_code,
)

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


_ZIP = re.compile(r"(\d{3,5})(?:-?\d{4})?", re.ASCII)
_POSTAL = re.compile(r"[A-Za-z]\d[A-Za-z] ?\d[A-Za-z]\d", re.ASCII)
_NANP_COUNTRIES = frozenset({"US", "CA"})
#: Mail to soldiers abroad: whoever has such an address may be anywhere on Earth.
_ANYWHERE = frozenset({"AA", "AE", "AP"})
#: What people write into a cell that says nothing; a zip of zeros as well.
_NOTHING = frozenset({"", "-", "--", "?", "n/a", "na", "none", "null", "nan", "unknown", "tbd", "x"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lead may be.

    zones: sorted candidate IANA zones; a call must suit all of them. () = unknown. source: the evidence for them,
    "column", "zip", "state", "option", "number", or "" when there are none. jurisdictions: sorted places whose rules
    all hold, as `US-FL`; a country alone means somewhere in it. problem: why the zones are unknown, as a sentence.
    unread: the cell that names its place but could not be read, as `state 'Flurida'`, where no other names it.
    """

    zones: tuple[str, ...]
    source: str
    jurisdictions: tuple[str, ...] = ()
    problem: str = ""
    unread: str = ""


def place_of(
    phone: str, timezone: str = "", zip_code: str = "", state: str = "", country: str = "", option: str = ""
) -> Place:
    """Where the lead of an E.164 number may be, from the cells of its row (as written, "" if none).

    Zones by the first evidence that says something: the row's time zone, its zip, its state (all its zones), `option`
    (the zone an operator named for leads that name none), the number. Where zip and state contradict one another, both
    count. Jurisdictions: the state, the zip's, the number's and the country's, all of them; and where the row names a
    state or zip that nobody can read, the whole country, whose strictest rules then hold. Pure; kept per distinct
    answer, since within +1 the last four digits of a number say nothing.
    """
    # Within +1 the library's longest prefix is the exchange (+1NPANXX), so the last four digits never matter.
    prefix = phone[:8] if phone.startswith("+1") else phone
    return _place(prefix, timezone, zip_code, state, country, option)


@lru_cache(maxsize=131_072)
def _place(prefix: str, timezone: str, zip_code: str, state: str, country: str, option: str) -> Place:
    homes, abroad = _homes(prefix)
    written = country_named(country)
    # Elsewhere WA is Western Australia, and a postcode no zip.
    american = prefix.startswith("+1") or written in _NANP_COUNTRIES
    american = american and written in (None, *_NANP_COUNTRIES)
    region = region_named(state) if american else None
    by_zip, zip_zones = _of_zip(zip_code) if american else ((), ())
    places = {home.code for home in homes} | {one.code for one in by_zip} | set(abroad)
    if region is not None:
        places.add(region.code)
    if written is not None and not any(place.partition("-")[0] == written for place in places):
        places.add(written)
    military = american and (state.strip().upper() in _ANYWHERE or zip_zones == _NOWHERE)
    unread = ""
    if american and region is None and not by_zip and not military:
        unread = _unread(zip_code, state)
        if unread:
            places.add(written or next((place.partition("-")[0] for place in sorted(places)), "US"))

    def found() -> tuple[tuple[str, ...], str, str]:
        """(zones, their source, why there are none): what the first evidence says."""
        if timezone:
            zone = zone_named(timezone)
            return ((zone,), "column", "") if zone else ((), "", f"{timezone!r} is no time zone")
        if military:
            return (), "", "the address is military mail, whose reader may be anywhere"
        if zip_zones:
            if region is None or region in by_zip:
                return zip_zones, "zip", ""
            return tuple(sorted({*zip_zones, *region.zones})), "zip", ""
        if region is not None:
            return tuple(sorted(region.zones)), "state", ""
        if option:
            zone = zone_named(option)
            return ((zone,), "option", "") if zone else ((), "", "")
        zones = _zones_of_prefix(prefix) or _zones_in(homes)
        return (zones, "number", "") if zones else ((), "", "the time zone of the number is unknown")

    zones, source, problem = found()
    return Place(zones, source, tuple(sorted(places)), problem, unread)


def _unread(zip_code: str, state: str) -> str:
    """The cell, as `state 'Flurida'`, that says something and could not be read; "" if there is none."""
    for name, text in (("state", state), ("zip", zip_code)):
        if text.strip("0 ").lower() not in _NOTHING:
            return f"{name} {text.strip()!r}"
    return ""


def _homes(prefix: str) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """Where a number is at home: (its regions, its country where no region is known)."""
    if prefix.startswith("+1"):
        regions = regions_of_area_code(prefix[2:5])
        return regions, () if regions else _country_of(prefix.ljust(12, "0"))
    return (), _country_of(prefix)


def _country_of(phone: str) -> tuple[str, ...]:
    from phonenumbers import parse, region_code_for_country_code, region_code_for_number
    from phonenumbers.phonenumberutil import NumberParseException

    try:
        number = parse(phone)
    except NumberParseException:
        return ()
    found = region_code_for_number(number)
    if found is None and number.country_code not in (None, 1):
        found = region_code_for_country_code(number.country_code or 0)
        return () if found in ("ZZ", "001") else (found,)
    if found is None and phone.startswith("+1"):
        # An area code newer than every table: whoever assigns them, the strictest rules are those of the US.
        return ("US",)
    return (found,) if found is not None and found != "001" else ()


def _zones_in(regions: Iterable[Region]) -> tuple[str, ...]:
    return tuple(sorted({zone for region in regions for zone in region.zones}))


_NOWHERE = ("",)


def _of_zip(text: str) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """(regions, zones) of a US zip or a Canadian postal code; `_NOWHERE` as zones for military mail."""
    text = text.strip()
    if not text:
        return (), ()
    if _POSTAL.fullmatch(text):
        regions = regions_of_postal_code(text)
        return regions, _zones_in(regions)
    match = _ZIP.fullmatch(text.removesuffix(".0"))
    # A spreadsheet drops leading zeros: 2139 is 02139.
    found = _zips().get(match[1].zfill(5)) if match else None
    if found is None:
        return (), ()
    state, zone = found
    if state in _ANYWHERE:
        return (), _NOWHERE
    region = region_coded(f"US-{state}")
    # A few rows name no zone, or none that exists.
    zones = (zone,) if zone.lower() in _iana_names() else region.zones if region else ()
    return (region,) if region else (), zones


@lru_cache(maxsize=1)
def _zips() -> dict[str, tuple[str, str]]:
    """Zip -> (state, zone). Half a second and some memory, once, and only for a list that has zips."""
    import zipcodes

    shared: dict[str, str] = {}
    return {
        row["zip_code"]: (
            shared.setdefault(row["state"], row["state"]),
            shared.setdefault(row["timezone"], row["timezone"]),
        )
        # All of them at once take 140 MiB for a moment.
        for first in "0123456789"
        for row in zipcodes.similar_to(first)  # type: ignore[no-untyped-call]
    }


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
