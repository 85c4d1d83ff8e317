"""Attempts from the claim to the call: every step of dialing as one guarded UPDATE that says whether it won."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from campaigns.domain.caller_ids import Caller
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Callee, CampaignOptions, DialOrder, Evidence
from campaigns.domain.states import UNRESOLVED_CODE, AttemptState, CampaignState, LeadState
from campaigns.store.database import Database
from campaigns.store.events import real_ms
from campaigns.store.evidence_rows import add_evidence
from campaigns.store.moves import move_attempt, move_lead, return_lead
from campaigns.store.number_rows import with_uses
from campaigns.store.row_blocks import cells_of, unpack, variables_of
from campaigns.store.schema import (
    HOLDING_STATES,
    attempts,
    campaigns,
    files,
    from_numbers,
    is_open,
    leads,
    rows_of,
    suppressions,
)

_ORDERS = (
    sa.select(
        attempts,
        leads.c.zones,
        leads.c.zone_source,
        leads.c.jurisdictions,
        leads.c.consent,
        leads.c.ignore_e164,
        leads.c.line,
        files.c.header,
        files.c.variables,
        rows_of(leads).label("block"),
        leads.c.metadata.label("lead_metadata"),
        leads.c.sip_headers,
        campaigns.c.state.label("campaign_state"),
        campaigns.c.options,
        from_numbers.c.type.label("from_type"),
        from_numbers.c.resting_until,
        from_numbers.c.refused_at,
        sa.select(suppressions.c.phone)
        .where(suppressions.c.phone == attempts.c.phone)
        .exists()
        .label("suppressed"),
    )
    .join(leads, leads.c.id == attempts.c.lead_id)
    .join(files, files.c.id == leads.c.file_id)
    .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
    .outerjoin(
        from_numbers,
        sa.and_(
            from_numbers.c.workspace == attempts.c.workspace,
            from_numbers.c.number == attempts.c.from_number,
        ),
    )
)
#: Built once: composing it costs more than running it, and every dial asks.
_DIAL_ORDER = _ORDERS.where(attempts.c.id == sa.bindparam("attempt_id"))
_CLAIMED_ORDERS = _ORDERS.where(
    attempts.c.batch_id == sa.bindparam("batch"), attempts.c.state == AttemptState.CLAIMED
).order_by(attempts.c.claimed_at, attempts.c.lead_id)
_OF_BATCH = attempts.alias("of_batch")
_DIALS_OF_CLAIMED = (
    sa.select(_OF_BATCH.c.id, attempts.c.dialing_at)
    .select_from(_OF_BATCH)
    .join(
        attempts,
        sa.and_(
            attempts.c.workspace == _OF_BATCH.c.workspace,
            attempts.c.phone == _OF_BATCH.c.phone,
            attempts.c.dialing_at.is_not(None),
            attempts.c.state != AttemptState.NOT_PLACED,
        ),
    )
    .where(_OF_BATCH.c.batch_id == sa.bindparam("batch"), _OF_BATCH.c.state == AttemptState.CLAIMED)
    .order_by(attempts.c.dialing_at.desc())
)
_REFUSED = (
    attempts.c.state == AttemptState.NOT_PLACED,
    attempts.c.refusal_status.between(400, 499),
    attempts.c.refusal_status != 429,
)
_REFUSALS_OF_CLAIMED = (
    sa.select(_OF_BATCH.c.id, sa.func.count())
    .select_from(_OF_BATCH)
    .join(attempts, sa.and_(attempts.c.lead_id == _OF_BATCH.c.lead_id, *_REFUSED))
    .where(_OF_BATCH.c.batch_id == sa.bindparam("batch"), _OF_BATCH.c.state == AttemptState.CLAIMED)
    .group_by(_OF_BATCH.c.id)
)


#: As many dials of one number as any cap counts, and more; the latest.
_MOST_DIALS = 100
_DIALS = (
    sa.select(attempts.c.dialing_at)
    .where(
        attempts.c.workspace == sa.bindparam("workspace"),
        attempts.c.phone == sa.bindparam("phone"),
        attempts.c.id != sa.bindparam("but"),
        attempts.c.dialing_at.is_not(None),
        attempts.c.state != AttemptState.NOT_PLACED,
    )
    .order_by(attempts.c.dialing_at.desc())
    .limit(_MOST_DIALS)
)


#: What must still be true in the very statement that commits a dial.
MAY_DIAL = (
    sa.select(campaigns.c.id)
    .where(campaigns.c.id == attempts.c.campaign_id, campaigns.c.state == CampaignState.RUNNING)
    .exists(),
    sa.not_(sa.select(suppressions.c.phone).where(suppressions.c.phone == attempts.c.phone).exists()),
    attempts.c.hang_up_at.is_(None),
)


def dials_of(connection: sa.Connection, workspace: str, phone: str, but: str = "") -> list[int]:
    """When a number was dialed (business ms), the latest first. Not refused and unsent dials, not attempt `but`."""
    found = connection.execute(_DIALS, {"workspace": workspace, "phone": phone, "but": but})
    return [int(at) for at in found.scalars()]


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


def _order(
    connection: sa.Connection,
    row: sa.Row[Any],
    options: CampaignOptions,
    cells: Sequence[str],
    dialed: Sequence[int],
) -> DialOrder:
    caller = Caller(
        row.from_number,
        type=row.from_type,
        resting_until=row.resting_until,
        gone=row.refused_at is not None,
    )
    if options.number_cap is not None:
        # The cap may be lower by now.
        before = (row.claimed_at, row.id)
        [caller] = with_uses(connection, row.workspace, [caller], options.number_cap, row.claimed_at, before)
    return DialOrder(
        attempt_id=row.id,
        batched=row.batch_id is not None,
        state=AttemptState(row.state),
        campaign_id=row.campaign_id,
        campaign_state=CampaignState(row.campaign_state),
        options=options,
        workspace=row.workspace,
        lead_id=row.lead_id,
        phone=row.phone,
        callee=Callee.of(row.zones, row.jurisdictions),
        zone_source=row.zone_source,
        consent=row.consent,
        from_number=row.from_number,
        agent_id=row.agent_id,
        agent_version=row.agent_version,
        ignore_e164=row.ignore_e164,
        variables=variables_of(row.header, row.variables, cells),
        metadata=json.loads(row.lead_metadata),
        sip_headers=json.loads(row.sip_headers),
        suppressed=bool(row.suppressed),
        dialed_ms=dialed,
        caller=caller,
    )


class AttemptRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def dial_order(self, attempt_id: str) -> DialOrder | None:
        """Everything needed to dial the attempt; None when there is no such attempt."""
        with self._db.read() as connection:
            row = connection.execute(_DIAL_ORDER, {"attempt_id": attempt_id}).first()
            if row is None:
                return None
            dialed = dials_of(connection, row.workspace, row.phone, but=attempt_id)
            options = CampaignOptions.from_json(row.options)
            return _order(connection, row, options, cells_of(row.block, row.line), dialed)

    def claimed_orders(self, batch_id: str) -> list[DialOrder]:
        """The same for all attempts of a batch that are claimed, in the order in which they were claimed."""
        with self._db.read() as connection:
            rows = connection.execute(_CLAIMED_ORDERS, {"batch": batch_id}).all()
            dialed: dict[str, list[int]] = {}
            for attempt_id, at in connection.execute(_DIALS_OF_CLAIMED, {"batch": batch_id}):
                dialed.setdefault(attempt_id, []).append(at)
            # Those of one campaign and one file mostly share these.
            options = {text: CampaignOptions.from_json(text) for text in {row.options for row in rows}}
            blocks = {block: unpack(block) for block in {row.block for row in rows if row.block is not None}}
            return [
                _order(
                    connection,
                    row,
                    options[row.options],
                    blocks.get(row.block, {}).get(row.line, []),
                    dialed.get(row.id, []),
                )
                for row in rows
            ]

    def refusals_of_claimed(self, batch_id: str) -> dict[str, int]:
        """`refusals_of_lead` for the claimed attempts of a batch; without those that have none."""
        with self._db.read() as connection:
            return dict(connection.execute(_REFUSALS_OF_CLAIMED, {"batch": batch_id}).all())

    def dials_of_number(self, workspace: str, phone: str) -> list[int]:
        """When a number was dialed over all campaigns (business ms), the latest first."""
        with self._db.read() as connection:
            return dials_of(connection, workspace, phone)

    def begin_dial(self, order: DialOrder, evidence: Evidence, now: datetime, lease_ms: int) -> bool:
        """claimed -> dialing with its evidence, committed before a byte leaves. False: somebody else has it, it is
        in a batch, the campaign is not running any more, or the number has been suppressed since."""
        stamp = real_ms()

        def work(connection: sa.Connection) -> bool:
            if not move_attempt(
                connection,
                order.attempt_id,
                AttemptState.CLAIMED,
                AttemptState.DIALING,
                now,
                attempts.c.batch_id.is_(None),
                *MAY_DIAL,
                dialing_at=to_ms(now),
                dialing_real=stamp,
                first_sent_real=stamp,
                sends=1,
                lease_until_real=stamp + lease_ms,
                charged=True,
            ):
                return False
            add_evidence(connection, order, evidence, send=1)
            return True

        return self._db.commit_together(work)

    def place(self, attempt_id: str, source: AttemptState, call_id: str, now: datetime) -> bool:
        """dialing, ambiguous or unresolved -> placed: a call id is known. False: it was in another state.

        From unresolved, the held lead is in flight again. False too when it no longer waits for this, or when its
        number is in another open attempt.
        """
        conditions = (_awaits_word(), _number_is_free()) if source is AttemptState.UNRESOLVED else ()

        def work(connection: sa.Connection) -> bool:
            if not move_attempt(
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
                move_lead(
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
        conditions = [_awaits_word()] if unresolved else []
        if sends is not None:
            conditions.append(attempts.c.sends == sends)
        with self._db.write() as connection:
            if not move_attempt(
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
            return_lead(connection, attempt_id, next_attempt_at, now, hold, was)
        return True

    def doubt(self, attempt_id: str, why: str, now: datetime, search_in_ms: int) -> bool:
        """dialing -> ambiguous: it may be ringing. Searched for after `search_in_ms` of real time."""
        with self._db.write() as connection:
            return move_attempt(
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
            if not move_attempt(
                connection, attempt_id, source, AttemptState.UNRESOLVED, now, detail=why, refusal=why
            ):
                return False
            return_lead(connection, attempt_id, now, now, (UNRESOLVED_CODE, remedy))
        return True

    def holding_ids(self, workspace: str) -> set[str]:
        """Ids of the attempts that each hold a slot at this moment; tasks that wait in batches are not yet calls."""
        query = sa.select(attempts.c.id).where(
            attempts.c.workspace == workspace,
            is_open(),
            attempts.c.state.in_(HOLDING_STATES),
            sa.or_(attempts.c.batch_id.is_(None), attempts.c.state == AttemptState.PLACED),
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
        query = sa.select(sa.func.count()).where(attempts.c.lead_id == lead, *_REFUSED)
        with self._db.read() as connection:
            return int(connection.execute(query).scalar() or 0)
