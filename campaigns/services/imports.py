"""Lead files into leads: every row of a file ends in exactly one account."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.compliance import rules_for
from campaigns.domain.entities import Campaign
from campaigns.domain.errors import CampaignsError
from campaigns.domain.states import CampaignState
from campaigns.leads import (
    ReadOptions,
    RejectedRow,
    RowCode,
    open_lead_file,
    plain_file,
    rejects_file,
    write_rejects,
)
from campaigns.services.sorting import ImportSummary, Sorting
from campaigns.services.suppressions import stale_lists
from campaigns.store import ImportWriter, Store

if TYPE_CHECKING:
    pass


def import_file(
    store: Store,
    campaign: Campaign,
    path: Path,
    now: datetime,
    imported_by: str,
    *,
    read_as: ReadOptions | None = None,
    dry_run: bool = False,
    again: bool = False,
    rejects_to: Path | None = None,
    progress: Callable[[int, float], None] = lambda rows, share: None,
    moving: Callable[[int, int], None] = lambda done, of: None,
) -> ImportSummary:
    """Read `path` into the campaign, all of it or (on an exception, or Ctrl-C) none of it.

    read_as: encoding, delimiter and required columns; the rest is the campaign's. The identical file again adds nothing
    and says so, unless `again` is asked for. progress: called with the rows read so far and how much of the file that
    is. moving: called with (rows that are in, all of them) once everything is read; from then on the file stays.
    rejects_to: where to write the rejected rows. Raises LeadFileError for a file that cannot be used, CampaignsError
    for a campaign that is cancelled, or that another import has.
    """
    options = campaign.options
    wanted = replace(
        read_as or ReadOptions(),
        mapping=options.mapping,
        region=options.region,
        timezone=options.timezone or None,
    )
    if campaign.state == CampaignState.CANCELLED:
        raise CampaignsError(
            f"{campaign.name} is cancelled, and nobody in it would be called", "name another campaign"
        )
    left = () if dry_run else tuple(_finish_others(store))
    with plain_file(path) as (plain, original, notes):
        file = open_lead_file(plain, wanted)
        digest = _sha256(original)
        for earlier in store.imports.files(campaign.id):
            if earlier.sha256 == digest and not dry_run and not again:
                return _repeated(earlier.id, path.name, earlier.counts, left)
        summary = ImportSummary(path.name if str(path) != "-" else "standard input")
        summary.header = file.header
        summary.columns = dict(file.columns)
        summary.variables = tuple(file.header[at] for at in file.variables)
        summary.format = {"encoding": file.encoding, "delimiter": file.delimiter, "region": options.region}
        store.suppressions.expire(now)
        sorting = Sorting(file, rules_for(options.profile, options.windows), now, summary, dry_run)
        with (
            _rejects(rejects_to, file.header) as refuse,
            _writer(store, campaign, now, dry_run, moving) as writer,
        ):
            writer.begin(
                summary.file,
                digest,
                original.stat().st_size,
                file.header,
                imported_by,
                variables=file.variables,
                mapping=summary.columns,
                format=summary.format,
            )
            sorting.read(writer, refuse, progress)
            writer.finish(summary.counts() | {"mended": summary.mended})
        summary.file_id = writer.file_id
        summary.warnings = (*left, *notes, *file.warnings, *_warnings(summary), *stale_lists(store, now))
    return summary


def _warnings(summary: ImportSummary) -> Iterator[str]:
    if summary.rejected * 5 > summary.rows:
        yield (
            f"{summary.rejected:,} of {summary.rows:,} rows are rejected: see their codes, and whether "
            f"{summary.columns.get('phone')} is the right column"
        )


@contextmanager
def _writer(
    store: Store, campaign: Campaign, now: datetime, dry_run: bool, moving: Callable[[int, int], None]
) -> Iterator[ImportWriter]:
    if dry_run:
        yield store.imports.rehearsal(campaign.id, now)
    else:
        with store.imports.writer(campaign.id, now, moving) as writer:
            yield writer


@contextmanager
def _rejects(path: Path | None, header: Sequence[str]) -> Iterator[Callable[[list[RejectedRow]], object]]:
    if path is None:
        yield lambda rows: None
    else:
        with rejects_file(path, header) as write:
            yield write


def _finish_others(store: Store) -> Iterator[str]:
    finished, dropped = store.imports.resume()
    for name in finished:
        yield f"the import of {name} had been stopped after it was entered: the rest of its rows is in now"
    for _ in dropped:
        yield "an import had been stopped before its file was entered: nothing of that file is here"


def _repeated(file_id: int, name: str, counts: object, warnings: tuple[str, ...]) -> ImportSummary:
    known = counts if isinstance(counts, dict) else {}
    rows = int(known.get("rows", 0))
    summary = ImportSummary(name, rows=rows, duplicates=rows, file_id=file_id, again=True, warnings=warnings)
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
