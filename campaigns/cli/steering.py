"""Commands that change a campaign: create, launch, pause, resume, cancel."""

from __future__ import annotations

from typing import Annotated

import typer

from campaigns.cli import options as given
from campaigns.cli.drafts import new_campaign
from campaigns.cli.output import Output
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.states import UNRESOLVED_CODE, CampaignState
from campaigns.runtime import open_retell, open_store
from campaigns.settings import Settings, load_settings
from campaigns.store import Store

OPERATOR_PAUSE = "paused by the operator"


def register(app: typer.Typer) -> None:
    app.command("create")(create)
    app.command("launch")(launch)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    app.command("release")(release)


def create(
    name: given.Name,
    from_numbers: given.From = None,
    agent: given.Agent = None,
    mode: given.Mode = None,
    concurrency: given.Concurrency = None,
    cps: given.Cps = None,
    profile: given.Profile = None,
    window: given.WindowOption = None,
    timezone: given.Timezone = None,
    region: given.Region = None,
    retry: given.Retry = None,
    max_attempts: given.MaxAttempts = None,
    mapping: given.Map = None,
    dnc_field: given.DncField = None,
    callback_field: given.CallbackField = None,
    as_json: given.Json = False,
) -> None:
    """Make a campaign as a draft.

    Example: campaigns create spring --from +14155550100 --agent agent_abc123
    """
    settings, out = load_settings(), Output(as_json)
    wanted = given.changed_options(
        CampaignOptions(), from_numbers=from_numbers, agent=agent, mode=mode, concurrency=concurrency, cps=cps,
        profile=profile, windows=window, timezone=timezone, region=region, retry=retry, max_attempts=max_attempts,
        mapping=mapping, dnc_field=dnc_field, callback_field=callback_field,
    )  # fmt: skip
    made = new_campaign(open_store(settings), settings, name, wanted)
    out.note(f"{made.name} is a draft: import leads with `campaigns import FILE --campaign {made.name}`")
    _show(out, made)


def launch(name: given.Name, as_json: given.Json = False) -> None:
    """Start dialing a campaign; `campaigns worker` and `campaigns beat` do the work.

    Example: campaigns launch spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    start(store, settings, campaign)
    out.note(f"{name} is running")
    _show(out, given.find_campaign(store, name))


def start(store: Store, settings: Settings, campaign: Campaign) -> None:
    """Make sure that the campaign can dial, and set it running. Raises CampaignsError that says what is missing."""
    if campaign.workspace != settings.workspace:
        raise CampaignsError(
            f"{campaign.name} belongs to the {campaign.workspace} account, not to {settings.workspace}",
            "choose another --name: a simulated campaign never turns into a real one, nor the other way round",
        )
    if store.reports.leads_up_to(campaign.id, 1) == 0:
        raise CampaignsError(
            f"{campaign.name} has no leads",
            f"import some with `campaigns import FILE --campaign {campaign.name}`",
        )
    options = campaign.options
    if not options.from_numbers:
        options = given.changed_options(options, from_numbers=[only_number(settings)])
    if options.cps is None and not settings.stand_in:
        # Retell's default for every provider; more is asked for by name, since no endpoint tells it.
        options = given.changed_options(options, cps=1.0)
    if options != campaign.options:
        store.campaigns.set_options(campaign.id, options)
    now = settings.clock().now()
    if campaign.state == CampaignState.RUNNING:
        return
    moved = (
        store.campaigns.resume(campaign.id, now)
        if campaign.state == CampaignState.PAUSED
        else store.campaigns.launch(campaign.id, now)
    )
    if not moved:
        raise CampaignsError(f"{campaign.name} is {campaign.state}", "make a new campaign with another name")


def only_number(settings: Settings) -> str:
    """The account's number, where it has exactly one. Raises CampaignsError that names the choices."""
    with open_retell(settings) as retell:
        numbers = [number.phone_number for number in retell.list_phone_numbers()]
    if len(numbers) == 1 or (numbers and settings.workspace != "retell"):
        return numbers[0]
    if not numbers:
        raise CampaignsError(
            "the account has no phone number", "buy or import one at Retell, or name one with --from"
        )
    raise CampaignsError("the account has several numbers", f"choose with --from: {', '.join(numbers[:8])}")


def pause(name: given.Name, as_json: given.Json = False) -> None:
    """Stop dialing; calls in progress go on and their results are collected.

    Example: campaigns pause spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    if not store.campaigns.pause(campaign.id, OPERATOR_PAUSE, settings.clock().now()):
        raise CampaignsError(f"{name} is {campaign.state}", "only a running campaign can be paused")
    out.note(f"{name} is paused: no new dials; `campaigns resume {name}` goes on")
    _show(out, given.find_campaign(store, name))


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
    out.note(f"{name} is running again")
    _show(out, given.find_campaign(store, name))


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
    given.changed_options(campaign.options, timezone=timezone)
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
