"""When a campaign's records may go. Not legal advice."""

from __future__ import annotations

from datetime import datetime, timedelta

from campaigns.domain.entities import Campaign
from campaigns.domain.errors import CampaignsError
from campaigns.domain.states import FINAL_CAMPAIGN, CampaignState
from campaigns.settings import SIMULATOR
from campaigns.store import Remains

#: Call-detail records are kept five years: FTC Telemarketing Sales Rule, 16 CFR 310.5, since 2024-10-15.
KEEP_YEARS = 5
#: Attempts on a number count for caps over this time at the longest (France: 4 in 30 days); no force deletes them.
COUNTED = timedelta(days=30)


def may_delete(campaign: Campaign, remains: Remains, now: datetime, forced: bool) -> None:
    """Raises CampaignsError that says why the campaign must stay, and until when.

    forced: the operator has named the campaign a second time, and answers for the evidence. Simulated campaigns rang
    nobody, and are kept for nothing.
    """
    name = campaign.name
    if campaign.state not in (*FINAL_CAMPAIGN, CampaignState.DRAFT):
        raise CampaignsError(f"{name} is {campaign.state}", f"end it first with `campaigns cancel {name}`")
    if remains.open:
        raise CampaignsError(
            f"{name} has {remains.open} calls that may still be on the line", "wait until they are settled"
        )
    if remains.unresolved:
        raise CampaignsError(
            f"{name} has {remains.unresolved} unresolved attempts: nobody can tell whether they rang",
            f"see `campaigns attempts {name} --state unresolved`, and say it with `campaigns resolve`",
        )
    if remains.last_dial is None or campaign.workspace == SIMULATOR:
        return
    counted = remains.last_dial + COUNTED
    if now < counted:
        raise CampaignsError(
            f"the dials of {name} still count for how often its numbers may be called, until {counted:%Y-%m-%d}",
            f"put it out of sight with `campaigns archive {name}`",
        )
    until = _years_later(remains.last_dial, KEEP_YEARS)
    if now < until and not forced:
        raise CampaignsError(
            f"{name} has records of {remains.dialed:,} dials, which are evidence to be kept until {until:%Y-%m-%d}"
            f" (FTC: {KEEP_YEARS} years)",
            f"put it out of sight with `campaigns archive {name}`, or answer for it with --force {name}",
        )


def _years_later(instant: datetime, years: int) -> datetime:
    try:
        return instant.replace(year=instant.year + years)
    except ValueError:  # the 29th of February
        return instant.replace(year=instant.year + years, month=3, day=1)
