"""Thin tasks: unpack ids, call one service, enqueue what it returned."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

import structlog
from kombu.exceptions import OperationalError

from campaigns.domain.clock import SystemClock
from campaigns.domain.jobs import RunState
from campaigns.runtime import open_context
from campaigns.services import batch, batch_calls, breaker, dispatch, job_runs, results
from campaigns.services import dial as dialing
from campaigns.services import jobs as scheduling
from campaigns.services import launch as launching
from campaigns.services import reconcile as reconciling
from campaigns.services.context import Context
from campaigns.settings import load_settings
from workers.app import app

log = structlog.get_logger(__name__)

_lock = threading.Lock()
_contexts: dict[int, Context] = {}


def context() -> Context:
    """The process's own store, client and clock, made at the first task (an HTTP client does not survive a fork)."""
    with _lock:
        found = _contexts.get(os.getpid())
        if found is None:
            found = _contexts[os.getpid()] = open_context(load_settings())
        return found


def _enqueue_dials(attempt_ids: Iterable[str]) -> None:
    """A message per attempt. With the broker away they are lost, and the claims go back when their lease ends."""
    ids = list(attempt_ids)
    if not ids:
        return
    try:
        with app.amqp.producer_pool.acquire(block=True) as producer:
            for attempt_id in ids:
                dial.apply_async((attempt_id,), producer=producer, retry=False)
    except OperationalError as error:
        log.warning("broker_away", lost=len(ids), error=str(error))


@app.task(name="campaigns.pace")
def pace() -> None:
    _pace()


def _pace() -> None:
    paced = dispatch.pace(context())
    _enqueue_dials(paced.attempt_ids)
    for batch_id in paced.batch_ids:
        send_batch.apply_async((batch_id,), retry=False)
    if paced.again_in is not None:
        pace.apply_async(countdown=paced.again_in)


@app.task(name="campaigns.dial")
def dial(attempt_id: str) -> None:
    outcome = dialing.dial(context(), attempt_id)
    if outcome.dialed is dialing.Dialed.LATER:
        dial.apply_async((attempt_id,), countdown=outcome.again_in)
    elif outcome.dialed is dialing.Dialed.GIVEN_BACK:
        pace.apply_async(expires=1.0)


@app.task(name="campaigns.send_batch")
def send_batch(batch_id: str) -> None:
    if batch.send(context(), batch_id):
        batches.apply_async(countdown=1.0, expires=2.0)


@app.task(name="campaigns.batches")
def batches() -> None:
    looked = batch_calls.look(context())
    for attempt_id in looked.settle:
        settle.delay(attempt_id)
    if looked.ended or looked.returned or looked.found:
        pace.apply_async(expires=1.0)
    if looked.again_in is not None and looked.again_in < 1.0:
        batches.apply_async(countdown=looked.again_in, expires=looked.again_in + 1.0)


@app.task(name="campaigns.poll")
def poll() -> None:
    polled = results.poll(context())
    if polled is None:
        return
    if polled.ended:
        _pace()
    poll.apply_async(countdown=polled.next_in)
    for attempt_id in results.follow_up(context(), polled):
        settle.delay(attempt_id)


@app.task(name="campaigns.settle")
def settle(attempt_id: str) -> None:
    results.settle(context(), attempt_id)


@app.task(name="campaigns.reconcile")
def reconcile() -> None:
    changed = launching.by_the_clock(context()) + breaker.watch_over(context())
    if reconciling.reconcile(context()).anything or changed:
        pace.apply_async(expires=1.0)


@app.task(name="campaigns.jobs")
def jobs() -> None:
    ticked = scheduling.tick(context())
    for run_id in ticked.runs:
        job_run.delay(run_id)
    if ticked.again_in is not None:
        jobs.apply_async(countdown=ticked.again_in, expires=ticked.again_in + 1.0)


@app.task(name="campaigns.job_run")
def job_run(run_id: int) -> None:
    ended = job_runs.perform(job_runs.Runner.of(context()), run_id)
    if ended is not None:
        if ended.state is RunState.FAILED:
            log.error("job_failed", job_run=run_id, reason=ended.message)
        pace.apply_async(expires=1.0)
        jobs.apply_async(expires=1.0)


@app.task(name="campaigns.housekeeping")
def housekeeping() -> None:
    store = context().store
    for part in (
        store.imports.resume,
        # By the calendar on the wall: real campaigns share the list with a simulated run, whose clock is ahead.
        lambda: store.suppressions.expire(SystemClock().now()),
        store.database.checkpoint,
        store.tallies.fold,
        lambda: results.look_for_late_analyses(context()),
    ):
        try:
            part()
        except Exception:
            # One damaged leftover of an import must not keep do-not-call requests from being heard, for ever.
            log.exception("housekeeping_failed")
