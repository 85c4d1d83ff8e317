"""Attempts after the claim: every step of the dial cycle as one guarded UPDATE that says whether it won."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import (
    CallResult,
    CampaignOptions,
    DialOrder,
    LeadOutcome,
    OpenCall,
    UnknownDial,
)
from campaigns.domain.outcomes import Outcome
from campaigns.domain.retry import Exhausted, Hold, Reached
from campaigns.domain.states import (
    ATTEMPT_TRANSITIONS,
    LEAD_TRANSITIONS,
    UNRESOLVED_CODE,
    AttemptState,
    CampaignState,
    LeadState,
)
from campaigns.store.database import Database
from campaigns.store.events import Event, real_ms, record
from campaigns.store.import_rows import suppress_in
from campaigns.store.schema import HOLDING_STATES, attempts, campaigns, is_open, leads, suppressions

#: Priority of a lead that asked to be called back: before every other.
CALLBACK_PRIORITY = 0
_FINISHED = ("disconnection_reason", "in_voicemail", "duration_ms", "cost_cents", "sentiment", "summary",
             "recording_url", "transcript")  # fmt: skip


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


#: Built once: composing it costs more than running it, and every dial asks.
_DIAL_ORDER = (
    sa.select(
        attempts,
        leads.c.zones,
        leads.c.ignore_e164,
        leads.c.variables,
        leads.c.metadata.label("lead_metadata"),
        leads.c.sip_headers,
        campaigns.c.state.label("campaign_state"),
        campaigns.c.options,
        sa.select(suppressions.c.phone)
        .where(suppressions.c.phone == attempts.c.phone)
        .exists()
        .label("suppressed"),
    )
    .join(leads, leads.c.id == attempts.c.lead_id)
    .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
    .where(attempts.c.id == sa.bindparam("attempt_id"))
)


#: What must still be true in the very statement that commits a dial.
_MAY_DIAL = (
    sa.select(campaigns.c.id)
    .where(campaigns.c.id == attempts.c.campaign_id, campaigns.c.state == CampaignState.RUNNING)
    .exists(),
    sa.not_(sa.select(suppressions.c.phone).where(suppressions.c.phone == attempts.c.phone).exists()),
)


@lru_cache(maxsize=64)
def _move_statement(columns: tuple[str, ...]) -> ReturningUpdate[tuple[str, int]]:
    """The guarded UPDATE that sets these columns; built once for each set of them."""
    return (
        sa.update(attempts)
        .where(attempts.c.id == sa.bindparam("attempt"), attempts.c.state == sa.bindparam("source"))
        .values({name: sa.bindparam(f"to_{name}") for name in columns})
        .returning(attempts.c.campaign_id, attempts.c.lead_id)
    )


class AttemptRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    # -- dialing ---------------------------------------------------------------------------------------------

    def dial_order(self, attempt_id: str) -> DialOrder | None:
        """Everything needed to dial the attempt; None when there is no such attempt."""
        with self._db.read() as connection:
            row = connection.execute(_DIAL_ORDER, {"attempt_id": attempt_id}).first()
        if row is None:
            return None
        return DialOrder(
            attempt_id=row.id,
            state=AttemptState(row.state),
            campaign_id=row.campaign_id,
            campaign_state=CampaignState(row.campaign_state),
            options=CampaignOptions.from_json(row.options),
            workspace=row.workspace,
            lead_id=row.lead_id,
            phone=row.phone,
            zones=tuple(filter(None, row.zones.split("|"))),
            from_number=row.from_number,
            agent_id=row.agent_id,
            agent_version=row.agent_version,
            ignore_e164=row.ignore_e164,
            variables=json.loads(row.variables),
            metadata=json.loads(row.lead_metadata),
            sip_headers=json.loads(row.sip_headers),
            suppressed=bool(row.suppressed),
        )

    def begin_dial(self, order: DialOrder, now: datetime, lease_ms: int) -> bool:
        """claimed -> dialing, committed before a byte leaves. False: somebody else has it, the campaign is not
        running any more, or the number has been suppressed since."""
        stamp = real_ms()
        return self._db.commit_together(
            lambda connection: self._move(
                connection,
                order.attempt_id,
                AttemptState.CLAIMED,
                AttemptState.DIALING,
                now,
                *_MAY_DIAL,
                dialing_at=to_ms(now),
                dialing_real=stamp,
                first_sent_real=stamp,
                sends=1,
                lease_until_real=stamp + lease_ms,
                charged=True,
            )
        )

    def place(self, attempt_id: str, source: AttemptState, call_id: str, now: datetime) -> bool:
        """dialing, ambiguous or unresolved -> placed: a call id is known. False: it was in another state.

        From unresolved, the held lead is in flight again. False too when it no longer waits for this, or when its
        number is in another open attempt.
        """
        conditions = (
            (self._awaits_word(), self._number_is_free()) if source is AttemptState.UNRESOLVED else ()
        )

        def work(connection: sa.Connection) -> bool:
            if not self._move(
                connection,
                attempt_id,
                source,
                AttemptState.PLACED,
                now,
                *conditions,
                detail=call_id,
                call_id=call_id,
                placed_at=to_ms(now),
                lease_until_real=None,
            ):
                return False
            if source is AttemptState.UNRESOLVED:
                row = connection.execute(
                    sa.select(attempts.c.lead_id, attempts.c.campaign_id).where(attempts.c.id == attempt_id)
                ).one()
                values: dict[str, object] = {"state": LeadState.IN_FLIGHT}
                self._move_lead(
                    connection, row.lead_id, row.campaign_id, values, now, attempt_id, None, LeadState.HELD
                )
            return True

        return self._db.commit_together(work)

    def give_back(
        self,
        attempt_id: str,
        source: AttemptState,
        refusal: str,
        status: int,
        next_attempt_at: datetime,
        now: datetime,
        hold: tuple[str, str] | None = None,
        sends: int | None = None,
    ) -> bool:
        """-> not_placed, uncharged; the lead is pending again at `next_attempt_at`, or held with (code, remedy).

        Only for attempts of which it is *known* that nothing rang. status: HTTP status of a refusal, 0 if not sent.
        sends: how often it was sent as far as the caller knows; what is known of one send says nothing of a later one.
        False: it was in another state, sent again since, or was unresolved and its lead no longer waits for this.
        """
        unresolved = source is AttemptState.UNRESOLVED
        conditions = [self._awaits_word()] if unresolved else []
        if sends is not None:
            conditions.append(attempts.c.sends == sends)
        with self._db.write() as connection:
            if not self._move(
                connection,
                attempt_id,
                source,
                AttemptState.NOT_PLACED,
                now,
                *conditions,
                detail=refusal,
                refusal=refusal,
                refusal_status=status,
                charged=False,
                lease_until_real=None,
            ):
                return False
            was = LeadState.HELD if unresolved else LeadState.IN_FLIGHT
            self._return_lead(connection, attempt_id, next_attempt_at, now, hold, was)
        return True

    def doubt(self, attempt_id: str, why: str, now: datetime, search_in_ms: int) -> bool:
        """dialing -> ambiguous: it may be ringing. Searched for after `search_in_ms` of real time."""
        with self._db.write() as connection:
            return self._move(
                connection,
                attempt_id,
                AttemptState.DIALING,
                AttemptState.AMBIGUOUS,
                now,
                detail=why,
                refusal=why,
                lease_until_real=real_ms() + search_in_ms,
            )

    def search_again(self, attempt_id: str, in_ms: int) -> None:
        """Note an empty search for an ambiguous attempt and when (real time) to look next."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(attempts)
                .where(attempts.c.id == attempt_id, attempts.c.state == AttemptState.AMBIGUOUS)
                .values(searches=attempts.c.searches + 1, lease_until_real=real_ms() + in_ms)
            )

    def give_up(self, attempt_id: str, source: AttemptState, why: str, remedy: str, now: datetime) -> bool:
        """ambiguous or placed -> unresolved; the lead is held for an operator."""
        with self._db.write() as connection:
            if not self._move(
                connection, attempt_id, source, AttemptState.UNRESOLVED, now, detail=why, refusal=why
            ):
                return False
            self._return_lead(connection, attempt_id, now, now, (UNRESOLVED_CODE, remedy))
        return True

    # -- results ---------------------------------------------------------------------------------------------

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
                if self._move(
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
                        sa.or_(attempts.c.lease_until_real.is_(None), attempts.c.lease_until_real < stamp),
                    )
                    .values(lease_until_real=stamp + lease_ms)
                )
                if taken.rowcount:
                    won.append(attempt_id)
        return won

    def settle_facts(
        self, attempt_id: str
    ) -> tuple[CampaignOptions, OpenCall, datetime, list[tuple[Outcome, bool]], CallResult] | None:
        """What the decision about a lead rests on: (options, call, dialed at, earlier outcomes, result so far).

        None unless the attempt is `ended`. Earlier outcomes are (outcome, charged) of the lead's settled attempts.
        """
        with self._db.read() as connection:
            row = connection.execute(
                sa.select(attempts, campaigns.c.options)
                .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
                .where(attempts.c.id == attempt_id, attempts.c.state == AttemptState.ENDED)
            ).first()
            if row is None:
                return None
            earlier = connection.execute(
                sa.select(attempts.c.outcome, attempts.c.charged)
                .where(attempts.c.lead_id == row.lead_id, attempts.c.state == AttemptState.SETTLED)
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
        return CampaignOptions.from_json(row.options), call, from_ms(row.dialing_at), history, known

    def settle(self, attempt_id: str, result: CallResult, lead: LeadOutcome, now: datetime) -> bool:
        """ended -> settled: the outcome is fixed and the lead decided, in one transaction.

        A do-not-call request is honoured here too: the number is suppressed everywhere. False: it was settled.
        """
        columns = _result_columns(result)

        def work(connection: sa.Connection) -> bool:
            if not self._move(
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
                          leads.c.zones, campaigns.c.state)
                .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
                .join(leads, leads.c.id == attempts.c.lead_id)
                .where(attempts.c.id == attempt_id)
                .with_for_update(read=True, of=campaigns)  # a cancel comes before this, or after it
            ).one()  # fmt: skip
            values: dict[str, object] = {"outcome": lead.outcome, "last_attempt_at": row.dialing_at}
            if lead.charged:
                values["attempts"] = leads.c.attempts + 1
            decision = lead.decision
            why: str | None = None
            if isinstance(decision, Reached):
                values["state"] = LeadState.REACHED
            elif isinstance(decision, Exhausted):
                values["state"], why = LeadState.EXHAUSTED, decision.why
            elif isinstance(decision, Hold):
                values["state"], why = LeadState.HELD, decision.code
                values["hold_code"], values["hold_remedy"] = decision.code, decision.remedy
            else:
                values |= self._waiting_again(connection, row.phone, row.state, decision.at)
                if lead.outcome == Outcome.CALLBACK:
                    values["priority"] = CALLBACK_PRIORITY
                    self._db.add_segment(connection, row.campaign_id, row.zones, CALLBACK_PRIORITY)
            self._move_lead(connection, row.lead_id, row.campaign_id, values, now, attempt_id, why)
            if lead.outcome == Outcome.DO_NOT_CALL:
                suppress_in(
                    self._db,
                    connection,
                    row.phone,
                    "call",
                    f"asked for on call of attempt {attempt_id}",
                    to_ms(now),
                )
            return True

        return self._db.commit_together(work)

    # -- reconciling -----------------------------------------------------------------------------------------

    def stale_claims(self, workspace: str) -> list[str]:
        """Claims that nobody dialed within their lease: nothing was sent, so they can be given back."""
        query = sa.select(attempts.c.id).where(
            attempts.c.workspace == workspace,
            is_open(),
            attempts.c.state == AttemptState.CLAIMED,
            attempts.c.lease_until_real < real_ms(),
        )
        with self._db.read() as connection:
            return list(connection.execute(query).scalars())

    def unknown_dials(self, workspace: str) -> list[UnknownDial]:
        """Dials whose lease ran out, and ambiguous ones that are due for a search."""
        query = sa.select(attempts).where(
            attempts.c.workspace == workspace,
            is_open(),
            attempts.c.state.in_((AttemptState.DIALING, AttemptState.AMBIGUOUS)),
            attempts.c.lease_until_real < real_ms(),
        )
        with self._db.read() as connection:
            return [
                UnknownDial(
                    row.id, row.campaign_id, row.lead_id, row.phone, row.from_number, AttemptState(row.state),
                    from_ms(row.dialing_at), row.dialing_real, row.first_sent_real, row.sends, row.searches,
                )
                for row in connection.execute(query)
            ]  # fmt: skip

    def holding_ids(self, workspace: str) -> set[str]:
        """Ids of the attempts that hold a slot at this moment."""
        query = sa.select(attempts.c.id).where(
            attempts.c.workspace == workspace, is_open(), attempts.c.state.in_(HOLDING_STATES)
        )
        with self._db.read() as connection:
            return set(connection.execute(query).scalars())

    def waiting_claims(self, workspace: str) -> dict[str, int]:
        """Attempts claimed and not dialed yet, by campaign."""
        query = (
            sa.select(attempts.c.campaign_id, sa.func.count())
            .where(attempts.c.workspace == workspace, is_open(), attempts.c.state == AttemptState.CLAIMED)
            .group_by(attempts.c.campaign_id)
        )
        with self._db.read() as connection:
            return dict(connection.execute(query).all())

    def recent_verdicts(
        self, campaign_id: str, since: datetime, limit: int
    ) -> list[tuple[AttemptState, int | None, str]]:
        """(state, HTTP status of the refusal, refusal) of the campaign's latest dials, newest first."""
        query = (
            sa.select(attempts.c.state, attempts.c.refusal_status, attempts.c.refusal)
            .where(
                attempts.c.campaign_id == campaign_id,
                attempts.c.dialing_at.is_not(None),
                attempts.c.state != AttemptState.DIALING,
                attempts.c.claimed_at >= to_ms(since),
            )
            .order_by(attempts.c.claimed_at.desc())
            .limit(limit)
        )
        with self._db.read() as connection:
            return [
                (AttemptState(state), status, refusal or "")
                for state, status, refusal in connection.execute(query)
            ]

    def refusals_of_lead(self, attempt_id: str) -> int:
        """How often a dial of this attempt's lead was refused by Retell (4xx) before."""
        lead = sa.select(attempts.c.lead_id).where(attempts.c.id == attempt_id).scalar_subquery()
        query = sa.select(sa.func.count()).where(
            attempts.c.lead_id == lead,
            attempts.c.state == AttemptState.NOT_PLACED,
            attempts.c.refusal_status.between(400, 499),
            attempts.c.refusal_status != 429,
        )
        with self._db.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    # -- moves -----------------------------------------------------------------------------------------------

    @staticmethod
    def _awaits_word() -> sa.ColumnElement[bool]:
        """The attempt's lead is still held because nobody could say what became of it."""
        return (
            sa.select(leads.c.id)
            .where(
                leads.c.id == attempts.c.lead_id,
                leads.c.state == LeadState.HELD,
                leads.c.hold_code == UNRESOLVED_CODE,
            )
            .exists()
        )

    @staticmethod
    def _number_is_free() -> sa.ColumnElement[bool]:
        other = attempts.alias("other")
        return sa.not_(
            sa.select(other.c.id)
            .where(
                other.c.workspace == attempts.c.workspace,
                other.c.phone == attempts.c.phone,
                is_open(other),
            )
            .exists()
        )

    @staticmethod
    def _move(
        connection: sa.Connection,
        attempt_id: str,
        source: AttemptState,
        to: AttemptState,
        now: datetime,
        *conditions: sa.ColumnElement[bool],
        detail: str | None = None,
        **columns: object,
    ) -> bool:
        if to not in ATTEMPT_TRANSITIONS[source]:
            raise AssertionError(f"no transition from {source} to {to}")
        values = {"state": to, **columns}
        statement = _move_statement(tuple(values))
        if conditions:
            statement = statement.where(*conditions)
        bound = {f"to_{name}": value for name, value in values.items()}
        moved = connection.execute(statement, {"attempt": attempt_id, "source": source, **bound}).first()
        if moved is None:
            return False
        record(
            connection,
            [Event("attempt", moved.campaign_id, source, to, to_ms(now), moved.lead_id, attempt_id, detail)],
        )
        return True

    def _return_lead(
        self,
        connection: sa.Connection,
        attempt_id: str,
        next_attempt_at: datetime,
        now: datetime,
        hold: tuple[str, str] | None,
        was: LeadState = LeadState.IN_FLIGHT,
    ) -> None:
        row = connection.execute(
            sa.select(attempts.c.lead_id, attempts.c.campaign_id, attempts.c.phone, campaigns.c.state)
            .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
            .where(attempts.c.id == attempt_id)
            .with_for_update(read=True, of=campaigns)
        ).one()
        values: dict[str, object]
        if hold:
            values = {"state": LeadState.HELD, "hold_code": hold[0], "hold_remedy": hold[1]}
        else:
            values = self._waiting_again(connection, row.phone, row.state, next_attempt_at)
        detail = hold[0] if hold else None
        self._move_lead(connection, row.lead_id, row.campaign_id, values, now, attempt_id, detail, was)

    @staticmethod
    def _waiting_again(
        connection: sa.Connection, phone: str, campaign_state: str, at: datetime
    ) -> dict[str, object]:
        """Columns of a lead that would wait again: unless its campaign or its number is out of the game by now."""
        if connection.execute(sa.select(suppressions.c.phone).where(suppressions.c.phone == phone)).first():
            return {"state": LeadState.SUPPRESSED}
        if campaign_state == CampaignState.CANCELLED:
            return {"state": LeadState.CANCELLED}
        return {"state": LeadState.PENDING, "next_attempt_at": to_ms(at)}

    @staticmethod
    def _move_lead(
        connection: sa.Connection,
        lead_id: int,
        campaign_id: str,
        values: dict[str, object],
        now: datetime,
        attempt_id: str,
        detail: str | None,
        was: LeadState = LeadState.IN_FLIGHT,
    ) -> None:
        to = LeadState(str(values["state"]))
        if to is not was and to not in LEAD_TRANSITIONS[was]:
            raise AssertionError(f"no transition from {was} to {to}")
        holds = {} if to is LeadState.HELD else {"hold_code": None, "hold_remedy": None}
        moved = connection.execute(
            sa.update(leads).where(leads.c.id == lead_id, leads.c.state == was).values(**values, **holds)
        )
        if moved.rowcount != 1:
            raise AssertionError(f"lead {lead_id} was not {was} while its attempt was open")
        record(
            connection,
            [
                Event("lead", campaign_id, was, to, to_ms(now), lead_id, attempt_id, detail),
            ],
        )
