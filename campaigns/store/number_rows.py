"""What is known of the numbers that campaigns call from: Retell's list of them, their use, and who rests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa

from campaigns.domain.caller_ids import CAP_WINDOW_MS, Caller
from campaigns.domain.clock import from_ms, to_ms
from campaigns.store.database import Database
from campaigns.store.events import real_ms
from campaigns.store.schema import from_numbers, workspaces

#: Numbers asked for in one statement; SQLite refuses more than 500 terms of a UNION.
_AT_ONCE = 200

# The latest uses of a number, `cap` of them at most; without a cap only the last one, however long ago.
_USES = (
    "SELECT {n} AS n, count(*) AS used, min(claimed_at) AS oldest, max(claimed_at) AS last_at FROM"
    " (SELECT claimed_at FROM attempts WHERE workspace = :workspace AND from_number = :number{n}"
    " AND claimed_at > :since{n} AND claimed_at <= :upto AND state <> 'not_placed'"
    " AND NOT (claimed_at = :upto AND id >= :but)"
    " ORDER BY claimed_at DESC LIMIT :most{n}) AS uses{n}"
)


@lru_cache(maxsize=64)
def _uses(numbers: int) -> sa.TextClause:
    return sa.text(" UNION ALL ".join(_USES.format(n=n) for n in range(numbers)))


def with_uses(
    connection: sa.Connection,
    workspace: str,
    callers: Sequence[Caller],
    cap: int | None,
    now: int,
    before: tuple[int, str] = (1 << 62, ""),
) -> list[Caller]:
    """The numbers with what was dialed from them over all campaigns, attempts that were not placed left out.

    now: business ms. before: (claimed at, id) of an attempt: only those that were written before it count. One indexed
    read per number and use.
    """
    found: list[Caller] = []
    for head in range(0, len(callers), _AT_ONCE):
        some = callers[head : head + _AT_ONCE]
        values: dict[str, object] = {"workspace": workspace, "upto": before[0], "but": before[1]}
        for n, caller in enumerate(some):
            values[f"number{n}"] = caller.number
            values[f"since{n}"], values[f"most{n}"] = (0, 1) if cap is None else (now - CAP_WINDOW_MS, cap)
        rows = {row.n: row for row in connection.execute(_uses(len(some)), values)}
        found.extend(
            caller.with_uses(rows[n].used, rows[n].oldest, rows[n].last_at, cap)
            for n, caller in enumerate(some)
        )
    return found


@dataclass(frozen=True, slots=True)
class KnownNumber:
    """A row of the table. read_ms: age of Retell's list, in real time; None = it was in none."""

    number: str
    type: str | None
    listed: bool | None
    read_ms: int | None
    resting_until: datetime | None
    rest_reason: str | None
    refused_at: datetime | None


def rest_in(
    database: Database, connection: sa.Connection, workspace: str, number: str, reason: str, until: int
) -> bool:
    """Let a number rest until then (business ms). False: it rests for longer already."""
    connection.execute(database.insert_ignore(from_numbers).values(workspace=workspace, number=number))
    longer = sa.or_(from_numbers.c.resting_until.is_(None), from_numbers.c.resting_until < until)
    moved = connection.execute(
        sa.update(from_numbers)
        .where(from_numbers.c.workspace == workspace, from_numbers.c.number == number, longer)
        .values(resting_until=until, rest_reason=reason)
    )
    return moved.rowcount == 1


class NumberRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def take_listing_turn(self, workspace: str, every_ms: int) -> bool:
        """Whether the caller asks Retell for the numbers now: one of all who ask, once in so much real time."""
        now = real_ms()
        asked = workspaces.c.numbers_real
        # A time ahead means that the machine's clock was set back.
        due = sa.or_(asked.is_(None), asked <= now - every_ms, asked > now)
        with self._db.read() as connection:
            if not connection.execute(
                sa.select(workspaces.c.name).where(workspaces.c.name == workspace, due)
            ).first():
                return False
        with self._db.write() as connection:
            won = connection.execute(
                sa.update(workspaces).where(workspaces.c.name == workspace, due).values(numbers_real=now)
            )
        return won.rowcount == 1

    def put_off_listing(self, workspace: str, ago_ms: int) -> None:
        """The list could not be read: as if it had been asked for so long ago (real time)."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(workspaces)
                .where(workspaces.c.name == workspace)
                .values(numbers_real=real_ms() - ago_ms)
            )

    def note_list(self, workspace: str, types: Mapping[str, str | None], dialing: Iterable[str] = ()) -> None:
        """Keep Retell's whole list: number -> type. dialing: numbers of campaigns, of which it may lack some.

        Who is in the list may be called from again, whatever was refused before.
        """
        now = real_ms()
        with self._db.write() as connection:
            known = set(
                connection.execute(
                    sa.select(from_numbers.c.number).where(from_numbers.c.workspace == workspace)
                ).scalars()
            )
            for number in sorted({*types, *dialing} - known):
                connection.execute(
                    self._db.insert_ignore(from_numbers).values(workspace=workspace, number=number)
                )
            own = from_numbers.c.workspace == workspace
            connection.execute(sa.update(from_numbers).where(own).values(listed=False, read_real=now))
            for number, kind in sorted(types.items()):
                connection.execute(
                    sa.update(from_numbers)
                    .where(own, from_numbers.c.number == number)
                    .values(type=kind, listed=True, refused_at=None)
                )
            connection.execute(
                sa.update(workspaces).where(workspaces.c.name == workspace).values(numbers_real=now)
            )

    def refuse(self, workspace: str, number: str, now: datetime) -> bool:
        """A dial from it was refused, and the list does not have it: nobody is called from it. False: as before."""
        with self._db.write() as connection:
            moved = connection.execute(
                sa.update(from_numbers)
                .where(
                    from_numbers.c.workspace == workspace,
                    from_numbers.c.number == number,
                    from_numbers.c.listed == sa.false(),
                    from_numbers.c.refused_at.is_(None),
                )
                .values(refused_at=to_ms(now))
            )
        return moved.rowcount == 1

    def known(self, workspace: str) -> dict[str, KnownNumber]:
        """By number."""
        now = real_ms()
        with self._db.read() as connection:
            rows = connection.execute(sa.select(from_numbers).where(from_numbers.c.workspace == workspace))
            return {
                row.number: KnownNumber(
                    row.number,
                    row.type,
                    row.listed,
                    None if row.read_real is None else now - row.read_real,
                    None if row.resting_until is None else from_ms(row.resting_until),
                    row.rest_reason,
                    None if row.refused_at is None else from_ms(row.refused_at),
                )
                for row in rows
            }

    def callers(
        self, workspace: str, callers: Sequence[Caller], cap: int | None, now: datetime
    ) -> list[Caller]:
        """The numbers with their uses, see `with_uses`."""
        with self._db.read() as connection:
            return with_uses(connection, workspace, callers, cap, to_ms(now))

    def used(self, workspace: str, numbers: Collection[str], now: datetime) -> dict[str, int]:
        """Attempts from each number in the last 24 hours."""
        plain = [Caller(number) for number in numbers]
        found = self.callers(workspace, plain, _ALL, now)
        return {caller.number: _ALL - (caller.left or 0) for caller in found}


#: More than any number dials in a day.
_ALL = 1 << 31


def as_known(caller: Caller, known: KnownNumber | None) -> Caller:
    """A number with what the table says of it."""
    if known is None:
        return caller
    rests = None if known.resting_until is None else to_ms(known.resting_until)
    return replace(caller, type=known.type, resting_until=rests, gone=known.refused_at is not None)
