"""Batch mode, looking: everything that is known of a batch's calls comes from lists of calls.

A task is found as a call by `metadata.attempt_id`; from then on it is a call as any other. What is not found is never
sent again: it goes back to the pacer only once it is known that the batch makes no more calls, otherwise an operator
decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from campaigns.domain.batching import (
    END_MARGIN,
    LEFT_OVER_PER_LEAD,
    URGENT_LOOK,
    BatchState,
    Missing,
    Verdict,
    call_seconds,
    judge,
    look_every,
)
from campaigns.domain.call_windows import PLAIN_ZONE, a_week_later
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import OpenCall
from campaigns.domain.states import UNDERWAY, AttemptState, CampaignState
from campaigns.retell import PAGE, Call, Calls, RetellError
from campaigns.services import results
from campaigns.services.adoption import adopt
from campaigns.services.context import Context
from campaigns.services.dispatch import phone_campaigns
from campaigns.services.halt import hang_up_due
from campaigns.store import Batch, Task

log = structlog.get_logger(__name__)

#: Real milliseconds for which one looker has a batch to itself.
LOOK_LEASE_MS = 30_000
#: Real seconds between two looks at what waits for its turn.
SHORTEST_PAUSE, IDLE_PAUSE = 0.25, 1.0
#: How often, a week apart each, the tasks that a batch left over are watched for.
WEEKS_WATCHED = 4


@dataclass
class Looked:
    """One pass. ended: calls that were found to be over; settle: attempts to settle now; again_in: real seconds until
    the next pass, None = nothing waits at Retell."""

    found: int = 0
    ended: int = 0
    returned: int = 0
    unresolved: int = 0
    stopped: int = 0
    settle: list[str] = field(default_factory=list)
    again_in: float | None = None


def look(context: Context) -> Looked:
    """Look at the batches whose turn it is. Safe to run any number of times at once."""
    store, workspace = context.store, context.workspace
    done = Looked()
    for batch_id in store.batches.lost(workspace):
        store.batches.doubt(batch_id, "the worker that sent it left no answer", context.clock.now(), 0)
    for batch in store.batches.open_batches(workspace):
        if batch.state == BatchState.CLAIMED:
            store.batches.close_claim(batch.id, "stale_claim")
    due = store.batches.take_due(workspace, context.clock.now(), LOOK_LEASE_MS)
    for together in _asked_together(due):
        try:
            listed = _listed(context, together)
            for batch in together:
                _look_at(context, batch, listed, done)
        except RetellError as error:
            store.workspaces.note_trouble(workspace, str(error))
            log.warning("batches_unreadable", batches=len(together), error=str(error))
            for batch in together:
                store.batches.look_again(batch, _pause_ms(context, batch, urgent=False), empty=False)
    done.stopped += hang_up_due(context)
    if store.batches.open_batches(workspace):
        # A turn never comes sooner than that after the last one.
        done.again_in = max(SHORTEST_PAUSE, min(IDLE_PAUSE, URGENT_LOOK / context.clock.speed))
    return done


def _asked_together(due: Sequence[Batch]) -> list[list[Batch]]:
    """Batches whose calls one request can ask for."""
    groups: list[list[Batch]] = []
    for batch in due:
        if groups and sum(one.size for one in groups[-1]) + batch.size <= PAGE:
            groups[-1].append(batch)
        else:
            groups.append([batch])
    return groups


def _look_at(context: Context, batch: Batch, asked: Calls, done: Looked) -> None:
    store = context.store
    tasks = store.batches.tasks(batch.id)
    ours = {task.attempt_id for task in tasks}
    listed = Calls([call for call in asked if call.attempt_id in ours], asked.malformed)
    waiting = {task.attempt_id: task for task in tasks if task.state in UNDERWAY}
    known = {task.attempt_id: task.call_id for task in tasks if task.call_id is not None}
    for call in listed:
        attempt_id = call.attempt_id or ""
        if attempt_id in waiting:
            if adopt(context, attempt_id, call.call_id):
                done.found += 1
            waiting.pop(attempt_id)
        elif known.get(attempt_id) != call.call_id:
            _stray(context, batch, tasks, call, done)
    _end(context, batch, listed, done)
    if batch.state == BatchState.OVER:
        _watch_on(context, batch)
        return
    missing = list(waiting.values())
    if not missing:
        store.batches.over(batch.id, batch.left_over, batch.reopens_at)
        return
    _judge(context, batch, tasks, missing, listed, done)


def _listed(context: Context, together: Sequence[Batch]) -> Calls:
    """The calls of these batches: of one by its id, where Retell told it; otherwise by the ids of the attempts."""
    first = together[0]
    if len(together) == 1 and first.batch_call_id is not None:
        return context.retell.list_calls(batch_call_id=first.batch_call_id)
    ids = [task.attempt_id for batch in together for task in context.store.batches.tasks(batch.id)]
    return context.retell.list_calls(metadata={"attempt_id": ids})


def _end(context: Context, batch: Batch, listed: Iterable[Call], done: Looked) -> None:
    """The calls of the list that are over free their lines; those that nothing more is awaited of can be settled."""
    seen = {call.call_id: call for call in listed}
    calls = [call for call in context.store.results.open_calls(batch.workspace) if call.call_id in seen]
    over: list[tuple[OpenCall, Call]] = [
        (call, item)
        for call in calls
        if call.state == AttemptState.PLACED and results.is_over(item := seen[call.call_id])
    ]
    done.ended += len(results.end(context, over))
    ready = results.ready_of(context, calls, seen)
    if ready:
        done.settle += context.store.results.take_settling_turn(ready, results.SETTLE_LEASE_MS)


def _judge(
    context: Context,
    batch: Batch,
    tasks: Sequence[Task],
    missing: Sequence[Task],
    listed: Calls,
    done: Looked,
) -> None:
    """What has become of tasks without a call: to be awaited, or found out, with the evidence."""
    store, now = context.store, context.clock.now()
    ends_at = batch.ends_at or now
    since_end = (now - ends_at).total_seconds()
    younger: list[str] = []
    proves = not listed.malformed
    if since_end >= END_MARGIN and proves:
        witnesses = store.batches.younger(batch.workspace, ends_at)
        if witnesses:
            asked = context.retell.list_calls(
                metadata={"attempt_id": [*(task.attempt_id for task in missing), *witnesses]}
            )
            proves = not asked.malformed
            late = {task.attempt_id for task in missing} & {call.attempt_id for call in asked}
            if late:  # the next look joins them
                proves = False
            shown = [call for call in asked if call.attempt_id in witnesses]
            # By Retell's own clock, which reads the windows: ours may be ahead of it, and the window still to come.
            if any((call.start_timestamp or 0) >= to_ms(ends_at) for call in shown):
                younger = [call.call_status or "" for call in shown]
    verdict = Verdict.WAIT
    found = sum(task.call_id is not None for task in store.batches.tasks(batch.id))
    if proves:
        verdict = judge(Missing(since_end, batch.searches + 1, younger, found, batch.taken))
    if verdict is Verdict.WAIT:
        urgent = any(task.unwanted for task in missing)
        empty = proves and since_end >= 0
        store.batches.look_again(batch, _pause_ms(context, batch, urgent=urgent), empty=empty)
        return
    for task in missing:
        if verdict is Verdict.UNRESOLVED:
            done.unresolved += _give_up(context, batch, task, since_end)
        else:
            hold = _hold(context, batch, task, verdict, known=batch.batch_call_id is not None or found > 0)
            done.returned += _return(context, batch, task, verdict, younger, hold)
    left = verdict is Verdict.LEFT_OVER or verdict is Verdict.UNRESOLVED
    reopens_at = None
    if left and batch.begins_at is not None:
        reopens_at = a_week_later(batch.begins_at, batch.zone or PLAIN_ZONE)
    store.batches.over(batch.id, len(missing) if left else 0, reopens_at)
    log.info("batch_tasks_without_call", batch=batch.id, tasks=len(missing), verdict=verdict)


def _hold(
    context: Context, batch: Batch, task: Task, verdict: Verdict, *, known: bool
) -> tuple[str, str] | None:
    """Code and remedy for a lead that must not simply be tried again. known: Retell has, or had, the batch."""
    campaign = context.store.campaigns.get(batch.campaign_id)
    if campaign is not None and campaign.state == CampaignState.CANCELLED:
        return None  # nobody tries it again
    if verdict is Verdict.LEFT_OVER and known:
        # Nobody knows whether Retell drops such a task, or keeps it for the same weekday: nothing is dialed beside it.
        again = a_week_later(batch.begins_at or context.clock.now(), batch.zone or PLAIN_ZONE)
        remedy = (
            "its batch ended without a call to it; should Retell have kept it, it rings when the window opens again,"
            f" {again:%Y-%m-%d %H:%M} UTC, and is hung up: release it after that day"
        )
        return verdict.value, remedy
    often = context.store.batches.left_over_of_lead(task.attempt_id, list(Verdict)) + 1
    if often < LEFT_OVER_PER_LEAD:
        return None
    return (
        "not_dialed_in_batch",
        f"{often} batches made no call to it: dial it with --mode phone, or cancel it",
    )


def _return(
    context: Context,
    batch: Batch,
    task: Task,
    verdict: Verdict,
    younger: Sequence[str],
    hold: tuple[str, str] | None,
) -> bool:
    if verdict is Verdict.REFUSED:
        why = f"batch {batch.id}: Retell took {batch.taken} of {batch.size} tasks, and made all those calls"
    else:
        ended = batch.ends_at or context.clock.now()
        why = (
            f"batch {batch.id}: its window ended at {ended:%Y-%m-%d %H:%M} UTC, {batch.searches + 1} searches since"
            f" found no call, and the list shows later ones ({', '.join(sorted(set(younger)))})"
        )
    now = context.clock.now()
    return context.store.batches.return_task(task, verdict.value, why, now, now, hold)


def _give_up(context: Context, batch: Batch, task: Task, since_end: float) -> bool:
    attempts, now = context.store.attempts, context.clock.now()
    why = (
        f"batch {batch.id}: no call {since_end / 60:.0f} minutes after its window ended, and no later call that would "
        "show that the list is complete"
    )
    attempts.doubt(task.attempt_id, why, now, 0)
    remedy = f"look for a call to this lead at Retell, then `campaigns resolve {task.attempt_id}`"
    return attempts.give_up(task.attempt_id, AttemptState.AMBIGUOUS, why, remedy, now)


def _stray(context: Context, batch: Batch, tasks: Sequence[Task], call: Call, done: Looked) -> None:
    """A call of a task that was given up: it is hung up at once, and the alarm sounds."""
    task = next((task for task in tasks if task.attempt_id == call.attempt_id), None)
    if task is None or results.is_over(call):
        if task is not None:
            adopt(context, task.attempt_id, call.call_id)
        return
    context.retell.stop_call(call.call_id)
    done.stopped += 1
    log.error("left_over_task_rang", batch=batch.id, attempt=task.attempt_id, call=call.call_id)
    why = f"batch {batch.id}: call {call.call_id} came after the task was given up, and was hung up"
    context.store.batches.tell(task, why, context.clock.now())
    adopt(context, task.attempt_id, call.call_id)


def _watch_on(context: Context, batch: Batch) -> None:
    """What a batch left over may ring when its window opens again, a week later: look closely, then again in a week."""
    now = context.clock.now()
    if batch.reopens_at is None or batch.begins_at is None or batch.ends_at is None:
        return
    length = batch.ends_at - batch.begins_at
    if now < batch.reopens_at + length + timedelta(seconds=END_MARGIN):
        context.store.batches.look_again(batch, _pause_ms(context, batch, urgent=True), empty=False)
        return
    again = a_week_later(batch.reopens_at, batch.zone or PLAIN_ZONE)
    expected = again - batch.begins_at < timedelta(weeks=WEEKS_WATCHED + 1)
    context.store.batches.watch_again(batch.id, again if expected else None)


def _pause_ms(context: Context, batch: Batch, *, urgent: bool) -> int:
    """Real milliseconds until a batch is looked at again."""
    store = context.store
    campaign = store.campaigns.get(batch.campaign_id)
    seconds = URGENT_LOOK
    # Lines that are free again are news for phone campaigns: for them, looking often is worth its requests.
    if not urgent and campaign is not None and not phone_campaigns(context):
        calls = call_seconds(store.batches.observed_seconds(batch.campaign_id))
        seconds = look_every(batch.lines, calls, campaign.options.horizon().total_seconds())
    return max(int(SHORTEST_PAUSE * 1000), int(seconds / context.clock.speed * 1000))
