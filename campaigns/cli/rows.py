"""Commands that list rows: leads, attempts, events."""

from __future__ import annotations

import csv
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from campaigns.cli import options as given
from campaigns.cli.completion import one_of
from campaigns.cli.documents.base import Document
from campaigns.cli.documents.rows import Attempt, Event, Lead
from campaigns.cli.output import Output, event_words, short
from campaigns.domain import windows
from campaigns.domain.clock import from_ms
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.outcomes import Outcome
from campaigns.domain.states import AttemptState, LeadState
from campaigns.runtime import open_store
from campaigns.services.report import iso, iso_of
from campaigns.settings import load_settings
from campaigns.store import ATTEMPT_ORDERS, LEAD_ORDERS, Page, Store

_FOLLOW_EVERY = 0.5
#: Events looked at again when following: on PostgreSQL one may become visible after its successor.
_OVERLAP = 200

DocumentT = TypeVar("DocumentT", bound=Document)

Offset = Annotated[
    int, typer.Option("--offset", metavar="N", min=0, max=given.MOST, help="Leave out so many rows before.")
]
Csv = Annotated[
    bool, typer.Option("--csv", help="A table for a spreadsheet on standard output; no cell is a formula.")
]
OutcomeOption = Annotated[
    str | None,
    typer.Option(
        "--outcome",
        metavar="O",
        help="Only with that last outcome, as no_answer.",
        autocompletion=one_of(Outcome),
    ),
]
PhoneOption = Annotated[
    str | None, typer.Option("--phone", metavar="NUMBER", help="Only that number, E.164.")
]


def register(app: typer.Typer) -> None:
    app.command("leads")(leads)
    app.command("attempts")(attempts)
    app.command("events")(events)


def leads(
    name: given.Name,
    state: Annotated[
        str | None, typer.Option(
            "--state", metavar="S", help="Only leads in that state.",
            autocompletion=one_of(LeadState),
        )
    ] = None,
    outcome: OutcomeOption = None,
    hold: Annotated[
        str | None, typer.Option("--hold", metavar="CODE", help="Only leads held with that code.")
    ] = None,
    phone: PhoneOption = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="NAME", help="Only leads of that lead file.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="ZONE", help="Only leads that may be in that zone.")
    ] = None,
    attempts_from: Annotated[
        int | None, typer.Option(
            "--min-attempts", metavar="N", min=0, max=given.MOST, help="Only with so many attempts or more.",
        )
    ] = None,
    sort: Annotated[
        str, typer.Option(
            "--sort", metavar="BY", help=f"{', '.join(LEAD_ORDERS)}; -BY for the greatest first.",
            autocompletion=one_of(LEAD_ORDERS),
        )
    ] = "line",
    limit: given.Limit = None,
    offset: Offset = 0,
    as_csv: Csv = False,
    as_json: given.Json = False,
) -> None:  # fmt: skip
    """The leads of a campaign, in file order.

    Example: campaigns leads spring --state pending --sort next --limit 20
    """
    settings, out = load_settings(), Output(as_json or as_csv)
    _one_of(state, "--state", "a lead state", LeadState)
    _one_of(outcome, "--outcome", "an outcome", Outcome)
    _numbers(("--phone", phone))
    if zone is not None:
        try:
            windows.zone(zone)
        except windows.WindowError as error:
            raise UsageError(f"--zone: {error}") from None
    page = _page(sort, LEAD_ORDERS, limit, offset, as_json, as_csv)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    files = [one.name for one in store.imports.files(campaign.id)] if file is not None else []
    if file is not None and file not in files:
        raise CampaignsError(
            f"no file {file!r} was imported into {name}",
            f"there are: {', '.join(dict.fromkeys(files)) or 'none'}",
        )
    found = store.listings.leads(
        campaign.id, page, state=state, outcome=outcome, hold_code=hold, phone=phone, file=file, zone=zone,
        least_attempts=attempts_from,
    )  # fmt: skip
    columns = ["line", "phone", "state", "tries", "outcome", "next", "zones or hold"]

    def shown(lead: Lead) -> list[Any]:
        why = lead.hold_code or lead.zones
        return [
            lead.line,
            lead.phone,
            lead.state,
            lead.attempts,
            lead.outcome,
            short(lead.next_attempt_at),
            why,
        ]

    _show(out, f"Leads of {name}", Lead, map(_lead, found), columns, shown, page, as_json, as_csv)


def _lead(row: Mapping[str, Any]) -> Lead:
    waiting = row["state"] == LeadState.PENDING
    return Lead(
        **{key: row[key] for key in ("id", "file", "line", "phone", "state", "zone_source", "priority", "attempts",
                                     "outcome", "contacted", "succeeded", "hold_code", "hold_remedy", "call_id")},
        zones=row["zones"].replace("|", ", "),
        last_attempt_at=iso_of(row["last_attempt_at"]),
        next_attempt_at=iso_of(row["next_attempt_at"]) if waiting else None,
        external_id=row["external_id"] or None,
    )  # fmt: skip


