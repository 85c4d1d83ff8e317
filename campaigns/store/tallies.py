"""How many there are, kept by triggers in the transaction of every change: no status has to count rows.

The database keeps them itself, so that no writer can forget to. `tests/integration/test_store_tallies.py` holds them
to the rows. PostgreSQL's rows are apart for each connection (`shard`): two transactions never wait for each other's
tally. A migration that makes `leads` or `attempts` anew must make the triggers anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from campaigns.store.schema import metadata

_COUNTED = sa.BigInteger

#: Leads by state. dialed: used up an attempt. contacted: somebody was spoken to. succeeded: as the agent judged it.
lead_tallies = sa.Table(
    "lead_tallies",
    metadata,
    sa.Column("campaign_id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("leads", _COUNTED, nullable=False),
    sa.Column("dialed", _COUNTED, nullable=False),
    sa.Column("contacted", _COUNTED, nullable=False),
    sa.Column("succeeded", _COUNTED, nullable=False),
)

#: Attempts by state, outcome, and why they were not placed (each empty where there is none). cost: 1/10000 of a cent.
attempt_tallies = sa.Table(
    "attempt_tallies",
    metadata,
    sa.Column("campaign_id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("cause", sa.Text, primary_key=True),
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempts", _COUNTED, nullable=False),
    sa.Column("cost", _COUNTED, nullable=False),
)

#: Units of `attempt_tallies.cost` in one cent: whole numbers, since sums of fractions drift.
COST_UNITS = 10_000

_LEAD_COUNTS = ("leads", "dialed", "contacted", "succeeded")
_ATTEMPT_COUNTS = ("attempts", "cost")


def _cause(row: str, is_code: str) -> str:
    """SQL of the cause: a code of ours as it is, what Retell refused by its status, the rest together."""
    return (
        f"CASE WHEN {row}state <> 'not_placed' THEN '' WHEN {row}refusal_status > 0"
        f" THEN 'refused_' || {row}refusal_status WHEN {is_code} THEN {row}refusal ELSE 'not_sent' END"
    )


def _added(counts: Sequence[str]) -> str:
    return ", ".join(f"{name} = {name} + excluded.{name}" for name in counts)


def _sqlite_triggers() -> list[str]:
    lead = "{0}.campaign_id, {0}.state, 0, {1}1, {1}({0}.attempts > 0), {1}{0}.contacted, {1}{0}.succeeded"
    attempt = (
        "{0}.campaign_id, {0}.state, coalesce({0}.outcome, ''), "
        + _cause("{0}.", "{0}.refusal NOT GLOB '*[^a-z_]*'")
        + ", 0, {1}1, {1}CAST(round(coalesce({0}.cost_cents, 0) * 10000) AS INTEGER)"
    )
    statements = []
    for table, key, values, counts, watched in (
        ("lead", "leads", lead, _LEAD_COUNTS, "campaign_id, state, attempts, contacted, succeeded"),
        ("attempt", "attempts", attempt, _ATTEMPT_COUNTS,
         "campaign_id, state, outcome, refusal, refusal_status, cost_cents"),
    ):  # fmt: skip
        added = _added(counts)
        for event, rows in (
            ("INSERT", [("NEW", "")]),
            (f"UPDATE OF {watched}", [("OLD", "-"), ("NEW", "")]),
            ("DELETE", [("OLD", "-")]),
        ):
            body = " ".join(
                f"INSERT INTO {table}_tallies VALUES ({values.format(row, sign)})"
                f" ON CONFLICT DO UPDATE SET {added};"
                for row, sign in rows
            )
            name = event.split()[0].lower()
            statements.append(f"CREATE TRIGGER tally_{table}_{name} AFTER {event} ON {key} BEGIN {body} END")
    return statements


def _postgresql_triggers() -> list[str]:
    lead = "campaign_id, state, {0}1 AS leads, {0}(attempts > 0)::int AS dialed, {0}contacted::int AS contacted," \
           " {0}succeeded::int AS succeeded"  # fmt: skip
    attempt = (
        "campaign_id, state, coalesce(outcome, '') AS outcome, "
        + _cause("", "refusal ~ '^[a-z_]+$'")
        + " AS cause, {0}1 AS attempts, {0}round(coalesce(cost_cents, 0) * 10000)::bigint AS cost"
    )
    statements = []
    for table, key, values, groups, counts in (
        ("lead", "leads", lead, ("campaign_id", "state"), _LEAD_COUNTS),
        ("attempt", "attempts", attempt, ("campaign_id", "state", "outcome", "cause"), _ATTEMPT_COUNTS),
    ):
        grouped = ", ".join(groups)
        sums = ", ".join(f"sum({name})" for name in counts)
        changed = " OR ".join(f"sum({name}) <> 0" for name in counts)
        added = ", ".join(f"{name} = t.{name} + excluded.{name}" for name in counts)

        def tally(*sources: tuple[str, str], values: str = values, table: str = table, grouped: str = grouped,
                  sums: str = sums, changed: str = changed, added: str = added,
                  counts: tuple[str, ...] = counts) -> str:  # fmt: skip
            rows = " UNION ALL ".join(
                f"SELECT {values.format(sign)} FROM {source}" for source, sign in sources
            )
            return (
                f"INSERT INTO {table}_tallies AS t ({grouped}, shard, {', '.join(counts)})"
                f" SELECT {grouped}, pg_backend_pid(), {sums} FROM ({rows}) AS rows GROUP BY {grouped}"
                f" HAVING {changed}"
                f" ON CONFLICT ({grouped}, shard) DO UPDATE SET {added};"
            )

        statements.append(
            f"CREATE FUNCTION tally_{key}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF TG_OP = 'INSERT' THEN {tally(('added', ''))}"
            f" ELSIF TG_OP = 'DELETE' THEN {tally(('removed', '-'))}"
            f" ELSE {tally(('added', ''), ('removed', '-'))} END IF; RETURN NULL; END $$"
        )
        for event, referencing in (
            ("INSERT", "NEW TABLE AS added"),
            ("UPDATE", "OLD TABLE AS removed NEW TABLE AS added"),
            ("DELETE", "OLD TABLE AS removed"),
        ):
            statements.append(
                f"CREATE TRIGGER tally_{table}_{event.lower()} AFTER {event} ON {key}"
                f" REFERENCING {referencing} FOR EACH STATEMENT EXECUTE FUNCTION tally_{key}()"
            )
    return statements


TRIGGERS = {"sqlite": _sqlite_triggers(), "postgresql": _postgresql_triggers()}


@contextmanager
def new_leads_counted_at_once(driver: Any, campaign_id: str) -> Iterator[None]:
    """Within a transaction on SQLite: the leads that a campaign gets in this block are counted when it ends.

    One by one, by the trigger, they take half as long again to insert. Nobody else sees the database without it.
    """
    [trigger] = [sql for sql in TRIGGERS["sqlite"] if sql.startswith("CREATE TRIGGER tally_lead_insert ")]
    [last] = driver.execute("SELECT coalesce(max(id), 0) FROM main.leads").fetchone()
    driver.execute("DROP TRIGGER main.tally_lead_insert")
    yield
    # Nearly all of them are pending: to group those as well would take several times as long.
    for states in ("= 'pending'", "<> 'pending' GROUP BY state"):
        driver.execute(
            f"INSERT INTO main.lead_tallies (campaign_id, shard, state, {', '.join(_LEAD_COUNTS)})"
            " SELECT ?1, 0, * FROM (SELECT state, count(*) AS added, sum(attempts > 0), sum(contacted), sum(succeeded)"
            f" FROM main.leads NOT INDEXED WHERE id > ?2 AND state {states}) WHERE added > 0"
            f" ON CONFLICT DO UPDATE SET {_added(_LEAD_COUNTS)}",
            (campaign_id, last),
        )
    driver.execute(trigger)


for _dialect, _statements in TRIGGERS.items():
    for _statement in _statements:
        _ddl = sa.DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
        sa.event.listen(metadata, "after_create", _ddl.execute_if(dialect=_dialect))
