"""Commands about campaigns that are over: archive, delete."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from campaigns.cli import options as given
from campaigns.cli.confirm import Yes, confirm
from campaigns.cli.documents.campaigns import Archived, Deleted
from campaigns.cli.output import Output
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.runtime import clock_of, open_store
from campaigns.services.retention import may_delete
from campaigns.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("archive")(archive)
    app.command("delete")(delete)


def archive(
    name: given.Name,
    undo: Annotated[bool, typer.Option("--undo", help="Bring it back into `campaigns status`.")] = False,
    as_json: given.Json = False,
) -> None:
    """Put a finished campaign out of sight; everything of it is kept, and `status --all` shows it.

    Example: campaigns archive spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    now = clock_of(settings, store, campaign.workspace).now()
    done = store.removals.unarchive(campaign.id) if undo else store.removals.archive(campaign.id, now)
    if not done and undo:
        raise CampaignsError(f"{name} is not archived", "see `campaigns status --all`")
    if not done:
        if campaign.archived_at is not None:
            raise CampaignsError(f"{name} is archived already", "see `campaigns status --all`")
        raise CampaignsError(
            f"{name} is {campaign.state}, and only what is over can be archived",
            f"see `campaigns status {name}`",
        )
    out.note(f"{name} is {'back' if undo else 'archived'}")
    out.document(Archived(campaign=name, archived=not undo))


def delete(
    name: given.Name,
    force: Annotated[
        str | None,
        typer.Option("--force", metavar="NAME", help="The name again: delete evidence that must be kept."),
    ] = None,
    yes: Yes = False,
    as_json: given.Json = False,
) -> None:
    """Delete a campaign with its leads and calls. Refused while they are evidence; do-not-call requests stay.

    Example: campaigns delete spring-trial
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    if force is not None and force != name:
        raise UsageError(f"--force {force} does not name {name}", f"write --force {name} if you mean it")
    now = clock_of(settings, store, campaign.workspace).now()
    remains = store.removals.remains(campaign.id)
    may_delete(campaign, remains, now, forced=force is not None)
    leads = sum(store.tallies.of(campaign.id).leads.values())
    confirm(f"deletes {name} for good: {leads:,} leads and the records of {remains.dialed:,} dials", yes)
    shown = sys.stderr.isatty() and out.shows_progress

    def progress(rows: int) -> None:
        if shown:
            sys.stderr.write(f"\r{rows:,} rows deleted ")
            sys.stderr.flush()

    forced = ", forced" if force is not None else ""
    why = f"{name}: {leads} leads, {remains.dialed} dials; by {given.operator()}{forced}"
    try:
        rows = store.removals.delete(campaign.id, why, now, progress)
    except KeyboardInterrupt:
        raise CampaignsError(
            f"stopped by Ctrl-C: {name} is half deleted", "run the same command again to finish"
        ) from None
    finally:
        if shown:
            sys.stderr.write("\r\033[K")
    out.note(f"{name} is deleted")
    out.document(Deleted(campaign=name, leads=leads, dials=remains.dialed, rows=rows))
