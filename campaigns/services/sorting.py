"""What becomes of each row of a lead file: suppression first, then duplicates, then holds."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from campaigns.compliance import Rules, may_call, remedy_for
from campaigns.domain.entities import Callee, NewLead, Refused
from campaigns.domain.states import LeadState
from campaigns.leads import (
    LeadBatch,
    LeadFile,
    LeadFileError,
    LeadRow,
    RejectedRow,
    RowCode,
    SeenPhones,
    countries_of,
)
from campaigns.store import ImportWriter, PlainLeads, Reject

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Leads that a preview shows.
_SHOWN = 5


@dataclass(slots=True)
class ImportSummary:
    """rows = accepted + rejected + duplicates + suppressed + held; by_code counts all but the accepted.

    file_id: 0 for a dry run. again: the identical file had been imported before, and nothing was done. mended: accepted
    rows that freed a lead that was held, instead of making a new one. columns: FIELD -> column. format: how the file
    was read. first: some leads as they would be dialed. zones, countries: leads by where they are;
    the countries for a dry run only.
    """

    file: str
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    suppressed: int = 0
    held: int = 0
    by_code: Counter[str] = field(default_factory=Counter)
    warnings: tuple[str, ...] = ()
    file_id: int = 0
    again: bool = False
    mended: int = 0
    header: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    format: dict[str, str] = field(default_factory=dict)
    first: list[NewLead] = field(default_factory=list)
    zones: Counter[str] = field(default_factory=Counter)
    countries: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, object]:
        """The contract of `campaigns import --json`."""
        return {
            "rows": self.rows,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "duplicates": self.duplicates,
            "suppressed": self.suppressed,
            "held": self.held,
            "by_code": dict(sorted(self.by_code.items())),
        }


class Sorting:
    """Decides what becomes of each row: suppression first, then duplicates, then holds."""

    def __init__(
        self, file: LeadFile, rules: Rules, now: datetime, summary: ImportSummary, countries: bool
    ) -> None:
        self._count_countries = countries
        self._file = file
        self._rules = rules
        self._now = now
        self._summary = summary
        self._seen = SeenPhones()
        self._holds: dict[Callee, tuple[str, str] | None] = {}

    def read(
        self,
        writer: ImportWriter,
        refuse: Callable[[list[RejectedRow]], object],
        progress: Callable[[int, float], None],
    ) -> None:
        with _many_objects_and_threads(), ThreadPoolExecutor(1, thread_name_prefix="asking") as asking:
            # The database looks up the numbers of a batch while the next one is read.
            before: tuple[LeadBatch, Future[_Answers]] | None = None
            for batch in self._file.batches():
                asked = asking.submit(self._ask, writer, batch)
                if before is not None:
                    self._batch(writer, before[0], before[1].result(), refuse)
                    progress(self._summary.rows, self._file.share_read)
                before = batch, asked
            if before is not None:
                self._batch(writer, before[0], before[1].result(), refuse)
                progress(self._summary.rows, self._file.share_read)
        if self._summary.rows == 0:
            raise LeadFileError("The file has no rows", "Export the list again, with at least one lead")

    def _ask(self, writer: ImportWriter, batch: LeadBatch) -> _Answers:
        """For one batch after the other, in the order of the file."""
        import numpy as np

        numbers = np.unique(batch.phones[batch.phones > 0]).tolist()
        known, mendable = writer.known(numbers)
        return _Answers(
            self._seen.first_lines(batch.phones, batch.lines),
            _among(batch.phones, writer.suppressed(numbers)),
            _among(batch.phones, known),
            mendable,
        )

    def _batch(
        self,
        writer: ImportWriter,
        batch: LeadBatch,
        answers: _Answers,
        refuse: Callable[[list[RejectedRow]], object],
    ) -> None:
        import numpy as np

        first, listed, taken = answers.first, answers.suppressed, answers.known
        usual = (batch.phones > 0) & ~listed & ~taken & (first == 0)
        usual[list(batch.odd)] = False
        # Whoever may never be rung is not usual.
        closed = [self._never(Callee(place.zones, place.jurisdictions)) is not None for place in batch.places]
        usual &= ~np.array(closed)[batch.place]
        kept = usual.copy()
        fresh: list[NewLead] = []
        mended: list[tuple[int, NewLead]] = []
        refused: list[RejectedRow] = []
        for at in np.flatnonzero(~usual).tolist():
            row = batch.row(at)
            facts = _Facts(
                int(first[at]),
                bool(listed[at]),
                bool(taken[at]),
                answers.mendable.get(int(batch.phones[at])),
            )
            bucket, code, sorted_row = self._sort(row, facts)
            self._count(bucket, code)
            if isinstance(sorted_row, RejectedRow):
                refused.append(sorted_row)
                continue
            kept[at] = True
            if facts.mends is not None and taken[at]:
                mended.append((facts.mends, sorted_row))
            else:
                fresh.append(sorted_row)
        plain = int(usual.sum())
        self._summary.rows += plain
        self._summary.accepted += plain
        self._summary.mended += len(mended)
        self._preview(batch, usual, fresh)
        writer.add_rows(batch.lines[kept].tolist(), batch.written(kept), self._file.delimiter)
        writer.add_plain(_plain_leads(batch, usual))
        writer.add_leads(fresh, with_rows=False)
        writer.mend(mended)
        writer.add_rejects(
            [Reject(r.line, r.code.value, r.message, r.column, r.value, r.cells) for r in refused]
        )
        refuse(refused)

    def _preview(self, batch: LeadBatch, usual: npt.NDArray[np.bool_], fresh: Sequence[NewLead]) -> None:
        import numpy as np

        summary = self._summary
        for place, count in zip(
            batch.places, np.bincount(batch.place[usual], minlength=len(batch.places)), strict=True
        ):
            if count:
                summary.zones["|".join(place.zones)] += int(count)
        summary.zones.update(lead.zones for lead in fresh)
        if self._count_countries:
            summary.countries.update(countries_of(batch.phones[usual]))
            summary.countries.update(countries_of(np.array([int(lead.phone) for lead in fresh], np.int64)))
        if len(summary.first) < _SHOWN:
            found = list(fresh[:_SHOWN])
            for at in usual.nonzero()[0][:_SHOWN].tolist():
                row = batch.row(at)
                assert isinstance(row, LeadRow)
                found.append(self._lead(row, LeadState.PENDING, None))
            summary.first = sorted([*summary.first, *found], key=lambda lead: lead.line)[:_SHOWN]

    def _count(self, bucket: str, code: str | None) -> None:
        summary = self._summary
        summary.rows += 1
        setattr(summary, bucket, getattr(summary, bucket) + 1)
        if code is not None:
            summary.by_code[code] += 1

    def _sort(
        self, row: LeadRow | RejectedRow, facts: _Facts
    ) -> tuple[str, str | None, NewLead | RejectedRow]:
        """(bucket of the summary, code, what is written)."""
        if isinstance(row, RejectedRow):
            return "rejected", row.code.value, row
        if facts.suppressed:
            # One lead carries the number; its repetitions are accounted for among the rejects.
            if not facts.first and not facts.known:
                return "suppressed", RowCode.SUPPRESSED.value, self._lead(row, LeadState.SUPPRESSED, None)
            return "suppressed", RowCode.SUPPRESSED.value, self._file.reject(row, RowCode.SUPPRESSED)
        if facts.first:
            code = RowCode.DUPLICATE_IN_FILE
            return "duplicates", code.value, self._file.reject(row, code, facts.first)
        hold = self._hold(row)
        if facts.known and (facts.mends is None or hold is not None):
            code = RowCode.DUPLICATE_IN_CAMPAIGN
            return "duplicates", code.value, self._file.reject(row, code)
        if hold is not None:
            return "held", hold[0], self._lead(row, LeadState.HELD, hold)
        return "accepted", None, self._lead(row, LeadState.PENDING, None)

    def _hold(self, row: LeadRow) -> tuple[str, str] | None:
        if row.held is not None and row.held.code is not RowCode.UNKNOWN_TIMEZONE:
            return row.held.code.value, row.held.message
        never = self._never(Callee(row.zones, row.jurisdictions))
        if never is not None and row.held is not None and never[0] == RowCode.UNKNOWN_TIMEZONE:
            return row.held.code.value, row.held.message
        return never

    def _never(self, callee: Callee) -> tuple[str, str] | None:
        """Why nobody may ever ring such a lead, and what to do: not a question of when."""
        if callee not in self._holds:
            answer = may_call(callee, self._now, self._rules, (), False)
            hold = None
            if isinstance(answer, Refused) and answer.next_at is None:
                hold = answer.code, remedy_for(answer)
            self._holds[callee] = hold
        return self._holds[callee]

    def _lead(self, row: LeadRow, state: LeadState, hold: tuple[str, str] | None) -> NewLead:
        return NewLead(
            line=row.line,
            phone=row.phone,
            zones="|".join(row.zones),
            zone_source=row.zone_source,
            jurisdictions="|".join(row.jurisdictions),
            priority=row.priority,
            next_attempt_at=max(self._now, row.call_after) if row.call_after else self._now,
            state=state,
            hold=hold,
            external_id=row.external_id,
            agent_id=row.agent_id,
            agent_version=row.agent_version,
            extension=row.extension,
            consent=row.consent,
            zip=row.zip,
            state_given=row.state,
            ignore_e164=row.ignore_e164,
            metadata=row.metadata,
            sip_headers=row.sip_headers,
            cells=row.cells,
        )


@contextmanager
def _many_objects_and_threads() -> Iterator[None]:
    """Without looking for cycles among the objects, a tenth of the time; and whoever comes back from SQLite or zlib
    waits half a millisecond for Python's lock, not five, thousands of times."""
    collecting, interval = gc.isenabled(), sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        if collecting:
            gc.enable()


