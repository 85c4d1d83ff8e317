"""Setting a campaign going, and beginning and ending it by the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.span import check_span
from campaigns.domain.states import CampaignState
from campaigns.services.context import Context
from campaigns.store import Store

log = structlog.get_logger(__name__)

#: Calls per second where none are named: Retell's default for every provider, since no endpoint tells the real one.
DEFAULT_CPS = 1.0


def make_campaign(
    store: Store, workspace: str, name: str, options: CampaignOptions, now: datetime
) -> Campaign:
    """Make a draft. Raises CampaignsError when the name cannot be used."""
    if not name.strip() or len(name) > 100 or any(ord(letter) < 32 for letter in name):
        raise UsageError(f"{name!r} cannot name a campaign", "use 1 to 100 printable letters")
    made = store.campaigns.create(name, workspace, options, now)
    if made is None:
        raise CampaignsError(f"a campaign named {name!r} exists already", "choose another name")
    return made


def check_workspace(campaign: Campaign, workspace: str) -> None:
    """Raises CampaignsError for a campaign of another account, of which nothing may be changed from this one."""
    if campaign.workspace != workspace:
        raise CampaignsError(
            f"{campaign.name} belongs to the {campaign.workspace} account, not to {workspace}",
            "choose another --name: a simulated campaign never turns into a real one, nor the other way round",
        )


def check_change(campaign: Campaign, options: CampaignOptions, now: datetime) -> None:
    """Raises UsageError for a new end that is past: whoever waits would expire at once, and for good.

    An end that was there before may be past, as that of a campaign that is over is.
    """
    end = options.ends_at()
    if end is not None and end <= now and end != campaign.options.ends_at():
        raise UsageError(
            f"{campaign.name} would be over, and all who wait in it would expire: its end is past",
            "let end_at lie ahead; `campaigns cancel` gives a campaign up",
        )


def change_options(store: Store, campaign: Campaign, options: CampaignOptions, now: datetime) -> None:
    """Change how a campaign is dialed from the next claim on. Raises UsageError, see `check_change`."""
    check_change(campaign, options, now)
    store.campaigns.set_options(campaign.id, options, now)


def launch(
    store: Store,
    campaign: Campaign,
    workspace: str,
    now: datetime,
    *,
    default_cps: float | None,
    numbers: Callable[[], Sequence[str]],
    at_once: bool = False,
) -> Campaign:
    """Make sure that the campaign can dial, and set it running, or let it wait for its start.

    numbers: the account's, asked for only where the campaign names none. at_once: do not wait for its start.
    Raises CampaignsError that says what is missing.
    """
    check_workspace(campaign, workspace)
    if store.reports.leads_up_to(campaign.id, 1) == 0:
        raise CampaignsError(
            f"{campaign.name} has no leads",
            f"import some with `campaigns import FILE --campaign {campaign.name}`",
        )
    if at_once and campaign.options.start_at:
        # Otherwise a pause and a resume would have it wait for its start again.
        campaign = replace(campaign, options=replace(campaign.options, start_at=""))
        store.campaigns.set_options(campaign.id, campaign.options, now)
    options = campaign.options
    try:
        check_span(options.starts_at(), options.ends_at(), now)
    except ValueError as error:
        message, _, remedy = str(error).partition(": ")
        raise CampaignsError(f"{campaign.name}: {message}", remedy) from None
    if not options.from_numbers:
        options = replace(options, from_numbers=(_only(numbers(), workspace),))
    if options.cps is None and default_cps is not None:
        options = replace(options, cps=default_cps)
    if options != campaign.options:
        store.campaigns.set_options(campaign.id, options, now)
    moved = campaign.state in (CampaignState.RUNNING, CampaignState.SCHEDULED)
    if campaign.state == CampaignState.PAUSED:
        moved = store.campaigns.resume(campaign.id, now)
    elif not moved or (campaign.state == CampaignState.SCHEDULED and at_once):
        moved = store.campaigns.launch(campaign.id, now)
    found = store.campaigns.get(campaign.id)
    if not moved or found is None:
        raise CampaignsError(f"{campaign.name} is {campaign.state}", "make a new campaign with another name")
    return found


def _only(numbers: Sequence[str], workspace: str) -> str:
    """The account's number, where it has exactly one. Raises CampaignsError that names the choices."""
    if len(numbers) == 1 or (numbers and workspace != "retell"):
        return numbers[0]
    if not numbers:
        raise CampaignsError(
            "the account has no phone number", "buy or import one at Retell, or name one with --from"
        )
    raise CampaignsError("the account has several numbers", f"choose with --from: {', '.join(numbers[:8])}")


def begin_and_end(store: Store, workspace: str, now: datetime) -> int:
    """One look at a workspace's campaigns: those whose start has come run, those whose end has come expire.

    Returns how many changed. Safe to run any number of times at once. Calls in progress at the end are left to finish,
    and a lead that would be tried again after it expires at the next look.
    """
    campaigns = store.campaigns
    changed = 0
    for ended in campaigns.past_end(workspace, now):
        expired = campaigns.expire(ended.id, now)
        completed = campaigns.complete_if_done(ended.id, now)
        changed += bool(expired or completed)
        if expired:
            log.info("campaign_ended", campaign=ended.name, expired=expired)
    started = campaigns.start_due(workspace, now)
    for campaign_id in started:
        log.info("campaign_started", campaign=campaign_id)
    return changed + len(started)


def by_the_clock(context: Context) -> int:
    """`begin_and_end` for a worker's account, now."""
    return begin_and_end(context.store, context.workspace, context.clock.now())
