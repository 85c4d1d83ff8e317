"""`campaigns calls`: single calls, as Retell and our rows know them."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any

import typer

from campaigns.cli import options as given
from campaigns.cli.confirm import Yes, confirm
from campaigns.cli.documents.account import CallDetail, CallLine, StoppedCall
from campaigns.cli.output import Output
from campaigns.cli.workspace import retell_of
from campaigns.domain.clock import from_ms
from campaigns.domain.errors import CampaignsError
from campaigns.retell import Call
from campaigns.runtime import open_retell, open_store
from campaigns.services.report import iso
from campaigns.settings import load_settings

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
        str | None, typer.Option("--campaign", metavar="NAME", help="Only the calls of that campaign.")
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
            [row.call_id, (row.started_at or "")[5:16].replace("T", " "), row.to_number, row.duration_seconds,
             row.disconnection_reason or row.status]
            for row in rows
        ]  # fmt: skip
        out.table("Calls", columns, shown)


def _line(call: Call) -> dict[str, Any]:
    return {
        "call_id": call.call_id,
        "started_at": _instant(call.start_timestamp),
        "status": call.call_status,
        "direction": call.direction,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "agent": call.agent_id,
        "duration_seconds": None if call.duration_ms is None else call.duration_ms / 1000,
        "disconnection_reason": call.disconnection_reason,
        "cost_cents": None if call.call_cost is None else call.call_cost.combined_cost,
    }


def _instant(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso(from_ms(milliseconds))


def show(call_id: CallArgument, as_json: given.Json = False) -> None:
    """One call: whose it is, how it ended, its cost, its analysis, its transcript, its recording.

    Example: campaigns calls show call_abc123
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    ours = store.reports.call(call_id)
    with retell_of(settings, store, ours["workspace"] if ours else settings.workspace) as retell:
        call = retell.get_call(call_id)
    analysis = call.call_analysis
    detail = CallDetail(
        **_line(call),
        ended_at=_instant(call.end_timestamp),
        agent_version=call.agent_version,
        analysis=None if analysis is None else analysis.model_dump(mode="json", exclude_none=True),
        transcript=call.transcript,
        recording_url=call.recording_url,
        campaign=ours["campaign"] if ours else None,
        lead_line=ours["line"] if ours else None,
        attempt=ours["attempt"] if ours else None,
        attempt_state=ours["state"] if ours else None,
        outcome=ours["outcome"] if ours else None,
    )
    out.document(detail)
    if not as_json:
        _tell(out, detail)


def _tell(out: Output, call: CallDetail) -> None:
    out.fields(call, leave_out=("analysis", "transcript"))
    analysis = dict(call.analysis or {})
    extracted = analysis.pop("custom_analysis_data", None) or {}
    rows = [[name.replace("_", " "), _text(value)] for name, value in [*analysis.items(), *extracted.items()]]
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


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def stop(call_id: CallArgument, yes: Yes = False, as_json: given.Json = False) -> None:
    """Hang up a call in progress.

    Example: campaigns calls stop call_abc123
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    ours = store.reports.call(call_id)
    with retell_of(settings, store, ours["workspace"] if ours else settings.workspace) as retell:
        call = retell.get_call(call_id)
        if call.call_status in _OVER:
            raise CampaignsError(
                f"{call_id} is over already: {call.disconnection_reason or call.call_status}",
                f"read it with `campaigns calls show {call_id}`",
            )
        confirm(f"hangs up the call with {call.to_number or call_id} ({call.call_status})", yes)
        retell.stop_call(call_id)
    out.note(f"{call_id} is hung up")
    out.document(StoppedCall(call_id=call_id, stopped=True))
