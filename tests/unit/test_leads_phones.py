"""Every line of the table of phones measured in real lists, and what a person expects of it."""

from __future__ import annotations

import pytest

from campaigns.leads import Phone, PhoneProblem, RowCode, normalise_phone, place_of, zone_named

NY = "+12125550123"


@pytest.mark.parametrize(
    ("text", "e164", "extension"),
    [
        ("2125550123", NY, ""),
        ("(212) 555-0123", NY, ""),
        ("+1 212.555.0123", NY, ""),
        ("(+1) 212 555 0123", NY, ""),
        ("212/555-0123", NY, ""),
        ("2125550123.0", NY, ""),
        ("2125550123,00", NY, ""),
        ("+12125550123.0", NY, ""),
        ("2,125,550,123", NY, ""),
        ("2.12555012E9", "+12125550120", ""),
        ("2.125550123E+09", NY, ""),
        ("1.2125550123E10", NY, ""),
        ("'2125550123", NY, ""),
        ('="2125550123"', NY, ""),
        ("1 1 2125550123", NY, ""),
        ("+1 1 212 555 0123", NY, ""),
        ("212\u2011555\u20110123", NY, ""),
        ("212\u2013555\u20130123", NY, ""),
        ("\u202a212-555-0123\u202c", NY, ""),
        ("212\u00a0555\u00a00123", NY, ""),
        ("\uff12\uff11\uff12\uff15\uff15\uff15\uff10\uff11\uff12\uff13", NY, ""),
        ("212-555-0123 x12", NY, "12"),
        ("212-555-0123 ext. 45", NY, "45"),
        ("212-555-0123, extension 9", NY, "9"),
        ("212-555-0123 #77", NY, "77"),
        ("tel:+1-212-555-0123;ext=12", NY, "12"),
        ("212-555-0123 (cell)", NY, ""),
        ("Mobile: 212-555-0123", NY, ""),
        ("011 1 212 555 0123", NY, ""),
        ("787-555-0123", "+17875550123", ""),
        ("416 555 0123", "+14165550123", ""),
    ],
)
def test_accepted(text: str, e164: str, extension: str) -> None:
    phone = normalise_phone(text)
    assert isinstance(phone, Phone), phone
    assert (phone.e164, phone.extension, phone.doubt, phone.note) == (e164, extension, "", "")


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", RowCode.MISSING_PHONE, "no phone number"),
        (" \t ", RowCode.MISSING_PHONE, "Add one"),
        ("N/A", RowCode.MISSING_PHONE, "Add one"),
        ("212555012.0", RowCode.INVALID_PHONE, "9 of ten digits"),
        ("1212555012", RowCode.INVALID_PHONE, "9 of ten digits"),
        ("1.21255E+10", RowCode.INVALID_PHONE, "scientific notation"),
        ("2.13E+09", RowCode.INVALID_PHONE, "format the column as text"),
        ("1e999", RowCode.INVALID_PHONE, "scientific notation"),
        ("2125550123; 2125550124", RowCode.INVALID_PHONE, "several"),
        ("212-555-0123 or 212-555-0124", RowCode.INVALID_PHONE, "several"),
        ("2125550123 2125550124", RowCode.INVALID_PHONE, "several"),
        ("5550123", RowCode.INVALID_PHONE, "no area code"),
        ("442079460958", RowCode.INVALID_PHONE, "region"),
        ("02079460958", RowCode.INVALID_PHONE, "region"),
        ("00442079460958", RowCode.INVALID_PHONE, "region"),
        ("0125550123", RowCode.INVALID_PHONE, "exchange"),
        ("212-055-0123", RowCode.INVALID_PHONE, "exchange"),
        ("999-999-9999", RowCode.INVALID_PHONE, "area code 999"),
        ("212-555 Jane", RowCode.INVALID_PHONE, "something other"),
        ("call reception", RowCode.INVALID_PHONE, "something other"),
        ("++12125550123", RowCode.INVALID_PHONE, "something other"),
        ("+99912345678", RowCode.INVALID_PHONE, "Correct"),
        ("900-555-0123", RowCode.NOT_DIALABLE, "premium"),
        ("800-555-0123", RowCode.NOT_DIALABLE, "toll-free"),
        ("+1 888 555 0123", RowCode.NOT_DIALABLE, "toll-free"),
        ("500-222-3456", RowCode.NOT_DIALABLE, "never dialed"),
        ("911", RowCode.NOT_DIALABLE, "emergency"),
        ("411", RowCode.NOT_DIALABLE, "short"),
        ("202-555-0123 fax", RowCode.NOT_DIALABLE, "fax"),
        ("876-555-0123", RowCode.FOREIGN_COUNTRY, "JM"),
        ("+442079460958", RowCode.FOREIGN_COUNTRY, "GB"),
        ("011442079460958", RowCode.FOREIGN_COUNTRY, "GB"),
    ],
)
def test_refused_with_a_remedy(text: str, code: RowCode, words: str) -> None:
    problem = normalise_phone(text)
    assert isinstance(problem, PhoneProblem), problem
    assert problem.code is code
    assert words.lower() in problem.message.lower()
    assert problem.message.endswith(".")


