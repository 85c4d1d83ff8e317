"""`campaigns dnc`: the do-not-call list. What is on it is dialed by no campaign of this home."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from campaigns.cli import campaign_options as asked
from campaigns.cli import options as given
from campaigns.cli.import_bar import import_bar
from campaigns.cli.output import Output
from campaigns.domain.entities import CampaignOptions
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.runtime import open_store
from campaigns.services.report import iso
from campaigns.services.suppressions import check_number, export_list, import_list, number_of, stale_lists
from campaigns.settings import load_settings
from campaigns.store import Suppression, SuppressionEvent

Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept with the number and in the record.")
]
Source = Annotated[
    str | None, typer.Option("--source", metavar="NAME", help="Whose list, as federal, state-tx, ours.")
]
Expires = Annotated[
    str | None,
    typer.Option("--expires", metavar="DATE", help="Not listed from this day on; default: for good."),
]
#: By how much the operator's day may be ahead of UTC's.
_ZONES = timedelta(hours=14)

dnc = typer.Typer(
    help="The do-not-call list: import, add, remove, check, export.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register(app: typer.Typer) -> None:
    app.add_typer(dnc, name="dnc")


@dnc.command("import")
def import_numbers(
    file: given.LeadFileArgument,
    source: Source = None,
    reason: Reason = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="DATE", help="The day the list's data is of; default today."),
    ] = None,
    expires: Expires = None,
    region: asked.Region = None,
    mapping: asked.Map = None,
    as_json: given.Json = False,
) -> None:
    """Put every number of a file on the list.

    Example: campaigns dnc import national.csv --source federal --as-of 2026-11-01
    """
    settings, out = load_settings(), Output(as_json)
    now = settings.clock().now()
    name = source or file.stem
    data_of, until = _day(as_of, "--as-of"), _to_come(expires, now)
    if data_of is not None and data_of > now + _ZONES:
        raise UsageError(f"--as-of {as_of} is yet to come", "write the day that the list's data is of")
    fields = asked.changes(mapping=mapping, region=region).over(CampaignOptions())
    with import_bar(out, file.name) as bar:
        summary = import_list(
            open_store(settings),
            file,
            now,
            given.operator(),
            source=name,
            reason=reason or f"on the list {file.name}",
            data_of=data_of or now,
            expires_at=until,
            region=fields.region,
            mapping=fields.mapping,
            progress=bar.counting,
        )
    out.line(
        f"{summary.file}: {summary.rows:,} rows, {summary.new:,} new on the list, {summary.known:,} were on it, "
        f"{summary.repeated:,} repeated, {summary.rejected:,} without a number"
    )
    for warning in summary.warnings:
        out.line(f"warning: {warning}")
    out.document({"source": name, **summary.document(), "warnings": list(summary.warnings)})


@dnc.command("add")
def add(
    numbers: Annotated[list[str], typer.Argument(metavar="NUMBER...", help="Phone numbers.")],
    reason: Reason = None,
    source: Source = None,
    expires: Expires = None,
    region: asked.Region = None,
    as_json: given.Json = False,
) -> None:
    """Put numbers on the list; their queued leads end as suppressed.

    Example: campaigns dnc add +12125550123 --reason "asked by mail"
    """
    settings, out = load_settings(), Output(as_json)
    now = settings.clock().now()
    until = _to_come(expires, now)
    country = asked.region_of(region)
    phones = [number_of(number, country) for number in numbers]
    new = open_store(settings).suppressions.suppress(
        phones,
        source or "operator",
        reason or "added by an operator",
        now,
        expires_at=until,
        by=given.operator(),
    )
    out.line(f"{new:,} new on the do-not-call list, {len(set(phones)) - new:,} were on it")
    out.document({"numbers": phones, "new": new})


@dnc.command("remove")
def remove(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="A phone number.")],
    reason: Reason = None,
    region: asked.Region = None,
    as_json: given.Json = False,
) -> None:
    """Take a number off the list, for a reason that is recorded. Leads that were suppressed stay so.

    Example: campaigns dnc remove +12125550123 --reason "was a typing error"
    """
    settings, out = load_settings(), Output(as_json)
    if not (reason or "").strip():
        raise UsageError("a number is taken off the list for a reason only", "say it with --reason TEXT")
    phone = number_of(number, asked.region_of(region))
    store = open_store(settings)
    gone = store.suppressions.remove(phone, str(reason), given.operator(), settings.clock().now())
    if gone is None:
        raise CampaignsError(f"{phone} is not on the do-not-call list", "see `campaigns dnc check`")
    out.line(
        f"{phone} is off the list; it was there since {iso(gone.added_at)} from {gone.source}: {gone.reason}"
    )
    out.document({"phone": phone, "was": _entry(gone), "reason": reason})


@dnc.command("check")
def check(
    number: Annotated[
        str | None, typer.Argument(metavar="[NUMBER]", help="A phone number; without it the whole list.")
    ] = None,
    region: asked.Region = None,
    as_json: given.Json = False,
) -> None:
    """Whether a number is on the list and what the record says of it; or which lists there are.

    Example: campaigns dnc check +12125550123
    """
    settings, out = load_settings(), Output(as_json)
    country = asked.region_of(region)
    store, now = open_store(settings), settings.clock().now()
    if number is None:
        counts = store.suppressions.counts()
        lists = store.suppressions.history(action="imported")
        warnings = stale_lists(store, now)
        out.table("Do not call", ["source", "numbers"], [[name, count] for name, count in counts.items()])
        out.table(
            "Lists",
            ["imported", "by", "file", "source", "numbers", "data of"],
            [
                [iso(e.at), e.by, e.file, e.source, e.numbers, iso(e.data_of) if e.data_of else ""]
                for e in lists
            ],
        )
        for warning in warnings:
            out.line(f"warning: {warning}")
        out.document({"sources": counts, "lists": [_event(e) for e in lists], "warnings": warnings})
        return
    phone = number_of(number, country)
    entry, history = check_number(store, phone)
    if entry is None:
        out.line(f"{phone} is not on the do-not-call list")
    else:
        until = f" until {iso(entry.expires_at)}" if entry.expires_at else ""
        out.line(f"{phone} is on the do-not-call list{until}: {entry.source}, {entry.reason}")
    if history:
        out.table(
            "Record",
            ["at", "what", "source", "reason", "by"],
            [[iso(e.at), e.action, e.source, e.reason, e.by] for e in history],
        )
    out.document(
        {
            "phone": phone,
            "listed": entry is not None,
            "entry": _entry(entry) if entry else None,
            "history": [_event(e) for e in history],
        }
    )


@dnc.command("export")
def export(
    path: Annotated[Path, given.out_file(metavar="OUT.csv", help="The file to write.")],
    source: Source = None,
    as_json: given.Json = False,
) -> None:
    """Write the list as a CSV.

    Example: campaigns dnc export listed.csv
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    known = store.suppressions.counts()
    if source is not None and source not in known:
        raise CampaignsError(
            f"no number is listed from {source!r}", f"there are: {', '.join(known) or 'no numbers at all'}"
        )
    count = export_list(store, path, source)
    out.line(f"{count:,} numbers in {path}")
    out.document({"numbers": count, "file": str(path)})


def _day(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"{option} {text} is no day", "write it as 2026-12-31") from None


def _to_come(text: str | None, now: datetime) -> datetime | None:
    """The day until which an entry holds: one that is past would be off the list within the minute."""
    day = _day(text, "--expires")
    if day is not None and day <= now:
        raise UsageError(f"--expires {text} is past", "write a day to come, or leave it out: listed for good")
    return day


def _entry(entry: Suppression) -> dict[str, object]:
    return {
        "source": entry.source,
        "reason": entry.reason,
        "added_at": iso(entry.added_at),
        "expires_at": iso(entry.expires_at) if entry.expires_at else None,
    }


def _event(event: SuppressionEvent) -> dict[str, object]:
    return {
        "at": iso(event.at),
        "action": event.action,
        "source": event.source,
        "reason": event.reason,
        "by": event.by,
        "file": event.file,
        "numbers": event.numbers,
        "data_of": iso(event.data_of) if event.data_of else None,
    }
