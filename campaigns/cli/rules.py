"""Commands about when a person may be called: explain, windows, evidence, blackout."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from campaigns.cli import campaign_options as asked
from campaigns.cli import options as given
from campaigns.cli.completion import campaign_names
from campaigns.cli.documents.rules import BlackoutLine, CampaignWindows, EvidenceFile, Explained
from campaigns.cli.output import Output
from campaigns.compliance import NOT_LEGAL_ADVICE, the_book
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.windows import WindowError, zone
from campaigns.leads import PhoneProblem, normalise_phone
from campaigns.leads.places import country_named, region_named
from campaigns.runtime import open_store
from campaigns.services.evidence import export_evidence
from campaigns.services.explain import explain
from campaigns.services.report import iso
from campaigns.services.strip import Strip, plot, strip
from campaigns.settings import load_settings
from campaigns.store import RecordedBlackout

_SHADES = " ░▒▓█"
_MARKS = {True: "passes", False: "in the way", None: ""}


def register(app: typer.Typer) -> None:
    app.command("explain")(explain_number)
    app.command("windows")(windows)
    app.command("evidence")(evidence)
    group = typer.Typer()
    group.callback()(_blackouts)
    group.command("add")(add_blackout)
    group.command("list")(list_blackouts)
    group.command("remove")(remove_blackout)
    app.add_typer(group, name="blackout")


def explain_number(
    number: Annotated[
        str, typer.Argument(metavar="NUMBER", help="The lead's number, as a person writes it.")
    ],
    campaign: Annotated[
        str | None,
        typer.Option(
            "--campaign",
            metavar="N",
            help="Only in this campaign; default: in all.",
            autocompletion=campaign_names,
        ),
    ] = None,
    region: asked.Region = None,
    as_json: given.Json = False,
) -> None:
    """Why is nobody calling this person? Every rule and limit for a number, and when it is next callable.

    Example: campaigns explain +12125550123 --campaign spring
    """
    settings, out = load_settings(), Output(as_json)
    phone = normalise_phone(number, asked.region_of(region))
    if isinstance(phone, PhoneProblem):
        raise UsageError(
            f"{number} is no number that is dialed: {phone.message.rstrip('.')}", "write it as +12125550123"
        )
    store = open_store(settings)
    chosen = given.find_campaign(store, campaign) if campaign is not None else None
    found = explain(store, settings.workspace, phone.e164, settings.clock().now(), chosen)
    out.document([Explained.model_validate(one.document()) for one in found])
    if as_json:
        return
    for one in found:
        when = "now" if one.callable_now else f"at {iso(one.next_at)}" if one.next_at else "not by itself"
        out.headline(f"{one.phone} {one.campaign}".strip(), f"next callable: {when}. {one.why}")
        out.table("", ["", "", ""], [[line.what, _MARKS[line.passes], line.says] for line in one.lines])
    out.line(NOT_LEGAL_ADVICE)


def windows(
    name: given.Name,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, max=60, help="How many days ahead.")] = 7,
    clock: Annotated[
        str, typer.Option("--clock", metavar="ZONE", help="IANA zone whose hours are shown.")
    ] = "UTC",
    picture: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Draw it too; needs `pip install campaigns[plot]`."),
    ] = None,
    as_json: given.Json = False,
) -> None:
    """When its waiting leads may be called: hours by day, darker where more of them are callable.

    Example: campaigns windows spring --clock America/Chicago --plot windows.png
    """
    settings, out = load_settings(), Output(as_json)
    try:
        shown = zone(clock)
    except WindowError as error:
        raise UsageError(str(error)) from None
    store = open_store(settings)
    found = strip(store, given.find_campaign(store, name), settings.clock().now(), shown, days)
    if picture is not None:
        plot(found, picture)
        out.note(f"drawn to {picture}")
    out.document(CampaignWindows.model_validate(found.document()))
    if not as_json:
        _draw(out, found)
        out.line(NOT_LEGAL_ADVICE)


def _draw(out: Output, found: Strip) -> None:
    out.headline(found.campaign, f"leads callable by the hour, {found.zone}, of {found.waiting:,} waiting")
    out.line(" " * 10 + "".join(f"{hour:02} " for hour in range(24)) + " most")
    for day, counts in zip(found.days(), found.callable, strict=True):
        cells = "".join(_shade(count, found.waiting) * 2 + " " for count in counts)
        out.line(f"{day:<10}{cells} {max(counts):,}")


def _shade(count: int, most: int) -> str:
    if not count:
        return "·"
    return _SHADES[min(4, 1 + count * 4 // (most + 1))]


def evidence(
    name: given.Name,
    to: Annotated[
        Path, given.out_file("--out", metavar="FILE", help="A .jsonl name writes JSON lines, any other CSV.")
    ],
    as_json: given.Json = False,
) -> None:
    """Write what was known at each dial: local time, zones, rules, caps, do-not-call check, consent.

    Example: campaigns evidence spring --out evidence.csv
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    rows = export_evidence(store, given.find_campaign(store, name), to)
    out.note(f"{rows:,} dials written to {to}. {NOT_LEGAL_ADVICE}")
    out.document(EvidenceFile(evidence=str(to), rows=rows))


