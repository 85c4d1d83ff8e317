"""The messy mix: the ways in which people write numbers, names with commas and accents, notes with quotation marks."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

HEADER = ("phone_number", "first_name", "last_name", "email", "city", "state", "zip", "note")

_FIRST = ("Ann", "Bob", "Renée", "José", "Li", "Zoë", "Maria", "John")
_LAST = ("Smith", "O'Neil", "Lee, Jr.", "García", "Müller", "Jones")
_AREAS = (201, 202, 203, 205, 206, 212, 213, 214, 216, 270, 303, 305, 312, 313, 404, 415, 416, 423, 425, 480, 503,
          512, 514, 602, 604, 612, 617, 702, 713, 718, 770, 801, 850, 907, 928)  # fmt: skip
_STATES = ("NY", "CA", "TX")
#: 85 of them around each area code.
_ZIPS = tuple(f"{zip_code:05}" for zip_code in random.Random(3).sample(range(501, 99_950), 3_000))


def messy_rows(count: int, seed: int = 1) -> Iterator[list[str]]:
    """7 in 100 rows are written in a way out of the ordinary; 2 in 100 have no number to be dialed."""
    rng = random.Random(seed)
    for at in range(count):
        area, exchange, line = rng.choice(_AREAS), rng.randrange(200, 999), rng.randrange(10_000)
        yield [
            _written(rng.random(), f"{area}", f"{exchange:03}", f"{line:04}"),
            rng.choice(_FIRST),
            rng.choice(_LAST),
            f"user{at}@example.com",
            "Springfield",
            _STATES[area % 3],
            _ZIPS[area * 85 % 2_900 + rng.randrange(85)],
            _note(rng),
        ]


def _written(kind: float, area: str, exchange: str, line: str) -> str:
    plain = area + exchange + line
    for share, text in (
        (0.35, plain),
        (0.60, f"({area}) {exchange}-{line}"),
        (0.75, f"+1{plain}"),
        (0.88, f"{area}-{exchange}-{line}"),
        (0.93, f"{area}.{exchange}.{line}"),
        (0.95, f"{plain}.0"),
        (0.96, f"1 {area} {exchange} {line} x12"),
        (0.965, ""),
        (0.97, plain[:9]),
        (0.975, f"800{exchange}{line}"),
        (0.98, "+44 20 7946 0958"),
        (0.985, f"'{plain}"),
    ):
        if kind < share:
            return text
    return f"  {plain} "


def _note(rng: random.Random) -> str:
    if rng.random() < 0.9:
        return ""
    return "line one\nline two" if rng.random() < 0.01 else rng.choice(('said "hello"', "a, b"))


def messy_list(path: Path, count: int, seed: int = 1) -> Path:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(HEADER)
        writer.writerows(messy_rows(count, seed))
    return path
