"""The workers' part, done in the test's own process: a campaign launched by the command is dialed to its end."""

from __future__ import annotations

import time

import fakeredis

from campaigns.domain.clock import SystemClock
from campaigns.runtime import open_retell, open_store
from campaigns.services import dial, dispatch, reconcile, results
from campaigns.services.context import Context
from campaigns.services.cps import CallsPerSecond
from campaigns.settings import load_settings

#: Options of a campaign that may dial now, whatever the hour, and is done after one call per lead.
AT_ONCE = ("--profile", "none", "--retry", "none")


def dial_to_the_end(name: str, limit: float = 20.0) -> None:
    """Pace, dial, poll and settle until the campaign no longer runs, or nothing is left to wait for."""
    settings = load_settings()
    store = open_store(settings)
    with open_retell(settings) as retell:
        context = Context(
            store=store,
            retell=retell,
            clock=SystemClock(),
            limiter=CallsPerSecond(fakeredis.FakeRedis()),
            workspace=settings.workspace,
            poll_interval=0.02,
        )
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            campaign = store.campaigns.by_name(name)
            assert campaign is not None
            if campaign.state != "running":
                return
            for attempt_id in dispatch.pace(context).attempt_ids:
                dial.dial(context, attempt_id)
            polled = results.poll(context)
            for attempt_id in results.follow_up(context, polled) if polled else []:
                results.settle(context, attempt_id)
            reconcile.reconcile(context)
            time.sleep(0.02)
    raise AssertionError(f"{name} still runs after {limit} s")