def _blackouts() -> None:
    """Dates on which nobody is called in a place, such as a declared emergency: add, list, remove.

    Example: campaigns blackout list
    """


def add_blackout(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="US-LA, Louisiana, or a country as US.")],
    first: Annotated[str, typer.Argument(metavar="FROM", help="First local date, as 2026-08-29.")],
    last: Annotated[
        str | None, typer.Argument(metavar="TO", help="Last local date; default: the first.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record.")] = "",
    as_json: given.Json = False,
) -> None:
    """Call nobody in a place on these dates of its own, in any campaign or profile. In force at once.

    Example: campaigns blackout add US-LA 2026-08-29 2026-09-05 --reason hurricane
    """
    settings, out = load_settings(), Output(as_json)
    begins, ends = _date(first), _date(last or first)
    if ends < begins:
        raise UsageError(f"{last} lies before {first}", "write the first date first")
    code = _place(place)
    store, now = open_store(settings), settings.clock().now()
    number = store.evidence.add_blackout(
        code, begins, ends, reason or "no reason given", given.operator(), now
    )
    out.note(f"blackout {number}: nobody is called in {code} from {begins} to {ends}")
    out.document(_line(next(b for b in store.evidence.recorded_blackouts() if b.blackout.id == number)))


def list_blackouts(as_json: given.Json = False) -> None:
    """All blackouts there ever were, with who set and who lifted them.

    Example: campaigns blackout list
    """
    out = Output(as_json)
    lines = [_line(one) for one in open_store(load_settings()).evidence.recorded_blackouts()]
    out.document(lines)
    if not as_json:
        rows = [
            [one.id, one.place, one.first, one.last, one.reason, one.added_by, one.lifted_at or "in force"]
            for one in lines
        ]
        out.table("Blackouts", ["id", "place", "from", "to", "reason", "added by", "lifted"], rows)


def remove_blackout(
    number: Annotated[
        int, typer.Argument(metavar="ID", max=given.MOST, help="As `campaigns blackout list` shows it.")
    ],
    as_json: given.Json = False,
) -> None:
    """Lift a blackout; its row stays, for the record.

    Example: campaigns blackout remove 1
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    if not store.evidence.lift_blackout(number, given.operator(), settings.clock().now()):
        raise CampaignsError(f"no blackout {number} is in force", "see `campaigns blackout list`")
    out.note(f"blackout {number} is lifted")
    out.document(_line(next(b for b in store.evidence.recorded_blackouts() if b.blackout.id == number)))


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date", "write it as 2026-08-29") from None


def _place(text: str) -> str:
    region = region_named(text)
    if region is not None and text.upper() not in the_book().countries:
        return region.code
    country = country_named(text)
    if country is None:
        raise UsageError(
            f"{text!r} is no place", "write a state as US-LA, a province as CA-QC, a country as US"
        )
    return country


def _line(one: RecordedBlackout) -> BlackoutLine:
    blackout = one.blackout
    return BlackoutLine(
        id=blackout.id,
        place=blackout.jurisdiction,
        first=blackout.first.isoformat(),
        last=blackout.last.isoformat(),
        reason=blackout.reason,
        added_by=one.added_by,
        added_at=iso(one.added_at),
        lifted_by=one.lifted_by,
        lifted_at=None if one.lifted_at is None else iso(one.lifted_at),
    )
