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
from campaigns.runtime import clock_of, open_retell, open_store
from campaigns.services.account_numbers import note_numbers
from campaigns.services.halt import Halted, stop_calls
from campaigns.services.launch import DEFAULT_CPS
from campaigns.services.launch import launch as set_going
from campaigns.services.report import iso
from campaigns.settings import SIMULATOR, Settings, load_settings
from campaigns.store import Store

#: Outcomes after which a lead may be called in a further pass.
_RECYCLABLE = sorted(set(Outcome) - NEVER_RETRIED)
OPERATOR_PAUSE = "paused by the operator"
StopCalls = Annotated[
    bool,
    typer.Option(
        "--stop-calls",
        help="Hang up the calls in progress as well, at once, and those that come of what was sent.",
    ),
]


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
    hang_up: StopCalls = False,
    as_json: given.Json = False,
) -> None:
    """Stop dialing; calls in progress go on and their results are collected, unless --stop-calls hangs them up.

    Example: campaigns pause spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    if (name is None) is not everything:
        raise UsageError("what is to be paused is not said", "name one campaign, or use --all")
    chosen = None if name is None else given.find_campaign(store, name)
    workspace = settings.workspace if chosen is None else chosen.workspace
    now = clock_of(settings, store, workspace).now()
    if chosen is not None and not hang_up:
        if not store.campaigns.pause(chosen.id, OPERATOR_PAUSE, now):
            raise CampaignsError(f"{name} is {chosen.state}", "only a running campaign can be paused")
        out.note(f"{name} is paused: no new dials; `campaigns resume {name}` goes on")
        _tell_of_batches(out, store, chosen)
        _show(out, given.find_campaign(store, chosen.name))
        return
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
    accounts = {campaign.workspace for campaign in every} if chosen is None else {chosen.workspace}
    halted = Halted()
    if hang_up:
        for workspace in sorted(accounts):
            halted.add(_hang_up(settings, store, workspace, None if chosen is None else [chosen.id]))
        _tell(out, halted)
    out.document({"paused": paused, **_halted(halted)})
    raise typer.Exit(NEEDS_A_PERSON if halted.open_ends else 0)


def _hang_up(settings: Settings, store: Store, workspace: str, campaign_ids: list[str] | None) -> Halted:
    if not store.own_lines(workspace):
        return Halted()
    clock = clock_of(settings, store, workspace)
    if workspace == SIMULATOR and settings.real_api and store.workspaces.clock(workspace) is not None:
        # A run that goes on has its simulator to itself: its workers hang up.
        return stop_calls(store, None, workspace, clock.now, campaign_ids)
    with retell_of(settings, store, workspace) as retell:
        return stop_calls(store, retell, workspace, clock.now, campaign_ids)


def _halted(halted: Halted) -> dict[str, Any]:
    """What `--stop-calls` came to, as a part of a command's document."""
    return {
        "stopped_calls": halted.stopped,
        "not_stopped": halted.failed,
        "unknown_dials": halted.unknown,
        "waiting_at_retell": halted.waiting,
        "rung_until": None if halted.until is None else iso(halted.until),
    }


def _tell(out: Output, halted: Halted) -> None:
    out.line(f"hung up: {len(halted.stopped):,} calls")
    for call_id, why in halted.failed.items():
        out.line(f"not hung up: {call_id}: {why}")
    if halted.unknown:
        out.line(f"unknown: {halted.unknown:,} dials may still ring; run the command again")
    if halted.waiting:
        until = "" if halted.until is None else f" until {iso(halted.until)}"
        out.line(
            f"waiting: Retell may still ring {halted.waiting:,} leads{until}; their calls are hung up as they show,"
            " by the workers: keep them running, or run the command again"
        )


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
    recycled = store.returns.recycle(campaign.id, wanted, now)
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
    store.campaigns.resume(campaign.id, clock_of(settings, store, campaign.workspace).now())
    resumed = given.find_campaign(store, name)
    out.note(f"{name} is {_when(resumed)}" + (" again" if resumed.state == CampaignState.RUNNING else ""))
    _show(out, resumed)


def cancel(name: given.Name, hang_up: StopCalls = False, as_json: given.Json = False) -> None:
    """Give a campaign up: its waiting leads end as cancelled, calls in progress finish, unless --stop-calls ends them.

    Example: campaigns cancel spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    now = clock_of(settings, store, campaign.workspace).now()
    # To hang up what still rings, the command is run again.
    again = hang_up and campaign.state == CampaignState.CANCELLED
    if not again and not store.campaigns.cancel(campaign.id, now):
        raise CampaignsError(f"{name} is {campaign.state} already", f"see `campaigns status {name}`")
    out.note(f"{name} is cancelled")
    cancelled = given.find_campaign(store, name)
    if not hang_up:
        _tell_of_batches(out, store, cancelled)
        _show(out, cancelled)
        return
    halted = _hang_up(settings, store, campaign.workspace, [campaign.id])
    _tell(out, halted)
    out.document({**_state(cancelled), **_halted(halted)})
    raise typer.Exit(NEEDS_A_PERSON if halted.open_ends else 0)


def _tell_of_batches(out: Output, store: Store, campaign: Campaign) -> None:
    """What cannot be taken back from Retell's own dialer."""
    left = store.halts.left_at_retell(campaign.workspace, [campaign.id])
    if left.attempts and left.until is not None:
        out.note(
            f"Retell may still ring {len(left.attempts):,} leads of it until {iso(left.until)}; --stop-calls hangs up"
        )


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
    released = store.returns.release(campaign.id, code, timezone, settings.clock().now())
    if not released:
        codes = sorted({held for held, _, _ in store.reports.held(campaign.id)})
        raise CampaignsError(
            f"no lead of {name} is held with {code}",
            f"there are: {', '.join(codes)}" if codes else "none is held",
        )
    out.note(f"{released:,} leads of {name} wait to be dialed again; run or launch it to go on")
    out.document({"campaign": name, "code": code, "released": released})


def _state(campaign: Campaign) -> dict[str, Any]:
    return {"campaign": campaign.name, "state": campaign.state.value, "reason": campaign.reason}


def _show(out: Output, campaign: Campaign) -> None:
    out.document(_state(campaign))
