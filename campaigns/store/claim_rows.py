"""Claiming: due leads become attempts, in one transaction under the account's lock."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from campaigns.domain.batching import lines_for_next, room, tasks_wanted
from campaigns.domain.caller_ids import Caller
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Allowed, Callee, Refused
from campaigns.domain.fairness import Shares
from campaigns.domain.pacing import Demand, Group, Segment, Slots, calls_wanted, deal
from campaigns.domain.split import Variant
from campaigns.domain.states import AttemptState, CampaignState, LeadState
from campaigns.store.batch_reads import load_of
from campaigns.store.batch_rows import new_batches
from campaigns.store.claim_choices import Pools, agents_for
from campaigns.store.database import Database
from campaigns.store.events import Event, real_ms, record
from campaigns.store.schema import (
    HOLDING_STATES,
    attempts,
    campaigns,
    events,
    is_open,
    leads,
    suppressions,
    workspaces,
)

#: Terms of one UNION ALL; SQLite refuses more than 500.
_PROBES = 200
#: Terms with which a claim begins.
_FIRST_PROBES = 6
#: Dials as old as this count for no cap: the longest lasts 30 days.
_LONGEST_CAP_MS = 30 * 86_400_000

# Answered from the index alone; the state is a literal, so that the planner sees the partial index's own condition.
_PROBE = (
    "SELECT * FROM (SELECT id, next_attempt_at, line, {rank} AS rank FROM leads WHERE campaign_id = :campaign"
    " AND zones = :zones{n} AND jurisdictions = :places{n} AND priority = :priority{n} AND state = 'pending'"
    " AND next_attempt_at <= :now ORDER BY next_attempt_at, line LIMIT :most) AS probe{n}"
)

#: The gate as a claim asks it: (callee, now, when its number was dialed, whether it is on the do-not-call list).
Gate = Callable[[Callee, datetime, Sequence[int], bool], Allowed | Refused]


@lru_cache(maxsize=256)
def _probes(ranks: tuple[int, ...]) -> sa.TextClause:
    """The probe of segments with these ranks, in the order of their ranks."""
    terms = (_PROBE.format(n=n, rank=rank) for n, rank in enumerate(ranks))
    return sa.text(" UNION ALL ".join(terms) + " ORDER BY rank, next_attempt_at, line, id LIMIT :most")


def _in_turns(ranked: Sequence[Sequence[Group]]) -> Iterator[list[tuple[int, Segment]]]:
    """(rank, segment) by the probe that asks for them: few at first, since the first ranks mostly have enough.

    Groups of one rank are asked together, so that the oldest of them all comes first, unless they are too many.
    """
    terms: list[tuple[int, Segment]] = []
    least = _FIRST_PROBES
    for rank, groups in enumerate(ranked):
        for group in groups:
            if len(terms) == _PROBES:
                yield terms
                terms = []
            terms.append((rank, group.segment))
        if len(terms) >= least:
            yield terms
            terms, least = [], min(_PROBES, 4 * least)
    if terms:
        yield terms


_BUSY = attempts.alias("busy")
_LEADS = sa.select(
    leads.c.id,
    leads.c.phone,
    leads.c.agent_id,
    leads.c.agent_version,
    leads.c.last_attempt_at,
    leads.c.zones,
    leads.c.jurisdictions,
    sa.select(suppressions.c.phone).where(suppressions.c.phone == leads.c.phone).exists().label("listed"),
).where(
    leads.c.id.in_(sa.bindparam("ids", expanding=True)),
    sa.text("leads.state = 'pending'"),
    sa.not_(
        sa.select(_BUSY.c.id)
        .where(_BUSY.c.workspace == sa.bindparam("workspace"), _BUSY.c.phone == leads.c.phone, is_open(_BUSY))
        .exists()
    ),
)
_DIALED = sa.select(attempts.c.phone, attempts.c.dialing_at).where(
    attempts.c.workspace == sa.bindparam("workspace"),
    attempts.c.phone.in_(sa.bindparam("phones", expanding=True)),
    attempts.c.dialing_at > sa.bindparam("since"),
    attempts.c.state != AttemptState.NOT_PLACED,
)
_OWN = (
    sa.select(
        attempts.c.campaign_id, attempts.c.state, attempts.c.batch_id.is_not(None).label("batched"), sa.func.count()
    )
    .where(attempts.c.workspace == sa.bindparam("workspace"), is_open())
    .group_by(attempts.c.campaign_id, attempts.c.state, sa.text("batched"))
)  # fmt: skip
_IN_FLIGHT = (
    sa.update(leads)
    .where(leads.c.id.in_(sa.bindparam("ids", expanding=True)), leads.c.state == LeadState.PENDING)
    .values(state=LeadState.IN_FLIGHT)
    .returning(leads.c.id)
)
_INSERT = sa.insert(attempts)


def _events_of(subject: str, before: LeadState | None, after: StrEnum) -> sa.Select[Any]:
    """What a claim adds to the record for each of its attempts."""
    return sa.select(
        attempts.c.claimed_at,
        sa.bindparam("at_real", type_=sa.BigInteger),
        attempts.c.campaign_id,
        attempts.c.lead_id,
        attempts.c.id,
        sa.literal(subject),
        sa.null() if before is None else sa.literal(str(before)),
        sa.literal(str(after)),
    ).where(attempts.c.id.in_(sa.bindparam("ids", expanding=True)))


#: The events of all its attempts at once, copied inside the database: they are half of what a claim writes.
_HAPPENED = sa.insert(events).from_select(
    ["at", "at_real", "campaign_id", "lead_id", "attempt_id", "subject", "from_state", "to_state"],
    _events_of("lead", LeadState.PENDING, LeadState.IN_FLIGHT).union_all(
        _events_of("attempt", None, AttemptState.CLAIMED)
    ),
)


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """What one running campaign may claim: groups in dialing order, its cap, and room under the calls per second.

    gate: asked for every lead in the claiming transaction; the groups only spare it those whose window is closed.
    ahead: in batch mode, how many tasks may wait behind so many lines; they are claimed beyond the free ones. opens_at:
    in batch mode, the instant for which the gate is asked where the windows are not open yet.
    callers: the numbers it may call from, with what is known of them but their use; number_cap: of each in 24 hours.
    agents: none = the from-number's own.
    """

    campaign_id: str
    weight: float
    cap: int | None
    room: int
    ranked: Sequence[Sequence[Group]]
    callers: Sequence[Caller]
    number_cap: int | None
    agents: Sequence[Variant]
    agent_version: str
    gate: Gate
    ahead: Callable[[int], int] | None = None
    opens_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """Attempts ready to be dialed, batches ready to be sent, and how many leads the gate turned away, by its code."""

    attempt_ids: list[str] = field(default_factory=list)
    batch_ids: list[str] = field(default_factory=list)
    refused: Mapping[str, int] = field(default_factory=dict)


def _rightful(lines: int, demands: Sequence[Demand]) -> dict[str, int]:
    """The lines of each campaign if all of them were dealt anew: what batches may keep while others want lines."""
    return deal(lines, [replace(one, own=0, callable=one.own + one.callable) for one in demands])


def attempt_id(at_real: int) -> str:
    """32 hex digits that nobody guesses, 80 bits of them random; later ones sort behind earlier ones.

    at_real: real time in milliseconds. In the order of time, as in UUIDs of version 7 (RFC 9562), the rows of one
    claim share a few pages of the index instead of dirtying one each.
    """
    return f"{at_real:012x}{secrets.token_hex(10)}"


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
            counts = [tuple(row) for row in connection.execute(_OWN, {"workspace": workspace})]
            open_numbers = sum(count for _, _, _, count in counts)
            load = load_of(connection, workspace, counts)
            own, singly = load.held_by(), 0
            for campaign_id, state, batched, count in counts:
                if state in HOLDING_STATES and not batched:
                    own[campaign_id] = own.get(campaign_id, 0) + count
                    singly += count
            free = Slots(ceiling, foreign, singly + load.held).free
            # Batches are refilled before they run dry, on the lines that they have; the claim is then by shares.
            refilling = any(plan.ahead is not None for plan in plans)
            lines = max(0, ceiling - foreign)
            if free == 0 and not refilling:
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
            pools = Pools(connection, workspace, [plan for plan in plans if plan.campaign_id in running], at)
            candidates: dict[str, list[sa.Row[Any]]] = {}
            demands: list[Demand] = []
            taken: set[str] = set()
            refused: Counter[str] = Counter()
            for plan in plans:
                if plan.campaign_id not in running:
                    continue
                in_progress = own.get(plan.campaign_id, 0)
                if plan.ahead is not None:
                    wanted = tasks_wanted(lines, plan.cap, plan.room, plan.ahead)
                elif refilling:
                    # What others could use must be known where batches are about to keep what they have.
                    wanted = calls_wanted(lines, in_progress, plan.cap)
                else:
                    wanted = min(plan.room, calls_wanted(free, in_progress, plan.cap))
                wanted = min(wanted, pools.room(plan, wanted))
                found = self._probe(connection, workspace, plan, at, wanted, open_numbers)
                kept = self._screen(connection, workspace, plan, found, plan.opens_at or now, refused)
                kept = [row for row in kept if row.phone not in taken]
                taken.update(row.phone for row in kept)
                candidates[plan.campaign_id] = kept
                served_at = running[plan.campaign_id] or 0
                demands.append(
                    Demand(plan.campaign_id, plan.weight, len(kept), in_progress, plan.cap, served_at)
                )
            shares = self._deal(connection, workspace, remembered or "{}", free, demands, at)
            rightful = _rightful(lines, demands) if refilling else {}
            ids: list[str] = []
            batch_ids: list[str] = []
            together, queues, calls = load.held, list(load.queues), sum(load.placed.values())
            for plan in plans:
                chosen = candidates.get(plan.campaign_id, [])
                dealt = shares.get(plan.campaign_id, 0)
                if plan.ahead is None:
                    chosen = chosen[: min(dealt, plan.room)]
                    ids.extend(self._insert(connection, workspace, plan, chosen, pools, at, lease_ms))
                    continue
                name = plan.campaign_id
                share = own.get(name, 0) + dealt
                keeps = min(share, rightful.get(name, 0))
                placed, waiting = load.placed.get(name, 0), load.waiting.get(name, 0)
                chosen = chosen[: room(keeps, placed, waiting, plan.ahead(keeps))]
                bounded = plan.cap is not None or keeps < share
                may_use = lines_for_next(
                    together + dealt, keeps if bounded else None, calls, queues, len(chosen)
                )
                if may_use == 0:
                    continue
                new = self._insert(connection, workspace, plan, chosen, pools, at, lease_ms)
                if new:
                    together += dealt
                    queues.append((may_use, len(new)))
                    opens_at = None if plan.opens_at is None else to_ms(plan.opens_at)
                    batch_ids += new_batches(connection, workspace, name, new, may_use, opens_at, at)
        return Claimed(ids, batch_ids, dict(refused))

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

    @staticmethod
    def _probe(
        connection: sa.Connection, workspace: str, plan: ClaimPlan, at: int, wanted: int, open_numbers: int
    ) -> list[sa.Row[Any]]:
        """Due leads in dialing order, `wanted` at most: one LIMIT probe per group, then the rows of the best.

        open_numbers: so many leads at most cannot be taken because their number is in an open attempt already.
        """
        found: list[sa.Row[Any]] = []
        for terms in _in_turns(plan.ranked):
            missing = wanted - len(found)
            if missing <= 0:
                break
            values: dict[str, object] = {
                "campaign": plan.campaign_id,
                "now": at,
                "most": missing + open_numbers,
            }
            for n, (_, segment) in enumerate(terms):
                values[f"zones{n}"], values[f"places{n}"] = segment.zones, segment.jurisdictions
                values[f"priority{n}"] = segment.priority
            # Ranks of their own, counted from 0, so that the same statement serves another day.
            order = {rank: n for n, rank in enumerate(dict.fromkeys(rank for rank, _ in terms))}
            statement = _probes(tuple(order[rank] for rank, _ in terms))
            due = [row[0] for row in connection.execute(statement, values)]
            for head in range(0, len(due), max(1, wanted)):
                missing = wanted - len(found)
                if missing <= 0:
                    break
                ids = due[head : head + max(1, wanted)]
                rows: dict[int, Any] = {
                    row.id: row for row in connection.execute(_LEADS, {"ids": ids, "workspace": workspace})
                }
                found.extend([rows[lead_id] for lead_id in ids if lead_id in rows][:missing])
        return found

    @staticmethod
    def _screen(
        connection: sa.Connection,
        workspace: str,
        plan: ClaimPlan,
        found: Sequence[sa.Row[Any]],
        now: datetime,
        refused: Counter[str],
    ) -> list[sa.Row[Any]]:
        """The gate, asked for each lead in the transaction that would claim it; those that it lets through."""
        at, phones = to_ms(now), [row.phone for row in found]
        if not phones:
            return []
        dialed: dict[str, list[int]] = {}
        since = {"workspace": workspace, "phones": phones, "since": at - _LONGEST_CAP_MS}
        for phone, dialing_at in connection.execute(_DIALED, since):
            dialed.setdefault(phone, []).append(dialing_at)
        kept: list[sa.Row[Any]] = []
        happened: list[Event] = []
        for row in found:
            callee = Callee.of(row.zones, row.jurisdictions)
            answer = plan.gate(callee, now, dialed.get(row.phone, ()), bool(row.listed))
            if isinstance(answer, Allowed):
                kept.append(row)
                continue
            values: dict[str, object] = {}
            if row.listed:
                values["state"] = LeadState.SUPPRESSED
            elif answer.next_at is not None:
                values["next_attempt_at"] = to_ms(answer.next_at)
            else:
                values |= {"state": LeadState.HELD, "hold_code": answer.code, "hold_remedy": answer.why}
            moved = connection.execute(
                sa.update(leads)
                .where(leads.c.id == row.id, leads.c.state == LeadState.PENDING)
                .values(**values)
            )
            if moved.rowcount == 0:
                continue  # somebody else moved it since the probe
            refused[answer.code] += 1
            if "state" in values:
                to = LeadState(str(values["state"]))
                why = f"{answer.code} at the claim"
                happened.append(
                    Event("lead", plan.campaign_id, LeadState.PENDING, to, at, row.id, detail=why)
                )
        record(connection, happened)
        return kept

    @staticmethod
    def _insert(
        connection: sa.Connection,
        workspace: str,
        plan: ClaimPlan,
        chosen: Sequence[sa.Row[Any]],
        pools: Pools,
        at: int,
        lease_ms: int,
    ) -> list[str]:
        callers = pools.chosen(plan, chosen)
        chosen = [row for row in chosen if row.id in callers]
        if not chosen:
            return []
        # On PostgreSQL one may have been suppressed since the probe: it is simply not among those won.
        won = set(connection.execute(_IN_FLIGHT, {"ids": [row.id for row in chosen]}).scalars())
        if not won:
            return []
        agents = agents_for(connection, plan, [row for row in chosen if row.id in won])
        at_real = real_ms()
        lease = at_real + lease_ms
        rows = [
            {
                "id": attempt_id(at_real),
                "workspace": workspace,
                "campaign_id": plan.campaign_id,
                "lead_id": row.id,
                "phone": row.phone,
                "from_number": callers[row.id],
                "agent_id": agents[row.id],
                "agent_version": row.agent_version or plan.agent_version,
                "state": AttemptState.CLAIMED,
                "charged": False,
                "lease_until_real": lease,
                "claimed_at": at,
            }
            for row in chosen
            if row.id in won
        ]
        connection.execute(_INSERT, rows)
        ids = [str(row["id"]) for row in rows]
        connection.execute(_HAPPENED, {"ids": ids, "at_real": at_real})
        return ids
