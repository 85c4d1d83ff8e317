"""Reading what the database counts by itself, holding it to the rows, and keeping it short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from campaigns.domain.states import AttemptState, LeadState
from campaigns.store.database import Database
from campaigns.store.schema import attempts, leads
from campaigns.store.tallies import COST_UNITS, attempt_tallies, lead_tallies


@dataclass(slots=True)
class Tally:
    """What the database counts of a campaign all the time; reading it costs the same for ten leads and a million.

    leads, attempts: by state, every state named. dialed, contacted, succeeded: leads that used up an attempt, with whom
    somebody spoke, of whom the agent judged a call a success. outcomes: settled attempts, most frequent first.
    deferrals: attempts that were not placed, by cause.
    """

    leads: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, LeadState), 0))
    dialed: int = 0
    contacted: int = 0
    succeeded: int = 0
    attempts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, AttemptState), 0))
    outcomes: dict[str, int] = field(default_factory=dict)
    deferrals: dict[str, int] = field(default_factory=dict)
    cost_cents: float = 0.0


class TallyRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def of_each(self, campaign_ids: Sequence[str]) -> dict[str, Tally]:
        """The tally of each campaign, by id."""
        found = {campaign_id: Tally() for campaign_id in campaign_ids}
        by_state = (
            sa.select(
                lead_tallies.c.campaign_id,
                lead_tallies.c.state,
                *(
                    sa.func.sum(lead_tallies.c[name]).label(name)
                    for name in ("leads", "dialed", "contacted", "succeeded")
                ),
            )
            .where(lead_tallies.c.campaign_id.in_(campaign_ids))
            .group_by(lead_tallies.c.campaign_id, lead_tallies.c.state)
        )
        keys = [attempt_tallies.c[name] for name in ("campaign_id", "state", "outcome", "cause")]
        count = sa.func.sum(attempt_tallies.c.attempts).label("n")
        by_outcome = (
            sa.select(*keys, count, sa.func.sum(attempt_tallies.c.cost).label("cost"))
            .where(attempt_tallies.c.campaign_id.in_(campaign_ids))
            .group_by(*keys)
            .order_by(count.desc(), *keys)
        )
        with self._db.read() as connection:
            for row in connection.execute(by_state):
                tally = found[row.campaign_id]
                tally.leads[row.state] = int(row.leads)
                tally.dialed += int(row.dialed)
                tally.contacted += int(row.contacted)
                tally.succeeded += int(row.succeeded)
            for row in connection.execute(by_outcome):
                tally, attempts_of_it = found[row.campaign_id], int(row.n)
                tally.attempts[row.state] += attempts_of_it
                tally.cost_cents += int(row.cost) / COST_UNITS
                for named, counts in ((row.outcome, tally.outcomes), (row.cause, tally.deferrals)):
                    if named and attempts_of_it:
                        counts[named] = counts.get(named, 0) + attempts_of_it
        return found

    def of(self, campaign_id: str) -> Tally:
        return self.of_each([campaign_id])[campaign_id]

    def fold(self) -> None:
        """Put the tallies of PostgreSQL's connections together, so that those of ended ones do not pile up."""
        if self._db.is_sqlite:
            return
        for table in (lead_tallies, attempt_tallies):
            keys = [column.name for column in table.primary_key if column.name != "shard"]
            counts = [column.name for column in table.c if not column.primary_key]
            listed, sums = ", ".join(keys), ", ".join(f"sum({name})" for name in counts)
            added = ", ".join(f"{name} = t.{name} + excluded.{name}" for name in counts)
            # What a transaction works on is left for the next time: nobody waits for this, nor this for anybody.
            fold = (
                f"WITH idle AS (SELECT ctid FROM {table.name} WHERE shard <> 0 FOR UPDATE SKIP LOCKED), gone AS"
                f" (DELETE FROM {table.name} WHERE ctid IN (SELECT ctid FROM idle) RETURNING *)"
                f" INSERT INTO {table.name} AS t ({listed}, shard, {', '.join(counts)})"
                f" SELECT {listed}, 0, {sums} FROM gone GROUP BY {listed}"
                f" ON CONFLICT ({listed}, shard) DO UPDATE SET {added}"
            )
            with self._db.write() as connection:
                connection.exec_driver_sql(fold)

    def miscounted(self, campaign_id: str) -> list[str]:
        """Where a tally differs from the rows, at one moment; empty when all are right."""

        def ones(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
            return sa.func.sum(sa.case((condition, 1), else_=0))

        cost = sa.func.round(sa.func.coalesce(attempts.c.cost_cents, 0) * COST_UNITS)
        kinds: dict[str, tuple[sa.ColumnElement[Any], sa.ColumnElement[Any], sa.ColumnElement[Any]]] = {
            # name: (key, number by the rows, number by the tallies)
            "leads": (leads.c.state, sa.func.count(), lead_tallies.c.leads),
            "dialed leads": (leads.c.state, ones(leads.c.attempts > 0), lead_tallies.c.dialed),
            "contacted leads": (leads.c.state, ones(leads.c.contacted), lead_tallies.c.contacted),
            "succeeded leads": (leads.c.state, ones(leads.c.succeeded), lead_tallies.c.succeeded),
            "attempts": (attempts.c.state, sa.func.count(), attempt_tallies.c.attempts),
            "outcomes": (
                sa.func.coalesce(attempts.c.outcome, ""), sa.func.count(), attempt_tallies.c.attempts,
            ),
            "cost": (attempts.c.state, sa.func.sum(sa.cast(cost, sa.BigInteger)), attempt_tallies.c.cost),
        }  # fmt: skip
        parts = []
        for name, (key, by_rows, by_tallies) in kinds.items():
            rows, tallied = (leads, lead_tallies) if "leads" in name else (attempts, attempt_tallies)
            tallied_key = tallied.c.outcome if name == "outcomes" else tallied.c.state
            parts.append(
                sa.select(sa.literal(name).label("name"), key.label("key"), by_rows.label("n"))
                .where(rows.c.campaign_id == campaign_id)
                .group_by(key)
            )
            parts.append(
                sa.select(sa.literal(name), tallied_key, -sa.func.sum(by_tallies))
                .where(tallied.c.campaign_id == campaign_id)
                .group_by(tallied_key)
            )
        # One statement: the two are compared as of one moment.
        both = sa.union_all(*parts).subquery()
        apart = sa.func.sum(both.c.n)
        query = sa.select(both.c.name, both.c.key, apart).group_by(both.c.name, both.c.key).having(apart != 0)
        with self._db.read() as connection:
            return [
                f"{name}, {key or 'none'}: {int(-difference):+} in the tally"
                for name, key, difference in connection.execute(query)
            ]
