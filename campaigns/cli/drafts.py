"""A campaign to begin with."""

from __future__ import annotations

from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import CampaignsError
from campaigns.settings import Settings
from campaigns.store import Store


def new_campaign(store: Store, settings: Settings, name: str, wanted: CampaignOptions) -> Campaign:
    """Make a draft. Raises CampaignsError when the name cannot be used."""
    if not name.strip() or len(name) > 100 or any(ord(letter) < 32 for letter in name):
        raise CampaignsError(f"{name!r} cannot name a campaign", "use 1 to 100 printable letters")
    made = store.campaigns.create(name, settings.workspace, wanted, settings.clock().now())
    if made is None:
        raise CampaignsError(f"a campaign named {name!r} exists already", "choose another name")
    return made
