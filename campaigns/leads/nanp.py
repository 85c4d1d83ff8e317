"""The North American numbering plan as one table over six digits, compiled from the installed `phonenumbers`.

`phonenumbers` decides by regular expressions over ten digits, one number at a time. Nearly all of them say the same of
every number with the same area code and exchange. So the expressions are followed digit by digit, all at once, to the
sixth; where what remains accepts all or none of the last four digits, the prefix has one answer, and the library is
asked for it once per kind of answer. Where the last four matter, the table says "ask".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

_DIGITS = range(10)
_PREFIX, _REST = 6, 4
_KINDS = ("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail",
          "fixed_line", "mobile")  # fmt: skip


@dataclass(frozen=True, slots=True)
class NumberPlan:
    """The plan as the library knows it.

    answer: per six digits, a position in `answers`; 0 = ask the library, the last four digits matter.
    answers: (country or None if there is no such number, number type of the library); the first is nothing.
    """

    answer: npt.NDArray[np.uint8]
    answers: tuple[tuple[str | None, int], ...]

    def look_up(self, national: str) -> tuple[str | None, int] | None:
        """(country, type) of ten digits; None = ask the library."""
        found = self.answer[int(national[:_PREFIX])]
        return self.answers[found] if found else None


@lru_cache(maxsize=1)
def number_plan() -> NumberPlan:
    """Compile the plan: half a second, once, and one megabyte.

    Metadata in a notation that is not understood here gives a plan that asks the library for every number.
    """
    try:
        return _compiled()
    except _NotUnderstood:
        return NumberPlan(np.zeros(10**_PREFIX, np.uint8), ((None, 0),))


def _compiled() -> NumberPlan:
    start = tuple((at, _parse(text, anything)) for at, (text, anything) in enumerate(_patterns()))
    keys: dict[tuple[int, ...] | None, int] = {None: 0}
    done: dict[tuple[int, Any], npt.NDArray[np.uint8]] = {}

    def follow(state: Any, depth: int) -> npt.NDArray[np.uint8]:
        known = done.get((depth, state))
        if known is not None:
            return known
        if depth == _PREFIX:
            key = keys.setdefault(_key(state), len(keys))
            answer = np.full(1, key, np.uint8)
        else:
            parts = []
            for digit in _DIGITS:
                after = ((at, _after(node, digit)) for at, node in state)
                parts.append(follow(tuple((at, node) for at, node in after if node is not _NEVER), depth + 1))
            answer = np.concatenate(parts)
        done[depth, state] = answer
        return answer

    table = follow(start, 0)
    if len(keys) > 255:
        raise _NotUnderstood
    # As a number, ten digits that begin with 0 are fewer; no area code does, nor with 1.
    table[: 2 * 10 ** (_PREFIX - 1)] = 0
    answers: list[tuple[str | None, int]] = [(None, 0)]
    for key in range(1, len(keys)):
        where = np.flatnonzero(table == key)
        answers.append(_ask(int(where[0]) * 10**_REST) if where.size else (None, 0))
    return NumberPlan(table, tuple(answers))


def _key(state: tuple[tuple[int, Any], ...]) -> tuple[int, ...] | None:
    """The expressions that accept whatever follows; None if the last digits decide about one."""
    accepting = []
    for at, node in state:
        count = _count(node, _REST)
        if count == 10**_REST:
            accepting.append(at)
        elif count:
            return None
    return tuple(accepting)


def _ask(national: int) -> tuple[str | None, int]:
    import phonenumbers

    number = phonenumbers.PhoneNumber(country_code=1, national_number=national)
    return phonenumbers.region_code_for_number(number), int(phonenumbers.number_type(number))


def _patterns() -> list[tuple[str, bool]]:
    """Every expression that the library may try on a number of +1, each once; True: it is only a beginning."""
    import phonenumbers
    from phonenumbers import PhoneMetadata

    found: dict[tuple[str, bool], None] = {}
    for region in phonenumbers.region_codes_for_country_code(1):
        metadata = PhoneMetadata.metadata_for_region(region)
        if metadata is None:
            raise _NotUnderstood
        if metadata.leading_digits:
            found[metadata.leading_digits, True] = None
        for name in ("general_desc", *_KINDS):
            kind = getattr(metadata, name)
            if kind is not None and kind.national_number_pattern and _long_enough(kind, metadata):
                found[kind.national_number_pattern, False] = None
    return list(found)


def _long_enough(kind: Any, metadata: Any) -> bool:
    lengths = kind.possible_length or metadata.general_desc.possible_length
    return _PREFIX + _REST in lengths


# --- regular expressions over digits, and what remains of them after a digit ---
# ("is", digits) one of these; ("then", a, b); ("or", {a, b, ...}); _END nothing more; _ANY whatever follows.


class _NotUnderstood(Exception):
    pass


_END: Any = ("end",)
_ANY: Any = ("any",)
_NEVER: Any = ("never",)


def _then(first: Any, second: Any) -> Any:
    if first is _NEVER or second is _NEVER:
        return _NEVER
    if first is _END:
        return second
    return ("then", first, second)


def _or(nodes: frozenset[Any]) -> Any:
    some = {node for node in nodes if node is not _NEVER}
    if not some:
        return _NEVER
    return next(iter(some)) if len(some) == 1 else ("or", frozenset(some))


def _empty(node: Any) -> bool:
    """Whether the node may end here."""
    if node[0] == "then":
        return _empty(node[1]) and _empty(node[2])
    if node[0] == "or":
        return any(map(_empty, node[1]))
    return node in (_END, _ANY)


@lru_cache(maxsize=100_000)
def _after(node: Any, digit: int) -> Any:
    match node[0]:
        case "is":
            return _END if digit in node[1] else _NEVER
        case "any":
            return _ANY
        case "then":
            first = _then(_after(node[1], digit), node[2])
            return _or(frozenset({first, _after(node[2], digit)})) if _empty(node[1]) else first
        case "or":
            return _or(frozenset(_after(one, digit) for one in node[1]))
    return _NEVER


@lru_cache(maxsize=100_000)
def _count(node: Any, length: int) -> int:
    """How many texts of this length the node accepts."""
    if node is _ANY:
        return int(10**length)
    if node is _NEVER:
        return 0
    if length == 0:
        return int(_empty(node))
    return sum(int(_count(_after(node, digit), length - 1)) for digit in _DIGITS)


def _parse(text: str, anything: bool) -> Any:
    node, rest = _alternatives(text)
    if rest:
        raise _NotUnderstood(text)
    return _then(node, _ANY) if anything else node


def _alternatives(text: str) -> tuple[Any, str]:
    branches = []
    while True:
        parts: list[Any] = []
        while text and text[0] not in "|)":
            part, text = _atom(text)
            least, most, text = _repeats(text)
            optional = [_or(frozenset({part, _END}))] * (most - least)
            parts += [part] * least + optional
        node = _END
        for part in reversed(parts):
            node = _then(part, node) if node is not _END else part
        branches.append(node)
        if not text.startswith("|"):
            return _or(frozenset(branches)), text
        text = text[1:]


def _atom(text: str) -> tuple[Any, str]:
    if text.startswith("(?:"):
        node, rest = _alternatives(text[3:])
        if not rest.startswith(")"):
            raise _NotUnderstood(text)
        return node, rest[1:]
    if text.startswith("\\d"):
        return ("is", frozenset(_DIGITS)), text[2:]
    if text.startswith("["):
        inside, closed, rest = text[1:].partition("]")
        if not closed:
            raise _NotUnderstood(text)
        return ("is", _class(inside)), rest
    if text[0].isdigit():
        return ("is", frozenset({int(text[0])})), text[1:]
    raise _NotUnderstood(text)


def _class(inside: str) -> frozenset[int]:
    digits: set[int] = set()
    while inside:
        if len(inside) >= 3 and inside[1] == "-" and (inside[0] + inside[2]).isdigit():
            digits.update(range(int(inside[0]), int(inside[2]) + 1))
            inside = inside[3:]
        elif inside[0].isdigit():
            digits.add(int(inside[0]))
            inside = inside[1:]
        else:
            raise _NotUnderstood(inside)
    return frozenset(digits)


def _repeats(text: str) -> tuple[int, int, str]:
    if text.startswith("?"):
        return 0, 1, text[1:]
    if text.startswith("{"):
        inside, _, rest = text[1:].partition("}")
        least, comma, most = inside.partition(",")
        try:
            return int(least), int(most) if comma else int(least), rest
        except ValueError:
            raise _NotUnderstood(text) from None
    if text[:1] in ("*", "+"):
        raise _NotUnderstood(text)
    return 1, 1, text


# --- cells ---

#: Bytes that `clean_numbers` looks at: one more than such a cell has.
WIDTH = 21
_SEPARATORS = np.zeros(128, bool)
_SEPARATORS[[ord(sign) for sign in "-. "]] = True


def clean_numbers(cells: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Cells written as North American numbers usually are -> 1 and ten digits, as an integer; 0 for all others.

    cells: the first `WIDTH` bytes of each, zeros behind its end. Exactly the cells that `phones._CLEAN` matches, and
    without asking whether there is such a number.
    """
    # Whatever fills the last column was cut off.
    good = cells[:, WIDTH - 1] == 0
    narrow = np.minimum(cells, 127)
    rows = np.arange(len(cells))
    at = np.zeros(len(cells), np.intp)

    def here() -> npt.NDArray[np.uint8]:
        return narrow[rows, np.minimum(at, WIDTH - 1)]

    def skip(which: npt.NDArray[np.bool_]) -> None:
        np.add(at, which, out=at, casting="unsafe")

    plus = here() == ord("+")
    skip(plus)
    one = here() == ord("1")
    good &= ~plus | one
    skip(one)
    skip(one & _SEPARATORS[here()])
    skip(here() == ord("("))
    number = np.ones(len(cells), np.int64)
    for position in range(10):
        if position == 3:
            skip(here() == ord(")"))
        if position in (3, 6):
            skip(_SEPARATORS[here()])
        digit = here() - np.uint8(ord("0"))
        good &= digit <= 9
        if position == 0:
            good &= digit >= 2
        number = number * 10 + digit
        at += 1
    good &= here() == 0
    return np.where(good, number, 0)
