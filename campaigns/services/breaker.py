"""The breaker: a campaign whose dials break at the platform pauses itself, and tries again by itself, gently."""

from __future__ import annotations

import structlog

from campaigns.domain.entities import Campaign
from campaigns.domain.states import CampaignState
from campaigns.domain.trouble import (
    BREAKER_WINDOW,
    GENTLE_SUCCESSES,
    breaker_trips,
    mostly_invalid,
    pause_length,
)
from campaigns.services.context import Context

log = structlog.get_logger(__name__)


def watch_over(context: Context) -> int:
    """One look at the workspace's campaigns. Returns how many changed: tripped, resumed, or found well again."""
    campaigns, now = context.store.campaigns, context.clock.now()
    changed = 0
    for campaign in campaigns.listed(context.workspace, (CampaignState.RUNNING, CampaignState.PAUSED)):
        if campaign.state == CampaignState.RUNNING:
            changed += _check(context, campaign)
        elif campaign.resume_at is not None and campaigns.resume_tripped(campaign.id, now):
            log.info("campaign_tries_again", campaign=campaign.name, trips=campaign.trips)
            changed += 1
    return changed


def _check(context: Context, campaign: Campaign) -> bool:
    store, now = context.store, context.clock.now()
    since = now - BREAKER_WINDOW * context.clock.speed
    # Failures from before a pause have been atoned for by the pause.
    dials = store.recovery.recent_dials(campaign.id, max(since, campaign.running_since or since))
    # Of all its dials since: with one or two lines and long calls a window never shows enough of them.
    lately = store.recovery.recent_dials(campaign.id, campaign.running_since or since, limit=50)
    wrong = mostly_invalid(lately)
    if wrong is not None:
        log.error("campaign_paused", campaign=campaign.name, reason=wrong)
        return store.campaigns.pause(campaign.id, wrong, now)
    reason = breaker_trips(dials)
    if reason is not None:
        pause = pause_length(campaign.trips)
        tripped = store.campaigns.trip(campaign.id, reason, now + pause * context.clock.speed, now)
        if tripped:
            log.error("breaker_tripped", campaign=campaign.name, reason=reason, seconds=pause.total_seconds())
        return tripped
    if campaign.trips and sum(dial.went_through for dial in lately) >= GENTLE_SUCCESSES:
        store.campaigns.forget_trips(campaign.id)
        return True
    return False
