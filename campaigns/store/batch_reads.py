"""Batches as rows: what there is of them, and what they hold. Nothing here changes a row."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from campaigns.domain.batching import OPEN_BATCH, BatchState, lines_held, shared_out
from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.states import SLOT_HOLDING, WAITING, AttemptState
from campaigns.store.database import Database
from campaigns.store.schema import attempts, batches, is_open, suppressions

#: Calls from which the length of the coming ones is reckoned.
_OBSERVED = 200
#: Seconds for which a call that was not answered, and the ringing of one that was, held its line.
_UNANSWERED, _RINGING = 30.0, 12.0


def batch_is_open() -> sa.ColumnElement[bool]:
    """Word for word the condition of the partial index."""
    return batches.c.state.in_([sa.literal_column(f"'{state}'") for state in sorted(OPEN_BATCH)])


@dataclass(frozen=True, slots=True)
class Load:
    """What the batches of an account hold. placed, waiting: calls and tasks by campaign. queues: (lines, tasks that
    wait) of each batch."""

    placed: Mapping[str, int]
    waiting: Mapping[str, int]
    queues: Sequence[tuple[int, int]]

    @property
    def held(self) -> int:
        """Lines that may be calls of batches at this moment."""
        return lines_held(sum(self.placed.values()), self.queues)

    @property
    def unseen(self) -> int:
        """Calls of batches that there may be, and that nobody has found in a list yet."""
        return self.held - sum(self.placed.values())

    def held_by(self) -> dict[str, int]:
        """The same by campaign, rounded up."""
        behind = shared_out(self.held - sum(self.placed.values()), self.waiting)
        return {
            name: self.placed.get(name, 0) + behind.get(name, 0) for name in {*self.placed, *self.waiting}
        }


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of `batches`. Instants are business time; windows in minutes, as sent."""

    id: str
    workspace: str
    campaign_id: str
    from_number: str
    state: BatchState
    lines: int
    size: int
    taken: int | None
    batch_call_id: str | None
    zone: str
    day: str
    windows: tuple[tuple[int, int], ...]
    stretches: tuple[tuple[datetime, datetime], ...]
    reserved: int | None
    claimed_at: datetime
    sent_at: datetime | None
    begins_at: datetime | None
    ends_at: datetime | None
    searches: int
    left_over: int
    reopens_at: datetime | None
    refusal: str | None
    refusal_status: int | None

    @property
    def is_open(self) -> bool:
        """Whether calls of it may still come."""
        return self.state in OPEN_BATCH


@dataclass(frozen=True, slots=True)
class Task:
    """An attempt of a batch. unwanted: its call is to be hung up: its number was suppressed, or an operator asked."""

    attempt_id: str
    campaign_id: str
    lead_id: int
    state: AttemptState
    call_id: str | None
    unwanted: bool


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


def batch_of_row(row: sa.Row[Any]) -> Batch:
    return Batch(
        id=row.id,
        workspace=row.workspace,
        campaign_id=row.campaign_id,
        from_number=row.from_number,
        state=BatchState(row.state),
        lines=row.lines,
        size=row.size,
        taken=row.taken,
        batch_call_id=row.batch_call_id,
        zone=row.zone,
        day=row.day,
        windows=tuple((start, end) for start, end in json.loads(row.windows)),
        stretches=tuple((from_ms(a), from_ms(b)) for a, b in json.loads(row.stretches)),
        reserved=row.reserved,
        claimed_at=from_ms(row.claimed_at),
        sent_at=_instant(row.sent_at),
        begins_at=_instant(row.begins_at),
        ends_at=_instant(row.ends_at),
        searches=row.searches,
        left_over=row.left_over,
        reopens_at=_instant(row.reopens_at),
        refusal=row.refusal,
        refusal_status=row.refusal_status,
    )


def load_of(
    connection: sa.Connection, workspace: str, counts: Sequence[tuple[str, str, bool, int]] | None = None
) -> Load:
    """counts: (campaign, state, in a batch, how many) of the open attempts, where the caller has them already."""
    if counts is None:
        batched = attempts.c.batch_id.is_not(None)
        query = (
            sa.select(attempts.c.campaign_id, attempts.c.state, sa.func.count())
            .where(attempts.c.workspace == workspace, is_open(), batched)
            .group_by(attempts.c.campaign_id, attempts.c.state)
        )
        counts = [(name, state, True, count) for name, state, count in connection.execute(query)]
    placed: dict[str, int] = {}
    waiting: dict[str, int] = {}
    for campaign_id, state, in_batch, count in counts:
        if in_batch and state in SLOT_HOLDING:
            where = placed if state == AttemptState.PLACED else waiting
            where[campaign_id] = where.get(campaign_id, 0) + count
    queues: list[tuple[int, int]] = []
    if waiting:
        tasks = (
            sa.select(batches.c.lines, sa.func.count())
            .join(attempts, attempts.c.batch_id == batches.c.id)
            .where(batches.c.workspace == workspace, batch_is_open(), attempts.c.state.in_(sorted(WAITING)))
            .group_by(batches.c.id, batches.c.lines)
        )
        queues = [(lines, count) for lines, count in connection.execute(tasks)]
    return Load(placed, waiting, queues)


