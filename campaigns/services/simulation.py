"""The virtual clock of a simulated run: it starts in an open calling window and goes on where it was."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

from campaigns.compliance import rules_for
from campaigns.domain.clock import Clock, ScaledClock, Skips, from_ms
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.states import OPEN_ATTEMPT
from campaigns.services.report import Status
from campaigns.store import Store

#: Business seconds per second: a call of a minute takes half a second, a retry after ten minutes comes in five.
SPEED = 120.0
#: Of a simulated run where nothing else is given: retries of the default's shape, and a rest of the one number that
#: there is, short enough to be watched.
OPTIONS = CampaignOptions(
    retry="no_answer:10m,20m;busy:5m,10m;machine:15m;declined:20m;callback:20m;platform_error:5m",
    number_rest="5m",
)
#: Real seconds of waiting that are left out rather than waited for.
_WORTH_SKIPPING = 5.0
_STEP = timedelta(minutes=15)
_LOOK_AHEAD = timedelta(days=8)
#: Worth waiting for: everybody callable, and for so long.
_ROOM = timedelta(hours=4)


def simulated_clock(
    store: Store, campaign: Campaign, now: datetime, skips: Path, speed: float = SPEED
) -> ScaledClock:
    """A clock that starts when most of the campaign's waiting leads are callable, not before `now`.

    skips: file in which it is told which hours to leave out. Business time never goes back: a resumed run goes on after
    the latest event in the database.
    """
    latest = store.reports.latest_business_ms()
    earliest = now if latest is None else max(now, from_ms(latest))
    if campaign.launched_at is not None and latest is not None:
        earliest = from_ms(latest)
    if campaign.start_at is not None:
        earliest = max(earliest, campaign.start_at)
    options = campaign.options
    rules = rules_for(options.profile, options.windows, store.evidence.blackouts())
    waiting = [callee for callee, _ in store.reports.earliest_pending(campaign.id)]

    def callable_at(instant: datetime) -> tuple[int, timedelta]:
        untils = [until for callee in waiting if (until := rules.until(callee, instant))]
        return len(untils), min((min(untils) - instant, _ROOM)) if untils else timedelta(0)

    best, best_score = earliest, callable_at(earliest)
    instant = earliest
    while best_score != (len(waiting), _ROOM) and instant < earliest + _LOOK_AHEAD:
        instant += _STEP
        score = callable_at(instant)
        if score > best_score:
            best, best_score = instant, score
    skips.unlink(missing_ok=True)
    return ScaledClock(best, speed, time.time(), skips=Skips(skips))


def skip_quiet_hours(clock: Clock, current: Status) -> None:
    """Leave out the hours in which a simulated run could do nothing but wait for a window or a retry."""
    skips = getattr(clock, "skips", None)
    at, own = current.next_event.at, current.attempts
    if skips is None or at is None or any(own[state] for state in OPEN_ATTEMPT):
        return
    ahead = (at - clock.now()).total_seconds() - clock.speed
    if ahead > _WORTH_SKIPPING * clock.speed:
        skips.leave_out(ahead)
