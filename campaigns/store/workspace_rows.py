"""The account as last seen: its limit, calls of others, refusals for concurrency, and whose turn it is to poll."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from campaigns.domain.clock import to_ms
from campaigns.domain.pacing import ceiling, foreign_calls
from campaigns.domain.states import CampaignState
from campaigns.store.database import Database
from campaigns.store.events import LONGEST_LEASE_MS, Event, real_ms, record
from campaigns.store.schema import campaigns, workspaces

#: Snapshots over which calls of others are remembered.
_REMEMBERED = 5


@dataclass(frozen=True, slots=True)
class Account:
    """limit None: never seen. age_ms: real time since the last snapshot. trouble: why the last one failed.

    reserve: lines that the operator keeps free.
    """

    limit: int | None
    reserved_inbound: int
    foreign: int
    age_ms: int | None
    shrunk_to: int | None
    trouble: str | None
    poll_credit: float
    burst_limit: int = 0
    reserve: int = 0

    def reserved_for(self, lines: int) -> int:
        """What a batch leaves free so that batches use `lines` at most: Retell's own dialer uses bursts as well."""
        return max(0, max(self.limit or 0, self.burst_limit) - lines)

    def ceiling(self) -> int:
        """Lines that outbound calls may use now; none while the limit was never seen."""
        if self.limit is None:
            return 0
        return ceiling(self.limit, self.reserved_inbound, self.reserve, self.shrunk_to)

    @property
    def all_reserved(self) -> bool:
        """Whether it is the operator's reserve that leaves campaigns no line."""
        if self.limit is None or not self.reserve:
            return False
        return ceiling(self.limit, self.reserved_inbound, self.reserve) == 0


class WorkspaceRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def ensure(self, name: str) -> None:
        with self._db.read() as connection:
            if connection.execute(sa.select(workspaces.c.name).where(workspaces.c.name == name)).first():
                return
        with self._db.write() as connection:
            connection.execute(self._db.insert_ignore(workspaces).values(name=name))

    def set_clock(self, name: str, spec: str | None) -> None:
        """Note by which virtual clock the workspace's campaigns go now; None = by none."""
        with self._db.write() as connection:
            connection.execute(sa.update(workspaces).where(workspaces.c.name == name).values(clock=spec))

    def clock(self, name: str) -> str | None:
        """The virtual clock that was noted."""
        with self._db.read() as connection:
            return connection.execute(sa.select(workspaces.c.clock).where(workspaces.c.name == name)).scalar()

    def account(self, name: str) -> Account:
        with self._db.read() as connection:
            row = connection.execute(sa.select(workspaces).where(workspaces.c.name == name)).first()
        if row is None:
            return Account(None, 0, 0, None, None, None, 0.0)
        now = real_ms()
        # An end far in the future means that the machine's clock was set back.
        shrinks = row.shrunk_until_real and now < row.shrunk_until_real <= now + LONGEST_LEASE_MS
        shrunk = row.shrunk_to if shrinks else None
        return Account(
            limit=row.line_limit,
            reserved_inbound=row.reserved_inbound,
            foreign=foreign_calls(json.loads(row.foreign_seen)),
            age_ms=None if row.observed_real is None else now - row.observed_real,
            shrunk_to=shrunk,
            trouble=row.trouble,
            poll_credit=row.poll_credit,
            burst_limit=row.burst_limit,
            reserve=row.reserve,
        )

    def set_reserve(self, name: str, lines: int, now: datetime) -> int:
        """Keep so many lines free from the next claim on; running campaigns have it in their events. Returns what was
        kept before."""
        with self._db.write() as connection:
            before: int = connection.execute(
                sa.select(workspaces.c.reserve).where(workspaces.c.name == name).with_for_update()
            ).scalar_one()
            if before == lines:
                return before
            connection.execute(sa.update(workspaces).where(workspaces.c.name == name).values(reserve=lines))
            running = sa.select(campaigns.c.id).where(
                campaigns.c.workspace == name, campaigns.c.state == CampaignState.RUNNING
            )
            state, detail = CampaignState.RUNNING, f"lines of the account kept free: {before} -> {lines}"
            record(
                connection,
                [
                    Event("campaign", campaign_id, state, state, to_ms(now), detail=detail)
                    for campaign_id in connection.execute(running).scalars()
                ],
            )
        return before

    def observe(
        self, name: str, limit: int, reserved_inbound: int, excess: int, burst_limit: int = 0
    ) -> None:
        """Keep a snapshot. excess: calls in progress on the account less our own open attempts."""
        with self._db.write() as connection:
            seen = connection.execute(
                sa.select(workspaces.c.foreign_seen).where(workspaces.c.name == name)
            ).scalar_one()
            remembered = [*json.loads(seen), excess][-_REMEMBERED:]
            connection.execute(
                sa.update(workspaces)
                .where(workspaces.c.name == name)
                .values(
                    line_limit=limit,
                    reserved_inbound=reserved_inbound,
                    burst_limit=burst_limit,
                    foreign_seen=json.dumps(remembered),
                    observed_real=real_ms(),
                    trouble=None,
                )
            )

    def note_trouble(self, name: str, trouble: str) -> None:
        """The account could not be asked; what was seen before keeps its age."""
        with self._db.write() as connection:
            connection.execute(sa.update(workspaces).where(workspaces.c.name == name).values(trouble=trouble))

    def shrink(self, name: str, to: int, seconds: float) -> None:
        """A refusal for concurrency: no more than `to` lines for so long (real seconds); asks anew at once."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(workspaces)
                .where(workspaces.c.name == name)
                .values(shrunk_to=to, shrunk_until_real=real_ms() + int(seconds * 1000), observed_real=None)
            )

    def take_poll_turn(self, name: str) -> bool:
        """Whether the caller polls now: exactly one of all who ask when the time has come.

        The turn is held for ten seconds, so that a poller that died in it is followed by another.
        """
        now = real_ms()
        with self._db.read() as connection:
            due = connection.execute(
                sa.select(workspaces.c.next_poll_real).where(workspaces.c.name == name)
            ).scalar()
        if due is not None and now < due <= now + 60_000:
            return False
        with self._db.write() as connection:
            won = connection.execute(
                sa.update(workspaces)
                .where(
                    workspaces.c.name == name,
                    # A turn far in the future means that the machine's clock was set back.
                    sa.or_(
                        workspaces.c.next_poll_real.is_(None),
                        workspaces.c.next_poll_real <= now,
                        workspaces.c.next_poll_real > now + 60_000,
                    ),
                )
                .values(next_poll_real=now + 10_000)
            )
        return won.rowcount == 1

    def end_poll_turn(self, name: str, credit: float, interval: float) -> None:
        """Note the credit that is left and when (real seconds) the next turn is."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(workspaces)
                .where(workspaces.c.name == name)
                .values(poll_credit=credit, next_poll_real=real_ms() + int(interval * 1000))
            )