class BatchReads:
    """The reading half of `BatchRows`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, batch_id: str) -> Batch | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(batches).where(batches.c.id == batch_id)).first()
        return None if row is None else batch_of_row(row)

    def load(self, workspace: str) -> Load:
        with self._db.read() as connection:
            return load_of(connection, workspace)

    def of_campaign(self, campaign_id: str, limit: int | None = None) -> list[Batch]:
        """The latest first."""
        query = (
            sa.select(batches)
            .where(batches.c.campaign_id == campaign_id)
            .order_by(batches.c.claimed_at.desc(), batches.c.id)
        )
        with self._db.read() as connection:
            return [batch_of_row(row) for row in connection.execute(query.limit(limit))]

    def open_batches(self, workspace: str) -> list[Batch]:
        query = sa.select(batches).where(batches.c.workspace == workspace, batch_is_open())
        with self._db.read() as connection:
            return [batch_of_row(row) for row in connection.execute(query.order_by(batches.c.claimed_at))]

    def tasks(self, batch_id: str) -> list[Task]:
        """Its attempts, in the order in which they were claimed."""
        listed = sa.select(suppressions.c.phone).where(suppressions.c.phone == attempts.c.phone).exists()
        query = (
            sa.select(
                attempts.c.id, attempts.c.campaign_id, attempts.c.lead_id, attempts.c.state, attempts.c.call_id,
                sa.or_(listed, attempts.c.hang_up_at.is_not(None)).label("unwanted"),
            )
            .where(attempts.c.batch_id == batch_id)
            .order_by(attempts.c.claimed_at, attempts.c.lead_id)
        )  # fmt: skip
        with self._db.read() as connection:
            return [
                Task(row.id, row.campaign_id, row.lead_id, AttemptState(row.state), row.call_id, bool(row.unwanted))
                for row in connection.execute(query)
            ]  # fmt: skip

    def batch_of(self, workspace: str, phone: str) -> Batch | None:
        """The batch in which the number's open attempt is."""
        query = (
            sa.select(batches)
            .join(attempts, attempts.c.batch_id == batches.c.id)
            .where(attempts.c.workspace == workspace, attempts.c.phone == phone, is_open(attempts))
        )
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else batch_of_row(row)

    def batch_of_attempt(self, attempt_id: str) -> Batch | None:
        query = (
            sa.select(batches)
            .join(attempts, attempts.c.batch_id == batches.c.id)
            .where(attempts.c.id == attempt_id)
        )
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else batch_of_row(row)

    def task_counts(self, batch_ids: Collection[str]) -> dict[str, dict[str, int]]:
        """Attempts by state of each batch."""
        counted: dict[str, dict[str, int]] = {batch_id: {} for batch_id in batch_ids}
        query = (
            sa.select(attempts.c.batch_id, attempts.c.state, sa.func.count())
            .where(attempts.c.batch_id.in_(list(batch_ids)))
            .group_by(attempts.c.batch_id, attempts.c.state)
        )
        with self._db.read() as connection:
            for batch_id, state, count in connection.execute(query):
                counted[batch_id][state] = count
        return counted

    def observed_seconds(self, campaign_id: str) -> list[float]:
        """How long the campaign's latest calls held their lines."""
        query = (
            sa.select(attempts.c.duration_ms)
            .where(
                attempts.c.campaign_id == campaign_id,
                attempts.c.state.in_((AttemptState.ENDED, AttemptState.SETTLED)),
            )
            .order_by(attempts.c.claimed_at.desc())
            .limit(_OBSERVED)
        )
        with self._db.read() as connection:
            return [
                duration / 1000 + _RINGING if duration else _UNANSWERED
                for duration in connection.execute(query).scalars()
            ]

    def younger(self, workspace: str, than: datetime, limit: int = 20) -> list[str]:
        """Attempts with an open call that was made after that instant; the latest."""
        at = to_ms(than)
        query = (
            sa.select(attempts.c.id)
            .outerjoin(batches, batches.c.id == attempts.c.batch_id)
            .where(
                attempts.c.workspace == workspace,
                is_open(attempts),
                attempts.c.state == AttemptState.PLACED,
                sa.func.coalesce(batches.c.begins_at, attempts.c.dialing_at) >= at,
            )
            .order_by(attempts.c.dialing_at.desc())
            .limit(limit)
        )
        with self._db.read() as connection:
            return list(connection.execute(query).scalars())

    def verdicts(self, campaign_id: str, since: datetime, limit: int) -> list[tuple[int | None, str]]:
        """(HTTP status of the refusal, why) of the campaign's latest batches that were sent, newest first."""
        query = (
            sa.select(batches.c.refusal_status, batches.c.refusal)
            .where(
                batches.c.campaign_id == campaign_id,
                batches.c.sent_at >= to_ms(since),
                batches.c.state != BatchState.SENDING,
            )
            .order_by(batches.c.sent_real.desc())
            .limit(limit)
        )
        with self._db.read() as connection:
            return [(status, why or "") for status, why in connection.execute(query)]

    def left_over_of_lead(self, attempt_id: str, refusals: Collection[str]) -> int:
        """How often a batch left this attempt's lead over."""
        lead = sa.select(attempts.c.lead_id).where(attempts.c.id == attempt_id).scalar_subquery()
        query = sa.select(sa.func.count()).where(
            attempts.c.lead_id == lead,
            attempts.c.state == AttemptState.NOT_PLACED,
            attempts.c.refusal.in_(list(refusals)),
        )
        with self._db.read() as connection:
            return int(connection.execute(query).scalar() or 0)
