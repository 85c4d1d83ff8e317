"""Commands that change a campaign: import, create, launch, pause, resume, cancel."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from campaigns.cli import options as given
from campaigns.cli.output import Output
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.states import UNRESOLVED_CODE, CampaignState
from campaigns.runtime import open_retell, open_store
from campaigns.services.imports import ImportSummary, import_file
from campaigns.settings import Settings, load_settings
from campaigns.store import Store

OPERATOR_PAUSE = "paused by the operator"


def register(app: typer.Typer) -> None:
    app.command("import")(import_leads)
    app.command("create")(create)
    app.command("launch")(launch)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    app.command("release")(release)


@given.campaign_options("mapping", "timezone", "region", config=False)
def import_leads(
    file: given.LeadFileArgument,
    campaign: Annotated[
        str, typer.Option("--campaign", metavar="N", help="Campaign; made as a draft if new.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")
    ] = False,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", metavar="OUT.csv", help="Rejected rows.")
    ] = None,
    as_json: given.Json = False,
    *,
    changes: given.Changes,
) -> None:
    """Import a lead list into a campaign."""
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    found = store.campaigns.by_name(campaign)
    wanted = changes.over(found.options if found else CampaignOptions())
    made = found or new_campaign(store, settings, campaign, wanted)
    try:
        if wanted != made.options:
            store.campaigns.set_options(made.id, wanted)
        summary = import_with_progress(
            store, settings, made.name, file, out, dry_run=dry_run, rejects_to=rejects
        )
    finally:
        if found is None and (dry_run or not store.imports.files(made.id)):
            store.campaigns.discard_draft(made.id)
    show_import(out, summary, dry_run)
    out.document(summary.counts())


def import_with_progress(
    store: Store,
    settings: Settings,
    name: str,
    file: Path,
    out: Output,
    *,
    dry_run: bool = False,
    rejects_to: Path | None = None,
) -> ImportSummary:
    """Import with a progress line on a terminal. Ctrl-C leaves the campaign without the file, and says so."""
    campaign = given.find_campaign(store, name)
    now = settings.clock().now()
    shown = sys.stderr.isatty()

    def progress(rows: int) -> None:
        if shown:
            sys.stderr.write(f"\r{rows:,} rows read ")
            sys.stderr.flush()

    try:
        return import_file(
            store,
            campaign,
            file,
            now,
            given.operator(),
            dry_run=dry_run,
            rejects_to=rejects_to,
            progress=progress,
        )
    except KeyboardInterrupt:
        raise CampaignsError(
            f"stopped by Ctrl-C: nothing of {file.name} was imported", "run the same command again"
        ) from None
    finally:
        if shown:
            sys.stderr.write("\r\033[K")


def show_import(out: Output, summary: ImportSummary, dry_run: bool = False) -> None:
    verb = "would be imported" if dry_run else "imported"
    if summary.again:
        out.line(f"{summary.file} was imported before: nothing new in its {summary.rows:,} rows")
        return
    out.line(
        f"{summary.file}: {summary.rows:,} rows, {summary.accepted:,} {verb}, {summary.rejected:,} rejected, "
        f"{summary.duplicates:,} duplicates, {summary.suppressed:,} suppressed, {summary.held:,} held"
    )
    if summary.by_code:
        out.table("", ["code", "rows"], [[code, rows] for code, rows in summary.by_code.most_common()])
    for warning in summary.warnings:
        out.line(f"warning: {warning}")


def new_campaign(store: Store, settings: Settings, name: str, wanted: CampaignOptions) -> Campaign:
    """Make a draft. Raises CampaignsError when the name cannot be used."""
    if not name.strip() or len(name) > 100 or any(ord(letter) < 32 for letter in name):
        raise CampaignsError(f"{name!r} cannot name a campaign", "use 1 to 100 printable letters")
    made = store.campaigns.create(name, settings.workspace, wanted, settings.clock().now())
    if made is None:
        raise CampaignsError(f"a campaign named {name!r} exists already", "choose another name")
    return made


@given.campaign_options()
def create(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The campaign's name; default: the one in the file."),
    ] = None,
    as_json: given.Json = False,
    *,
    changes: given.Changes,
) -> None:
    """Make a campaign as a draft."""
    settings, out = load_settings(), Output(as_json)
    chosen = changes.name if name is None else name
    if chosen is None:
        raise UsageError(
            "the campaign has no name", "write `campaigns create NAME`, or name it in the campaign file"
        )
    made = new_campaign(open_store(settings), settings, chosen, changes.over(CampaignOptions()))
    out.line(f"{made.name} is a draft: import leads with `campaigns import FILE --campaign {made.name}`")
    _show(out, made)


def launch(name: given.Name, as_json: given.Json = False) -> None:
    """Start dialing a campaign; `campaigns worker` and `campaigns beat` do the work."""
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    start(store, settings, campaign)
    out.line(f"{name} is running")
    _show(out, given.find_campaign(store, name))


def start(store: Store, settings: Settings, campaign: Campaign) -> None:
    """Make sure that the campaign can dial, and set it running. Raises CampaignsError that says what is missing."""
    if campaign.workspace != settings.workspace:
        raise CampaignsError(
            f"{campaign.name} belongs to the {campaign.workspace} account, not to {settings.workspace}",
            "choose another --name: a simulated campaign never turns into a real one, nor the other way round",
        )
    if store.reports.leads_up_to(campaign.id, 1) == 0:
        raise CampaignsError(
            f"{campaign.name} has no leads",
            f"import some with `campaigns import FILE --campaign {campaign.name}`",
        )
    options = campaign.options
    if not options.from_numbers:
        options = replace(options, from_numbers=(only_number(settings),))
    if options.cps is None and not settings.stand_in:
        # Retell's default for every provider; more is asked for by name, since no endpoint tells it.
        options = replace(options, cps=1.0)
    if options != campaign.options:
        store.campaigns.set_options(campaign.id, options)
    now = settings.clock().now()
    if campaign.state == CampaignState.RUNNING:
        return
    moved = (
        store.campaigns.resume(campaign.id, now)
        if campaign.state == CampaignState.PAUSED
        else store.campaigns.launch(campaign.id, now)
    )
    if not moved:
        raise CampaignsError(f"{campaign.name} is {campaign.state}", "make a new campaign with another name")


def only_number(settings: Settings) -> str:
    """The account's number, where it has exactly one. Raises CampaignsError that names the choices."""
    with open_retell(settings) as retell:
        numbers = [number.phone_number for number in retell.list_phone_numbers()]
    if len(numbers) == 1 or (numbers and settings.workspace != "retell"):
        return numbers[0]
    if not numbers:
        raise CampaignsError(
            "the account has no phone number", "buy or import one at Retell, or name one with --from"
        )
    raise CampaignsError("the account has several numbers", f"choose with --from: {', '.join(numbers[:8])}")


