"""Commands that change a campaign: create, launch, pause, resume, cancel."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from campaigns.cli import campaign_options as asked
from campaigns.cli import options as given
from campaigns.cli.completion import campaign_names, some_of
from campaigns.cli.drafts import new_campaign
from campaigns.cli.output import NEEDS_A_PERSON, Output
from campaigns.cli.workspace import retell_of
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.jobs import JobState
from campaigns.domain.outcomes import Outcome
from campaigns.domain.retry import NEVER_RETRIED
from campaigns.domain.states import UNRESOLVED_CODE, CampaignState
from campaigns.runtime import open_retell, open_store
from campaigns.services.account_numbers import note_numbers
from campaigns.services.halt import stop_calls
from campaigns.services.launch import DEFAULT_CPS
from campaigns.services.launch import launch as set_going
from campaigns.services.report import iso
from campaigns.settings import Settings, load_settings
from campaigns.store import Store

#: Outcomes after which a lead may be called in a further pass.
_RECYCLABLE = sorted(set(Outcome) - NEVER_RETRIED)
OPERATOR_PAUSE = "paused by the operator"


def register(app: typer.Typer) -> None:
    app.command("create")(create)
    app.command("launch")(launch)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    app.command("recycle")(recycle)
    app.command("release")(release)


@asked.campaign_options()
def create(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The campaign's name; default: the one in the file."),
    ] = None,
    as_json: given.Json = False,
    *,
    changes: asked.Changes,
) -> None:
    """Make a campaign as a draft.

    Example: campaigns create spring --from +14155550100 --agent agent_abc123
    """
    settings, out = load_settings(), Output(as_json)
    chosen = changes.name if name is None else name
    if chosen is None:
        raise UsageError(
            "the campaign has no name", "write `campaigns create NAME`, or name it in the campaign file"
        )
    made = new_campaign(open_store(settings), settings, chosen, changes.over(CampaignOptions()))
    out.note(f"{made.name} is a draft: import leads with `campaigns import FILE --campaign {made.name}`")
    _show(out, made)


def launch(
    name: given.Name,
    now: Annotated[bool, typer.Option("--now", help="Start at once, whatever its start says.")] = False,
    as_json: given.Json = False,
) -> None:
    """Start dialing a campaign, at its start; `campaigns worker` and `campaigns beat` do the work.

    Example: campaigns launch spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    launched = start(store, settings, given.find_campaign(store, name), at_once=now)
    out.note(f"{name} is {_when(launched)}")
    _show(out, launched)


def start(store: Store, settings: Settings, campaign: Campaign, *, at_once: bool = False) -> Campaign:
    """Make sure that the campaign can dial, and set it going. Raises CampaignsError that says what is missing."""

    return set_going(
        store,
        campaign,
        settings.workspace,
        settings.clock().now(),
        default_cps=None if settings.stand_in else DEFAULT_CPS,
        numbers=lambda: account_numbers(store, settings),
        at_once=at_once,
    )


def account_numbers(store: Store, settings: Settings) -> list[str]:
    """The numbers of the account, asked for now, and their types noted."""
    with open_retell(settings) as retell:
        listed = retell.list_phone_numbers()
    note_numbers(store, settings.workspace, listed)
    return [number.phone_number for number in listed]


def _when(campaign: Campaign) -> str:
    if campaign.state == CampaignState.SCHEDULED and campaign.start_at is not None:
        return f"scheduled: dialing begins at {iso(campaign.start_at)}"
    return campaign.state.value


def pause(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="The campaign's name; or --all.", autocompletion=campaign_names
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every campaign, of every account.")] = False,
    hang_up: Annotated[
        bool, typer.Option("--stop-calls", help="Hang up the calls in progress as well, at once.")
    ] = False,
    as_json: given.Json = False,
) -> None:
    """Stop dialing; calls in progress go on and their results are collected, unless --stop-calls hangs them up.

    Example: campaigns pause spring
    """
    settings, out = load_settings(), Output(as_json)
    store, now = open_store(settings), settings.clock().now()
    if (name is None) is not everything:
        raise UsageError("what is to be paused is not said", "name one campaign, or use --all")
    if name is not None and not hang_up:
        campaign = given.find_campaign(store, name)
        if not store.campaigns.pause(campaign.id, OPERATOR_PAUSE, now):
            raise CampaignsError(f"{name} is {campaign.state}", "only a running campaign can be paused")
        out.note(f"{name} is paused: no new dials; `campaigns resume {name}` goes on")
        _show(out, given.find_campaign(store, name))
        return
    chosen = None if name is None else given.find_campaign(store, name)
    if chosen is None:
        ids = store.campaigns.pause_all(OPERATOR_PAUSE, now)
    else:
        ids = [chosen.id] if store.campaigns.pause(chosen.id, OPERATOR_PAUSE, now) else []
    every = store.campaigns.listed()
    paused = [campaign.name for campaign in every if campaign.id in ids]
    out.line(f"paused: {', '.join(paused) or 'nothing was running'}")
    active = [job.name for job in store.jobs.listed() if job.state is JobState.ACTIVE] if everything else []
    if active:
        out.note(
            f"jobs go on at their times: {', '.join(active[:10])}; `campaigns jobs pause NAME` stops one"
        )
    document: dict[str, Any] = {"paused": paused, "stopped_calls": [], "not_stopped": {}, "unknown_dials": 0}
    if hang_up:
        accounts = {campaign.workspace for campaign in every} if chosen is None else {chosen.workspace}
        for workspace in sorted(accounts):
            if not store.own_lines(workspace):
                continue
            with retell_of(settings, store, workspace) as retell:
                halted = stop_calls(store, retell, workspace, None if chosen is None else [chosen.id])
            document["stopped_calls"] += halted.stopped
            document["not_stopped"] |= halted.failed
            document["unknown_dials"] += halted.unknown
        out.line(f"hung up: {len(document['stopped_calls']):,} calls")
        for call_id, why in document["not_stopped"].items():
            out.line(f"not hung up: {call_id}: {why}")
        if document["unknown_dials"]:
            out.line(f"unknown: {document['unknown_dials']:,} dials may still ring; run the command again")
    out.document(document)
    open_ends = document["not_stopped"] or document["unknown_dials"]
    raise typer.Exit(NEEDS_A_PERSON if open_ends else 0)


