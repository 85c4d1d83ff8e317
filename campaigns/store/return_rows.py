"""Leads that an operator gives back to the pacer: those that were held, and those of a further pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from campaigns.domain.clock import to_ms
from campaigns.domain.pacing import Segment
from campaigns.domain.states import UNRESOLVED_CODE, LeadState
from campaigns.store.database import Database
from campaigns.store.events import Event, real_ms, record
from campaigns.store.schema import events, in_state, leads


class ReturnRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def release(self, campaign_id: str, code: str, zones: str | None, now: datetime) -> int:
        """held -> pending for the leads held with `code`, with these zones where given. Returns how many.

        Leads of unresolved attempts are not released: whether they rang must be said first.
        """
        at = to_ms(now)
        held = (
            leads.c.campaign_id == campaign_id,
            in_state(LeadState.HELD),
            leads.c.hold_code == code,
            leads.c.hold_code != UNRESOLVED_CODE,
        )
        values: dict[str, object] = {"state": LeadState.PENDING, "hold_code": None, "hold_remedy": None}
        values["next_attempt_at"] = at
        if zones is not None:
            values |= {"zones": zones, "zone_source": "operator"}
        with self._db.write() as connection:
            moved = connection.execute(
                sa.update(leads)
                .where(*held)
                .values(**values)
                .returning(leads.c.id, leads.c.zones, leads.c.jurisdictions, leads.c.priority)
            ).all()
            self._db.add_segments(
                connection,
                campaign_id,
                {Segment(row.zones, row.jurisdictions, row.priority) for row in moved},
            )
            record(
                connection,
                [
                    Event(
                        "lead",
                        campaign_id,
                        LeadState.HELD,
                        LeadState.PENDING,
                        at,
                        row.id,
                        detail=f"released: {code}",
                    )
                    for row in moved
                ],
            )
        return len(moved)

    def recycle(self, campaign_id: str, outcomes: Sequence[str], now: datetime) -> int:
        """reached or exhausted -> pending for the leads whose last outcome is one of these. Returns how many.

        Their attempts stay, and count for every cap; the budget of the retry policy begins anew.
        """
        at = to_ms(now)
        chosen = (
            leads.c.campaign_id == campaign_id,
            leads.c.state.in_((LeadState.REACHED, LeadState.EXHAUSTED)),
            leads.c.outcome.in_(list(outcomes)),
        )
        with self._db.write() as connection:
            connection.execute(
                sa.insert(events).from_select(
                    ["at", "at_real", "campaign_id", "lead_id", "subject", "from_state", "to_state", "detail"],
                    sa.select(
                        sa.literal(at), sa.literal(real_ms()), leads.c.campaign_id, leads.c.id, sa.literal("lead"),
                        leads.c.state, sa.literal(LeadState.PENDING.value), sa.literal("recycled"),
                    ).where(*chosen),
                )
            )  # fmt: skip
            moved = connection.execute(
                sa.update(leads)
                .where(*chosen)
                .values(state=LeadState.PENDING, next_attempt_at=at, recycled_at=at)
            )
        return moved.rowcount
