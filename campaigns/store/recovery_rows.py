"""What recovery asks of the database: proof that the list is not lagging, a second send, the last dials."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import DialOrder, Evidence, UnknownDial
from campaigns.domain.states import AttemptState, CampaignState
from campaigns.domain.trouble import RecentDial
from campaigns.store.database import Database
from campaigns.store.events import Event, is_over, real_ms, record
from campaigns.store.evidence_rows import add_evidence
from campaigns.store.schema import attempts, campaigns, events, is_open, leads, suppressions
from campaigns.store.tallies import attempt_tallies


@dataclass(frozen=True, slots=True)
class AuditedAttempt:
    """dialing_at, suppressed_at: business milliseconds; None = never."""

    id: str
    lead_id: int
    phone: str
    state: str
    call_id: str | None
    dialing_at: int | None
    charged: bool
    sends: int
    zones: str
    jurisdictions: str
    suppressed_at: int | None
    batch_id: str | None = None


@dataclass(frozen=True, slots=True)
class BookedAttempt:
    """What the books have of an attempt whose call somebody tells of. placed_at: business time; None = not placed."""

    attempt_id: str
    campaign_id: str
    lead_id: int
    state: AttemptState
    call_id: str | None
    placed_at: datetime | None


class RecoveryRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def stale_claims(self, workspace: str) -> list[str]:
        """Claims that nobody dialed within their lease: nothing was sent, so they can be given back."""
        query = sa.select(attempts.c.id).where(
            attempts.c.workspace == workspace,
            is_open(),
            attempts.c.state == AttemptState.CLAIMED,
            is_over(attempts.c.lease_until_real, real_ms()),
        )
        with self._db.read() as connection:
            return list(connection.execute(query).scalars())

    def unknown_dials(self, workspace: str) -> list[UnknownDial]:
        """Dials whose lease ran out, and ambiguous ones that are due for a search."""
        return self._unknown(
            workspace,
            attempts.c.state.in_((AttemptState.DIALING, AttemptState.AMBIGUOUS)),
            is_over(attempts.c.lease_until_real, real_ms()),
        )

    def overdue_dials(self, workspace: str, after_ms: int) -> list[UnknownDial]:
        """Dials without an answer for so long (real time); their sender may still wait for it."""
        now = real_ms()
        return self._unknown(
            workspace,
            attempts.c.state == AttemptState.DIALING,
            sa.not_(attempts.c.dialing_real.between(now - after_ms, now)),
        )

    def _unknown(self, workspace: str, *conditions: sa.ColumnElement[bool]) -> list[UnknownDial]:
        # Of a batch nothing is ever sent again: `services.batch` finds out what became of its tasks.
        query = sa.select(attempts).where(
            attempts.c.workspace == workspace, is_open(), attempts.c.batch_id.is_(None), *conditions
        )
        with self._db.read() as connection:
            return [
                UnknownDial(
                    row.id, row.campaign_id, row.lead_id, row.phone, row.from_number, AttemptState(row.state),
                    from_ms(row.dialing_at), row.dialing_real, row.first_sent_real, row.sends, row.searches,
                )
                for row in connection.execute(query)
            ]  # fmt: skip

    def younger_calls(self, workspace: str, than_real_ms: int, limit: int) -> dict[str, int]:
        """Attempts whose call is open and was dialed later than that, the latest ones: id -> dialed at (real ms)."""
        query = (
            sa.select(attempts.c.id, attempts.c.dialing_real)
            .where(
                attempts.c.workspace == workspace,
                attempts.c.state == AttemptState.PLACED,
                attempts.c.dialing_real > than_real_ms,
            )
            .order_by(attempts.c.dialing_real.desc())
            .limit(limit)
        )
        with self._db.read() as connection:
            return dict(connection.execute(query).all())

    def redial(
        self, one: UnknownDial, order: DialOrder, evidence: Evidence, now: datetime, lease_ms: int
    ) -> bool:
        """ambiguous -> dialing: the same attempt is sent again, committed before a byte leaves.

        Only on the evidence that `one` was read with: False when anything has happened to the attempt since, when
        its campaign is not running, or its number has been suppressed.
        """
        running = (
            sa.select(campaigns.c.id)
            .where(campaigns.c.id == attempts.c.campaign_id, campaigns.c.state == CampaignState.RUNNING)
            .exists()
        )
        listed = sa.select(suppressions.c.phone).where(suppressions.c.phone == attempts.c.phone).exists()
        stamp = real_ms()
        with self._db.write() as connection:
            moved = connection.execute(
                sa.update(attempts)
                .where(
                    attempts.c.id == one.attempt_id,
                    attempts.c.state == AttemptState.AMBIGUOUS,
                    attempts.c.sends == one.sends,
                    attempts.c.searches == one.searches,
                    running,
                    sa.not_(listed),
                )
                .values(
                    state=AttemptState.DIALING,
                    dialing_real=stamp,
                    lease_until_real=stamp + lease_ms,
                    sends=attempts.c.sends + 1,
                    searches=0,
                    # Asked of the sends before, of which it is known that they are no call; it has been resumed since.
                    hang_up_at=None,
                )
            )
            if moved.rowcount == 0:
                return False
            add_evidence(connection, order, evidence, send=one.sends + 1)
            detail = f"sent again, time {one.sends + 1}: {one.searches + 1} searches found nothing"
            record(
                connection,
                [
                    Event(
                        "attempt",
                        one.campaign_id,
                        AttemptState.AMBIGUOUS,
                        AttemptState.DIALING,
                        to_ms(now),
                        one.lead_id,
                        one.attempt_id,
                        detail,
                    )
                ],
            )
        return True

    def recent_dials(self, campaign_id: str, since: datetime, limit: int = 500) -> list[RecentDial]:
        """What the campaign's latest dials since then came to, newest first."""
        query = (
            sa.select(
                attempts.c.state,
                attempts.c.outcome,
                attempts.c.disconnection_reason,
                attempts.c.refusal_status,
                attempts.c.refusal,
                attempts.c.batch_id,
            )
            .where(
                attempts.c.campaign_id == campaign_id,
                attempts.c.claimed_at >= to_ms(since),
                attempts.c.dialing_at.is_not(None),
                attempts.c.state != AttemptState.DIALING,
            )
            .order_by(attempts.c.claimed_at.desc())
            .limit(limit)
        )
        found: list[RecentDial] = []
        batches: set[str] = set()
        with self._db.read() as connection:
            for *columns, batch_id in connection.execute(query):
                dial = RecentDial(*columns)
                # A batch that failed is one failure, however many leads were in it.
                if batch_id is not None and dial.failed and dial.outcome is None:
                    if batch_id in batches:
                        continue
                    batches.add(batch_id)
                found.append(dial)
        return found

    def audited(self, campaign_id: str) -> list[AuditedAttempt]:
        """Every attempt of a campaign with what its call must be held against."""
        query = (
            sa.select(
                attempts.c.id,
                attempts.c.lead_id,
                attempts.c.phone,
                attempts.c.state,
                attempts.c.call_id,
                attempts.c.dialing_at,
                attempts.c.charged,
                attempts.c.sends,
                leads.c.zones,
                leads.c.jurisdictions,
                suppressions.c.added_at,
                attempts.c.batch_id,
            )
            .join(leads, leads.c.id == attempts.c.lead_id)
            .outerjoin(suppressions, suppressions.c.phone == attempts.c.phone)
            .where(attempts.c.campaign_id == campaign_id)
            .order_by(attempts.c.claimed_at)
        )
        with self._db.read() as connection:
            return [AuditedAttempt(*row) for row in connection.execute(query)]

    def dials_of_numbers(self, workspace: str, since: datetime) -> dict[str, list[int]]:
        """When (business ms) each number was dialed over all campaigns, sorted; refused and unsent dials left out."""
        query = (
            sa.select(attempts.c.phone, attempts.c.dialing_at)
            .where(
                attempts.c.workspace == workspace,
                attempts.c.dialing_at >= to_ms(since),
                attempts.c.state != AttemptState.NOT_PLACED,
            )
            .order_by(attempts.c.dialing_at)
        )
        dialed: dict[str, list[int]] = {}
        with self._db.read() as connection:
            for phone, at in connection.execute(query):
                dialed.setdefault(phone, []).append(int(at or 0))
        return dialed

    def booked(self, workspace: str, attempt_id: str) -> BookedAttempt | None:
        """The attempt with that id; None where the account has none."""
        return self._booked(workspace, attempts.c.id == attempt_id)

    def booked_call(self, workspace: str, call_id: str) -> BookedAttempt | None:
        """The attempt whose call that is; None where the account has none."""
        return self._booked(workspace, attempts.c.call_id == call_id)

    def _booked(self, workspace: str, which: sa.ColumnElement[bool]) -> BookedAttempt | None:
        query = sa.select(
            attempts.c.id,
            attempts.c.campaign_id,
            attempts.c.lead_id,
            attempts.c.state,
            attempts.c.call_id,
            attempts.c.placed_at,
        ).where(which, attempts.c.workspace == workspace)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        placed_at = None if row.placed_at is None else from_ms(row.placed_at)
        return BookedAttempt(
            row.id, row.campaign_id, row.lead_id, AttemptState(row.state), row.call_id, placed_at
        )

    def was_paused_for(self, campaign_id: str, reason: str) -> bool:
        """Whether the campaign was ever paused for exactly that reason."""
        query = sa.select(events.c.id).where(
            events.c.campaign_id == campaign_id, events.c.subject == "campaign", events.c.detail == reason
        )
        with self._db.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def unresolved_count(self, workspace: str) -> int:
        """Attempts of the workspace that wait for a person's word."""
        query = (
            sa.select(sa.func.coalesce(sa.func.sum(attempt_tallies.c.attempts), 0))
            .join(campaigns, campaigns.c.id == attempt_tallies.c.campaign_id)
            .where(campaigns.c.workspace == workspace, attempt_tallies.c.state == AttemptState.UNRESOLVED)
        )
        with self._db.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def unresolved(self, attempt_id: str) -> tuple[str, int] | None:
        """(campaign id, lead id) of an unresolved attempt; None when it is not unresolved."""
        query = sa.select(attempts.c.campaign_id, attempts.c.lead_id).where(
            attempts.c.id == attempt_id, attempts.c.state == AttemptState.UNRESOLVED
        )
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row.campaign_id, row.lead_id)
