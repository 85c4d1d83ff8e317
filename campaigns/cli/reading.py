"""Commands that only look: status, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from campaigns.cli import options as given
from campaigns.cli.completion import campaign_names
from campaigns.cli.output import NEEDS_A_PERSON, Output
from campaigns.runtime import clock_of, open_store
from campaigns.services.report import Status, iso, status, statuses
from campaigns.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("status")(show_status)
    app.command("export")(export)


def show_status(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="One campaign; without it all.", autocompletion=campaign_names),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Archived campaigns as well.")] = False,
    as_json: given.Json = False,
) -> None:
    """Where campaigns stand. Exit code 3 when something needs a person.

    Example: campaigns status spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    if name is not None:
        campaign = given.find_campaign(store, name)
        current = status(store, campaign, clock_of(settings, store, campaign.workspace).now())
        out.document(current.document())
        if not as_json:
            show_one(out, current)
        raise typer.Exit(NEEDS_A_PERSON if current.needs_a_person else 0)
    listed = [one for one in store.campaigns.listed() if everything or one.archived_at is None]
    clocks = {name: clock_of(settings, store, name).now() for name in {one.workspace for one in listed}}
    everyone = statuses(store, listed, clocks)
    out.document([one.document() for one in everyone])
    if not as_json:
        rows = [
            [one.campaign.name, one.campaign.state.value, sum(one.leads.values()), one.leads["pending"],
             one.leads["in_flight"], one.leads["reached"], one.leads["held"], one.next_event.what]
            for one in everyone
        ]  # fmt: skip
        columns = ["campaign", "state", "leads", "pending", "in flight", "reached", "held", "next"]
        out.table("Campaigns", columns, rows)
    failed = store.jobs.failing()
    for job, run in failed:
        out.line(f"job {job.name} failed at {iso(run.due_at)}: {run.message}")
    raise typer.Exit(NEEDS_A_PERSON if failed or any(one.needs_a_person for one in everyone) else 0)


def show_one(out: Output, current: Status) -> None:
    show_leads(out, current)
    if current.outcomes:
        out.table(
            "Outcomes", ["outcome", "calls"], [[name, count] for name, count in current.outcomes.items()]
        )
    if current.rejected_rows:
        out.line(f"rejected rows: {current.rejected_rows:,}")
    kept = f", {current.reserve} kept free" if current.reserve else ""
    out.line(f"lines: {current.own} of ours in use of {current.ceiling}, {current.foreign} by others{kept}")
    if current.batches is not None:
        out.line(f"batches: {current.batches.words}")
    out.line(f"cost so far: {current.cost_cents / 100:,.2f} USD")
    show_trouble(out, current)
    at = current.next_event.at
    out.line(f"next: {current.next_event.what}" + (f" at {iso(at)}" if at else ""))


def show_leads(out: Output, current: Status) -> None:
    """The campaign's name and state, and its leads by state."""
    campaign = current.campaign
    out.headline(campaign.name, campaign.state.value + (f": {campaign.reason}" if campaign.reason else ""))
    out.table(
        "Leads", ["state", "leads"], [[state, count] for state, count in current.leads.items() if count]
    )


def show_trouble(out: Output, current: Status) -> None:
    """What keeps the campaign from dialing, and what waits for a person."""
    if current.trouble:
        out.line(f"trouble: {current.trouble}")
    for code, remedy, count in current.held:
        out.line(f"held: {count:,} leads, {code}: {remedy}")
    if current.attempts["unresolved"]:
        out.line(f"unresolved: {current.attempts['unresolved']:,} attempts nobody can tell whether they rang")


def export(
    name: given.Name,
    out_path: Annotated[
        Path | None, given.out_file("--out", metavar="FILE", help="Default: NAME-results.csv.")
    ] = None,
    rejects: Annotated[
        Path | None, given.out_file("--rejects", metavar="FILE", help="Rejected rows as well.")
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Write the results: the file's own columns, then what became of each lead.

    Example: campaigns export spring --out results.csv
    """
    from campaigns.services.export import export_results
    from campaigns.services.imports import export_rejects

    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    target = out_path or Path(f"{name}-results.csv".replace("/", "_"))
    given.apart("--rejects", rejects, target, "the results file")
    written = export_results(store, campaign, target)
    document: dict[str, Any] = {"results": str(target), "rows": written}
    if rejects is not None:
        document |= {"rejects": str(rejects), "rejected_rows": export_rejects(store, campaign, rejects)}
    out.line(f"{target}: {written:,} leads")
    if rejects is not None:
        out.line(f"{rejects}: {document['rejected_rows']:,} rejected rows")
    out.document(document)
