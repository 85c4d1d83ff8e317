"""What a lead file turns into: accepted rows, rejected rows, and the one error for a file that can't be read.

Every record of a file becomes exactly one `LeadRow` or one `RejectedRow`; only blank records and title lines
above the header become neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class RowCode(StrEnum):
    """Why a row is rejected, suppressed or held. The words are part of the `import --json` contract."""

    MISSING_PHONE = "missing_phone"
    INVALID_PHONE = "invalid_phone"
    NOT_DIALABLE = "not_dialable"
    DUPLICATE_IN_FILE = "duplicate_in_file"
    DUPLICATE_IN_CAMPAIGN = "duplicate_in_campaign"
    SUPPRESSED = "suppressed"
    UNKNOWN_TIMEZONE = "unknown_timezone"
    FOREIGN_COUNTRY = "foreign_country"
    ROW_TOO_LONG = "row_too_long"
    BAD_VALUE = "bad_value"


class LeadFileError(Exception):
    """The file as a whole can't be used. Says what is wrong and what would mend it.

    Attributes:
        message: what is wrong, naming the columns or options concerned.
        remedy: what to do about it, in words an operator can follow.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}. {remedy}")
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Held:
    """The row is imported but not dialed until an operator decides; `message` says what would free it."""

    code: RowCode
    message: str


@dataclass(frozen=True, slots=True)
class LeadRow:
    """One lead that can be imported.

    Attributes:
        line: record number as a spreadsheet shows it; a usual header is 1.
        phone: E.164.
        extension: digits to dial after the answer, "" if none.
        zones: sorted candidate IANA zones; a call must suit all of them. () only when `held`.
        zone_source: where the zones come from: "column", "zip", "state", "option", "number", "" when there are none.
        jurisdictions: sorted places whose calling rules all hold, as `US-FL`; () = unknown.
        priority: 1 is dialed first; 5 unless the file says otherwise.
        call_after: not before this instant (aware, UTC); None if the file doesn't say.
        external_id, agent_id, agent_version, consent, zip, state: the file's own words, "" if none.
        variables: every other column by its header, as strings; empty cells stay as "".
        metadata: the operator's own JSON object, sent along with the call.
        sip_headers: custom SIP headers, name to value.
        ignore_e164: the row asks Retell to skip its own check (custom telephony); ours is never skipped.
        cells: the row exactly as the file had it, padded to the header's width, for the export.
        held: why the lead must not be dialed yet, or None.
    """

    line: int
    phone: str
    extension: str
    zones: tuple[str, ...]
    zone_source: str
    jurisdictions: tuple[str, ...]
    priority: int
    call_after: datetime | None
    external_id: str
    agent_id: str
    agent_version: str
    consent: str
    zip: str
    state: str
    variables: dict[str, str]
    metadata: dict[str, object]
    sip_headers: dict[str, str]
    ignore_e164: bool
    cells: tuple[str, ...]
    held: Held | None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One record that isn't imported: where it stands, why, and what to do (the end of `message`).

    `column` and `value` name the cell at fault, "" where it is the whole record.
    """

    line: int
    code: RowCode
    message: str
    column: str
    value: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the operator says about a file; everything else is recognised.

    Attributes:
        mapping: FIELD -> COLUMN, overriding recognition (`--map phone=Handy`).
        region: ISO country whose numbers are expected. "US" also takes its territories and Canada.
        timezone: IANA zone of the rows that name none.
        encoding: Python codec name; None recognises it.
        delimiter: one character; None recognises it.
        require: columns that must be filled in every row, since the agent's prompt needs them.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    region: str = "US"
    timezone: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    require: tuple[str, ...] = ()


class SeenPhones:
    """The numbers met so far in one file. Kept apart from reading so that suppression can be asked first:
    a suppressed number that also repeats says *suppressed* on every one of its rows."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        # Sorted arrays, each at least twice as long as the next: twelve bytes a number, and a list may hold millions.
        self._levels: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]] = []

    def first_lines(
        self, phones: npt.NDArray[np.int64], lines: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """For each number (E.164 without the plus) the line that had it first; 0 if this is its first, or it is 0.

        All of them are remembered then.
        """
        import numpy as np

        numbers, at, inverse = np.unique(phones, return_index=True, return_inverse=True)
        before = np.zeros(len(numbers), np.int64)
        for known, known_lines in self._levels:
            place = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
            before = np.where(known[place] == numbers, known_lines[place], before)
        repeated = np.where(at[inverse] == np.arange(len(phones)), 0, lines[at][inverse])
        first = np.where(before[inverse] > 0, before[inverse], repeated)
        fresh = (before == 0) & (numbers > 0)
        self._add(numbers[fresh], lines[at][fresh].astype(np.int32))
        return np.where(phones > 0, first, 0)

    def _add(self, numbers: npt.NDArray[np.int64], lines: npt.NDArray[np.int32]) -> None:
        import numpy as np

        while self._levels and len(self._levels[-1][0]) < 2 * len(numbers):
            known, known_lines = self._levels.pop()
            numbers, lines = np.concatenate([known, numbers]), np.concatenate([known_lines, lines])
            order = np.argsort(numbers, kind="stable")
            numbers, lines = numbers[order], lines[order]
        if len(numbers):
            self._levels.append((numbers, lines))
