"""A cell that should hold a phone number -> the number a person meant, or what is wrong with it.

Two halves: undoing what spreadsheets and people do to a number (pure text), then asking `phonenumbers`, which
alone decides whether a number exists. Never guessed: where two readings are possible, the answer is a problem
or a doubt.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from campaigns.leads.rows import RowCode

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    # Imported inside functions at run time: its tables take a tenth of a second, and most commands need none.


@dataclass(frozen=True, slots=True)
class Phone:
    """A number that can be dialed.

    Attributes:
        e164: canonical form, the key of everything that follows.
        extension: digits to dial after the answer, "" if none.
        country: ISO country the number belongs to.
        doubt: why a person should look before it is dialed, with what to do; "" when there is no doubt.
        note: how an unusual but clear cell was read (letters as digits); "" usually.
    """

    e164: str
    extension: str = ""
    country: str = "US"
    doubt: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class PhoneProblem:
    """Why a cell is no dialable number; `message` also says what to do."""

    code: RowCode
    message: str


# Whom a region's list may reach. A US list takes the territories and Canada. The rest of +1 (Jamaica, the
# Dominican Republic, ...) looks the same, and is foreign and dear to call.
_ACCEPTED = {"US": frozenset({"US", "PR", "VI", "GU", "AS", "MP", "CA"})}

# Assigned, but newer than the library's tables (as of phonenumbers 9.0.43): held instead of dropped.
_NEW_AREA_CODES = frozenset({"729", "861", "457", "471", "483"})

# Enough for two numbers and a remark; beyond it the patterns below would take quadratic time.
_LONGEST_CELL = 200

_PLACEHOLDERS = frozenset(
    {"", "n/a", "na", "#n/a", "none", "null", "nil", "nan", "unknown", "tbd", "-", "--", "?", ".", "x"}
)
_CLEAN = re.compile(r"(?:\+?1[-. ]?)?\(?([2-9]\d\d)\)?[-. ]?(\d{3})[-. ]?(\d{4})", re.ASCII)
_SCIENTIFIC = re.compile(r"\+?(\d+)(?:[.,](\d*))?[eE]\+?(\d{1,3})", re.ASCII)
_FLOAT = re.compile(r"(\+?\d+)[.,]0+", re.ASCII)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3}){2,}(?:\.0+)?", re.ASCII)
_EXTENSION = re.compile(
    r"(.*\d.*?)[\s,;.(-]*(?:extension|extn|ext|x|#)[\s.:=#]*(\d{1,7})[\s)#]*",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_SEVERAL = re.compile(r"[;/|\n\r,&]|\s(?:or|and)\s", re.IGNORECASE)
_LABEL = re.compile(
    r"\b(?:cell ?phone|cell|mobile|mob|home|work|office|phone|telephone|tel|ph|direct|main|landline)\b[.:]?",
    re.IGNORECASE,
)
_REMARK = re.compile(r"\([^()\d]*\)")
# Capitals only: "212-555 Jane" is a truncated number and a name, not 212-555-5263.
_VANITY = re.compile(r"[\d\s().+-]*\d[\s).-]*[A-Z][A-Z-]{2,}[\d-]*", re.ASCII)
_ALLOWED = re.compile(r"[^\d+]*\+?[\d\s().\-/]+", re.ASCII)
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")


def is_region(code: str) -> bool:
    """Whether numbers can be read as those of this country (ISO code, in either case)."""
    import phonenumbers

    return code.upper() in phonenumbers.SUPPORTED_REGIONS


def countries_of(numbers: npt.NDArray[np.int64]) -> Counter[str]:
    """How many of these numbers (E.164 without the plus) belong to each country."""
    import numpy as np
    import phonenumbers

    found = Counter[str]()
    prefixes, counts = np.unique(numbers // 10_000, return_counts=True)
    for prefix, count in zip(prefixes.tolist(), counts.tolist(), strict=True):
        text = f"{prefix}0000"
        if text.startswith("1") and len(text) == 11:
            country, _ = _assigned(text[1:])
        else:
            country = phonenumbers.region_code_for_number(phonenumbers.parse(f"+{text}"))
        found[country or "?"] += count
    return found


def normalise_phone(text: str, region: str = "US") -> Phone | PhoneProblem:
    """Read one cell as a phone number expected in `region` (an ISO country code).

    Never raises, whatever the text. The result's `e164` reads back as itself.
    """
    region = region.upper()
    clean = _CLEAN.fullmatch(text)
    if clean is not None and region == "US":
        return _nanp("".join(clean.groups()), region)
    if len(text) > _LONGEST_CELL:
        return _invalid("holds something other than a phone number", "Keep only the number in this cell")
    cell = _unwrap(text)
    if cell.lower() in _PLACEHOLDERS:
        return PhoneProblem(
            RowCode.MISSING_PHONE, "There is no phone number in this row. Add one, or delete the row."
        )
    expanded = _undo_spreadsheet(cell)
    if isinstance(expanded, PhoneProblem):
        return expanded
    cell, extension = _split_extension(expanded)
    problem = _several_or_fax(cell)
    if problem is not None:
        return problem
    cell = _LABEL.sub(" ", _REMARK.sub(" ", cell)).strip(" :;,.\t\r\n")
    note = ""
    if region in _nanp_regions() and _VANITY.fullmatch(cell):
        spelled = cell.upper().translate(_KEYPAD)
        note = f"letters read as digits: {cell} is {re.sub(r'[^0-9]', '', spelled)}"
        cell = spelled
    if not _ALLOWED.fullmatch(cell) or not any(c.isdigit() for c in cell):
        return _invalid("holds something other than a phone number", "Keep only the number in this cell")
    found = _resolve(cell, region)
    if isinstance(found, Phone) and (extension or note):
        return Phone(found.e164, extension, found.country, found.doubt, note)
    return found


def _unwrap(text: str) -> str:
    """Plain ASCII without what spreadsheets, web pages and phones wrap around a number."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(_plain(c) for c in text)
    text = text.replace("\0", "").strip()
    if text.startswith("="):
        text = text[1:].strip()
    text = text.strip("'\"` \t\r\n")
    if text[:4].lower() == "tel:":
        text = text[4:]
    return text.strip()


