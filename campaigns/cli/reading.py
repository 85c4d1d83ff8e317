"""Commands that only look: status, leads, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from campaigns.cli import options as given
from campaigns.cli.output import NEEDS_A_PERSON, Output
from campaigns.domain.clock import from_ms
from campaigns.domain.errors import UsageError
from campaigns.domain.states import LeadState
from campaigns.runtime import open_store
from campaigns.services.export import export_results
from campaigns.services.imports import export_rejects
from campaigns.services.jobs import failing
from campaigns.services.report import Status, Summary, iso, status, summarize
from campaigns.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("status")(show_status)
    app.command("leads")(leads)
    app.command("export")(export)
    app.command("report")(report)


def show_status(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One campaign; without it all.")
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Where campaigns stand. Exit code 3 when something needs a person.

    Example: campaigns status spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    now = settings.clock().now()
    if name is not None:
        current = status(store, given.find_campaign(store, name), now)
        out.document(current.document())
        if not as_json:
            show_one(out, current)
        raise typer.Exit(NEEDS_A_PERSON if current.needs_a_person else 0)
    everyone = [status(store, campaign, now) for campaign in store.campaigns.listed()]
    out.document([one.document() for one in everyone])
    if not as_json:
        rows = [
            [one.campaign.name, one.campaign.state.value, sum(one.leads.values()), one.leads["pending"],
             one.leads["in_flight"], one.leads["reached"], one.leads["held"], one.next_event.what]
            for one in everyone
        ]  # fmt: skip
        columns = ["campaign", "state", "leads", "pending", "in flight", "reached", "held", "next"]
        out.table("Campaigns", columns, rows)
    failed = failing(store)
    for job, run in failed:
        out.line(f"job {job.name} failed at {iso(run.due_at)}: {run.message}")
    raise typer.Exit(NEEDS_A_PERSON if failed or any(one.needs_a_person for one in everyone) else 0)


def show_one(out: Output, current: Status) -> None:
    campaign = current.campaign
    out.headline(campaign.name, _state(current))
    out.table(
        "Leads", ["state", "leads"], [[state, count] for state, count in current.leads.items() if count]
    )
    if current.outcomes:
        out.table(
            "Outcomes", ["outcome", "calls"], [[name, count] for name, count in current.outcomes.items()]
        )
    if current.rejected_rows:
        out.line(f"rejected rows: {current.rejected_rows:,}")
    out.line(f"lines: {current.own} of ours in use of {current.ceiling}, {current.foreign} by others")
    out.line(f"cost so far: {current.cost_cents / 100:,.2f} USD")
    show_trouble(out, current)
    at = current.next_event.at
    out.line(f"next: {current.next_event.what}" + (f" at {iso(at)}" if at else ""))


def _state(current: Status) -> str:
    reason = current.campaign.reason
    return current.campaign.state.value + (f": {reason}" if reason else "")


def show_trouble(out: Output, current: Status) -> None:
    """What keeps the campaign from dialing, and what waits for a person."""
    if current.trouble:
        out.line(f"trouble: {current.trouble}")
    for code, remedy, count in current.held:
        out.line(f"held: {count:,} leads, {code}: {remedy}")
    if current.attempts["unresolved"]:
        out.line(f"unresolved: {current.attempts['unresolved']:,} attempts nobody can tell whether they rang")


def leads(
    name: given.Name,
    state: Annotated[
        str | None, typer.Option("--state", metavar="S", help="Only leads in that state.")
    ] = None,
    as_json: given.Json = False,
) -> None:
    """The leads of a campaign, in file order.

    Example: campaigns leads spring --state held
    """
    settings, out = load_settings(), Output(as_json)
    states = [one.value for one in LeadState]
    if state is not None and state not in states:
        raise UsageError(f"--state {state} is not a lead state", f"use one of {', '.join(states)}")
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    rows = [_lead(lead) for lead in store.reports.leads(campaign.id, state)]
    out.document(rows)
    if not as_json:
        shown = ["line", "phone", "state", "attempts", "outcome", "next_attempt_at", "zones", "hold_code"]
        out.table(f"Leads of {name}", shown, [[row[column] for column in shown] for row in rows])


def _lead(lead: dict[str, Any]) -> dict[str, Any]:
    waiting = lead["state"] == LeadState.PENDING
    return {
        "id": lead["id"],
        "line": lead["line"],
        "phone": lead["phone"],
        "state": lead["state"],
        "zones": lead["zones"].replace("|", ", "),
        "zone_source": lead["zone_source"],
        "priority": lead["priority"],
        "attempts": lead["attempts"],
        "outcome": lead["outcome"],
        "next_attempt_at": iso(from_ms(lead["next_attempt_at"])) if waiting else None,
        "hold_code": lead["hold_code"],
        "hold_remedy": lead["hold_remedy"],
        "call_id": lead["last_call_id"],
        "external_id": lead["external_id"] or None,
    }


def export(
    name: given.Name,
    out_path: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: NAME-results.csv.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", metavar="FILE", help="Rejected rows as well.")
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Write the results: the file's own columns, then what became of each lead.

    Example: campaigns export spring --out results.csv
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    target = out_path or Path(f"{name}-results.csv".replace("/", "_"))
    written = export_results(store, campaign, target)
    document: dict[str, Any] = {"results": str(target), "rows": written}
    out.line(f"{target}: {written:,} leads")
    if rejects is not None:
        document |= {"rejects": str(rejects), "rejected_rows": export_rejects(store, campaign, rejects)}
        out.line(f"{rejects}: {document['rejected_rows']:,} rejected rows")
    out.document(document)


def report(name: given.Name, as_json: given.Json = False) -> None:
    """The closing figures of a campaign.

    Example: campaigns report spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    summary = summarize(store, given.find_campaign(store, name), settings.clock().now())
    out.document(summary.document())
    if not as_json:
        show_summary(out, summary)


def show_summary(out: Output, summary: Summary) -> None:
    """The figures at the end of a run, for people."""
    current = summary.status
    campaign = current.campaign
    out.headline(campaign.name, _state(current))
    out.table(
        "Leads", ["state", "leads"], [[state, count] for state, count in current.leads.items() if count]
    )
    total = sum(current.outcomes.values())
    out.table(
        "Outcomes",
        ["outcome", "calls", "share"],
        [[name, count, f"{count / total:.0%}"] for name, count in current.outcomes.items()],
    )
    tries = ", ".join(f"{n} x{leads:,}" for n, leads in summary.attempts_per_lead.items())
    figures = [
        ["leads dialed", f"{summary.dialed_leads:,} of {sum(current.leads.values()):,}"],
        ["calls", f"{summary.calls:,}"],
        ["contact rate", _percent(summary.contact_rate)],
        ["attempts per lead", tries or "none"],
        ["cost", f"{current.cost_cents / 100:,.2f} USD"],
        [
            "slot use",
            f"{_percent(summary.slot_use)} first to last dial, {_percent(summary.slot_use_busy)} while calling",
        ],
        ["rejected rows", f"{current.rejected_rows:,}"],
    ]
    out.table("Figures", ["figure", "value"], figures)
    show_trouble(out, current)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
