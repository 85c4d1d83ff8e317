"""Lead lists: import them, preview them, see which a campaign has."""

from __future__ import annotations

import sys
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from campaigns.cli import campaign_options as asked
from campaigns.cli import options as given
from campaigns.cli.completion import campaign_names
from campaigns.cli.drafts import new_campaign
from campaigns.cli.import_bar import import_bar
from campaigns.cli.output import NEEDS_A_PERSON, Output
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.leads import ReadOptions
from campaigns.runtime import open_store
from campaigns.services.imports import import_file
from campaigns.services.launch import check_change
from campaigns.services.report import iso
from campaigns.services.sorting import ImportSummary
from campaigns.settings import Settings, load_settings
from campaigns.store import Store

_SHOWN_ZONES = 12
_SHOWN_VARIABLES = 4
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


def register(app: typer.Typer) -> None:
    app.command("import")(import_leads)
    app.command("files")(files)


def import_leads(
    file: given.LeadFileArgument,
    campaign: Annotated[
        str | None,
        typer.Option(
            "--campaign", metavar="N", help="Campaign; made as a draft if new.", autocompletion=campaign_names
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")
    ] = False,
    rejects: Annotated[
        Path | None, given.out_file("--rejects", metavar="OUT.csv", help="Rejected rows.")
    ] = None,
    mapping: asked.Map = None,
    timezone: asked.Timezone = None,
    region: asked.Region = None,
    encoding: Annotated[
        str | None, typer.Option("--encoding", metavar="NAME", help="As utf-8, cp1252; default: recognised.")
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option("--delimiter", metavar="SIGN", help="One character, or tab; default: recognised."),
    ] = None,
    require: Annotated[
        str | None,
        typer.Option(
            "--require", metavar="COLUMN,...", help="Columns that the agent needs filled in every row."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", "--yes", help="Read a file that was imported before once more.")
    ] = False,
    as_json: given.Json = False,
) -> None:
    """Import a lead list: .csv, .tsv, .csv.gz, .zip with one of them, .xlsx, or - for standard input.

    Exit code 3 when rows are held for a person, with --dry-run too.

    Example: campaigns import leads.csv --campaign spring --dry-run
    """
    settings, out = load_settings(), Output(as_json)
    if not campaign and not dry_run:
        raise UsageError("there is no campaign to import into", "name one with --campaign, or use --dry-run")
    given.apart("--rejects", rejects, file, "the lead list itself")
    name = campaign or f"dry run {uuid.uuid4().hex[:8]}"
    store = open_store(settings)
    found = store.campaigns.by_name(name)
    changes = asked.changes(mapping=mapping, timezone=timezone, region=region)
    wanted = changes.over(found.options if found else CampaignOptions())
    if found is not None:
        check_change(found, wanted, settings.clock().now())
    made = found or new_campaign(store, settings, name, wanted)
    # Kept once a file was read with them, not before: what is wrong in them would be wrong in the next command too.
    reading = replace(made, options=wanted)
    read_as = ReadOptions(
        encoding=encoding,
        delimiter=_DELIMITERS.get(delimiter.lower(), delimiter) if delimiter else None,
        require=tuple(filter(None, (column.strip() for column in (require or "").split(",")))),
    )

    def read(again: bool) -> ImportSummary:
        return import_with_progress(
            store, settings, reading, file, out,
            read_as=read_as, dry_run=dry_run, again=again, rejects_to=rejects,
        )  # fmt: skip

    try:
        summary = read(again)
        if summary.again and sys.stdin.isatty() and file.is_file():
            question = f"{summary.file} was imported before. Read it once more, for what is new in it?"
            if typer.confirm(question, err=True):
                summary = read(again=True)
        if wanted != made.options and not dry_run:
            store.campaigns.set_options(made.id, wanted, settings.clock().now())
    finally:
        if found is None and (dry_run or not store.imports.files(made.id)):
            store.campaigns.discard_draft(made.id)
    if dry_run and not as_json:
        show_preview(out, summary)
    show_import(out, summary, dry_run)
    out.document(summary.counts())
    if summary.held:
        raise typer.Exit(NEEDS_A_PERSON)


def import_with_progress(
    store: Store,
    settings: Settings,
    campaign: Campaign,
    file: Path,
    out: Output,
    *,
    read_as: ReadOptions | None = None,
    dry_run: bool = False,
    again: bool = False,
    rejects_to: Path | None = None,
) -> ImportSummary:
    """Import with a progress bar on a terminal. Ctrl-C leaves the whole file or nothing of it, and says which."""
    entered = False
    with import_bar(out, file.name) as bar:

        def moving(done: int, of: int) -> None:
            nonlocal entered
            entered = True
            bar.moving(done, of)

        try:
            return import_file(
                store,
                campaign,
                file,
                settings.clock().now(),
                given.operator(),
                read_as=read_as,
                dry_run=dry_run,
                again=again,
                rejects_to=rejects_to,
                progress=bar.reading,
                moving=moving,
            )
        except KeyboardInterrupt:
            if entered:
                store.imports.resume()
                raise CampaignsError(
                    f"stopped by Ctrl-C when {file.name} was read: the whole of it is imported",
                    f"see `campaigns status {campaign.name}`",
                ) from None
            raise CampaignsError(
                f"stopped by Ctrl-C: nothing of {file.name} was imported", "run the same command again"
            ) from None


def show_preview(out: Output, summary: ImportSummary) -> None:
    """What was recognised, which column became what, the first rows as leads, where they are."""
    sign = {"\t": "tab"}.get(summary.format["delimiter"], summary.format["delimiter"])
    out.headline(
        summary.file,
        f"{summary.format['encoding']}, cells between {sign}, numbers of {summary.format['region']}",
    )
    columns = [[column, name] for name, column in summary.columns.items()]
    columns += [
        [column, "variable"] for column in summary.variables if column not in summary.columns.values()
    ]
    out.table("Columns", ["column", "becomes"], columns)
    shown = [at for at, name in enumerate(summary.header) if name in summary.variables][:_SHOWN_VARIABLES]
    out.table(
        "First leads",
        ["line", "phone", "zones", "priority", *(summary.header[at] for at in shown)],
        [
            [
                str(lead.line),
                lead.phone,
                lead.zones or lead.state,
                str(lead.priority),
                *(lead.cells[at] for at in shown),
            ]
            for lead in summary.first
        ],
    )
    if summary.countries:
        out.table("Countries", ["country", "leads"], [[c, n] for c, n in summary.countries.most_common()])
    common = summary.zones.most_common(_SHOWN_ZONES)
    zones = [[names.replace("|", " or ") or "unknown", count] for names, count in common]
    more = len(summary.zones) - len(zones)
    if more > 0:
        zones.append([f"{more} more", summary.zones.total() - sum(count for _, count in common)])
    out.table("Time zones", ["zone", "leads"], zones)


def show_import(out: Output, summary: ImportSummary, dry_run: bool = False) -> None:
    verb = "would be imported" if dry_run else "imported"
    if summary.again:
        out.line(
            f"{summary.file} was imported before: nothing new in its {summary.rows:,} rows (--again reads it once more)"
        )
        for warning in summary.warnings:
            out.line(f"warning: {warning}")
        return
    out.line(
        f"{summary.file}: {summary.rows:,} rows, {summary.accepted:,} {verb}, {summary.rejected:,} rejected, "
        f"{summary.duplicates:,} duplicates, {summary.suppressed:,} suppressed, {summary.held:,} held"
    )
    if summary.mended:
        out.line(f"{summary.mended:,} of them free leads that were held")
    if summary.by_code:
        out.table("", ["code", "rows"], [[code, rows] for code, rows in summary.by_code.most_common()])
    for warning in summary.warnings:
        out.line(f"warning: {warning}")


def files(name: given.Name, as_json: given.Json = False) -> None:
    """The files that were imported into a campaign.

    Example: campaigns files spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    found = store.imports.files(given.find_campaign(store, name).id)
    told = [count for count in _COUNTS if any(f.counts.get(count) for f in found)]
    out.table(
        f"Files of {name}",
        ["file", *told, "imported"],
        [[f.name, *(f.counts.get(count, 0) for count in told), iso(f.imported_at)[:10]] for f in found],
    )
    out.document(
        [
            {
                "id": f.id,
                "name": f.name,
                "bytes": f.size_bytes,
                "sha256": f.sha256,
                "imported_at": iso(f.imported_at),
                "imported_by": f.imported_by,
                "moving": f.moving,
                "format": dict(f.format),
                "mapping": dict(f.mapping),
                "counts": dict(f.counts),
            }
            for f in found
        ]
    )


_COUNTS = ("rows", "accepted", "rejected", "duplicates", "suppressed", "held")