def _plain(char: str) -> str:
    if char.isascii():
        return char
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.digit(char))
    if category == "Pd" or char == "\u2212":
        return "-"
    if category == "Cf":  # direction marks and zero-width characters that come with a pasted contact
        return ""
    if category.startswith("Z"):
        return " "
    return "'" if char in "\u2018\u2019" else char


def _undo_spreadsheet(cell: str) -> str | PhoneProblem:
    """Numbers that were stored as numbers: 2.12555012E9, 2125550123.0, 2,125,550,123."""
    scientific = _SCIENTIFIC.fullmatch(cell)
    if scientific is not None:
        whole, fraction, exponent = scientific[1], scientific[2] or "", int(scientific[3])
        # A program that prints every digit leaves off trailing zeros only, rarely more than two. A
        # spreadsheet rounds to five decimals, and the number that was meant is gone.
        if exponent > 15 or exponent - len(fraction) > 2:
            return _invalid(
                "is in scientific notation and has lost digits",
                "Format the column as text in the spreadsheet and export the file again",
            )
        value = Decimal(f"{whole}.{fraction or '0'}").scaleb(exponent)
        if value != value.to_integral_value():
            return _invalid("is a fraction", "Replace it by the phone number")
        return str(int(value))
    if _THOUSANDS.fullmatch(cell):
        cell = cell.replace(",", "")
    plain = _FLOAT.fullmatch(cell)
    return plain[1] if plain is not None else cell


def _split_extension(cell: str) -> tuple[str, str]:
    match = _EXTENSION.fullmatch(cell)
    if match is None or _count_digits(match[1]) < 7:
        return cell, ""
    return match[1], match[2]


def _several_or_fax(cell: str) -> PhoneProblem | None:
    parts = [part for part in _SEVERAL.split(cell) if _count_digits(part) >= 7]
    if len(parts) > 1:
        return _invalid("holds several phone numbers", "Keep one, or give each its own row")
    if _count_digits(cell) > 17:
        return _invalid("is longer than any number; several may run together", "Keep one in this cell")
    if "fax" in cell.lower():
        return PhoneProblem(
            RowCode.NOT_DIALABLE,
            "The number is marked as a fax. Put a voice number there, or delete the row.",
        )
    return None


def _resolve(cell: str, region: str) -> Phone | PhoneProblem:
    digits = re.sub(r"[^0-9]", "", cell)
    plus = "+" in cell
    if region not in _nanp_regions():
        return _elsewhere(f"+{digits}" if plus else digits, region)
    national = digits.lstrip("1")  # no area code begins with 1: 1 1 212... is 212...
    if len(national) == 10 and len(digits) <= 13 and (not plus or len(digits) > 10):
        return _nanp(national, region)
    if plus:
        if len(digits) == 10:
            meant = _nanp(digits, region)
            if isinstance(meant, Phone):
                # One in ten of these also parses as a number in another country.
                doubt = (
                    f"+{digits} has no country code: +1{digits} is assumed. If that is right, write it so; "
                    "if it is a number in another country, remove the row."
                )
                return Phone(meant.e164, "", meant.country, doubt)
        return _elsewhere(f"+{digits}", region)
    if digits.startswith("011") and len(digits) > 11:
        return _elsewhere(f"+{digits[3:]}", region)
    return _wrong_length(digits, region)


