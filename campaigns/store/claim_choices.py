"""Who speaks to the leads of a claim, and from which number: chosen in the claiming transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from campaigns.domain.caller_ids import Caller, NoneFree, choose, uses_left
from campaigns.domain.split import next_agent, split_key
from campaigns.domain.states import AttemptState
from campaigns.store.number_rows import with_uses
from campaigns.store.schema import agent_shares, attempts, leads

if TYPE_CHECKING:
    from campaigns.store.claim_rows import ClaimPlan

_CALLED_FROM = (
    sa.select(attempts.c.lead_id, attempts.c.from_number)
    .where(
        attempts.c.lead_id.in_(sa.bindparam("ids", expanding=True)),
        attempts.c.state != AttemptState.NOT_PLACED,
    )
    .order_by(attempts.c.claimed_at)
)
_SPOKEN_FOR = (
    sa.update(leads)
    .where(leads.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(agent_id=sa.bindparam("agent"))
)


class Pools:
    """The from-numbers of a claim's campaigns, and what they have been given in it."""

    def __init__(
        self, connection: sa.Connection, workspace: str, plans: Sequence[ClaimPlan], at: int
    ) -> None:
        self._connection, self._at = connection, at
        self._callers: dict[tuple[str, int | None], Caller] = {}
        # Who has one number and no cap has no choice, and nothing is asked for it.
        for cap in dict.fromkeys(plan.number_cap for plan in plans):
            wanted = {
                caller.number: caller for plan in plans if plan.number_cap == cap for caller in plan.callers
            }
            choice = cap is not None or any(
                len(plan.callers) > 1 for plan in plans if plan.number_cap is None
            )
            known = list(wanted.values())
            for caller in with_uses(connection, workspace, known, cap, at) if choice else known:
                self._callers[caller.number, cap] = caller

    def _of(self, plan: ClaimPlan) -> list[Caller]:
        return [self._callers[caller.number, plan.number_cap] for caller in plan.callers]

    def room(self, plan: ClaimPlan, free: int) -> int:
        """How many leads its numbers can be used for at most."""
        left = uses_left(self._of(plan), self._at)
        return free if left is None else left

    def chosen(self, plan: ClaimPlan, rows: Sequence[sa.Row[Any]]) -> dict[int, str]:
        """Lead -> number. Leads for which none is left are left out, and wait."""
        if not rows:
            return {}
        pool = {caller.number: caller for caller in self._of(plan)}
        if len(pool) == 1:
            [(number, only)] = pool.items()
            found = {} if not only.usable(self._at) else {row.id: number for row in rows[: only.left]}
        else:
            found = self._chosen_among(pool, rows)
        # They count for the other campaigns of this claim, whatever their own cap.
        for number, uses in Counter(found.values()).items():
            for key, caller in self._callers.items():
                if key[0] == number:
                    self._callers[key] = caller.after_use(self._at, uses)
        return found

    def _chosen_among(self, pool: dict[str, Caller], rows: Sequence[sa.Row[Any]]) -> dict[int, str]:
        called = [row.id for row in rows if row.last_attempt_at is not None]
        before: dict[int, str] = {}
        if called:
            before = dict(self._connection.execute(_CALLED_FROM, {"ids": called}).all())
        found: dict[int, str] = {}
        for row in rows:
            places = row.jurisdictions.split("|")
            answer = choose(list(pool.values()), row.phone, places, before.get(row.id), self._at)
            if isinstance(answer, NoneFree):
                break
            found[row.id] = answer.number
            pool[answer.number] = answer.after_use(self._at)
        return found


def agents_for(connection: sa.Connection, plan: ClaimPlan, rows: Sequence[sa.Row[Any]]) -> dict[int, str]:
    """Lead -> agent. Several agents share the leads of each zone by weight, and a lead keeps the one it was given."""
    if len(plan.agents) < 2:
        only = plan.agents[0].agent if plan.agents else ""
        return {row.id: row.agent_id or only for row in rows}
    found = {row.id: row.agent_id for row in rows if row.agent_id}
    fresh = [row for row in rows if not row.agent_id]
    if not fresh:
        return found
    mine = (agent_shares.c.campaign_id == plan.campaign_id, agent_shares.c.split == split_key(plan.agents))
    had: dict[str, dict[str, int]] = {}
    query = sa.select(agent_shares.c.zones, agent_shares.c.agent_id, agent_shares.c.leads).where(*mine)
    for zones, agent, count in connection.execute(query):
        had.setdefault(zones, {})[agent] = count
    given: dict[str, list[int]] = {}
    added: Counter[tuple[str, str]] = Counter()
    for row in fresh:
        stratum = had.setdefault(row.zones, {})
        agent = found[row.id] = next_agent(plan.agents, stratum)
        stratum[agent] = stratum.get(agent, 0) + 1
        added[row.zones, agent] += 1
        given.setdefault(agent, []).append(row.id)
    for agent, ids in given.items():
        connection.execute(_SPOKEN_FOR, {"agent": agent, "ids": ids})
    for (zones, agent), count in added.items():
        where = (*mine, agent_shares.c.zones == zones, agent_shares.c.agent_id == agent)
        more = sa.update(agent_shares).where(*where).values(leads=agent_shares.c.leads + count)
        if connection.execute(more).rowcount == 0:
            first = {"campaign_id": plan.campaign_id, "split": split_key(plan.agents)}
            connection.execute(
                sa.insert(agent_shares).values(**first, zones=zones, agent_id=agent, leads=count)
            )
    return found
