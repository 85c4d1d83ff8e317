"""Commands that sum up and look ahead: report, forecast."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from campaigns.cli import options as given
from campaigns.cli.documents.figures import ForecastDocument
from campaigns.cli.output import Output
from campaigns.cli.reading import show_leads, show_trouble
from campaigns.cli.view import done_words
from campaigns.runtime import clock_of, open_store
from campaigns.services.figures import WEEKDAYS, Report, Share
from campaigns.services.figures import report as sum_up
from campaigns.services.forecast import Forecast
from campaigns.services.forecast import forecast as foretell
from campaigns.services.report import iso
from campaigns.services.variants import comparison
from campaigns.services.words import money, percent
from campaigns.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("report")(report)
    app.command("forecast")(forecast)


def report(
    name: given.Name,
    html: Annotated[
        Path | None, given.out_file("--html", metavar="FILE", help="A page with plots, in one file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="DIR", help="The plots, as PNG files.")
    ] = None,
    as_json: given.Json = False,
) -> None:
    """The figures of a campaign: penetration, contacts, outcomes, when people answer, cost.

    Example: campaigns report spring --html spring.html
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    now = clock_of(settings, store, campaign.workspace).now()
    shown = sys.stderr.isatty() and out.shows_progress

    def progress(calls: int) -> None:
        if shown:
            sys.stderr.write(f"\r{calls:,} calls read ")
            sys.stderr.flush()

    found = sum_up(store, campaign, now, progress)
    if shown:
        sys.stderr.write("\r\033[K")
    if html is not None:
        from campaigns.services.report_page import write_page

        write_page(found, html, now)
        out.note(f"page: {html}")
    if plot is not None:
        from campaigns.services.plots import save_plots

        for path in save_plots(found, plot):
            out.note(f"plot: {path}")
    out.document(found.document())
    if not as_json:
        show_report(out, found)


def show_report(out: Output, found: Report) -> None:
    """The figures for people."""
    current, tally = found.status, found.status.tally
    show_leads(out, current)
    total = sum(current.outcomes.values())
    out.table(
        "Outcomes",
        ["outcome", "calls", "share"],
        [[name, count, f"{count / total:.0%}"] for name, count in current.outcomes.items()],
    )
    out.table(
        "Figures",
        ["figure", "value"],
        [
            [
                "penetration",
                f"{percent(found.penetration)}, {tally.dialed:,} of {found.leads:,} leads dialed",
            ],
            ["contact rate", f"{percent(found.contact_rate)}, {tally.contacted:,} of those dialed"],
            ["success rate", f"{percent(found.success_rate)}, {tally.succeeded:,} as the agent judged"],
            ["calls", f"{found.calls:,}, {found.talk_seconds / 3600:,.1f} hours of talk"],
            ["attempts per lead", _counted(found.attempts_per_lead)],
            ["attempts to contact", _counted(found.attempts_to_contact)],
            ["cost", f"{money(current.cost_cents)}, {money(found.cost_per_contact)} per contact"],
            [
                "slot use",
                f"{percent(found.slot_use)} first to last dial, {percent(found.slot_use_busy)} while calling",
            ],
            ["rejected rows", f"{current.rejected_rows:,}"],
        ],
    )
    _answers(out, found)
    for title, shares in (("Agents", found.by_agent), ("Numbers", found.by_number), ("Files", found.by_file)):
        if len(shares) > 1:
            _shares(out, title, shares)
    _variants(out, found)
    show_trouble(out, current)


def _answers(out: Output, found: Report) -> None:
    """Answer rate by the callee's hour, a row per weekday that has calls."""
    hours = sorted({hour for _, hour in found.local})
    if not hours:
        return
    rows = []
    for day, name in enumerate(WEEKDAYS):
        counts = [found.local.get((day, hour), (0, 0)) for hour in hours]
        if any(calls for calls, _ in counts):
            rows.append(
                [name, *(f"{100 * contacts / calls:.0f}" if calls else "" for calls, contacts in counts)]
            )
    out.table("Answered by local hour, %", ["", *(f"{hour:02}" for hour in hours)], rows)


def _shares(out: Output, title: str, shares: list[Share]) -> None:
    out.table(
        title,
        ["", "calls", "contacts", "rate", "successes", "cost", "per contact"],
        [
            [one.key, one.calls, one.contacts, percent(one.contacts / one.calls if one.calls else None),
             one.successes, money(one.cost_cents), money(one.cost_cents / one.contacts if one.contacts else None)]
            for one in shares
        ],
    )  # fmt: skip


def _variants(out: Output, found: Report) -> None:
    """The agents of a campaign that has several, and whether they can be told apart."""
    if not found.variants:
        return
    out.table(
        "Agents compared, by leads, intervals of 95%",
        ["agent", "leads", "contacted", "contact rate", "succeeded", "success rate", "cost", "per success"],
        [
            [one.agent, one.leads, one.contacted, str(one.contact), one.succeeded, str(one.success),
             money(one.cost_cents), money(one.cost_per_success)]
            for one in found.variants
        ],
    )  # fmt: skip
    for line in comparison(found.variants):
        out.line(line)


def forecast(name: given.Name, as_json: given.Json = False) -> None:
    """When a campaign will be done at its present pace, how many calls that takes, and what they cost.

    Example: campaigns forecast spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    clock = clock_of(settings, store, campaign.workspace)
    now = clock.now()
    found = foretell(store, campaign, now)
    out.document(_document(name, campaign.state.value, found))
    if not as_json:
        out.headline(name, campaign.state.value)
        rows = [
            ["leads left", f"{found.leads_left:,}"],
            ["done", done_words(found, now)],
            ["calls left", f"{found.calls_left:,.0f}, {found.calls_least:,.0f} to {found.calls_most:,.0f}"],
            ["cost left", money(found.cost_left)],
            ["cost in all", money(found.cost_total)],
            ["pace now", "-" if found.pace is None else f"{found.pace:,.0f} calls an hour"],
            ["outside their window", f"{found.outside_window:,} leads"],
            ["waiting for a retry", f"{found.not_due:,} leads"],
            ["rests on", f"{found.basis:,} settled calls"],
        ]
        out.table("Forecast", ["", ""], rows)
        for guess in found.assumed:
            out.line(f"assumed: {guess}")
        if found.never:
            out.line(f"never: {found.never:,} leads are in zones where no window ever opens")


def _document(name: str, state: str, found: Forecast) -> ForecastDocument:
    def at(instant: object) -> str | None:
        return None if found.done_at is None or instant is None else iso(instant)  # type: ignore[arg-type]

    return ForecastDocument(
        campaign=name,
        state=state,
        leads_left=found.leads_left,
        done_at=at(found.done_at),
        earliest=at(found.earliest),
        latest=at(found.latest),
        calls_left=round(found.calls_left),
        calls_least=round(found.calls_least),
        calls_most=round(found.calls_most),
        cost_left_cents=None if found.cost_left is None else round(found.cost_left, 4),
        cost_total_cents=None if found.cost_total is None else round(found.cost_total, 4),
        calls_per_hour=None if found.pace is None else round(found.pace, 2),
        outside_window=found.outside_window,
        not_due=found.not_due,
        never_callable=found.never,
        settled_calls=found.basis,
        assumed=list(found.assumed),
    )


def _counted(counts: dict[int, int]) -> str:
    return ", ".join(f"{number} x{leads:,}" for number, leads in counts.items()) or "none"
