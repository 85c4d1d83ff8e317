"""The workers' part, done in the test's own process: a campaign launched by the command is dialed to its end."""

from __future__ import annotations

import time
from datetime import timedelta

import fakeredis
import pytest

from campaigns.domain.clock import SystemClock
from campaigns.runtime import open_retell, open_store
from campaigns.services import batch, batch_calls, dial, dispatch, reconcile, results
from campaigns.services.context import Context
from campaigns.services.cps import CallsPerSecond
from campaigns.settings import load_settings

#: Options of a campaign that may dial now, whatever the hour, and is done after one call per lead.
AT_ONCE = ("--profile", "none", "--retry", "none")


def dial_to_the_end(name: str, limit: float = 20.0, until: str = "") -> None:
    """Pace, dial, poll and settle until the campaign no longer runs; until: or until a batch is in that state."""
    settings = load_settings()
    store = open_store(settings)
    with open_retell(settings) as retell, pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "BATCH_EVERY", timedelta(0))
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
            paced = dispatch.pace(context)
            for attempt_id in paced.attempt_ids:
                dial.dial(context, attempt_id)
            for batch_id in paced.batch_ids:
                batch.send(context, batch_id)
            if until in [one.state for one in store.batches.of_campaign(campaign.id)]:
                return
            # As if the time for it had come: nobody waits here for a quarter of a minute.
            with store.database.write() as connection:
                connection.exec_driver_sql("UPDATE batches SET lease_until_real = NULL")
            for attempt_id in batch_calls.look(context).settle:
                results.settle(context, attempt_id)
            polled = results.poll(context)
            for attempt_id in results.follow_up(context, polled) if polled else []:
                results.settle(context, attempt_id)
            reconcile.reconcile(context)
            time.sleep(0.02)
    raise AssertionError(f"{name} still runs after {limit} s")
