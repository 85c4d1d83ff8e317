"""Batches: what Retell's own dialer was given, step by step, as guarded moves of a batch and of its attempts."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime

import sqlalchemy as sa

from campaigns.domain.batching import BatchState
from campaigns.domain.call_windows import CallWindow
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import DialOrder, Evidence
from campaigns.domain.states import UNDERWAY, AttemptState
from campaigns.store.attempt_rows import MAY_DIAL
from campaigns.store.batch_reads import Batch, BatchReads, Task, batch_is_open, batch_of_row
from campaigns.store.events import is_over, real_ms
from campaigns.store.evidence_rows import add_evidence
from campaigns.store.moves import move_attempt, return_lead, tell_of_attempt
from campaigns.store.schema import attempts, batches


def new_batches(
    connection: sa.Connection,
    workspace: str,
    campaign_id: str,
    attempt_ids: Sequence[str],
    lines: int,
    begins_at: int | None,
    at: int,
) -> list[str]:
    """Put freshly claimed attempts into batches by their from-numbers, in the claiming transaction."""
    numbers: dict[str, list[str]] = {}
    for attempt_id, number in connection.execute(
        sa.select(attempts.c.id, attempts.c.from_number).where(attempts.c.id.in_(list(attempt_ids)))
    ):
        numbers.setdefault(number, []).append(attempt_id)
    made: list[str] = []
    for number, ids in sorted(numbers.items()):
        batch_id = uuid.uuid4().hex
        connection.execute(
            sa.insert(batches).values(
                id=batch_id, workspace=workspace, campaign_id=campaign_id, from_number=number,
                state=BatchState.CLAIMED, lines=lines, zone="", day="", claimed_at=at, begins_at=begins_at,
            )
        )  # fmt: skip
        connection.execute(sa.update(attempts).where(attempts.c.id.in_(ids)).values(batch_id=batch_id))
        made.append(batch_id)
    return made


class _Nobody(Exception):
    """Nobody of a batch may be dialed any more: its transaction is undone."""


class BatchRows(BatchReads):
    # -- sending

    def hold(self, batch_id: str, lease_ms: int) -> bool:
        """Keep the claim of what is not sent yet for so long from now. False: there is nothing, or nobody kept it."""
        stamp = real_ms()
        with self._db.write() as connection:
            held = connection.execute(
                sa.update(attempts)
                .where(
                    attempts.c.batch_id == batch_id,
                    attempts.c.state == AttemptState.CLAIMED,
                    sa.not_(is_over(attempts.c.lease_until_real, stamp)),
                )
                .values(lease_until_real=stamp + lease_ms)
            )
        return held.rowcount > 0

    def begin(
        self,
        claimed: Batch,
        batch_id: str,
        members: Sequence[tuple[DialOrder, Evidence]],
        window: CallWindow,
        lines: int,
        reserved: int,
        now: datetime,
        lease_ms: int,
    ) -> list[str]:
        """The batch and its attempts are `sending` and `dialing`, with their evidence, before a byte leaves.

        batch_id: the claimed batch's own, or a new one for a part of it. Returns the attempts that won: whose claim is
        not stale, of a campaign that runs, to a number that is not suppressed. None of them: nothing was changed.
        """
        stamp, at = real_ms(), to_ms(now)
        values: dict[str, object] = {
            "state": BatchState.SENDING,
            "lines": lines,
            "reserved": reserved,
            "zone": window.zone,
            "day": window.day,
            "windows": json.dumps(window.windows),
            "stretches": json.dumps([(to_ms(a), to_ms(b)) for a, b in window.stretches]),
            "sent_at": at,
            "begins_at": max(at, to_ms(window.begins_at)),
            "ends_at": to_ms(window.ends_at),
            "sent_real": stamp,
            "lease_until_real": stamp + lease_ms,
            "size": len(members),
        }
        with suppress(_Nobody), self._db.write() as connection:
            if batch_id != claimed.id:
                connection.execute(
                    sa.insert(batches).values(
                        id=batch_id, workspace=claimed.workspace, campaign_id=claimed.campaign_id,
                        from_number=claimed.from_number, claimed_at=to_ms(claimed.claimed_at), **values,
                    )
                )  # fmt: skip
            elif not self._move(connection, batch_id, (BatchState.CLAIMED,), **values):
                return []  # another delivery of the message has it
            won: list[str] = []
            for order, evidence in members:
                if move_attempt(
                    connection,
                    order.attempt_id,
                    AttemptState.CLAIMED,
                    AttemptState.DIALING,
                    now,
                    attempts.c.batch_id == claimed.id,
                    sa.not_(is_over(attempts.c.lease_until_real, stamp)),
                    *MAY_DIAL,
                    detail=f"batch {batch_id}",
                    batch_id=batch_id,
                    dialing_at=to_ms(evidence.at),
                    dialing_real=stamp,
                    first_sent_real=stamp,
                    sends=1,
                    lease_until_real=None,
                    charged=True,
                ):
                    add_evidence(connection, order, evidence, send=1)
                    won.append(order.attempt_id)
            if not won:
                raise _Nobody  # and nothing was changed
            connection.execute(sa.update(batches).where(batches.c.id == batch_id).values(size=len(won)))
            return won
        return []

    @staticmethod
    def _move(
        connection: sa.Connection, batch_id: str, sources: Collection[BatchState], **values: object
    ) -> bool:
        moved = connection.execute(
            sa.update(batches)
            .where(batches.c.id == batch_id, batches.c.state.in_(list(sources)))
            .values(**values)
        )
        return moved.rowcount == 1

    def close_claim(self, batch_id: str, why: str) -> bool:
        """claimed -> not_sent, where none of its attempts is claimed any more. False: it was in another state."""
        left = sa.select(attempts.c.id).where(
            attempts.c.batch_id == batch_id, attempts.c.state == AttemptState.CLAIMED
        )
        with self._db.write() as connection:
            if connection.execute(left.limit(1)).first() is not None:
                return False
            values = {"state": BatchState.NOT_SENT, "refusal": why, "lease_until_real": None}
            return self._move(connection, batch_id, (BatchState.CLAIMED,), **values)

    def sent(self, batch_id: str, batch_call_id: str, taken: int | None, look_in_ms: int) -> bool:
        """Retell has it: sending, or unknown by now -> sent."""
        with self._db.write() as connection:
            return self._move(
                connection, batch_id, (BatchState.SENDING, BatchState.UNKNOWN), state=BatchState.SENT,
                batch_call_id=batch_call_id, taken=taken, refusal=None, lease_until_real=real_ms() + look_in_ms,
            )  # fmt: skip

    def not_sent(
        self,
        batch_id: str,
        why: str,
        status: int,
        next_attempt_at: datetime,
        now: datetime,
        hold: tuple[str, str] | None = None,
    ) -> bool:
        """It is *known* that Retell has none of it: its attempts are `not_placed`, uncharged."""
        with self._db.write() as connection:
            if not self._move(
                connection, batch_id, (BatchState.SENDING, BatchState.UNKNOWN), state=BatchState.NOT_SENT,
                refusal=why, refusal_status=status, lease_until_real=None,
            ):  # fmt: skip
                return False
            for attempt_id, state in self._waiting(connection, batch_id):
                _give_back(connection, attempt_id, state, why, status, next_attempt_at, now, hold)
        return True

    def doubt(self, batch_id: str, why: str, now: datetime, search_in_ms: int) -> bool:
        """sending -> unknown: Retell may have it. Its attempts are ambiguous."""
        with self._db.write() as connection:
            if not self._move(
                connection, batch_id, (BatchState.SENDING,), state=BatchState.UNKNOWN, refusal=why,
                lease_until_real=real_ms() + search_in_ms,
            ):  # fmt: skip
                return False
            for attempt_id, state in self._waiting(connection, batch_id):
                if state is AttemptState.DIALING:
                    move_attempt(
                        connection, attempt_id, state, AttemptState.AMBIGUOUS, now, detail=why, refusal=why
                    )
        return True

    @staticmethod
    def _waiting(connection: sa.Connection, batch_id: str) -> Iterator[tuple[str, AttemptState]]:
        query = sa.select(attempts.c.id, attempts.c.state).where(
            attempts.c.batch_id == batch_id, attempts.c.state.in_(sorted(UNDERWAY))
        )
        for attempt_id, state in connection.execute(query).all():
            yield attempt_id, AttemptState(state)

    # -- looking

    def lost(self, workspace: str) -> list[str]:
        """Batches whose sender's lease ran out before it said what came of the send."""
        query = sa.select(batches.c.id).where(
            batches.c.workspace == workspace,
            batch_is_open(),
            batches.c.state == BatchState.SENDING,
            is_over(batches.c.lease_until_real, real_ms()),
        )
        with self._db.read() as connection:
            return list(connection.execute(query).scalars())

    def take_due(self, workspace: str, now: datetime, lease_ms: int) -> list[Batch]:
        """Batches that the caller looks at now: all, when the turn of one has come, since one request can ask for all;
        also those of which more may ring a week later."""
        stamp = real_ms()
        watched = sa.and_(
            batches.c.workspace == workspace,
            sa.or_(
                sa.and_(batch_is_open(), batches.c.state.in_((BatchState.SENT, BatchState.UNKNOWN))),
                sa.and_(batches.c.state == BatchState.OVER, batches.c.reopens_at <= to_ms(now)),
            ),
        )
        due = sa.or_(batches.c.lease_until_real.is_(None), is_over(batches.c.lease_until_real, stamp))
        with self._db.read() as connection:
            if connection.execute(sa.select(batches.c.id).where(watched, due).limit(1)).first() is None:
                return []
        with self._db.write() as connection:
            won = connection.execute(
                sa.update(batches).where(watched, due).values(lease_until_real=stamp + lease_ms)
            )
            if won.rowcount == 0:
                return []
            taken = connection.execute(
                sa.update(batches).where(watched).values(lease_until_real=stamp + lease_ms).returning(batches)
            )
            return [batch_of_row(row) for row in taken]

    def look_again(self, looked: Batch, in_ms: int, *, empty: bool) -> None:
        """When (real time) it is looked at next. empty: since its window's end, and nothing was found.

        Of several who looked at once, one counts: together they saw one moment.
        """
        with self._db.write() as connection:
            connection.execute(
                sa.update(batches)
                .where(batches.c.id == looked.id, batches.c.searches == looked.searches)
                .values(lease_until_real=real_ms() + in_ms, searches=looked.searches + empty)
            )

    def over(self, batch_id: str, left_over: int = 0, reopens_at: datetime | None = None) -> bool:
        """sent or unknown -> over: nothing of it waits any more. False: something does, or it was over."""
        with self._db.write() as connection:
            if any(True for _ in self._waiting(connection, batch_id)):
                return False
            return self._move(
                connection, batch_id, (BatchState.SENT, BatchState.UNKNOWN), state=BatchState.OVER,
                left_over=left_over, reopens_at=None if reopens_at is None else to_ms(reopens_at),
                lease_until_real=None,
            )  # fmt: skip

    def watch_again(self, batch_id: str, reopens_at: datetime | None) -> None:
        """When what it left over may ring again; None: nobody expects that any more."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(batches)
                .where(batches.c.id == batch_id, batches.c.state == BatchState.OVER)
                .values(reopens_at=None if reopens_at is None else to_ms(reopens_at), lease_until_real=None)
            )

    def return_task(
        self,
        task: Task,
        refusal: str,
        detail: str,
        next_attempt_at: datetime,
        now: datetime,
        hold: tuple[str, str] | None,
    ) -> bool:
        """A task that never became a call: -> not_placed, uncharged. detail: the evidence. False: it is one by now."""
        with self._db.write() as connection:
            return _give_back(
                connection, task.attempt_id, task.state, refusal, None, next_attempt_at, now, hold, detail
            )

    def tell(self, task: Task, what: str, now: datetime) -> None:
        """An event of the attempt that changes no state."""
        with self._db.write() as connection:
            tell_of_attempt(
                connection, task.campaign_id, task.lead_id, task.attempt_id, task.state, what, now
            )


def _give_back(
    connection: sa.Connection,
    attempt_id: str,
    state: AttemptState,
    refusal: str,
    status: int | None,
    next_attempt_at: datetime,
    now: datetime,
    hold: tuple[str, str] | None,
    detail: str | None = None,
) -> bool:
    if not move_attempt(
        connection, attempt_id, state, AttemptState.NOT_PLACED, now, detail=detail or refusal, refusal=refusal,
        refusal_status=status, charged=False, lease_until_real=None,
    ):  # fmt: skip
        return False
    return_lead(connection, attempt_id, next_attempt_at, now, hold)
    return True
