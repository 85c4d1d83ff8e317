"""Where a lead is: its zones by the best evidence, and every place whose rules hold for it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import campaigns.leads
from campaigns.domain.windows import zone
from campaigns.leads import Place, place_of
from campaigns.leads.places import country_named, region_named, regions_of_area_code, regions_of_country

EAST, CENTRAL, MOUNTAIN, WEST = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"
NEW_YORKER = "+12125550123"


@pytest.mark.parametrize(
    ("cells", "zones", "source", "places"),
    [
        ({}, [EAST], "number", ["US-NY"]),
        (
            {"timezone": "PST", "zip_code": "60601", "state": "TX"},
            [WEST],
            "column",
            ["US-IL", "US-NY", "US-TX"],
        ),
        ({"zip_code": "32501", "state": "FL", "option": WEST}, [CENTRAL], "zip", ["US-FL", "US-NY"]),
        ({"zip_code": "32501-4433"}, [CENTRAL], "zip", ["US-FL", "US-NY"]),
        ({"zip_code": "2139"}, [EAST], "zip", ["US-MA", "US-NY"]),
        ({"zip_code": "2139.0"}, [EAST], "zip", ["US-MA", "US-NY"]),
        ({"zip_code": "32501", "state": "CA"}, [CENTRAL, WEST], "zip", ["US-CA", "US-FL", "US-NY"]),
        ({"zip_code": "00000", "state": "tennessee"}, [CENTRAL, EAST], "state", ["US-NY", "US-TN"]),
        ({"state": "US-SD"}, [CENTRAL, MOUNTAIN], "state", ["US-NY", "US-SD"]),
        ({"option": "America/Denver"}, [MOUNTAIN], "option", ["US-NY"]),
        ({"zip_code": "V6B 1A1", "country": "Canada"}, None, "zip", ["CA-BC", "US-NY"]),
        ({"country": "usa"}, [EAST], "number", ["US-NY"]),
        ({"country": "Australia", "state": "WA"}, [EAST], "number", ["AU", "US-NY"]),
    ],
)
def test_the_first_evidence_gives_the_zones_and_all_of_it_the_places(
    cells: dict[str, str], zones: list[str] | None, source: str, places: list[str]
) -> None:
    found = place_of(NEW_YORKER, **cells)
    assert zones is None or found.zones == tuple(zones)
    assert (found.source, found.jurisdictions) == (source, tuple(places))


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"timezone": "Mars"}, "'Mars' is no time zone"),
        ({"state": "AE"}, "military mail"),
        ({"zip_code": "09012"}, "military mail"),
        ({"zip_code": "09012", "state": "NY"}, "military mail"),
    ],
)
def test_what_nobody_can_know_is_held(cells: dict[str, str], says: str) -> None:
    found = place_of(NEW_YORKER, **cells)
    assert (found.zones, found.source) == ((), "")
    assert says in found.problem


@pytest.mark.parametrize("phone", ["+18005550123", "+15005550123", "+19005550123"])
def test_a_number_of_nowhere_has_no_zone_and_the_strictest_rules(phone: str) -> None:
    found = place_of(phone)
    assert (found.zones, found.jurisdictions) == ((), ("US",))


def test_an_area_code_newer_than_the_library_has_the_zones_of_its_state() -> None:
    assert place_of("+18615550123") == Place((CENTRAL,), "number", ("US-IL",))


@pytest.mark.parametrize(
    ("phone", "country"),
    [("+61412345678", "AU"), ("+442071838750", "GB"), ("+33142685300", "FR"), ("+4930123456", "DE")],
)
def test_a_number_of_another_country_has_its_rules(phone: str, country: str) -> None:
    assert place_of(phone).jurisdictions == (country,)
    assert place_of(phone, country="US").jurisdictions == tuple(sorted((country, "US")))


@pytest.mark.parametrize(
    ("cells", "unread", "places"),
    [
        ({"state": "Flurida"}, "state 'Flurida'", ["US", "US-NY"]),
        ({"zip_code": "1234X"}, "zip '1234X'", ["US", "US-NY"]),
        ({"state": "Flurida", "timezone": "ET"}, "state 'Flurida'", ["US", "US-NY"]),
        ({"state": "Flurida", "zip_code": "33101"}, "", ["US-FL", "US-NY"]),
        ({"state": "FL", "zip_code": "1234X"}, "", ["US-FL", "US-NY"]),
        ({"state": "N/A", "zip_code": "00000"}, "", ["US-NY"]),
        ({"state": "Bavaria", "country": "DE"}, "", ["DE", "US-NY"]),
    ],
)
def test_what_cannot_be_read_is_said_and_the_strictest_rules_hold(
    cells: dict[str, str], unread: str, places: list[str]
) -> None:
    found = place_of(NEW_YORKER, **cells)
    assert (found.unread, list(found.jurisdictions)) == (unread, places)


def test_a_canadian_whose_province_cannot_be_read_is_somewhere_in_canada() -> None:
    assert place_of("+14165550123", state="Ontarioo").jurisdictions == ("CA", "CA-ON")


def test_the_table_of_places_is_whole() -> None:
    table = tomllib.loads((Path(campaigns.leads.__file__).parent / "places.toml").read_text())
    regions = [*regions_of_country("US"), *regions_of_country("CA")]
    assert {region.code for region in regions} == {
        code for code, row in table.items() if isinstance(row, dict)
    }
    assert len(regions_of_country("US")) == 51 + 5
    assert len(regions_of_country("CA")) == 13
    for region in regions:
        assert region.zones
        assert all(zone(name) for name in region.zones)
        assert region_named(region.name) == region_named(region.code.lower()) == region
    assert [region.code for region in regions_of_area_code("902")] == ["CA-NS", "CA-PE"]
    assert regions_of_area_code("800") == ()


def test_countries_are_known_by_what_people_write() -> None:
    words = {
        "USA": "US",
        "u.s.": "US",
        " united  kingdom ": "GB",
        "uk": "GB",
        "DE": "DE",
        "xx": None,
        "Narnia": None,
    }
    assert {word: country_named(word) for word in words} == words
