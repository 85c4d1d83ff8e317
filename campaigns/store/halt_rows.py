"""Calls that are to be hung up, as rows: an operator asked for it, or their number has been suppressed since."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from campaigns.domain.batching import BatchState
from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.states import UNDERWAY, AttemptState
from campaigns.store.database import Database
from campaigns.store.moves import tell_of_attempt
from campaigns.store.schema import HOLDING_STATES, attempts, batches, is_open, suppressions


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A call in progress that is to be hung up. asked: by an operator; otherwise its number has been suppressed."""

    attempt_id: str
    campaign_id: str
    lead_id: int
    call_id: str
    asked: bool


@dataclass(frozen=True, slots=True)
class LeftAtRetell:
    """Tasks of batches that may still become calls. attempts: their ids. until: none of them rings later."""

    attempts: tuple[str, ...]
    until: datetime | None


def _of(workspace: str, campaign_ids: Collection[str] | None) -> list[sa.ColumnElement[bool]]:
    """Open attempts of these campaigns, or of all."""
    conditions = [attempts.c.workspace == workspace, is_open()]
    if campaign_ids is not None:
        conditions.append(attempts.c.campaign_id.in_(list(campaign_ids)))
    return conditions


class HaltRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def ask(self, workspace: str, campaign_ids: Collection[str] | None, now: datetime) -> None:
        """Whatever of these campaigns is a call, or becomes one, is to be hung up; batches are looked at anew at once.

        The caller has paused or cancelled them. What is claimed is not dialed any more, also after a resume.
        """
        ours = _of(workspace, campaign_ids)
        with self._db.write() as connection:
            connection.execute(
                sa.update(attempts)
                .where(*ours, attempts.c.state.in_(HOLDING_STATES), attempts.c.hang_up_at.is_(None))
                .values(hang_up_at=to_ms(now))
            )
            asked = sa.select(attempts.c.batch_id).where(*ours, attempts.c.hang_up_at.is_not(None))
            connection.execute(
                sa.update(batches)
                .where(batches.c.id.in_(asked), batches.c.state.in_((BatchState.SENT, BatchState.UNKNOWN)))
                .values(lease_until_real=None)
            )

    def unwanted(self, workspace: str, campaign_ids: Collection[str] | None = None) -> list[Unwanted]:
        """Calls in progress that nobody has hung up yet."""
        listed = sa.select(suppressions.c.phone).where(suppressions.c.phone == attempts.c.phone).exists()
        asked = attempts.c.hang_up_at.is_not(None)
        query = sa.select(
            attempts.c.id,
            attempts.c.campaign_id,
            attempts.c.lead_id,
            attempts.c.call_id,
            asked.label("asked"),
        ).where(
            *_of(workspace, campaign_ids),
            attempts.c.state == AttemptState.PLACED,
            attempts.c.stopped_at.is_(None),
            sa.or_(asked, sa.and_(attempts.c.batch_id.is_not(None), listed)),
        )
        with self._db.read() as connection:
            return [
                Unwanted(row.id, row.campaign_id, row.lead_id, row.call_id, bool(row.asked))
                for row in connection.execute(query)
            ]

    def hung_up(self, call: Unwanted, why: str, now: datetime) -> bool:
        """Note that we hung it up. False: somebody did before, or it is over."""
        with self._db.write() as connection:
            noted = connection.execute(
                sa.update(attempts)
                .where(
                    attempts.c.id == call.attempt_id,
                    attempts.c.state == AttemptState.PLACED,
                    attempts.c.stopped_at.is_(None),
                )
                .values(stopped_at=to_ms(now))
            )
            if noted.rowcount == 0:
                return False
            tell_of_attempt(
                connection, call.campaign_id, call.lead_id, call.attempt_id, AttemptState.PLACED, why, now
            )
        return True

    def underway(self, workspace: str, campaign_ids: Collection[str] | None = None) -> int:
        """Dials whose answer is awaited or unknown; a batch that is being sent counts, one that was sent does not."""
        sending = sa.select(batches.c.id).where(batches.c.state == BatchState.SENDING)
        query = (
            sa.select(sa.func.count())
            .select_from(attempts)
            .where(
                *_of(workspace, campaign_ids),
                attempts.c.state.in_(sorted(UNDERWAY)),
                sa.or_(attempts.c.batch_id.is_(None), attempts.c.batch_id.in_(sending)),
            )
        )
        with self._db.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def left_at_retell(self, workspace: str, campaign_ids: Collection[str] | None = None) -> LeftAtRetell:
        """What was sent in batches and is not known to be a call."""
        query = (
            sa.select(attempts.c.id, batches.c.ends_at)
            .join(batches, batches.c.id == attempts.c.batch_id)
            .where(*_of(workspace, campaign_ids), attempts.c.state.in_(sorted(UNDERWAY)))
            .order_by(attempts.c.id)
        )
        with self._db.read() as connection:
            rows = connection.execute(query).all()
        ends = [row.ends_at for row in rows if row.ends_at is not None]
        return LeftAtRetell(tuple(row.id for row in rows), from_ms(max(ends)) if ends else None)
