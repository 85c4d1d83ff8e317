"""States, provinces and territories of the North American numbering plan, and the words people use for countries."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

_COUNTRIES = {
    alias: code
    for code, aliases in {
        "US": ("us", "usa", "u.s.", "u.s.a.", "united states", "united states of america", "america"),
        "CA": ("ca", "can", "canada"),
        "GB": ("gb", "gbr", "uk", "u.k.", "united kingdom", "great britain", "england", "scotland", "wales"),
        "AU": ("au", "aus", "australia"),
        "FR": ("fr", "fra", "france"),
        "ES": ("es", "esp", "spain", "españa"),
        "IT": ("it", "ita", "italy", "italia"),
    }.items()
    for alias in aliases
}


@dataclass(frozen=True, slots=True)
class Region:
    """A state, province or territory. code: ISO 3166-2, as `US-FL`; the US territories are written the same way.

    zones: all that it lies in.
    """

    code: str
    name: str
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Regions:
    by_code: Mapping[str, Region]
    by_name: Mapping[str, Region]
    by_area_code: Mapping[str, tuple[Region, ...]]
    by_postal_letter: Mapping[str, tuple[Region, ...]]


@lru_cache(maxsize=1)
def _regions() -> _Regions:
    document = tomllib.loads((files("campaigns.leads") / "places.toml").read_text(encoding="utf-8"))
    by_code: dict[str, Region] = {}
    by_name: dict[str, Region] = {}
    by_area_code: dict[str, tuple[Region, ...]] = {}
    by_letter: dict[str, tuple[Region, ...]] = {}
    for code, row in document.items():
        if not isinstance(row, dict):
            continue
        region = by_code[code] = Region(code, row["name"], tuple(row["zones"]))
        by_name[region.name.lower()] = by_name[code[3:].lower()] = by_name[code.lower()] = region
        for area_code in row["area_codes"].split():
            by_area_code[area_code] = (*by_area_code.get(area_code, ()), region)
        for letter in row.get("postal_letters", ""):
            by_letter[letter] = (*by_letter.get(letter, ()), region)
    by_name["washington dc"] = by_name["washington, dc"] = by_name["d.c."] = by_code["US-DC"]
    by_name["québec"] = by_code["CA-QC"]
    return _Regions(by_code, by_name, by_area_code, by_letter)


def region_coded(code: str) -> Region | None:
    """The region of an ISO 3166-2 code, as `US-FL`."""
    return _regions().by_code.get(code)


def region_named(text: str) -> Region | None:
    """The state, province or territory meant by `FL`, `Florida`, `us-fl`; None for anything else."""
    return _regions().by_name.get(" ".join(text.split()).lower())


def regions_of_country(country: str) -> list[Region]:
    """The states, provinces and territories of `US` or `CA`."""
    return [region for code, region in _regions().by_code.items() if code.startswith(f"{country}-")]


def regions_of_area_code(area_code: str) -> tuple[Region, ...]:
    """Where an area code lies: one region, two or three in Canada, () if it is none of a place."""
    return _regions().by_area_code.get(area_code, ())


def regions_of_postal_code(code: str) -> tuple[Region, ...]:
    """Where a Canadian postal code, such as `K1A 0B6`, lies."""
    return _regions().by_postal_letter.get(code[:1].upper(), ())


def country_named(text: str) -> str | None:
    """The country (ISO code) meant by `USA`, `Canada`, `DE`; None for what is neither a known name nor two letters."""
    word = " ".join(text.split()).lower()
    found = _COUNTRIES.get(word)
    if found is not None or len(word) != 2 or not word.isascii():
        return found
    from campaigns.leads.phones import is_region

    return word.upper() if is_region(word) else None
