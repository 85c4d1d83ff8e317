"""Evidence and blackouts: what was known at each dial, and the dates on which an operator wants nobody called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import Blackout, DialOrder, Evidence
from campaigns.store.database import Database
from campaigns.store.schema import attempts, blackouts, campaigns, evidence, leads

_ADD = sa.insert(evidence)
_IN_FORCE = sa.select(blackouts).where(blackouts.c.lifted_at.is_(None)).order_by(blackouts.c.id)
_CHUNK = 1000


def add_evidence(connection: sa.Connection, order: DialOrder, found: Evidence, send: int) -> None:
    """In the transaction that commits the dial: there is none without its evidence. send: which POST of the attempt."""
    connection.execute(
        _ADD,
        {
            "attempt_id": order.attempt_id,
            "send": send,
            "campaign_id": order.campaign_id,
            "phone": order.phone,
            "from_number": order.from_number,
            "at": to_ms(found.at),
            "local_times": json.dumps(found.local_times),
            "zones": "|".join(found.callee.zones),
            "zone_source": found.zone_source,
            "jurisdictions": "|".join(found.callee.jurisdictions),
            "profile": found.profile,
            "rules_version": found.rules_version,
            "tzdata_version": found.tzdata_version,
            "window_until": to_ms(found.window_until),
            "caps": json.dumps(found.caps),
            "dnc_checked_at": to_ms(found.dnc_checked_at),
            "consent": found.consent,
        },
    )


@dataclass(frozen=True, slots=True)
class RecordedBlackout:
    """A blackout with who set it, and who lifted it. Instants are None where that did not happen."""

    blackout: Blackout
    added_by: str
    added_at: datetime
    lifted_by: str | None
    lifted_at: datetime | None


def _blackout(row: sa.Row[Any]) -> Blackout:
    return Blackout(
        row.id,
        row.jurisdiction,
        date.fromisoformat(row.first_day),
        date.fromisoformat(row.last_day),
        row.reason,
    )


class EvidenceRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def of_campaign(self, campaign_id: str) -> Iterator[dict[str, Any]]:
        """The evidence of a campaign in the order of its dials, each with what became of the attempt."""
        query = (
            sa.select(
                evidence,
                leads.c.id.label("lead_id"),
                leads.c.external_id,
                campaigns.c.name.label("campaign"),
                *(
                    attempts.c[name]
                    for name in (
                        "agent_id",
                        "state",
                        "call_id",
                        "outcome",
                        "disconnection_reason",
                        "duration_ms",
                    )
                ),
            )
            .join(attempts, attempts.c.id == evidence.c.attempt_id)
            .join(leads, leads.c.id == attempts.c.lead_id)
            .join(campaigns, campaigns.c.id == evidence.c.campaign_id)
            .where(evidence.c.campaign_id == campaign_id)
            .order_by(evidence.c.id)
        )
        with self._db.read() as connection:
            for row in connection.execution_options(yield_per=_CHUNK).execute(query):
                values = dict(row._mapping)
                values["local_times"] = json.loads(values["local_times"])
                values["caps"] = json.loads(values["caps"])
                yield values

    def sends_with_evidence(self, campaign_id: str) -> set[tuple[str, int]]:
        """(attempt, send) of every piece of evidence of a campaign."""
        query = sa.select(evidence.c.attempt_id, evidence.c.send).where(evidence.c.campaign_id == campaign_id)
        with self._db.read() as connection:
            return {(row.attempt_id, row.send) for row in connection.execute(query)}

    def blackouts(self) -> tuple[Blackout, ...]:
        """Those in force."""
        with self._db.read() as connection:
            return tuple(_blackout(row) for row in connection.execute(_IN_FORCE))

    def recorded_blackouts(self) -> list[RecordedBlackout]:
        """All there ever were, the lifted ones too."""
        with self._db.read() as connection:
            return [
                RecordedBlackout(
                    _blackout(row),
                    row.added_by,
                    from_ms(row.added_at),
                    row.lifted_by,
                    None if row.lifted_at is None else from_ms(row.lifted_at),
                )
                for row in connection.execute(sa.select(blackouts).order_by(blackouts.c.id))
            ]

    def add_blackout(
        self, jurisdiction: str, first: date, last: date, reason: str, by: str, now: datetime
    ) -> int:
        """In force at once, for every campaign. Returns its number."""
        with self._db.write() as connection:
            made = connection.execute(
                sa.insert(blackouts).values(
                    jurisdiction=jurisdiction,
                    first_day=first.isoformat(),
                    last_day=last.isoformat(),
                    reason=reason,
                    added_by=by,
                    added_at=to_ms(now),
                )
            )
            key = made.inserted_primary_key
        return int(key[0]) if key else 0

    def lift_blackout(self, number: int, by: str, now: datetime) -> bool:
        """No longer in force; its row stays. False: there is none of that number in force."""
        with self._db.write() as connection:
            lifted = connection.execute(
                sa.update(blackouts)
                .where(blackouts.c.id == number, blackouts.c.lifted_at.is_(None))
                .values(lifted_by=by, lifted_at=to_ms(now))
            )
        return lifted.rowcount == 1
