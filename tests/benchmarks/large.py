"""A home with a campaign of a million leads and a million calls, made once for the figures that look at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from campaigns.domain.clock import SystemClock, to_ms
from campaigns.store import Store
from tests.benchmarks import claim, cycle, stage
from tests.benchmarks.figure import say

NAME = "bench"
_LIVE = 20
#: Outcomes in their order of likelihood; 100 places.
_OUTCOMES = (("human", 30), ("machine", 28), ("no_answer", 30), ("busy", 6), ("declined", 4), ("callback", 2))

# Each third lead was called three times, so that a lead's calls lie apart in the table.
_CALLS = """
    WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :rows)
    INSERT INTO attempts (id, workspace, campaign_id, lead_id, phone, from_number, agent_id, agent_version, state,
        charged, sends, searches, claimed_at, dialing_at, placed_at, ended_at, settled_at, call_id, outcome,
        disconnection_reason, in_voicemail, duration_ms, cost_cents, successful, sentiment, summary, transcript)
    SELECT printf('%032x', n), :workspace, :campaign, :first + 3 * (n % (:leads / 3)),
        (SELECT phone FROM leads WHERE id = :first + 3 * (n % (:leads / 3))), '+1415555010' || (n % 10),
        'agent_' || (n % 4), '1', 'settled', 1, 1, 0, :began + n * 500, :began + n * 500 + 100, :began + n * 500 + 200,
        :began + n * 500 + 60000, :began + n * 500 + 65000, 'call_' || printf('%028x', n),
        {outcome}, 'user_hangup', 0, 55000, 12.3456, n % 5 = 0, 'Neutral',
        'The person was asked whether a visit suits them and wanted to think about it until next week.',
        'Agent: Hello, this is Ann of Sunny Roofs. User: Yes? Agent: You asked for a quote. User: I did, long ago. '
        || 'Agent: Is it still of interest? User: It may be. Call me again next week. Agent: I will. Goodbye.'
    FROM numbers
""".format(
    outcome="CASE "
    + " ".join(
        f"WHEN (n * 7919) % 100 < {sum(share for _, share in _OUTCOMES[: position + 1])} THEN '{name}'"
        for position, (name, _) in enumerate(_OUTCOMES)
    )
    + " END"
)


@dataclass(frozen=True, slots=True)
class Home:
    path: Path
    leads: int
    calls: int

    @property
    def database(self) -> Path:
        return self.path / "campaigns.db"

    @property
    def environment(self) -> dict[str, str]:
        return stage.environment(CAMPAIGNS_HOME=str(self.path))


@contextmanager
def home(rows: int) -> Iterator[Home]:
    """`rows` leads, as many settled calls to a third of them, and a few calls in progress."""
    with stage.folder() as where:
        made = Home(where, rows, rows)
        store = Store.open(f"sqlite:///{made.database}")
        try:
            _fill(store, rows)
        finally:
            store.close()
        yield made


def _fill(store: Store, rows: int) -> None:
    say(f"{rows:,} leads and as many calls")
    now = SystemClock().now()
    campaign = cycle.campaign(store, NAME, now)
    claim.fill(store, campaign, rows, now, claim.all_segments())
    with store.database.read() as connection:
        first = int(connection.execute(sa.text("SELECT min(id) FROM leads")).scalar() or 0)
    values = {
        "rows": rows, "leads": rows, "first": first, "campaign": campaign.id, "workspace": campaign.workspace,
        "began": to_ms(now) - rows * 500,
    }  # fmt: skip
    with store.database.write() as connection:
        connection.execute(sa.text(_CALLS), values)
        connection.exec_driver_sql(
            "UPDATE leads SET state = 'exhausted', attempts = 3 WHERE id IN (SELECT DISTINCT lead_id FROM attempts)"
        )
        connection.exec_driver_sql(
            "UPDATE leads SET state = 'reached', contacted = 1 WHERE id IN"
            " (SELECT lead_id FROM attempts WHERE outcome IN ('human', 'callback'))"
        )
        connection.exec_driver_sql("UPDATE leads SET state = 'held', hold_code = 'unknown_timezone',"
                                   " hold_remedy = 'name it' WHERE state = 'pending' AND id % 50 = 0")  # fmt: skip
        connection.exec_driver_sql(
            f"UPDATE attempts SET state = 'placed', outcome = NULL, ended_at = NULL WHERE id IN"
            f" (SELECT id FROM attempts ORDER BY claimed_at DESC LIMIT {_LIVE})"
        )
        connection.exec_driver_sql("UPDATE workspaces SET line_limit = 20, observed_real = 0")
    store.campaigns.launch(campaign.id, now)
    with closing(store.database.engine.raw_connection()) as connection:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