def recycle(
    name: given.Name,
    outcomes: Annotated[
        str,
        typer.Option(
            "--outcomes",
            metavar="OUTCOME,...",
            help="Last outcomes, as no_answer,machine.",
            autocompletion=some_of(_RECYCLABLE),
        ),
    ],
    as_json: given.Json = False,
) -> None:
    """Start a further pass over the leads whose last call came to these outcomes; history and caps are kept.

    Example: campaigns recycle spring --outcomes no_answer,machine
    """
    settings, out = load_settings(), Output(as_json)
    store, now = open_store(settings), settings.clock().now()
    campaign = given.find_campaign(store, name)
    wanted = [one.strip() for one in outcomes.split(",") if one.strip()]
    for one in wanted or [""]:
        if one not in _RECYCLABLE:
            raise UsageError(f"{one!r} cannot be called again", f"use of these: {', '.join(_RECYCLABLE)}")
    if campaign.state == CampaignState.CANCELLED:
        raise CampaignsError(f"{name} is cancelled", "import the leads into another campaign")
    if campaign.is_over(now):
        raise CampaignsError(f"{name} is past its end", "give it a later --end-at with `campaigns run`")
    recycled = store.campaigns.recycle(campaign.id, wanted, now)
    if not recycled:
        raise CampaignsError(
            f"no lead of {name} ended with {', '.join(wanted)}",
            f"see `campaigns status {name}` for the outcomes",
        )
    ours = campaign.workspace == settings.workspace
    if campaign.state == CampaignState.COMPLETED and ours:
        campaign = start(store, settings, campaign)
    going = campaign.state in (CampaignState.RUNNING, CampaignState.SCHEDULED)
    out.line(f"{recycled:,} leads of {name} wait to be dialed again; the campaign is {_when(campaign)}")
    if not going:
        out.note("run it as before to go on" if not ours else f"`campaigns resume {name}` goes on")
    out.document({"campaign": name, "outcomes": wanted, "recycled": recycled, "state": campaign.state.value})


def resume(name: given.Name, as_json: given.Json = False) -> None:
    """Go on dialing a paused campaign.

    Example: campaigns resume spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    if campaign.state != CampaignState.PAUSED:
        raise CampaignsError(f"{name} is {campaign.state}, not paused", f"see `campaigns status {name}`")
    store.campaigns.resume(campaign.id, settings.clock().now())
    resumed = given.find_campaign(store, name)
    out.note(f"{name} is {_when(resumed)}" + (" again" if resumed.state == CampaignState.RUNNING else ""))
    _show(out, resumed)


def cancel(name: given.Name, as_json: given.Json = False) -> None:
    """Give a campaign up: its waiting leads end as cancelled, calls in progress are left to finish.

    Example: campaigns cancel spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    if not store.campaigns.cancel(campaign.id, settings.clock().now()):
        raise CampaignsError(f"{name} is {campaign.state} already", f"see `campaigns status {name}`")
    out.note(f"{name} is cancelled")
    _show(out, given.find_campaign(store, name))


def release(
    name: given.Name,
    code: Annotated[
        str, typer.Option("--code", metavar="CODE", help="Release the leads held with this code.")
    ],
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="The IANA zone these leads are in.")
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Let held leads be dialed after all; `campaigns status NAME` names the codes.

    Example: campaigns release spring --code unknown_timezone --timezone America/New_York
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    if code == UNRESOLVED_CODE:
        raise UsageError(
            "nobody can say whether these leads were rung",
            "say it for each with `campaigns resolve ATTEMPT placed|not-placed`",
        )
    if code in ("unknown_timezone", "window_never_opens") and timezone is None:
        raise UsageError(
            f"leads held with {code} need a time zone", "name it with --timezone America/New_York"
        )
    asked.changes(timezone=timezone)
    released = store.campaigns.release(campaign.id, code, timezone, settings.clock().now())
    if not released:
        codes = sorted({held for held, _, _ in store.reports.held(campaign.id)})
        raise CampaignsError(
            f"no lead of {name} is held with {code}",
            f"there are: {', '.join(codes)}" if codes else "none is held",
        )
    out.note(f"{released:,} leads of {name} wait to be dialed again; run or launch it to go on")
    out.document({"campaign": name, "code": code, "released": released})


def _show(out: Output, campaign: Campaign) -> None:
    out.document({"campaign": campaign.name, "state": campaign.state.value, "reason": campaign.reason})
