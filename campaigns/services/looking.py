"""One look at everything that goes on: what `campaigns watch` shows, read without a lock and without a write."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from campaigns.domain.clock import Clock
from campaigns.domain.entities import Campaign
from campaigns.domain.states import FINAL_CAMPAIGN, CampaignState
from campaigns.services.forecast import Forecast, forecast
from campaigns.services.report import Status, statuses
from campaigns.store import LiveCall, Store

#: Real seconds over which the calls per second are taken.
PACE_OVER = 15.0
#: A forecast is made anew this often (real seconds), and for more than this share of the time only if it has
#: passed.
_FORECAST_EVERY, _FORECAST_SHARE = 2.0, 0.005


@dataclass(frozen=True, slots=True)
class Seen:
    """One campaign at this moment. now: business time. calls_per_second: real ones. forecast: None when it is over."""

    status: Status
    now: datetime
    speed: float
    calls_per_second: float
    forecast: Forecast | None


@dataclass(frozen=True, slots=True)
class Look:
    """calls: what holds a line, the oldest first. events: the latest, oldest first, with the campaign's name."""

    campaigns: Sequence[Seen]
    calls: Sequence[LiveCall]
    events: Sequence[tuple[str, Mapping[str, Any]]]


@dataclass
class Looker:
    """Takes looks at one campaign, or at all that are not over."""

    store: Store
    clock_of: Callable[[str], Clock]
    name: str | None = None
    #: when it was made, how long that took, what it says
    _forecasts: dict[str, tuple[float, float, Forecast]] = field(default_factory=dict)

    def look(self, events: int) -> Look:
        """events: how many of the latest are wanted."""
        store = self.store
        watched = self._watched()
        clocks = {name: self.clock_of(name) for name in {one.workspace for one in watched}}
        now = {name: clock.now() for name, clock in clocks.items()}
        ids = {one.id for one in watched}
        seen = []
        for status in statuses(store, watched, now):
            one = status.campaign
            clock, at = clocks[one.workspace], now[one.workspace]
            since = at - timedelta(seconds=PACE_OVER * clock.speed)
            dials = store.listings.dials_since([one.id], since).get(one.id, 0)
            seen.append(Seen(status, at, clock.speed, dials / PACE_OVER, self._forecast(status, at)))
        happened = [(one.name, event) for one in watched for event in store.listings.events(one.id, events)]
        happened.sort(key=lambda pair: int(pair[1]["id"]))
        calls = [call for call in store.listings.live_calls() if call.campaign_id in ids]
        return Look(seen, calls, happened[-events:] if events else [])

    def _watched(self) -> list[Campaign]:
        if self.name is not None:
            found = self.store.campaigns.by_name(self.name)
            return [found] if found is not None else []
        listed = [one for one in self.store.campaigns.listed() if one.archived_at is None]
        going_on = [one for one in listed if one.state not in (*FINAL_CAMPAIGN, CampaignState.DRAFT)]
        # Where nothing goes on, the last one is better than an empty screen.
        return going_on or listed[-1:]

    def _forecast(self, status: Status, now: datetime) -> Forecast | None:
        campaign = status.campaign
        if campaign.state in FINAL_CAMPAIGN:
            return None
        started = time.monotonic()
        made, took, known = self._forecasts.get(campaign.id, (started, 0.0, None))
        age = started - made
        # On a fast clock what was foretold is soon past.
        past = known is not None and known.done_at is not None and known.done_at <= now
        if known is None or age >= (
            _FORECAST_EVERY if past else max(_FORECAST_EVERY, took / _FORECAST_SHARE)
        ):
            known = forecast(self.store, campaign, now)
            self._forecasts[campaign.id] = (started, time.monotonic() - started, known)
        return known
