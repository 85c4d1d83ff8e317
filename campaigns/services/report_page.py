"""A report as one HTML file that needs nothing else: plots inside, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from campaigns.services.figures import Report, Share
from campaigns.services.plots import draw, svg
from campaigns.services.variants import comparison
from campaigns.services.words import money, percent
from campaigns.whole_file import whole_file

_STYLE = """
:root { color-scheme: light; font-family: system-ui, sans-serif; color: #1f2933; background: #f5f7fa; }
body { max-width: 64rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; line-height: 1.45; }
h1 { margin: 0 0 .2rem; font-size: 1.6rem; } h2 { margin: 2rem 0 .6rem; font-size: 1.1rem; }
.muted { color: #616e7c; } .trouble { color: #c0392b; }
.cards { display: grid; gap: .7rem; margin: 1.2rem 0; }
.cards { grid-template-columns: repeat(auto-fill, minmax(min(13rem, 44%), 1fr)); }
.card, figure { background: #fff; border: 1px solid #e4e7eb; border-radius: .5rem; padding: .7rem .9rem; margin: 0; }
.card b { display: block; font-size: 1.35rem; } .card span { font-size: .8rem; color: #616e7c; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: .9rem; }
.wide { grid-column: 1 / -1; } svg { width: 100%; height: auto; display: block; }
figure, .table { overflow-x: auto; } figure svg { min-width: 24rem; } .wide svg { min-width: 42rem; }
table { border-collapse: collapse; width: 100%; background: #fff; font-size: .9rem; }
th, td { padding: .35rem .6rem; white-space: nowrap; border-bottom: 1px solid #e4e7eb; text-align: right; }
th:first-child, td:first-child { text-align: left; } th { color: #616e7c; font-weight: 600; }
@media print { :root { background: #fff; } .card, figure { break-inside: avoid; } }
"""
_HEAD = ("", "calls", "contacts", "contact rate", "successes", "cost", "cost per contact", "talk")
_VARIANTS = (
    "", "leads", "contacted", "contact rate", "succeeded", "success rate", "cost", "cost per success",
)  # fmt: skip
_WIDE = ("attempts", "answers", "days")


def write_page(report: Report, path: Path, now: datetime) -> None:
    """The file appears whole, or not at all. Raises CampaignsError without matplotlib, OSError."""
    with whole_file(path) as file:
        file.write(page(report, now))


def page(report: Report, now: datetime) -> str:
    campaign, tally = report.status.campaign, report.status.tally
    state = campaign.state.value + (f": {campaign.reason}" if campaign.reason else "")
    span = ""
    if report.first_dial and report.last_dial:
        span = f" · dialed {report.first_dial:%Y-%m-%d %H:%M} to {report.last_dial:%Y-%m-%d %H:%M} UTC"
    cards = [
        (percent(report.penetration), f"penetration: {tally.dialed:,} of {report.leads:,} leads dialed"),
        (percent(report.contact_rate), f"contact rate: {tally.contacted:,} of those dialed"),
        (percent(report.success_rate), f"success rate: {tally.succeeded:,}, as the agent judged"),
        (f"{report.calls:,}", f"calls, {report.talk_seconds / 3600:,.1f} hours of talk"),
        (money(report.status.cost_cents), "cost of all calls"),
        (money(report.cost_per_contact), "cost per contact"),
        (percent(report.slot_use), f"of the line time used; {percent(report.slot_use_busy)} while calling"),
        (f"{report.status.rejected_rows:,}", "rows of the files rejected"),
    ]
    parts = [
        f"<h1>{escape(campaign.name)}</h1>",
        f'<p class="muted">{escape(state)} · as of {now:%Y-%m-%d %H:%M} UTC{span}</p>',
        *(f'<p class="trouble">{escape(line)}</p>' for line in _waiting(report)),
        '<div class="cards">',
        *(
            f'<div class="card"><b>{escape(big)}</b><span>{escape(small)}</span></div>'
            for big, small in cards
        ),
        "</div>",
        '<div class="plots">',
        *(
            f'<figure class="{"wide" if stem in _WIDE else ""}" role="img" aria-label="{escape(title)}">'
            f"{svg(figure, stem)}</figure>"
            for stem, title, figure in draw(report)
        ),
        "</div>",
    ]
    for title, shares in (
        ("By agent", report.by_agent),
        ("By number", report.by_number),
        ("By file", report.by_file),
    ):
        if shares:
            parts += [f"<h2>{title}</h2>", _table(shares)]
    if report.variants:
        parts += ["<h2>Agents compared</h2>", _variants(report)]
    parts.append(
        '<p class="muted">A contact is a call that a person took. Rates of leads count a lead once, rates of agents,'
        " numbers and files count calls. Hours are the callee's.</p>"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(campaign.name)}: report</title><style>{_STYLE}</style></head><body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _waiting(report: Report) -> list[str]:
    lines = [f"{count:,} leads held, {code}: {remedy}" for code, remedy, count in report.status.held]
    if unresolved := report.status.attempts["unresolved"]:
        lines.append(f"{unresolved:,} attempts unresolved: nobody can tell whether they rang")
    return lines


def _table(shares: Sequence[Share]) -> str:
    head = "".join(f"<th>{name}</th>" for name in _HEAD)
    rows = "".join(
        f"<tr><td>{escape(one.key)}</td><td>{one.calls:,}</td><td>{one.contacts:,}</td>"
        f"<td>{percent(one.contacts / one.calls if one.calls else None)}</td><td>{one.successes:,}</td>"
        f"<td>{money(one.cost_cents)}</td>"
        f"<td>{money(one.cost_cents / one.contacts if one.contacts else None)}</td>"
        f"<td>{one.talk_seconds / 60:,.0f} min</td></tr>"
        for one in shares
    )
    return _tabled(head, rows)


def _variants(report: Report) -> str:
    head = "".join(f"<th>{name}</th>" for name in _VARIANTS)
    rows = "".join(
        f"<tr><td>{escape(one.agent)}</td><td>{one.leads:,}</td><td>{one.contacted:,}</td><td>{one.contact}</td>"
        f"<td>{one.succeeded:,}</td><td>{one.success}</td><td>{money(one.cost_cents)}</td>"
        f"<td>{money(one.cost_per_success)}</td></tr>"
        for one in report.variants
    )
    said = "".join(f"<p>{escape(line)}</p>" for line in comparison(report.variants))
    return f'{_tabled(head, rows)}{said}<p class="muted">By leads. In brackets intervals of 95% (Wilson).</p>'


def _tabled(head: str, rows: str) -> str:
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
