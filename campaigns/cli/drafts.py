"""A campaign to begin with."""

from __future__ import annotations

from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import UsageError
from campaigns.services.campaign_config import check_options
from campaigns.services.launch import make_campaign
from campaigns.settings import Settings
from campaigns.store import Store


def new_campaign(store: Store, settings: Settings, name: str, wanted: CampaignOptions) -> Campaign:
    """Make a draft. Raises CampaignsError when the name, or the start or the end, cannot be used."""
    now = settings.clock().now()
    for problem in check_options(wanted, now):
        raise UsageError(problem.message, problem.remedy)
    return make_campaign(store, settings.workspace, name, wanted, now)
