"""Which column is what: by its name, by its content where that says nothing, by the operator's word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from campaigns.leads.phones import Phone, normalise_phone
from campaigns.leads.rows import LeadFileError

# FIELD -> the names it is known by, as `_key` reduces them; an earlier name wins over a later one.
_NAMES: dict[str, tuple[str, ...]] = {
    "phone": (
        *("phonenumber", "phone", "tonumber", "mobile", "mobilephone", "mobilenumber", "cell", "cellphone"),
        *("cellnumber", "tel", "telephone", "telephonenumber", "phoneno", "telno", "mobileno"),
        *("msisdn", "number", "contactnumber", "contactphone", "primaryphone", "leadphone", "customerphone"),
        *("phonee164", "e164", "telefono", "telefon", "telefoonnummer", "rufnummer"),
    ),
    "timezone": ("timezone", "tz", "timezonename", "ianatimezone"),
    "zip": ("zip", "zipcode", "postalcode", "postcode"),
    "state": ("state", "stateprovince", "province"),
    "country": ("country", "countrycode"),
    "priority": ("priority",),
    "call_after": ("callafter", "notbefore"),
    "external_id": ("externalid",),
    "consent": ("consent",),
    "agent_id": ("overrideagentid", "agentid"),
    "agent_version": ("overrideagentversion", "agentversion"),
    "ignore_e164": ("ignoree164validation", "ignoree164"),
    "metadata": ("metadata",),
    "sip_headers": ("customsipheaders", "sipheaders"),
}
FIELDS = tuple(_NAMES)
# Recognised, and a variable all the same: prompts speak of them.
ALSO_VARIABLES = frozenset({"zip", "state", "country"})

# A column holds phones if at least this share of its filled cells are numbers.
_MOSTLY = 0.5
# What a message shows of a header.
_LISTED = 20
_LONGEST_NAME = 40
_DIGITS_OF_A_NUMBER = re.compile(r"[+(]?\d[\d\s().\-]{7,}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Columns:
    """FIELD -> position in the header, and what the operator should know about the choice."""

    index: Mapping[str, int]
    warnings: tuple[str, ...] = field(default=())


def names_phone(name: str) -> bool:
    """Whether a header cell says that its column holds phone numbers."""
    return _key(name) in _NAMES["phone"]


def looks_like_phone(cell: str, region: str) -> bool:
    """Whether a cell is a phone number, or has the digits of one."""
    if not any(char.isdigit() for char in cell):
        return False
    if isinstance(normalise_phone(cell, region), Phone):
        return True
    text = cell.strip()
    return _DIGITS_OF_A_NUMBER.fullmatch(text) is not None and sum(char.isdigit() for char in text) >= 9


def name_columns(cells: Sequence[str]) -> tuple[str, ...]:
    """The header's names made usable: blanks trimmed, repeated ones numbered, empty ones called column_N."""
    names: list[str] = []
    taken = set[str]()
    for position, cell in enumerate(cells, start=1):
        name = base = " ".join(cell.split()) or f"column_{position}"
        count = 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        names.append(name)
    return tuple(names)


def listed(names: Sequence[str]) -> str:
    """Column names for a message, which stays one even if they are a thousand, or a page each."""
    more = len(names) - _LISTED
    shown = [name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..." for name in names[:_LISTED]]
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def recognise_columns(
    header: Sequence[str], sample: Sequence[Sequence[str]], mapping: Mapping[str, str], region: str
) -> Columns:
    """Find each field's column. `sample` is some of the file's rows.

    Raises LeadFileError if no column holds phones, if several do and nothing decides between them, or if
    `mapping` names an unknown field or column.
    """
    index = _mapped(header, mapping)
    spoken_for = set(index.values())
    by_key: dict[str, list[int]] = {}
    for position, name in enumerate(header):
        if position not in spoken_for:
            by_key.setdefault(_key(name), []).append(position)
    warnings: list[str] = []
    for name, aliases in _NAMES.items():
        if name in index or name == "phone":
            continue
        found = [position for alias in aliases for position in by_key.get(alias, ())]
        if found:
            index[name] = found[0]
            if len(found) > 1:
                others = ", ".join(header[position] for position in found[1:])
                warnings.append(f"{name} is read from column {header[found[0]]}; {others} stays a variable")
    if "phone" not in index:
        named = [position for alias in _NAMES["phone"] for position in by_key.get(alias, ())]
        free = [p for p in range(len(header)) if p not in spoken_for and p not in index.values()]
        index["phone"], warning = _phone_column(header, sample, named, free, region)
        if warning:
            warnings.append(warning)
    return Columns(index, tuple(warnings))


def _mapped(header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    index: dict[str, int] = {}
    keys = [_key(name) for name in header]
    for given, column in mapping.items():
        name = given.strip().lower().replace("-", "_").replace(" ", "_")
        if name not in _NAMES:
            raise LeadFileError(f"There is no field {given!r} to map", f"The fields are {', '.join(FIELDS)}")
        wanted = " ".join(column.split())
        if wanted in header:
            index[name] = list(header).index(wanted)
        elif _key(wanted) and keys.count(_key(wanted)) == 1:
            index[name] = keys.index(_key(wanted))
        else:
            raise LeadFileError(
                f"The file has no column {column!r}",
                f"Its columns are {listed(header)}; say which of them with --map {name}=COLUMN",
            )
    return index


def _phone_column(
    header: Sequence[str],
    sample: Sequence[Sequence[str]],
    named: Sequence[int],
    free: Sequence[int],
    region: str,
) -> tuple[int, str]:
    """The one column that must be right: a wrong guess rings wrong people, so where there is doubt, ask."""
    filled = [p for p in free if _share_of_phones(sample, p, region) >= _MOSTLY]
    named_and_filled = [p for p in named if p in filled]
    if len(named_and_filled) == 1 or (len(named) == 1 and not filled):
        chosen = (named_and_filled or list(named))[0]
        others = ", ".join(header[p] for p in filled if p != chosen)
        return chosen, f"{header[chosen]} is dialed; {others} holds phone numbers too" if others else ""
    if not named and len(filled) == 1:
        return filled[0], f"no column is named as the phone: {header[filled[0]]} holds numbers and is dialed"
    several = named_and_filled or [*named, *(p for p in filled if p not in named)]
    if several:
        names = [header[p] for p in several]
        raise LeadFileError(
            f"Several columns could be the phone: {listed(names)}",
            f"Say which with --map phone=COLUMN, such as --map phone={_quoted(names[0])}",
        )
    raise LeadFileError(
        f"No column holds phone numbers. The columns are {listed(header)}",
        "Name one of them phone_number, or say which with --map phone=COLUMN",
    )


def _share_of_phones(sample: Sequence[Sequence[str]], position: int, region: str) -> float:
    cells = [row[position] for row in sample if len(row) > position and row[position].strip()]
    if not cells:
        return 0.0
    return sum(isinstance(normalise_phone(cell, region), Phone) for cell in cells) / len(cells)


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


def _key(name: str) -> str:
    """`Phone Number`, `phone_number` and `PHONE-NUMBER` are one name; accents don't count either."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in plain if char.isalnum())
