"""`campaigns batches`: what Retell's own dialer was given, and what became of it."""

from __future__ import annotations

from typing import Annotated

import typer

from campaigns.cli import options as given
from campaigns.cli.documents.rows import BatchLine, BatchWindow
from campaigns.cli.output import Output
from campaigns.domain.errors import UsageError
from campaigns.domain.states import WAITING, WITH_CALL, AttemptState
from campaigns.runtime import open_store
from campaigns.services.report import iso
from campaigns.settings import load_settings
from campaigns.store import Batch


def register(app: typer.Typer) -> None:
    app.command("batches")(batches)


def batches(
    name: given.Name,
    open_only: Annotated[
        bool, typer.Option("--open", help="Only those of which calls may still come.")
    ] = False,
    limit: given.Limit = None,
    as_json: given.Json = False,
) -> None:
    """The batches of a campaign in batch mode, the latest first, and what became of their tasks.

    Example: campaigns batches spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    found = store.batches.of_campaign(campaign.id, limit or (None if as_json or open_only else given.SHOWN))
    if open_only:
        found = [one for one in found if one.is_open][:limit]
    if not found and not campaign.options.in_batches and not open_only:
        raise UsageError(
            f"{name} dials call by call: it has no batches", "see `campaigns attempts` for its calls"
        )
    counts = store.batches.task_counts([one.id for one in found])
    lines = [_line(one, counts[one.id]) for one in found]
    out.document(lines)
    if not as_json:
        rows = [
            [line.batch[:8], line.state, line.from_number, line.zone, _hours(line), line.tasks, line.calls,
             line.waiting, line.returned]
            for line in lines
        ]  # fmt: skip
        columns = ["batch", "state", "from", "zone", "window", "tasks", "calls", "waiting", "returned"]
        out.table(f"Batches of {name}", columns, rows, ("state", "from", "window"))
        # Sentences of Retell's, and mostly the same one: they would leave a terminal no room for the rest.
        for why in dict.fromkeys(line.why for line in lines if line.why):
            out.line(f"{', '.join(line.batch[:8] for line in lines if line.why == why)}: {why}")


def _line(batch: Batch, counts: dict[str, int]) -> BatchLine:
    return BatchLine(
        batch=batch.id,
        batch_call_id=batch.batch_call_id,
        state=batch.state.value,
        from_number=batch.from_number,
        zone=batch.zone or None,
        day=batch.day or None,
        windows=[BatchWindow(start=start, end=end) for start, end in batch.windows],
        claimed_at=iso(batch.claimed_at),
        sent_at=None if batch.sent_at is None else iso(batch.sent_at),
        begins_at=None if batch.begins_at is None else iso(batch.begins_at),
        ends_at=None if batch.ends_at is None else iso(batch.ends_at),
        lines=batch.lines,
        reserved_concurrency=batch.reserved,
        tasks=batch.size,
        taken=batch.taken,
        calls=sum(counts.get(state, 0) for state in WITH_CALL),
        waiting=sum(counts.get(state, 0) for state in WAITING),
        returned=counts.get(AttemptState.NOT_PLACED, 0),
        unresolved=counts.get(AttemptState.UNRESOLVED, 0),
        left_over=batch.left_over,
        reopens_at=None if batch.reopens_at is None else iso(batch.reopens_at),
        why=batch.refusal,
    )


def _hours(line: BatchLine) -> str:
    spans = ", ".join(f"{_clock(one.start)}-{_clock(one.end)}" for one in line.windows)
    return f"{(line.day or '')[:3]} {spans}".strip()


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