def attempts(
    name: given.Name,
    state: Annotated[
        str | None, typer.Option(
            "--state", metavar="S", help="Only attempts in that state.",
            autocompletion=one_of(AttemptState),
        )
    ] = None,
    outcome: OutcomeOption = None,
    phone: PhoneOption = None,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="ID", help="Only attempts by that agent.")
    ] = None,
    from_number: Annotated[
        str | None, typer.Option("--from", metavar="NUMBER", help="Only attempts from that number.")
    ] = None,
    sort: Annotated[
        str, typer.Option(
            "--sort", metavar="BY", help=f"{', '.join(ATTEMPT_ORDERS)}; -BY for the greatest first.",
            autocompletion=one_of(ATTEMPT_ORDERS),
        )
    ] = "-time",
    limit: given.Limit = None,
    offset: Offset = 0,
    as_csv: Csv = False,
    as_json: given.Json = False,
) -> None:  # fmt: skip
    """The attempts of a campaign, the latest first.

    Example: campaigns attempts spring --state unresolved
    """
    settings, out = load_settings(), Output(as_json or as_csv)
    _one_of(state, "--state", "an attempt state", AttemptState)
    _one_of(outcome, "--outcome", "an outcome", Outcome)
    _numbers(("--phone", phone), ("--from", from_number))
    page = _page(sort, ATTEMPT_ORDERS, limit, offset, as_json, as_csv)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    found = store.listings.attempts(
        campaign.id, page, state=state, outcome=outcome, phone=phone, agent=agent, from_number=from_number
    )
    columns = ["time", "phone", "state", "came to", "id"]

    def shown(one: Attempt) -> list[Any]:
        return [short(one.claimed_at), one.phone, one.state, one.outcome or one.refusal, one.id]

    _show(out, f"Attempts of {name}", Attempt, map(_attempt, found), columns, shown, page, as_json, as_csv)


def _attempt(row: Mapping[str, Any]) -> Attempt:
    duration = row["duration_ms"]
    return Attempt(
        **{key: row[key] for key in ("id", "lead_line", "phone", "from_number", "state", "outcome",
                                     "disconnection_reason", "charged", "sends", "cost_cents", "successful",
                                     "sentiment", "call_id", "refusal", "refusal_status")},
        agent=row["agent_id"] or None,
        agent_version=row["agent_version"] or None,
        claimed_at=iso(from_ms(row["claimed_at"])),
        dialed_at=iso_of(row["dialing_at"]),
        placed_at=iso_of(row["placed_at"]),
        ended_at=iso_of(row["ended_at"]),
        settled_at=iso_of(row["settled_at"]),
        duration_seconds=None if duration is None else duration / 1000,
    )  # fmt: skip


def events(
    name: given.Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=given.MOST, help="So many of the latest.")
    ] = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document; with --follow one line of JSON per event.")
    ] = False,
) -> None:
    """What happened in a campaign, oldest first.

    Example: campaigns events spring --follow
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    latest = store.listings.events(campaign.id, limit)
    if as_json and not follow:
        out.document([_event(row) for row in latest])
        return
    try:
        for event in itertools.chain(latest, _new_events(store, campaign.id, latest) if follow else ()):
            if as_json:
                sys.stdout.write(_event(event).model_dump_json() + "\n")
                sys.stdout.flush()
            else:
                out.line(f"{iso(from_ms(event['at']))}  {event_words(event)}")
    except KeyboardInterrupt:
        pass  # the way to end `--follow`


def _new_events(
    store: Store, campaign_id: str, known: Sequence[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    newest = known[-1]["id"] if known else 0
    seen = {event["id"] for event in known}
    oldest = known[0]["id"] if known else 0
    while True:
        for event in store.listings.events_after(campaign_id, max(oldest - 1, newest - _OVERLAP), 1000):
            if event["id"] not in seen:
                seen.add(event["id"])
                newest = max(newest, event["id"])
                yield event
        seen = {one for one in seen if one >= newest - _OVERLAP}
        time.sleep(_FOLLOW_EVERY)


def _event(row: Mapping[str, Any]) -> Event:
    return Event(
        **{key: row[key] for key in ("id", "subject", "from_state", "to_state", "detail")},
        at=iso(from_ms(row["at"])),
        at_real=iso(from_ms(row["at_real"])),
        lead=row["lead_id"],
        attempt=row["attempt_id"],
    )


def _one_of(value: str | None, option: str, what: str, kind: type[StrEnum]) -> None:
    allowed = [one.value for one in kind]
    if value is not None and value not in allowed:
        raise UsageError(f"{option} {value} is not {what}", f"use one of {', '.join(allowed)}")


def _numbers(*options: tuple[str, str | None]) -> None:
    for option, number in options:
        if number is not None:
            given.e164(number, option)


def _page(
    sort: str, orders: Mapping[str, Any], limit: int | None, offset: int, as_json: bool, as_csv: bool
) -> Page:
    if as_json and as_csv:
        raise UsageError("--json and --csv are two forms of the same", "use one of them")
    if sort.removeprefix("-") not in orders:
        raise UsageError(f"--sort {sort} is not an order", f"use one of {', '.join(orders)}, or -BY")
    if limit is None and not (as_json or as_csv):
        limit = given.SHOWN
    return Page(sort, limit, offset)


def _show(
    out: Output,
    title: str,
    model: type[DocumentT],
    rows: Iterable[DocumentT],
    columns: list[str],
    shown: Callable[[DocumentT], list[Any]],
    page: Page,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Row by row for programs: a list of a million leads is never in memory."""
    if as_json:
        before = "[\n"
        for row in rows:
            sys.stdout.write(before + "  " + json.dumps(row.model_dump(), ensure_ascii=False))
            before = ",\n"
        sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")
    elif as_csv:
        from campaigns.leads import spreadsheet_safe

        writer = csv.writer(sys.stdout)
        writer.writerow(list(model.model_fields))
        for row in rows:
            writer.writerow([spreadsheet_safe(_text(value)) for value in row.model_dump().values()])
    else:
        listed = [shown(row) for row in rows]
        out.table(title, columns, listed, whole=("time", "phone", "state", "tries", "next", "id"))
        if page.limit is not None and len(listed) == page.limit:
            out.note(f"{len(listed)} rows; the next with --offset {page.offset + page.limit}")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
