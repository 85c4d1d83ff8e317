"""Many rows at once: whatever is as usual is read by columns, every other row by itself.

The row-by-row reading of `reader` is the meaning; this is only faster. A row is *plain* if it has the header's width,
its number is written as usual and exists without a doubt, its place is known, and its control columns say nothing out
of the ordinary. Rows that are not plain, and those this cannot judge, are read by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from campaigns.domain.cells import text_of
from campaigns.leads.phones import accepted_answers
from campaigns.leads.records import Record, RecordBatch
from campaigns.leads.rows import LeadRow, RejectedRow
from campaigns.leads.values import BadValue, priority_of, version_of
from campaigns.leads.zones import Place, place_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_PLACES = ("timezone", "zip", "state", "country")
#: Taken over as they are written.
TEXTS = ("external_id", "agent_id", "agent_version", "consent", "zip", "state")
#: A row that says something here is read by itself.
_RARE = ("call_after", "ignore_e164", "metadata", "sip_headers")
_Key = TypeVar("_Key")
_NOWHERE = Place((), "")
#: Answers that are remembered of each kind, so that memory does not grow with the file.
_MOST_KEPT = 100_000


@dataclass(slots=True)
class LeadBatch:
    """Rows of a file, in its order; blank ones are left out.

    lines: their record numbers. cells: as in the file, for whatever may become a lead. phones: E.164 without the plus,
    0 for a rejected row. odd: position -> the row, for every row that is not plain. places, priorities, texts (field ->
    cells, for the fields that the file has): of the plain rows; elsewhere they mean nothing.
    """

    lines: list[int]
    cells: list[list[str]]
    phones: npt.NDArray[np.int64]
    odd: dict[int, LeadRow | RejectedRow]
    places: list[Place]
    priorities: list[int] | None
    texts: Mapping[str, list[str]]
    variables: Sequence[tuple[str, int]] = ()

    def row(self, at: int) -> LeadRow | RejectedRow:
        """One row as `LeadFile.rows` would give it."""
        if (odd := self.odd.get(at)) is not None:
            return odd
        cells = tuple(self.cells[at])
        texts = {name: column[at] for name, column in self.texts.items()}
        return LeadRow(
            line=self.lines[at],
            phone=f"+{self.phones[at]}",
            extension="",
            zones=self.places[at].zones,
            zone_source=self.places[at].source,
            jurisdictions=self.places[at].jurisdictions,
            priority=self.priorities[at] if self.priorities is not None else priority_of(""),
            call_after=None,
            external_id=texts.get("external_id", ""),
            agent_id=texts.get("agent_id", ""),
            agent_version=texts.get("agent_version", ""),
            consent=texts.get("consent", ""),
            zip=texts.get("zip", ""),
            state=texts.get("state", ""),
            variables={name: text_of(cells[position]) for name, position in self.variables},
            metadata={},
            sip_headers={},
            ignore_e164=False,
            cells=cells,
            held=None,
        )


class PlainRows:
    """Finds the plain rows of a file, and reads them by columns."""

    def __init__(
        self,
        region: str,
        index: Mapping[str, int],
        width: int,
        option_zone: str,
        variables: Sequence[tuple[str, int]],
        required: Sequence[int],
        usable: bool,
        note: Callable[[Place], None],
    ) -> None:
        """note: told of places whose evidence could not be read, once or more for each."""
        self._region = region
        self._index = index
        self._width = width
        self._option_zone = option_zone
        self._variables = variables
        self._required = required
        self._note = note
        # Elsewhere than in the US, `phones` asks the library for more than a number's own plan.
        self._usable = usable and region == "US"
        self._priorities: dict[str, int | None] = {}
        self._addresses: dict[tuple[int, str, str, str, str], Place] = {}
        self._prefixes: dict[tuple[int, str], Place] = {}

    def batch(
        self,
        records: RecordBatch,
        header_line: int,
        read: Callable[[Record], LeadRow | RejectedRow],
    ) -> LeadBatch:
        """read: one row by itself."""
        import numpy as np

        rows, broken, first = records.cells, records.broken, records.first
        if first <= header_line:
            skipped = header_line - first + 1
            rows = rows[skipped:]
            broken = {at - skipped for at in broken}
            first += skipped
        width = self._width
        cells = rows
        if broken or set(map(len, rows)) - {width}:
            blank = [""] * width
            cells = [blank if len(row) != width or at in broken else row for at, row in enumerate(rows)]
        phones = self._phones(cells)
        texts = {name: self._texts(cells, name) for name in TEXTS if name in self._index}
        priorities = self._priority(cells, phones)
        for name in _RARE:
            if (position := self._index.get(name)) is not None:
                said = [at for at, row in enumerate(cells) if row[position] and text_of(row[position])]
                phones[said] = 0
        for position in self._required:
            phones[[at for at, row in enumerate(cells) if not text_of(row[position])]] = 0
        places = self._placed(cells, phones, texts)
        if "agent_version" in texts:
            texts["agent_version"] = [version_of(text) if text else "" for text in texts["agent_version"]]
        batch = LeadBatch(
            list(range(first, first + len(rows))),
            cells,
            phones,
            {},
            places,
            priorities,
            texts,
            self._variables,
        )
        blank_rows: list[int] = []
        for at in np.flatnonzero(phones == 0).tolist():
            own = rows[at]
            if not any(map(str.strip, own)):
                blank_rows.append(at)
                continue
            row = read(Record(first + at, own, at in broken))
            batch.odd[at] = row
            if isinstance(row, LeadRow):
                phones[at] = int(row.phone)
                if cells is rows:
                    cells = batch.cells = list(rows)
                cells[at] = list(row.cells)
        return _without(batch, blank_rows) if blank_rows else batch

    def _phones(self, cells: list[list[str]]) -> npt.NDArray[np.int64]:
        import numpy as np

        from campaigns.leads.nanp import clean_numbers, number_plan

        if not self._usable or not cells:
            return np.zeros(len(cells), np.int64)
        position = self._index["phone"]
        written = [row[position] for row in cells]
        phones = clean_numbers(written)
        rest = np.flatnonzero(phones == 0)
        phones[rest] = clean_numbers([_unwrapped(written[at]) for at in rest.tolist()])
        prefixes = np.where(phones > 0, phones // 10_000 - 1_000_000, 0)
        good = accepted_answers(self._region)[number_plan().answer[prefixes]]
        return np.where(good, phones, 0)

    def _texts(self, cells: list[list[str]], name: str) -> list[str]:
        position = self._index[name]
        texts = [row[position].strip() for row in cells]
        # What Excel wraps around a text is rare.
        return list(map(text_of, texts)) if "=" in "".join(texts) else texts

    def _priority(self, cells: list[list[str]], phones: npt.NDArray[np.int64]) -> list[int] | None:
        """The priority of every row; one that cannot be read makes its row odd."""
        if "priority" not in self._index:
            return None
        known = self._priorities
        found: list[int] = []
        for at, text in enumerate(self._texts(cells, "priority")):
            if text not in known:
                try:
                    value: int | None = priority_of(text)
                except BadValue:
                    value = None
                if len(known) > 10_000:
                    known.clear()
                known[text] = value
            value = known[text]
            if value is None:
                phones[at] = 0
            found.append(value or 0)
        return found

    def _placed(
        self, cells: list[list[str]], phones: npt.NDArray[np.int64], texts: Mapping[str, list[str]]
    ) -> list[Place]:
        """Where every row is; one that is nowhere is odd."""
        import numpy as np

        columns = [name for name in _PLACES if name in self._index]
        if not columns:
            prefixes, inverse = np.unique(phones // 10_000, return_inverse=True)
            found = [self._by_prefix(prefix, "") if prefix else _NOWHERE for prefix in prefixes.tolist()]
            places = [found[at] for at in inverse.tolist()]
        else:
            areas = (phones // 10_000_000).tolist()
            blank = [""] * len(cells)
            given = [
                (texts.get(name) or self._texts(cells, name)) if name in columns else blank
                for name in _PLACES
            ]
            places = list(map(self._placed_at, phones.tolist(), zip(areas, *given, strict=True)))
        nowhere = [at for at, place in enumerate(places) if not place.zones]
        phones[nowhere] = 0
        return places

    def _placed_at(self, phone: int, address: tuple[int, str, str, str, str]) -> Place:
        """Where a row is. What it says of itself goes before its number, of which then only the area code matters."""
        if not phone:
            return _NOWHERE
        decided = self._addresses.get(address)
        if decided is None:
            decided = self._place(self._addresses, address, f"+{address[0]}5550000", *address[1:])
        if decided.source == "number" and not decided.unread:
            # It said nothing of where it is, and its country at most says which rules hold.
            return self._by_prefix(phone // 10_000, address[4])
        if decided.source in ("", "number"):
            key = (phone // 10_000, *address[1:])
            return self._addresses.get(key) or self._place(self._addresses, key, f"+{phone}", *address[1:])
        return decided

    def _by_prefix(self, prefix: int, country: str) -> Place:
        key = (prefix, country)
        return self._prefixes.get(key) or self._place(
            self._prefixes, key, f"+{prefix}0000", "", "", "", country
        )

    def _place(
        self,
        kept: dict[_Key, Place],
        key: _Key,
        phone: str,
        timezone: str,
        zip_code: str,
        state: str,
        country: str,
    ) -> Place:
        if len(kept) > _MOST_KEPT:
            kept.clear()
        place = kept[key] = place_of(phone, timezone, zip_code, state, country, self._option_zone)
        if place.unread:
            self._note(place)
        return place


def _unwrapped(cell: str) -> str:
    """The cell without what spreadsheets most often put around a number, and `phones` takes off in the same way."""
    cell = cell.strip(" '\t")
    if cell.endswith(".0") and cell[:-2].removeprefix("+").isdigit():
        return cell[:-2]
    return cell


def _without(batch: LeadBatch, blank: Sequence[int]) -> LeadBatch:
    """The batch less its blank rows."""
    import numpy as np

    gone = set(blank)
    kept = [at for at in range(len(batch.lines)) if at not in gone]
    return LeadBatch(
        [batch.lines[at] for at in kept],
        [batch.cells[at] for at in kept],
        batch.phones[np.array(kept, np.intp)],
        {new: batch.odd[old] for new, old in enumerate(kept) if old in batch.odd},
        [batch.places[at] for at in kept],
        None if batch.priorities is None else [batch.priorities[at] for at in kept],
        {name: [column[at] for at in kept] for name, column in batch.texts.items()},
        batch.variables,
    )
