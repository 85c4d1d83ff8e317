"""Lead files into leads: every row of a file ends in exactly one account."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from campaigns.compliance import Rules, rules_for
from campaigns.domain.entities import Campaign, NewLead
from campaigns.domain.errors import CampaignsError
from campaigns.domain.states import CampaignState, LeadState
from campaigns.domain.windows import next_opening
from campaigns.leads import (
    LeadFile,
    LeadFileError,
    LeadRow,
    ReadOptions,
    RejectedRow,
    RowCode,
    SeenPhones,
    open_lead_file,
    write_rejects,
)
from campaigns.store import ImportWriter, Reject, Store

_CHUNK = 2_000


@dataclass(slots=True)
class ImportSummary:
    """rows = accepted + rejected + duplicates + suppressed + held; by_code counts all but the accepted.

    file_id: 0 for a dry run. again: the identical file had been imported before, and nothing was done.
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


def import_file(
    store: Store,
    campaign: Campaign,
    path: Path,
    now: datetime,
    imported_by: str,
    *,
    dry_run: bool = False,
    rejects_to: Path | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> ImportSummary:
    """Read `path` into the campaign, all of it or (on an exception, or Ctrl-C) none of it.

    The identical file again adds nothing and says so. progress: called with the rows read so far. rejects_to:
    where to write the rejected rows. Raises LeadFileError for a file that cannot be used, CampaignsError for a
    campaign that is cancelled.
    """
    options = campaign.options
    file = open_lead_file(
        path, ReadOptions(mapping=options.mapping, region=options.region, timezone=options.timezone or None)
    )
    if campaign.state == CampaignState.CANCELLED:
        raise CampaignsError(
            f"{campaign.name} is cancelled, and nobody in it would be called", "name another campaign"
        )
    digest = _sha256(path)
    for earlier in store.imports.files(campaign.id):
        if earlier.sha256 == digest and not dry_run:
            return _repeated(store, campaign, earlier.id, path.name, earlier.counts)
    summary = ImportSummary(path.name)
    rejected: list[RejectedRow] = []
    sorting = _Sorting(file, rules_for(options.profile, options.windows), now, summary, rejected)
    with suppress(_DryRun), store.imports.writer(campaign.id, now) as writer:
        writer.begin(path.name, digest, file.size_bytes, file.header, imported_by)
        rows = file.rows()
        while chunk := list(islice(rows, _CHUNK)):
            sorting.chunk(writer, chunk)
            progress(summary.rows)
        if summary.rows == 0:
            raise LeadFileError("The file has no rows", "Export the list again, with at least one lead")
        writer.finish(summary.counts())
        if dry_run:
            raise _DryRun
        summary.file_id = writer.file_id
    summary.warnings = file.warnings
    if rejects_to is not None:
        write_rejects(rejects_to, file.header, rejected)
    return summary


class _DryRun(Exception):
    """Rolls the import back after it was done in every detail."""


class _Sorting:
    """Decides what becomes of each row: suppression first, then duplicates, then holds."""

    def __init__(
        self, file: LeadFile, rules: Rules, now: datetime, summary: ImportSummary, rejected: list[RejectedRow]
    ) -> None:
        self._file = file
        self._rules = rules
        self._now = now
        self._summary = summary
        self._rejected = rejected
        self._seen = SeenPhones()
        self._opens: dict[tuple[str, ...], bool] = {}

    def chunk(self, writer: ImportWriter, rows: list[LeadRow | RejectedRow]) -> None:
        phones = [row.phone for row in rows if isinstance(row, LeadRow)]
        suppressed = writer.suppressed_phones(phones)
        known = writer.known_phones(phones)
        fresh: list[NewLead] = []
        refused: list[RejectedRow] = []
        summary = self._summary
        for row in rows:
            summary.rows += 1
            bucket, code, sorted_row = self._sort(row, suppressed, known)
            setattr(summary, bucket, getattr(summary, bucket) + 1)
            if code is not None:
                summary.by_code[code] += 1
            if isinstance(sorted_row, NewLead):
                fresh.append(sorted_row)
            else:
                refused.append(sorted_row)
        self._rejected.extend(refused)
        writer.add_leads(fresh)
        writer.add_rejects(
            [Reject(r.line, r.code.value, r.message, r.column, r.value, r.cells) for r in refused]
        )

    def _sort(
        self, row: LeadRow | RejectedRow, suppressed: set[str], known: set[str]
    ) -> tuple[str, str | None, NewLead | RejectedRow]:
        """(bucket of the summary, code, what is written)."""
        if isinstance(row, RejectedRow):
            return "rejected", row.code.value, row
        first = self._seen.duplicate_of(row.phone, row.line)
        if row.phone in suppressed:
            # One lead carries the number; its repetitions are accounted for among the rejects.
            if first is None and row.phone not in known:
                return "suppressed", RowCode.SUPPRESSED.value, self._lead(row, LeadState.SUPPRESSED, None)
            return "suppressed", RowCode.SUPPRESSED.value, self._file.reject(row, RowCode.SUPPRESSED)
        if first is not None:
            code = RowCode.DUPLICATE_IN_FILE
            return "duplicates", code.value, self._file.reject(row, code, first)
        if row.phone in known:
            code = RowCode.DUPLICATE_IN_CAMPAIGN
            return "duplicates", code.value, self._file.reject(row, code)
        hold = self._hold(row)
        if hold is not None:
            return "held", hold[0], self._lead(row, LeadState.HELD, hold)
        return "accepted", None, self._lead(row, LeadState.PENDING, None)

    def _hold(self, row: LeadRow) -> tuple[str, str] | None:
        any_time = self._rules.schedule.windows is None
        if row.held is not None and not (any_time and row.held.code is RowCode.UNKNOWN_TIMEZONE):
            return row.held.code.value, row.held.message
        if any_time:
            # Nobody needs to know what time it is there.
            return None
        if row.zones not in self._opens:
            self._opens[row.zones] = next_opening(self._rules.schedule, row.zones, self._now) is not None
        if not self._opens[row.zones]:
            return (
                "window_never_opens",
                f"the window is never open in {', '.join(row.zones)} at once: give the lead its one time zone",
            )
        return None

    def _lead(self, row: LeadRow, state: LeadState, hold: tuple[str, str] | None) -> NewLead:
        return NewLead(
            line=row.line,
            phone=row.phone,
            zones="|".join(row.zones),
            zone_source=row.zone_source,
            priority=row.priority,
            next_attempt_at=max(self._now, row.call_after) if row.call_after else self._now,
            state=state,
            hold=hold,
            external_id=row.external_id,
            agent_id=row.agent_id,
            agent_version=row.agent_version,
            extension=row.extension,
            consent=row.consent,
            ignore_e164=row.ignore_e164,
            variables=row.variables,
            metadata=row.metadata,
            sip_headers=row.sip_headers,
            cells=row.cells,
        )


def _repeated(store: Store, campaign: Campaign, file_id: int, name: str, counts: object) -> ImportSummary:
    known = counts if isinstance(counts, dict) else {}
    rows = int(known.get("rows", 0))
    summary = ImportSummary(name, rows=rows, duplicates=rows, file_id=file_id, again=True)
    summary.by_code[RowCode.DUPLICATE_IN_CAMPAIGN] = rows
    return summary


def export_rejects(store: Store, campaign: Campaign, path: Path) -> int:
    """Write the rejected rows of all the campaign's files; returns how many."""
    header: list[str] = []
    for file in store.imports.files(campaign.id):
        header.extend(name for name in file.header if name not in header)
    rows = (
        RejectedRow(r.line, RowCode(r.code), r.message, r.column, r.value, r.cells)
        for r in store.imports.rejects(campaign.id)
    )
    return write_rejects(path, header, rows)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