@pytest.mark.parametrize("text", ["+2125550123", "+3125550123", "+1 729 555 0123", "861-555-0123"])
def test_doubtful_numbers_are_for_a_person_to_decide(text: str) -> None:
    phone = normalise_phone(text)
    assert isinstance(phone, Phone)
    assert phone.doubt
    assert phone.e164.startswith("+1")
    assert len(phone.e164) == 12


def test_a_missing_country_code_never_becomes_morocco() -> None:
    phone = normalise_phone("+2125550123")
    assert isinstance(phone, Phone)
    assert phone.e164 == NY


def test_letters_are_read_as_digits_and_flagged() -> None:
    phone = normalise_phone("212-555-CALL")
    assert isinstance(phone, Phone)
    assert phone.e164 == "+12125552255"
    assert "212-555-CALL" in phone.note


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("020 7946 0958", "+442079460958"),
        ("442079460958", "+442079460958"),
        ("0044 20 7946 0958", "+442079460958"),
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("999", RowCode.NOT_DIALABLE),
        ("+12125550123", RowCode.FOREIGN_COUNTRY),
        ("0800 123 4567", RowCode.NOT_DIALABLE),
        ("2125550123", RowCode.INVALID_PHONE),
    ],
)
def test_another_region_takes_its_own_numbers_only(text: str, expected: str) -> None:
    phone = normalise_phone(text, "GB")
    assert (phone.e164 if isinstance(phone, Phone) else phone.code) == expected


def test_a_canadian_list_takes_canada_only() -> None:
    assert isinstance(normalise_phone("416-555-0123", "CA"), Phone)
    american = normalise_phone("212-555-0123", "CA")
    assert isinstance(american, PhoneProblem)
    assert american.code is RowCode.FOREIGN_COUNTRY


@pytest.mark.parametrize(
    ("phone", "zones"),
    [
        (NY, ("America/New_York",)),
        ("+14235550123", ("America/Chicago", "America/New_York")),
        ("+16055550123", ("America/Chicago", "America/Denver")),
        ("+17295550123", ("America/Chicago", "America/New_York")),
        ("+19285550123", ("America/Denver", "America/Phoenix")),
        ("+13065550123", ("America/Edmonton", "America/Regina")),
        ("+442079460958", ("Europe/London",)),
        ("+18005550123", ()),
        ("+15002223456", ()),
        ("+19005550123", ()),
        ("nothing", ()),
        ("+1", ()),
    ],
)
def test_zones_of_a_number(phone: str, zones: tuple[str, ...]) -> None:
    found = place_of(phone).zones
    assert found == tuple(sorted(found))
    assert set(zones) <= set(found)
    assert bool(found) == bool(zones)
    if len(zones) == 1:
        assert found == zones


def test_a_foreign_mobile_may_be_anywhere_in_its_country() -> None:
    assert {"Australia/Sydney", "Australia/Perth"} <= set(place_of("+61412345678").zones)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("America/Denver", "America/Denver"),
        ("america/new york", "America/New_York"),
        ("US/Eastern", "US/Eastern"),
        ("EST", "America/New_York"),
        ("edt", "America/New_York"),
        ("ET", "America/New_York"),
        ("CT", "America/Chicago"),
        ("MT", "America/Denver"),
        ("PT", "America/Los_Angeles"),
        ("AKT", "America/Anchorage"),
        ("HT", "Pacific/Honolulu"),
        ("Eastern Time (US & Canada)", "America/New_York"),
        ("Pacific Daylight Time", "America/Los_Angeles"),
        ("US Mountain Standard Time", "America/Phoenix"),
        ("Gotham", None),
        ("UTC+5", None),
        ("Factory", None),
        ("../etc/passwd", None),
        ("", None),
    ],
)
def test_zone_a_person_writes(text: str, zone: str | None) -> None:
    assert zone_named(text) == zone
