"""Attempts from the call to the outcome: which calls are watched, their end, and the lead's decision."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import Callee, CallResult, CampaignOptions, LeadOutcome, OpenCall
from campaigns.domain.outcomes import CONTACTS, Outcome
from campaigns.domain.pacing import Segment
from campaigns.domain.retry import Exhausted, Hold, Reached
from campaigns.domain.states import AttemptState, LeadState
from campaigns.store.database import Database
from campaigns.store.events import Event, is_over, real_ms, record
from campaigns.store.moves import move_attempt, move_lead, waiting_again
from campaigns.store.number_rows import rest_in
from campaigns.store.schema import UNANALYSED, attempts, campaigns, is_open, leads
from campaigns.store.suppression_rows import suppress_in

#: Priority of a lead that asked to be called back: before every other.
CALLBACK_PRIORITY = 0
_FINISHED = ("disconnection_reason", "in_voicemail", "duration_ms", "cost_cents", "successful", "sentiment",
             "summary", "recording_url", "transcript")  # fmt: skip


def _result_columns(result: CallResult) -> dict[str, object]:
    """Columns of what is known; what a later look knows better overwrites, what it lacks does not erase."""
    columns: dict[str, object] = {
        name: getattr(result, name) for name in _FINISHED if getattr(result, name) is not None
    }
    if result.analysis is not None:
        columns["analysis"] = json.dumps(result.analysis, ensure_ascii=False, default=str)
    if result.agent_version is not None:
        columns["agent_version"] = result.agent_version
    return columns


class ResultRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def open_calls(self, workspace: str) -> list[OpenCall]:
        """Attempts whose call is watched: placed, or ended without having been settled."""
        query = sa.select(attempts).where(
            attempts.c.workspace == workspace,
            is_open(),
            attempts.c.state.in_((AttemptState.PLACED, AttemptState.ENDED)),
        )
        with self._db.read() as connection:
            return [
                OpenCall(
                    row.id,
                    row.campaign_id,
                    row.lead_id,
                    row.call_id,
                    AttemptState(row.state),
                    from_ms(row.placed_at),
                    None if row.ended_at is None else from_ms(row.ended_at),
                    row.batch_id,
                )
                for row in connection.execute(query)
            ]

    def end(self, ended: Sequence[tuple[OpenCall, CallResult]], now: datetime) -> list[str]:
        """placed -> ended for each, their slots free. Returns the ids that this call moved."""
        won: list[str] = []
        if not ended:
            return won
        with self._db.write() as connection:
            for call, result in ended:
                if move_attempt(
                    connection,
                    call.attempt_id,
                    AttemptState.PLACED,
                    AttemptState.ENDED,
                    now,
                    detail=result.disconnection_reason,
                    ended_at=to_ms(result.ended_at or now),
                    **_result_columns(result),
                ):
                    won.append(call.attempt_id)
        return won

    def take_settling_turn(self, attempt_ids: Iterable[str], lease_ms: int) -> list[str]:
        """Which of these ended attempts the caller may settle now; the others are being settled already."""
        won: list[str] = []
        stamp = real_ms()
        with self._db.write() as connection:
            for attempt_id in attempt_ids:
                taken = connection.execute(
                    sa.update(attempts)
                    .where(
                        attempts.c.id == attempt_id,
                        attempts.c.state == AttemptState.ENDED,
                        sa.or_(
                            attempts.c.lease_until_real.is_(None), is_over(attempts.c.lease_until_real, stamp)
                        ),
                    )
                    .values(lease_until_real=stamp + lease_ms)
                )
                if taken.rowcount:
                    won.append(attempt_id)
        return won

    def unanalysed(self, workspace: str, since: datetime, most: int) -> list[tuple[str, str]]:
        """(attempt id, call id) of answered calls that were settled without an analysis after `since`, latest first."""
        query = (
            sa.select(attempts.c.id, attempts.c.call_id)
            .where(UNANALYSED, attempts.c.workspace == workspace, attempts.c.settled_at > to_ms(since))
            .order_by(attempts.c.settled_at.desc())
            .limit(most)
        )
        with self._db.read() as connection:
            return [(row.id, row.call_id) for row in connection.execute(query)]

    def add_analysis(
        self,
        attempt_id: str,
        result: CallResult,
        never_again: Callable[[CampaignOptions], bool],
        now: datetime,
    ) -> bool:
        """What an analysis says that came after the attempt was settled. False: it has one, or is not settled.

        The outcome stays as it was fixed. never_again: whether the callee asked, by the campaign's options, not to be
        called: then the number is suppressed everywhere, in the same transaction.
        """
        columns = _result_columns(result)
        with self._db.write() as connection:
            row = connection.execute(
                sa.update(attempts)
                .where(attempts.c.id == attempt_id, UNANALYSED)
                .values(**columns)
                .returning(attempts.c.campaign_id, attempts.c.lead_id, attempts.c.phone)
            ).first()
            if row is None:
                return False
            if result.successful:
                connection.execute(sa.update(leads).where(leads.c.id == row.lead_id).values(succeeded=True))
            state = AttemptState.SETTLED
            detail = "its analysis came late"
            record(
                connection,
                [
                    Event(
                        "attempt", row.campaign_id, state, state, to_ms(now), row.lead_id, attempt_id, detail
                    )
                ],
            )
            found = connection.execute(
                sa.select(campaigns.c.options).where(campaigns.c.id == row.campaign_id)
            ).scalar_one()
            if never_again(CampaignOptions.from_json(found)):
                _suppress_callee(self._db, connection, row.phone, attempt_id, now)
        return True

    def settle_facts(
        self, attempt_id: str
    ) -> tuple[CampaignOptions, OpenCall, datetime, list[tuple[Outcome, bool]], CallResult, Callee] | None:
        """What the decision about a lead rests on: (options, call, dialed at, earlier outcomes, result so far, callee).

        None unless the attempt is `ended`. Earlier outcomes are (outcome, charged) of the lead's settled attempts.
        """
        with self._db.read() as connection:
            row = connection.execute(
                sa.select(
                    attempts, campaigns.c.options, leads.c.zones, leads.c.jurisdictions, leads.c.recycled_at
                )
                .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
                .join(leads, leads.c.id == attempts.c.lead_id)
                .where(attempts.c.id == attempt_id, attempts.c.state == AttemptState.ENDED)
            ).first()
            if row is None:
                return None
            earlier = connection.execute(
                sa.select(attempts.c.outcome, attempts.c.charged)
                .where(
                    attempts.c.lead_id == row.lead_id,
                    attempts.c.state == AttemptState.SETTLED,
                    # What was before a recycling counts for the caps, not for the retry policy.
                    attempts.c.claimed_at >= (row.recycled_at or 0),
                )
                .order_by(attempts.c.settled_at)
            )
            history = [(Outcome(outcome), bool(charged)) for outcome, charged in earlier]
        call = OpenCall(
            row.id, row.campaign_id, row.lead_id, row.call_id, AttemptState.ENDED, from_ms(row.placed_at),
            from_ms(row.ended_at),
        )  # fmt: skip
        known = CallResult(
            **{name: getattr(row, name) for name in _FINISHED},
            analysis=json.loads(row.analysis) if row.analysis else None,
        )
        return (
            CampaignOptions.from_json(row.options),
            call,
            from_ms(row.dialing_at),
            history,
            known,
            Callee.of(row.zones, row.jurisdictions),
        )

    def settle(
        self,
        attempt_id: str,
        result: CallResult,
        lead: LeadOutcome,
        now: datetime,
        rest: tuple[str, datetime] | None = None,
        suppresses: bool = True,
    ) -> bool:
        """ended -> settled: the outcome is fixed and the lead decided, in one transaction.

        A do-not-call request is honoured here too: the number is suppressed everywhere, unless it was a simulated one
        (suppresses). rest: why and until when its
        from-number rests, for all campaigns of the account. False: it was settled.
        """
        columns = _result_columns(result)

        def work(connection: sa.Connection) -> bool:
            if not move_attempt(
                connection,
                attempt_id,
                AttemptState.ENDED,
                AttemptState.SETTLED,
                now,
                detail=lead.outcome,
                outcome=lead.outcome,
                charged=lead.charged,
                settled_at=to_ms(now),
                lease_until_real=None,
                **columns,
            ):
                return False
            row = connection.execute(
                sa.select(attempts.c.lead_id, attempts.c.campaign_id, attempts.c.phone, attempts.c.dialing_at,
                          attempts.c.workspace, attempts.c.from_number, attempts.c.successful,
                          attempts.c.stopped_at, leads.c.zones, leads.c.jurisdictions, campaigns.c.state)
                .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
                .join(leads, leads.c.id == attempts.c.lead_id)
                .where(attempts.c.id == attempt_id)
                .with_for_update(read=True, of=campaigns)  # a cancel comes before this, or after it
            ).one()  # fmt: skip
            values: dict[str, object] = {"outcome": lead.outcome, "last_attempt_at": row.dialing_at}
            if lead.charged:
                values["attempts"] = leads.c.attempts + 1
            if lead.outcome in CONTACTS:
                values["contacted"] = True
            if row.successful:
                values["succeeded"] = True
            decision = lead.decision
            why: str | None = None
            after = waiting_again(connection, row.phone, row.state, now) if row.stopped_at is not None else {}
            if after.get("state") is LeadState.SUPPRESSED:
                values["state"], why = LeadState.SUPPRESSED, "hung up: its number is on the do-not-call list"
            elif isinstance(decision, Reached):
                values["state"] = LeadState.REACHED
            elif isinstance(decision, Exhausted):
                values["state"], why = LeadState.EXHAUSTED, decision.why
            elif isinstance(decision, Hold):
                values["state"], why = LeadState.HELD, decision.code
                values["hold_code"], values["hold_remedy"] = decision.code, decision.remedy
            else:
                values |= waiting_again(connection, row.phone, row.state, decision.at)
                if lead.outcome == Outcome.CALLBACK:
                    values["priority"] = CALLBACK_PRIORITY
                    segment = Segment(row.zones, row.jurisdictions, CALLBACK_PRIORITY)
                    self._db.add_segments(connection, row.campaign_id, [segment])
            move_lead(connection, row.lead_id, row.campaign_id, values, now, attempt_id, why)
            if lead.outcome == Outcome.DO_NOT_CALL and suppresses:
                _suppress_callee(self._db, connection, row.phone, attempt_id, now)
            if rest is not None:
                self._rest(connection, row, attempt_id, rest, now)
            return True

        return self._db.commit_together(work)

    def _rest(
        self,
        connection: sa.Connection,
        row: Any,
        attempt_id: str,
        rest: tuple[str, datetime],
        now: datetime,
    ) -> None:
        """Its from-number rests from now on, and the campaign's events say so."""
        reason, until = rest
        if not rest_in(self._db, connection, row.workspace, row.from_number, reason, to_ms(until)):
            return
        detail = f"{row.from_number} rests until {until:%Y-%m-%d %H:%M} UTC: {reason}"
        record(
            connection,
            [
                Event(
                    "campaign",
                    row.campaign_id,
                    row.state,
                    row.state,
                    to_ms(now),
                    row.lead_id,
                    attempt_id,
                    detail,
                )
            ],
        )


def _suppress_callee(
    database: Database, connection: sa.Connection, phone: str, attempt_id: str, now: datetime
) -> None:
    reason = f"asked for on call of attempt {attempt_id}"
    suppress_in(database, connection, phone, "call", reason, to_ms(now))
