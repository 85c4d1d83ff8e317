"""When a campaign will be done at its present pace, what that costs, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from campaigns.compliance import rules_for
from campaigns.domain.entities import Callee, Campaign
from campaigns.domain.forecast import (
    ASSUMED_SECONDS,
    ASSUMED_WEIGHT,
    HORIZON,
    Cohort,
    Course,
    project,
    shares_of,
)
from campaigns.domain.states import FINAL_CAMPAIGN, CampaignState
from campaigns.services.callers import pool, pool_cps
from campaigns.store import Store

#: Business time over which the present pace is taken, and how many dials make one.
_PACE_OVER, _PACE_LEAST = timedelta(hours=1), 20
#: Lines where the account was never seen.
_ASSUMED_LINES = 20
_STEP_MS = 300_000
#: The early end of the range has so few leads left, the late one so few; in between, half a lead.
_EARLY_LEFT, _LATE_LEFT = 2.0, 0.05


@dataclass(frozen=True, slots=True)
class Forecast:
    """done_at with its range; None = not within HORIZON, or nothing to do. Costs in cents; None = no call has cost yet.

    pace: calls per hour of business time now, None = too few to tell. basis: settled calls it rests on.
    assumed: what was not measured. never: leads that no calling window ever lets through. outside_window: due leads
    that must wait for theirs. not_due: leads that wait for a retry, or for a time that the file asked for.
    """

    leads_left: int
    done_at: datetime | None
    earliest: datetime | None
    latest: datetime | None
    calls_left: float
    calls_least: float
    calls_most: float
    cost_left: float | None
    cost_total: float | None
    pace: float | None
    basis: int
    never: int
    outside_window: int
    not_due: int
    assumed: tuple[str, ...]


def forecast(store: Store, campaign: Campaign, now: datetime) -> Forecast:
    """Project the campaign from now on; a paused or drafted one as if it were let run at this moment."""
    tally = store.tallies.of(campaign.id)
    assumed: list[str] = []
    if campaign.state not in (CampaignState.RUNNING, *FINAL_CAMPAIGN):
        assumed.append(f"it is {campaign.state.value}: counted from the moment it runs")
    waiting = [] if campaign.state in FINAL_CAMPAIGN else store.reports.waiting(campaign.id, now, _STEP_MS)
    cohorts = [
        Cohort(
            one.callee, now + timedelta(milliseconds=one.steps * _STEP_MS), one.used // one.leads, one.leads
        )
        for one in waiting
    ]
    in_flight = tally.leads["in_flight"]
    if in_flight:
        # They are on the line: their calls are not dialed again, but what follows from them is to come.
        likely = cohorts[0].group if cohorts else Callee((), ())
        cohorts.append(Cohort(likely, now, 0, in_flight))
    settled = sum(tally.outcomes.values())
    if settled < ASSUMED_WEIGHT:
        assumed.append(f"outcomes: only {settled} calls are settled")
    seconds, calls = store.reports.seconds_per_call(campaign.id)
    if calls < _PACE_LEAST:
        seconds = (seconds * calls + ASSUMED_SECONDS * ASSUMED_WEIGHT) / (calls + ASSUMED_WEIGHT)
        assumed.append(f"length of a call: {seconds:.0f} s")
    slow, usual, fast, pace = _rates(store, campaign, now, seconds, assumed)
    options = campaign.options
    rules = rules_for(options.profile, options.windows, store.evidence.blackouts())

    def until(group: Hashable, at: datetime) -> datetime | None:
        return rules.until(group, at)  # type: ignore[arg-type]

    def opening(group: Hashable, at: datetime) -> datetime | None:
        return rules.next_opening(group, at)  # type: ignore[arg-type]

    course = Course(usual, seconds, shares_of(tally.outcomes), campaign.options.retry_policy())
    middle = project(cohorts, now, course, until, opening)
    # The more calls it rests on, the narrower: two standard errors of a share of one half.
    doubt = 1 / math.sqrt(settled + ASSUMED_WEIGHT)
    early = project(
        cohorts, now, replace(course, calls_per_second=fast, left_over=_EARLY_LEFT), until, opening
    )
    late = project(cohorts, now, replace(course, calls_per_second=slow, left_over=_LATE_LEFT), until, opening)
    left = max(0.0, middle.calls - in_flight)
    per_call = tally.cost_cents / settled if settled and tally.cost_cents else None
    done = [None if not cohorts else one.done_at for one in (middle, early, late)]
    return Forecast(
        leads_left=sum(one.leads for one in waiting) + in_flight,
        done_at=done[0],
        earliest=None if done[0] is None or done[1] is None else min(done[0], done[1]),
        latest=None if done[0] is None or done[2] is None else max(done[0], done[2]),
        calls_left=left,
        calls_least=max(0.0, left * (1 - doubt)),
        calls_most=left * (1 + doubt),
        cost_left=None if per_call is None else left * per_call,
        cost_total=None if per_call is None else left * per_call + tally.cost_cents,
        pace=pace,
        basis=settled,
        never=round(middle.never),
        outside_window=sum(one.leads for one in waiting if not one.steps and until(one.callee, now) is None),
        not_due=sum(one.leads for one in waiting if one.steps),
        assumed=tuple(assumed),
    )


def _rates(
    store: Store, campaign: Campaign, now: datetime, seconds: float, assumed: list[str]
) -> tuple[float, float, float, float | None]:
    """Calls per second of business time (slow, usual, fast), and per hour as seen now."""
    account = store.workspaces.account(campaign.workspace)
    lines = account.ceiling() - account.foreign if account.limit is not None else _ASSUMED_LINES
    if account.limit is None:
        assumed.append(f"lines: {lines}, the account was not seen yet")
    elif account.all_reserved:
        assumed.append(
            f"lines: the operator's reserve of {account.reserve} leaves none; counted as half a line"
        )
    running = store.campaigns.listed(campaign.workspace, (CampaignState.RUNNING,))
    others = store.tallies.of_each([one.id for one in running if one.id != campaign.id])
    busy = [one for one in running if one.id in others and others[one.id].leads["pending"]]
    weight = campaign.options.weight
    share = lines * weight / (weight + sum(one.options.weight for one in busy))
    if campaign.options.concurrency is not None:
        share = min(share, campaign.options.concurrency)
    possible = max(share, 0.5) / max(seconds, 1.0)
    callers = pool(campaign.options, store.numbers.known(campaign.workspace))
    if (cps := pool_cps(campaign.options, callers)) is not None:
        possible = min(possible, cps)
    if campaign.options.number_cap is not None:
        assumed.append("numbers: enough of them, their cap in 24 hours is not reckoned with")
    pace = _pace(store, campaign, now)
    if pace is None or campaign.state != CampaignState.RUNNING:
        if pace is None:
            assumed.append("pace: what the lines allow, too few calls in the last hour")
        return possible / 2, possible * 0.9, possible, pace
    seen = pace / 3600
    return min(seen, possible) * 0.75, seen, max(seen, possible), pace


def _pace(store: Store, campaign: Campaign, now: datetime) -> float | None:
    """Calls per hour lately, while any were made."""
    since = max(now - _PACE_OVER, campaign.running_since or campaign.created_at)
    dials = store.listings.dials_since([campaign.id], since).get(campaign.id, 0)
    hours = (now - since) / timedelta(hours=1)
    return dials / hours if dials >= _PACE_LEAST and hours > 0 else None


__all__ = ["HORIZON", "Forecast", "forecast"]
