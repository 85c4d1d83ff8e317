"""`campaigns calls`: single calls, as Retell and our rows know them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from campaigns.cli import options as given
from campaigns.cli.completion import campaign_names
from campaigns.cli.confirm import Yes, confirm
from campaigns.cli.documents.account import CallDetail, CallLine, StoppedCall
from campaigns.cli.output import Output, short
from campaigns.cli.workspace import retell_of
from campaigns.domain.errors import CampaignsError
from campaigns.retell import Call, RetellClient
from campaigns.runtime import open_retell, open_store
from campaigns.services.report import iso_of
from campaigns.settings import Settings, load_settings

CallArgument = Annotated[str, typer.Argument(metavar="CALL_ID", help="The call's id, as call_abc123.")]
#: States in which nobody is on the line any more.
_OVER = ("ended", "error", "not_connected")
_WIDTH = 88


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.callback()(calls)
    group.command("list")(list_calls)
    group.command("show")(show)
    group.command("stop")(stop)
    app.add_typer(group, name="calls")


def calls() -> None:
    """Single calls: list them, read one, hang one up.

    Example: campaigns calls list --campaign spring
    """


def list_calls(
    campaign: Annotated[
        str | None,
        typer.Option(
            "--campaign",
            metavar="NAME",
            help="Only the calls of that campaign.",
            autocompletion=campaign_names,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", help="At most so many.", min=1, max=100_000)
    ] = 20,
    as_json: given.Json = False,
) -> None:
    """The latest calls, as Retell lists them.

    Example: campaigns calls list --campaign spring --limit 50
    """
    settings, out = load_settings(), Output(as_json)
    if campaign is None:
        with open_retell(settings) as retell:
            found = retell.list_calls(limit=limit)
    else:
        store = open_store(settings)
        its = given.find_campaign(store, campaign)
        with retell_of(settings, store, its.workspace) as retell:
            found = retell.list_calls(metadata={"campaign_id": its.id}, limit=limit)
    rows = [CallLine(**_line(call)) for call in found]
    out.document(rows)
    if not as_json:
        columns = ["call", "started", "to", "seconds", "ended by"]
        shown = [
            [row.call_id, short(row.started_at), row.to_number, row.duration_seconds,
             row.disconnection_reason or row.status]
            for row in rows
        ]  # fmt: skip
        out.table("Calls", columns, shown)


def _line(call: Call) -> dict[str, Any]:
    return {
        "call_id": call.call_id,
        "started_at": iso_of(call.start_timestamp),
        "status": call.call_status,
        "direction": call.direction,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "agent": call.agent_id,
        "duration_seconds": None if call.duration_ms is None else call.duration_ms / 1000,
        "disconnection_reason": call.disconnection_reason,
        "cost_cents": None if call.call_cost is None else call.call_cost.combined_cost,
    }


@contextmanager
def _found(settings: Settings, call_id: str) -> Iterator[tuple[RetellClient, Call, dict[str, Any]]]:
    """The account that a call belongs to, the call, and what our rows know of it: {} where it is not ours."""
    store = open_store(settings)
    ours = store.reports.call(call_id) or {}
    with retell_of(settings, store, ours.get("workspace", settings.workspace)) as retell:
        yield retell, retell.get_call(call_id), ours


def show(call_id: CallArgument, as_json: given.Json = False) -> None:
    """One call: whose it is, how it ended, its cost, its analysis, its transcript, its recording.

    Example: campaigns calls show call_abc123
    """
    settings, out = load_settings(), Output(as_json)
    with _found(settings, call_id) as (_, call, ours):
        detail = _detail(call, ours)
    out.document(detail)
    if not as_json:
        _tell(out, detail)


def _detail(call: Call, ours: Mapping[str, Any]) -> CallDetail:
    analysis = call.call_analysis
    return CallDetail(
        **_line(call),
        ended_at=iso_of(call.end_timestamp),
        agent_version=call.agent_version,
        analysis=None if analysis is None else analysis.model_dump(mode="json", exclude_none=True),
        transcript=call.transcript,
        recording_url=call.recording_url,
        campaign=ours.get("campaign"),
        lead_line=ours.get("line"),
        attempt=ours.get("attempt"),
        attempt_state=ours.get("state"),
        outcome=ours.get("outcome"),
    )


def _tell(out: Output, call: CallDetail) -> None:
    out.fields(call, leave_out=("analysis", "transcript"))
    analysis = dict(call.analysis or {})
    extracted = analysis.pop("custom_analysis_data", None) or {}
    rows = [[name.replace("_", " "), value] for name, value in [*analysis.items(), *extracted.items()]]
    if rows:
        out.table("Analysis", ["", ""], rows)
    if not call.transcript:
        out.line("no transcript")
        return
    out.headline("Transcript", "")
    for line in call.transcript.splitlines():
        speaker, colon, words = line.partition(":")
        if colon and speaker in ("Agent", "User"):
            out.spoken(speaker, textwrap.fill(words.strip(), _WIDTH, subsequent_indent=" " * 8))
        else:
            out.line(textwrap.fill(line, _WIDTH))


def stop(call_id: CallArgument, yes: Yes = False, as_json: given.Json = False) -> None:
    """Hang up a call in progress.

    Example: campaigns calls stop call_abc123
    """
    settings, out = load_settings(), Output(as_json)
    with _found(settings, call_id) as (retell, call, _):
        if call.call_status in _OVER:
            raise CampaignsError(
                f"{call_id} is over already: {call.disconnection_reason or call.call_status}",
                f"read it with `campaigns calls show {call_id}`",
            )
        confirm(f"hangs up the call with {call.to_number or call_id} ({call.call_status})", yes)
        retell.stop_call(call_id)
    out.note(f"{call_id} is hung up")
    out.document(StoppedCall(call_id=call_id, stopped=True))
