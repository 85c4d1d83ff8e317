"""Many rows at once: whatever is as usual is read by columns, every other row by itself.

The row-by-row reading of `reader` is the meaning; this is only faster. A row is *plain* if it has the header's width,
its number is written as usual and exists without a doubt, its place is known, and its control columns say nothing out
of the ordinary. Rows that are not plain, and those this cannot judge, are read by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from campaigns.domain.cells import csv_line, text_of
from campaigns.leads.phones import accepted_answers
from campaigns.leads.records import Record, RecordBatch
from campaigns.leads.rows import LeadRow, RejectedRow
from campaigns.leads.values import BadValue, priority_of, version_of
from campaigns.leads.zones import Place, place_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from campaigns.leads.scan import Cells, Positions

#: Area code with the calling code, and what a row says of its place: time zone, zip, state, country.
_Address: TypeAlias = tuple[int, str, str, str, str]
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

    lines: their record numbers. phones: E.164 without the plus, 0 for a rejected row. odd: position -> the row, for
    every row that is not plain. place: the position in `places` of where a plain row is. priorities, texts (field ->
    texts, for the fields that the file has): of the plain rows; elsewhere they mean nothing.
    """

    lines: npt.NDArray[np.int64]
    records: RecordBatch
    phones: npt.NDArray[np.int64]
    odd: dict[int, LeadRow | RejectedRow]
    places: Sequence[Place]
    place: npt.NDArray[np.int64]
    priorities: npt.NDArray[np.int64] | None
    texts: Mapping[str, npt.NDArray[np.object_]]
    variables: Sequence[tuple[str, int]] = ()

    def row(self, at: int) -> LeadRow | RejectedRow:
        """One row as `LeadFile.rows` would give it."""
        if (odd := self.odd.get(at)) is not None:
            return odd
        line = int(self.lines[at])
        cells = tuple(self.records.cells(line))
        texts = {name: str(column[at]) for name, column in self.texts.items()}
        place = self.places[self.place[at]]
        return LeadRow(
            line=line,
            phone=f"+{self.phones[at]}",
            extension="",
            zones=place.zones,
            zone_source=place.source,
            jurisdictions=place.jurisdictions,
            priority=int(self.priorities[at]) if self.priorities is not None else priority_of(""),
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

    def written(self, which: npt.NDArray[np.bool_]) -> Callable[[int, int], bytes]:
        """For any of these rows, from the one to before the other, their cells as CSV without the last line break."""
        import numpy as np

        records, places = self.records, np.flatnonzero(which)
        lines = records.lines[self.lines[places] - records.first]
        lines[[at in self.odd for at in places.tolist()] if self.odd else []] = -1
        # Where a row does not follow the one before it in the file, or has to be written.
        apart = np.flatnonzero((lines < 0) | (np.diff(lines, prepend=-1) != 1))

        def text(start: int, stop: int) -> bytes:
            cuts = apart[np.searchsorted(apart, start, "right") : np.searchsorted(apart, stop)].tolist()
            found = []
            for first, after in pairwise([start, *cuts, stop]):
                if lines[first] >= 0:
                    found.append(records.scanned.between(lines[first], lines[after - 1]))
                else:
                    found.append(csv_line(self.row(int(places[first])).cells, records.delimiter))
            return b"\n".join(found)

        return text


class PlainRows:
    """Finds the plain rows of a file, and reads them by columns."""

    def __init__(
        self,
        region: str,
        index: Mapping[str, int],
        option_zone: str,
        variables: Sequence[tuple[str, int]],
        required: Sequence[int],
        usable: bool,
        note: Callable[[Place], None],
    ) -> None:
        """note: told of places whose evidence could not be read, once or more for each."""
        self._region = region
        self._index = index
        self._option_zone = option_zone
        self._variables = variables
        self._required = required
        self._note = note
        # Elsewhere than in the US, `phones` asks the library for more than a number's own plan.
        self._usable = usable and region == "US"
        self._addresses: dict[_Address, Place] = {}
        self._prefixes: dict[tuple[int, str], Place] = {}

    def batch(
        self,
        records: RecordBatch,
        header_line: int,
        read: Callable[[Record], LeadRow | RejectedRow],
    ) -> LeadBatch:
        """read: one row by itself."""
        import numpy as np

        lines = np.arange(max(records.first, header_line + 1), records.first + len(records))
        phones = np.zeros(len(lines), np.int64)
        place = np.zeros(len(lines), np.int64)
        batch = LeadBatch(lines, records, phones, {}, (_NOWHERE,), place, None, {}, self._variables)
        if self._usable:
            at = lines - records.first
            plain = np.flatnonzero((records.lines[at] >= 0) & records.scanned.plain[records.lines[at]])
            if len(plain):
                self._read(batch, plain, records.lines[at[plain]])
        kept = np.ones(len(lines), bool)
        for at_, line in [(at, int(lines[at])) for at in np.flatnonzero(phones == 0).tolist()]:
            own = records.cells(line)
            if not any(map(str.strip, own)):
                kept[at_] = False
                continue
            row = batch.odd[at_] = read(Record(line, own, line in records.broken))
            if isinstance(row, LeadRow):
                phones[at_] = int(row.phone)
        return batch if kept.all() else _only(batch, kept)

    def _read(self, batch: LeadBatch, plain: Positions, lines: Positions) -> None:
        """Fill in what the columns say of the records at `plain`, which are those `lines`; 0 stays where in doubt."""
        import numpy as np

        scanned = batch.records.scanned

        def cells(position: int) -> Cells:
            return scanned.cells(lines, position)

        phones = self._phones(cells(self._index["phone"]))
        distinct = {
            name: _stripped(*cells(self._index[name]).distinct())
            for name in (*TEXTS, *_PLACES, "priority")
            if name in self._index
        }
        for position in [self._index[name] for name in _RARE if name in self._index]:
            texts, which = cells(position).distinct()
            phones[np.array([bool(text_of(text)) for text in texts])[which]] = 0
        for position in self._required:
            texts, which = cells(position).distinct()
            phones[np.array([not text_of(text) for text in texts])[which]] = 0
        if "priority" in distinct:
            texts, which = distinct["priority"]
            known = np.array([_priority(text) for text in texts])
            phones[known[which] == 0] = 0
            batch.priorities = np.zeros(len(batch.lines), np.int64)
            batch.priorities[plain] = known[which]
        columns = {}
        for name in (name for name in TEXTS if name in distinct):
            texts, which = distinct[name]
            if name == "agent_version":
                texts = [version_of(text) for text in texts]
            columns[name] = np.full(len(batch.lines), "", object)
            columns[name][plain] = np.array([*texts, ""], object)[which]
        batch.texts = columns
        batch.places, place = self._placed(
            phones, {name: distinct[name] for name in _PLACES if name in distinct}
        )
        batch.place[plain] = place
        batch.phones[plain] = np.where(place == 0, 0, phones)

    def _phones(self, cells: Cells) -> npt.NDArray[np.int64]:
        import numpy as np

        from campaigns.leads.nanp import WIDTH, clean_numbers, number_plan

        phones = clean_numbers(cells.matrix(WIDTH))
        rest = np.flatnonzero(phones == 0)
        if len(rest):
            again = np.array([_unwrapped(cells.text(at)).encode() for at in rest.tolist()], f"S{WIDTH}")
            phones[rest] = clean_numbers(again.view(np.uint8).reshape(len(rest), WIDTH))
        prefixes = np.where(phones > 0, phones // 10_000 - 1_000_000, 0)
        good = accepted_answers(self._region)[number_plan().answer[prefixes]]
        return np.where(good, phones, 0)

    def _placed(
        self, phones: npt.NDArray[np.int64], columns: Mapping[str, tuple[list[str], Positions]]
    ) -> tuple[Sequence[Place], Positions]:
        """(places, for each row the position of its own); at 0 is nowhere."""
        import numpy as np

        from campaigns.leads.scan import alike

        # One number for what a row says of itself, with its area code: rows that are alike are asked for once.
        _, keys = np.unique(phones // 10_000_000, return_inverse=True)
        for texts, which in columns.values():
            _, keys = np.unique(keys * len(texts) + which, return_inverse=True)
        first, which = alike(keys)
        given = []
        for name in _PLACES:
            if name in columns:
                texts, own = columns[name]
                given.append([texts[at] for at in own[first].tolist()])
            else:
                given.append([""] * len(first))
        addresses = list(zip((phones[first] // 10_000_000).tolist(), *given, strict=True))
        found: dict[int, int] = {id(_NOWHERE): 0}
        places: list[Place] = [_NOWHERE]

        def numbered(place: Place) -> int:
            if not place.zones:
                return 0
            if id(place) not in found:
                found[id(place)] = len(places)
                places.append(place)
            return found[id(place)]

        decided = [self._decided(address) for address in addresses]
        by_address = np.array([0 if place is None else numbered(place) for place in decided], np.int64)
        place_at = by_address[which]
        undecided = np.array([place is None for place in decided])[which]
        if undecided.any():
            # Of those the exchange matters too.
            rows = np.flatnonzero(undecided)
            prefixes = phones[rows] // 10_000
            first, own = alike(prefixes * len(addresses) + which[rows])
            asked = [
                numbered(self._by_exchange(prefix, addresses[at]))
                for prefix, at in zip(prefixes[first].tolist(), which[rows[first]].tolist(), strict=True)
            ]
            place_at[rows] = np.array(asked, np.int64)[own]
        return places, place_at

    def _decided(self, address: _Address) -> Place | None:
        """Where such a row is. What it says of itself goes before its number, of which then only the area code matters;
        None if more of the number does."""
        if not address[0]:
            return _NOWHERE
        place = self._addresses.get(address)
        if place is None:
            place = self._place(self._addresses, address, f"+{address[0]}5550000", *address[1:])
        return None if place.source in ("", "number") else place

    def _by_exchange(self, prefix: int, address: _Address) -> Place:
        """Where a row is whose number matters as far as its exchange, and `_decided` did not."""
        decided = self._addresses.get(address) or self._place(
            self._addresses, address, f"+{address[0]}5550000", *address[1:]
        )
        if decided.source == "number" and not decided.unread:
            # It said nothing of where it is, and its country at most says which rules hold.
            return self._by_prefix(prefix, address[4])
        key = (prefix, *address[1:])
        return self._addresses.get(key) or self._place(self._addresses, key, f"+{prefix}0000", *address[1:])

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


def _stripped(texts: Sequence[str], which: Positions) -> tuple[list[str], Positions]:
    """The same, as a person sees the texts."""
    return [text_of(text) for text in texts], which


def _priority(text: str) -> int:
    """0 for one that cannot be read."""
    try:
        return priority_of(text)
    except BadValue:
        return 0


def _unwrapped(cell: str) -> str:
    """The cell without what spreadsheets most often put around a number, and `phones` takes off in the same way."""
    cell = cell.strip(" '\t")
    if cell.endswith(".0") and cell[:-2].removeprefix("+").isdigit():
        return cell[:-2]
    return cell


def _only(batch: LeadBatch, kept: npt.NDArray[np.bool_]) -> LeadBatch:
    """The batch less its other rows."""
    import numpy as np

    new = np.cumsum(kept) - 1
    return LeadBatch(
        batch.lines[kept],
        batch.records,
        batch.phones[kept],
        {int(new[at]): row for at, row in batch.odd.items()},
        batch.places,
        batch.place[kept],
        None if batch.priorities is None else batch.priorities[kept],
        {name: column[kept] for name, column in batch.texts.items()},
        batch.variables,
    )