def pause(name: given.Name, as_json: given.Json = False) -> None:
    """Stop dialing; calls in progress go on and their results are collected."""
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    if not store.campaigns.pause(campaign.id, OPERATOR_PAUSE, settings.clock().now()):
        raise CampaignsError(f"{name} is {campaign.state}", "only a running campaign can be paused")
    out.line(f"{name} is paused: no new dials; `campaigns resume {name}` goes on")
    _show(out, given.find_campaign(store, name))


def resume(name: given.Name, as_json: given.Json = False) -> None:
    """Go on dialing a paused campaign."""
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    if campaign.state != CampaignState.PAUSED:
        raise CampaignsError(f"{name} is {campaign.state}, not paused", f"see `campaigns status {name}`")
    store.campaigns.resume(campaign.id, settings.clock().now())
    out.line(f"{name} is running again")
    _show(out, given.find_campaign(store, name))


def cancel(name: given.Name, as_json: given.Json = False) -> None:
    """Give a campaign up: its waiting leads end as cancelled, calls in progress are left to finish."""
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    if not store.campaigns.cancel(campaign.id, settings.clock().now()):
        raise CampaignsError(f"{name} is {campaign.state} already", f"see `campaigns status {name}`")
    out.line(f"{name} is cancelled")
    _show(out, given.find_campaign(store, name))


def release(
    name: given.Name,
    code: Annotated[
        str, typer.Option("--code", metavar="CODE", help="Release the leads held with this code.")
    ],
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="The IANA zone these leads are in.")
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Let held leads be dialed after all; `campaigns status NAME` names the codes."""
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    if code == UNRESOLVED_CODE:
        raise UsageError(
            "nobody can say whether these leads were rung",
            "say it for each with `campaigns resolve ATTEMPT placed|not-placed`",
        )
    if code in ("unknown_timezone", "window_never_opens") and timezone is None:
        raise UsageError(
            f"leads held with {code} need a time zone", "name it with --timezone America/New_York"
        )
    given.changes(timezone=timezone)
    released = store.campaigns.release(campaign.id, code, timezone, settings.clock().now())
    if not released:
        codes = sorted({held for held, _, _ in store.reports.held(campaign.id)})
        raise CampaignsError(
            f"no lead of {name} is held with {code}",
            f"there are: {', '.join(codes)}" if codes else "none is held",
        )
    out.line(f"{released:,} leads of {name} wait to be dialed again; run or launch it to go on")
    out.document({"campaign": name, "code": code, "released": released})


def _show(out: Output, campaign: Campaign) -> None:
    out.document({"campaign": campaign.name, "state": campaign.state.value, "reason": campaign.reason})
