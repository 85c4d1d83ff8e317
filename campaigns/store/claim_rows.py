"""Claiming: due leads become attempts, in one transaction under the account's lock."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from campaigns.domain.clock import to_ms
from campaigns.domain.fairness import Shares
from campaigns.domain.pacing import Demand, Group, Slots, deal
from campaigns.domain.states import AttemptState, CampaignState, LeadState
from campaigns.store.database import Database
from campaigns.store.events import Event, real_ms, record
from campaigns.store.schema import (
    HOLDING_STATES,
    attempts,
    campaigns,
    is_open,
    leads,
    suppressions,
    workspaces,
)

#: Terms of one UNION ALL; SQLite refuses more than 500.
_PROBES = 200


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """What one running campaign may claim: groups in dialing order, its cap, and room under the calls per second."""

    campaign_id: str
    weight: float
    cap: int | None
    room: int
    ranked: Sequence[Sequence[Group]]
    from_numbers: Sequence[str]
    agent_id: str
    agent_version: str
    attempts_per_day: int | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """Attempts ready to be dialed, and how many leads were screened out on the way."""

    attempt_ids: list[str] = field(default_factory=list)
    suppressed: int = 0
    capped: int = 0


class ClaimRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def claim(
        self,
        workspace: str,
        ceiling: int,
        foreign: int,
        plans: Sequence[ClaimPlan],
        now: datetime,
        lease_ms: int,
    ) -> Claimed:
        """Turn due leads into `claimed` attempts, never more than the slots that are free at this very moment.

        ceiling, foreign: lines of the account, see `domain.pacing`. lease_ms: real time after which a claim that
        nobody dialed is stale. The caller enqueues the returned ids; losing them only costs the lease.
        """
        at = to_ms(now)
        claimed = Claimed()
        with self._db.write() as connection:
            # On PostgreSQL this row lock is the account-level lock; SQLite's write lock is one already.
            remembered = connection.execute(
                sa.select(workspaces.c.shares).where(workspaces.c.name == workspace).with_for_update()
            ).scalar()
            own: dict[str, int] = dict(
                connection.execute(
                    sa.select(attempts.c.campaign_id, sa.func.count())
                    .where(attempts.c.workspace == workspace, is_open(), attempts.c.state.in_(HOLDING_STATES))
                    .group_by(attempts.c.campaign_id)
                ).all()
            )
            free = Slots(ceiling, foreign, sum(own.values())).free
            if free == 0:
                return claimed
            last_claim = (
                sa.select(sa.func.max(attempts.c.claimed_at))
                .where(attempts.c.campaign_id == campaigns.c.id)
                .scalar_subquery()
            )
            running: dict[str, int | None] = dict(
                connection.execute(
                    sa.select(campaigns.c.id, last_claim)
                    .where(
                        campaigns.c.id.in_([plan.campaign_id for plan in plans]),
                        campaigns.c.state == CampaignState.RUNNING,
                    )
                    .with_for_update(read=True)  # none is paused or cancelled half way
                ).all()
            )
            candidates: dict[str, list[sa.Row[tuple[int, str]]]] = {}
            demands: list[Demand] = []
            taken: set[str] = set()
            suppressed = capped = 0
            for plan in plans:
                if plan.campaign_id not in running:
                    continue
                in_progress = own.get(plan.campaign_id, 0)
                # A campaign at its own cap must not keep another from the numbers that both have.
                under_cap = free if plan.cap is None else max(0, plan.cap - in_progress)
                wanted = min(free, under_cap, free if plan.room is None else plan.room)
                found = self._probe(connection, workspace, plan, at, wanted)
                kept, lost, over = self._screen(connection, workspace, plan, found, at)
                suppressed, capped = suppressed + lost, capped + over
                kept = [row for row in kept if row.phone not in taken]
                taken.update(row.phone for row in kept)
                candidates[plan.campaign_id] = kept
                served_at = running[plan.campaign_id] or 0
                demands.append(
                    Demand(plan.campaign_id, plan.weight, len(kept), in_progress, plan.cap, served_at)
                )
            shares = self._deal(connection, workspace, remembered or "{}", free, demands, at)
            ids: list[str] = []
            for plan in plans:
                chosen = candidates.get(plan.campaign_id, [])[: shares.get(plan.campaign_id, 0)]
                ids.extend(self._insert(connection, workspace, plan, chosen, at, lease_ms))
        return Claimed(ids, suppressed, capped)

    @staticmethod
    def _deal(
        connection: sa.Connection,
        workspace: str,
        remembered: str,
        free: int,
        demands: Sequence[Demand],
        at: int,
    ) -> dict[str, int]:
        """The free lines for each campaign; what it had above its share so far counts, and is kept."""
        before = Shares.from_json(remembered)
        dealt = deal(free, demands, before.debts_at(at))
        after = before.after(free, demands, dealt, at)
        if after.surplus != before.surplus:
            connection.execute(
                sa.update(workspaces).where(workspaces.c.name == workspace).values(shares=after.to_json())
            )
        return dealt

    def _probe(
        self, connection: sa.Connection, workspace: str, plan: ClaimPlan, at: int, wanted: int
    ) -> list[sa.Row[tuple[int, str]]]:
        """Due leads in dialing order: one LIMIT probe per group, `wanted` rows at most."""
        busy = attempts.alias("busy")
        busy_number = (
            sa.select(busy.c.id)
            .where(busy.c.workspace == workspace, busy.c.phone == leads.c.phone, is_open(busy))
            .exists()
        )
        found: list[sa.Row[tuple[int, str]]] = []
        ranked = [(rank, group) for rank, groups in enumerate(plan.ranked) for group in groups]
        for start in range(0, len(ranked), _PROBES):
            missing = wanted - len(found)
            if missing <= 0:
                break
            probes = [
                sa.select(
                    sa.select(
                        leads.c.id,
                        leads.c.phone,
                        leads.c.agent_id,
                        leads.c.agent_version,
                        leads.c.next_attempt_at,
                        sa.literal_column(str(rank)).label("rank"),
                    )
                    .where(
                        leads.c.campaign_id == plan.campaign_id,
                        leads.c.zones == group.zones,
                        leads.c.priority == group.priority,
                        # Literal, so that the planner sees the partial index's own condition.
                        sa.text("leads.state = 'pending'"),
                        leads.c.next_attempt_at <= at,
                        sa.not_(busy_number),
                    )
                    .order_by(leads.c.next_attempt_at)
                    .limit(missing)
                    .subquery()
                )
                for rank, group in ranked[start : start + _PROBES]
            ]
            together = sa.union_all(*probes).subquery()
            found.extend(
                connection.execute(
                    sa.select(together)
                    .order_by(together.c.rank, together.c.next_attempt_at, together.c.id)
                    .limit(missing)
                )
            )
        return found

    def _screen(
        self,
        connection: sa.Connection,
        workspace: str,
        plan: ClaimPlan,
        found: list[sa.Row[tuple[int, str]]],
        at: int,
    ) -> tuple[list[sa.Row[tuple[int, str]]], int, int]:
        """Do-not-call and the rolling cap, asked again at the claim; (kept, suppressed, capped)."""
        phones = [row.phone for row in found]
        if not phones:
            return [], 0, 0
        refused = set(
            connection.execute(
                sa.select(suppressions.c.phone).where(suppressions.c.phone.in_(phones))
            ).scalars()
        )
        over: dict[str, int] = {}
        if plan.attempts_per_day is not None:
            day = 86_400_000
            dialed: dict[str, list[int]] = {}
            for phone, dialing_at in connection.execute(
                sa.select(attempts.c.phone, attempts.c.dialing_at).where(
                    attempts.c.workspace == workspace,
                    attempts.c.phone.in_(phones),
                    attempts.c.dialing_at > at - day,
                    attempts.c.state != AttemptState.NOT_PLACED,
                )
            ):
                dialed.setdefault(phone, []).append(dialing_at or at)
            for phone, times in dialed.items():
                if len(times) >= plan.attempts_per_day:
                    over[phone] = sorted(times)[-plan.attempts_per_day] + day
        happened: list[Event] = []
        for row in found:
            if row.phone in refused:
                moved = connection.execute(
                    sa.update(leads)
                    .where(leads.c.id == row.id, leads.c.state == LeadState.PENDING)
                    .values(state=LeadState.SUPPRESSED)
                )
                if moved.rowcount == 0:
                    continue  # suppressed since the probe
                happened.append(
                    Event(
                        "lead",
                        plan.campaign_id,
                        LeadState.PENDING,
                        LeadState.SUPPRESSED,
                        at,
                        row.id,
                        detail="do-not-call at the claim",
                    )
                )
            elif row.phone in over:
                # The rolling cap defers; the lead comes back when its oldest attempt leaves the 24 hours.
                connection.execute(
                    sa.update(leads)
                    .where(leads.c.id == row.id, leads.c.state == LeadState.PENDING)
                    .values(next_attempt_at=over[row.phone] + 1)
                )
        record(connection, happened)
        kept = [row for row in found if row.phone not in refused and row.phone not in over]
        return kept, len(happened), sum(row.phone in over and row.phone not in refused for row in found)

    @staticmethod
    def _insert(
        connection: sa.Connection,
        workspace: str,
        plan: ClaimPlan,
        chosen: Sequence[sa.Row[tuple[int, str]]],
        at: int,
        lease_ms: int,
    ) -> list[str]:
        if not chosen:
            return []
        # On PostgreSQL one may have been suppressed since the probe: it is simply not among those won.
        won = set(
            connection.execute(
                sa.update(leads)
                .where(leads.c.id.in_([row.id for row in chosen]), leads.c.state == LeadState.PENDING)
                .values(state=LeadState.IN_FLIGHT)
                .returning(leads.c.id)
            ).scalars()
        )
        if not won:
            return []
        lease = real_ms() + lease_ms
        rows = [
            {
                "id": uuid.uuid4().hex,
                "workspace": workspace,
                "campaign_id": plan.campaign_id,
                "lead_id": row.id,
                "phone": row.phone,
                # Spread over the numbers, and the same one for the same lead on a retry.
                "from_number": plan.from_numbers[row.id % len(plan.from_numbers)],
                "agent_id": row.agent_id or plan.agent_id,
                "agent_version": row.agent_version or plan.agent_version,
                "state": AttemptState.CLAIMED,
                "charged": False,
                "lease_until_real": lease,
                "claimed_at": at,
            }
            for row in chosen
            if row.id in won
        ]
        connection.execute(sa.insert(attempts), rows)
        happened: list[Event] = []
        for row in rows:
            lead_id, attempt_id = int(str(row["lead_id"])), str(row["id"])
            happened.append(
                Event(
                    "lead", plan.campaign_id, LeadState.PENDING, LeadState.IN_FLIGHT, at, lead_id, attempt_id
                )
            )
            happened.append(
                Event("attempt", plan.campaign_id, None, AttemptState.CLAIMED, at, lead_id, attempt_id)
            )
        record(connection, happened)
        return [str(row["id"]) for row in rows]