@dataclass(frozen=True, slots=True)
class _Facts:
    """Of a number: the line that had it first (0 = this one), and what the database knows.

    mends: the held lead that this row frees, if it is good.
    """

    first: int
    suppressed: bool
    known: bool
    mends: int | None


@dataclass(frozen=True, slots=True)
class _Answers:
    """Of the rows of a batch: the line that had the number first (0 = this one), whether it is listed, whether the
    campaign has it; and of its leads those that a mended row frees, by number."""

    first: npt.NDArray[np.int64]
    suppressed: npt.NDArray[np.bool_]
    known: npt.NDArray[np.bool_]
    mendable: Mapping[int, int]


def _plain_leads(batch: LeadBatch, usual: npt.NDArray[np.bool_]) -> PlainLeads:
    places = [("|".join(place.zones), "|".join(place.jurisdictions), place.source) for place in batch.places]
    return PlainLeads(
        lines=batch.lines[usual],
        phones=batch.phones[usual],
        place=batch.place[usual],
        places=places,
        priorities=None if batch.priorities is None else batch.priorities[usual],
        texts={
            "state_given" if name == "state" else name: column[usual] for name, column in batch.texts.items()
        },
    )


def _among(phones: npt.NDArray[np.int64], found: Sequence[int]) -> npt.NDArray[np.bool_]:
    import numpy as np

    if not found:
        return np.zeros(len(phones), bool)
    return np.isin(phones, np.array(found, np.int64))