def _wrong_length(digits: str, region: str) -> PhoneProblem:
    import phonenumbers

    if len(digits) == 3 and phonenumbers.is_valid_short_number_for_region(
        phonenumbers.PhoneNumber(country_code=1, national_number=int(digits)), region
    ):
        return _short(digits)
    if len(digits) == 7:
        return _invalid("has no area code", "Write all ten digits")
    national = digits.lstrip("1")
    if len(digits) <= 10 and not digits.startswith("0"):
        return _invalid(f"is too short: {len(national)} of ten digits", "Write all ten digits")
    abroad = _elsewhere(f"+{digits.removeprefix('00')}", region) if len(digits) > 10 else None
    if isinstance(abroad, PhoneProblem) and abroad.code is RowCode.FOREIGN_COUNTRY:
        return _invalid(
            f"is no {region} number, but would be one of another country with a + in front",
            "If that is meant, write it with + and import the numbers of that country with it as the region",
        )
    return _invalid(
        f"is no {region} number: {len(digits)} digits instead of ten",
        "Correct it. If it belongs to another country, import that country's numbers with it as the region",
    )


def _nanp(national: str, region: str) -> Phone | PhoneProblem:
    """Ten digits of the North American plan."""
    e164 = f"+1{national}"
    country, kind = _assigned(national)
    if country is None:
        area, exchange = national[:3], national[3:6]
        if area in _NEW_AREA_CODES and exchange[0] not in "01":
            doubt = (
                f"Area code {area} is too new to be checked. Call the number by hand, then release the lead."
            )
            return Phone(e164, "", "US", doubt)
        if area[0] in "01" or exchange[0] in "01":
            return _invalid(
                "can't exist: no area code and no exchange begins with 0 or 1", "Correct the number"
            )
        return _invalid(f"doesn't exist: no such number in area code {area}", "Correct the number")
    return _judge(kind, e164, country, region)


def _assigned(national: str) -> tuple[str | None, int]:
    """(country or None if there is no such number, the library's type of it)."""
    import phonenumbers

    from campaigns.leads import nanp

    # Compiling the plan takes longer than a short list.
    if nanp.number_plan.cache_info().currsize and (known := nanp.number_plan().look_up(national)) is not None:
        return known

    number = phonenumbers.PhoneNumber(country_code=1, national_number=int(national))
    return phonenumbers.region_code_for_number(number), phonenumbers.number_type(number)


def _elsewhere(text: str, region: str) -> Phone | PhoneProblem:
    """A number the library reads by itself: with + in any region, or national in a region outside +1."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return _invalid("can't be read as a phone number", f"Correct it (it was read as {region})")
    country = phonenumbers.region_code_for_number(number)
    if country is None:
        # A national number of three digits may be the region's own emergency or service number.
        if len(text) <= 6 and phonenumbers.is_valid_short_number_for_region(number, region):
            return _short(text)
        return _invalid(
            f"is no existing number read as {region}",
            "Correct it, or write it with + and its country code",
        )
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return _judge(phonenumbers.number_type(number), e164, country, region)


def _judge(number_type: int, e164: str, country: str, region: str) -> Phone | PhoneProblem:
    """Policy: an existing number may still be one that a campaign must not ring."""
    if number_type not in _kinds():
        return PhoneProblem(
            RowCode.NOT_DIALABLE,
            f"{e164} is a toll-free, premium-rate or service number and is never dialed. "
            "Put the lead's own number there.",
        )
    if country not in _ACCEPTED.get(region, frozenset({region})):
        expected = "the US, its territories or Canada" if region == "US" else region
        return PhoneProblem(
            RowCode.FOREIGN_COUNTRY,
            f"{e164} is a number of {_country_name(country)}, not of {expected}. "
            f"Remove the row, or import the numbers of {_country_name(country)} as a file with that region.",
        )
    return Phone(e164, "", country)


@lru_cache(maxsize=8)
def accepted_answers(region: str) -> npt.NDArray[np.bool_]:
    """Which answers of the number plan mean: a number to be dialed from a list of this region, without a doubt."""
    import numpy as np

    from campaigns.leads.nanp import number_plan

    countries = _ACCEPTED.get(region, frozenset({region}))
    return np.array(
        [country in countries and _kinds().get(kind) is not None for country, kind in number_plan().answers]
    )


def _country_name(country: str) -> str:
    return "another country" if country == "001" else country


@lru_cache(maxsize=1)
def _kinds() -> dict[int, str]:
    """The number types that belong to a person or a business line; every other type is never dialed."""
    from phonenumbers import PhoneNumberType as Kind

    return {
        Kind.FIXED_LINE: "fixed line",
        Kind.MOBILE: "mobile",
        Kind.FIXED_LINE_OR_MOBILE: "fixed line or mobile",
        Kind.VOIP: "internet line",
    }


@lru_cache(maxsize=1)
def _nanp_regions() -> frozenset[str]:
    import phonenumbers

    return frozenset(phonenumbers.region_codes_for_country_code(1))


def _short(digits: str) -> PhoneProblem:
    return PhoneProblem(
        RowCode.NOT_DIALABLE,
        f"{digits} is a short or emergency number and is never dialed. Put the lead's own number there.",
    )


def _count_digits(text: str) -> int:
    return sum(map(str.isdigit, text))


def _invalid(what: str, remedy: str) -> PhoneProblem:
    return PhoneProblem(RowCode.INVALID_PHONE, f"The phone number {what}. {remedy}.")
