"""Which index answers: the work of a claim and of a poll must not grow with the list or with the past.

Only SQLite's plans are held here, since PostgreSQL plans by its statistics; how long it takes is for the benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from store_steps import EAST, NOW, WEST, WORKSPACE, Steps, gate, group, phone, plan

from campaigns.domain.caps import Cap
from campaigns.domain.clock import SystemClock
from campaigns.domain.states import AttemptState, LeadState
from campaigns.services.looking import Looker
from campaigns.services.report import status
from campaigns.store import Store

GROUPS = [[group(zones, priority)] for priority in (0, 5) for zones in (EAST, WEST)]


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    store = Store.open(f"sqlite:///{tmp_path / 'campaigns.db'}")
    yield Steps(store)
    store.close()


def _plans(steps: Steps, act: Callable[[], object]) -> dict[str, list[tuple[int, int, str]]]:
    """SQL of every SELECT and UPDATE that `act` sends -> (id, parent, line) of its query plan."""
    sent: list[tuple[str, Any]] = []
    engine = steps.store.database.engine

    def keep(_connection: object, _cursor: object, sql: str, values: object, *_: object) -> None:
        if sql.startswith(("SELECT", "UPDATE")):
            sent.append((sql, values))

    sa.event.listen(engine, "before_cursor_execute", keep)
    act()
    sa.event.remove(engine, "before_cursor_execute", keep)
    with steps.store.database.read() as connection:
        return {
            sql: [
                (row[0], row[1], row[3])
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
            ]
            for sql, values in sent
        }


def test_the_probe_of_a_claim_reads_its_index_in_order_and_stops(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(50)))
    plans = _plans(steps, lambda: steps.claim(plan(campaign_id, *GROUPS), ceiling=10))
    [probe] = [lines for sql, lines in plans.items() if "UNION ALL" in sql]
    texts = [text for _, _, text in probe]
    # Covering: not one lead is read that is not taken.
    assert sum("leads USING COVERING INDEX ix_leads_due" in text for text in texts) == len(GROUPS)
    [taken] = [lines for sql, lines in plans.items() if "AS busy" in sql]
    texts = [text for _, _, text in taken]
    assert texts[0] == "SEARCH leads USING INTEGER PRIMARY KEY (rowid=?)"
    assert sum("busy USING INDEX uq_attempts_open_phone" in text for text in texts) == 1
    # The limited probes are co-routines: no sort inside them, only of what they found.
    inside = {number for number, _, text in probe if text.startswith("CO-ROUTINE")}
    assert len(inside) == len(GROUPS)
    assert not [text for _, parent, text in probe if parent in inside and "TEMP B-TREE" in text]


def test_nothing_in_a_claim_scans_a_table(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", *map(phone, range(50)))
    plans = _plans(steps, lambda: steps.claim(plan(campaign_id, gate=gate(Cap(3, 24))), ceiling=10))
    tables = ("leads", "attempts", "suppressions", "campaigns", "workspaces")
    scans = [text for lines in plans.values() for _, _, text in lines if text.startswith("SCAN")]
    assert not [text for text in scans if text.split()[1] in tables]
    [own] = [lines for sql, lines in plans.items() if "GROUP BY attempts.campaign_id" in sql]
    assert "ix_attempts_open" in own[0][2]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("attempts", "holding_ids"),
        ("attempts", "waiting_claims"),
        ("results", "open_calls"),
        ("recovery", "stale_claims"),
        ("recovery", "unknown_dials"),
    ],
)
def test_what_is_open_is_found_without_reading_what_is_over(steps: Steps, part: str, name: str) -> None:
    plans = _plans(steps, lambda: getattr(getattr(steps.store, part), name)(WORKSPACE))
    [lines] = plans.values()
    assert "USING INDEX ix_attempts_open" in lines[0][2]


def test_recent_dials_and_the_end_of_a_campaign_are_found_by_index(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))

    def look() -> None:
        steps.store.attempts.recent_verdicts(campaign_id, NOW, 5)
        steps.store.campaigns.complete_if_done(campaign_id, NOW)
        steps.store.imports.suppress([phone(9)], "import", "asked", NOW)

    texts = [text for lines in _plans(steps, look).values() for _, _, text in lines]
    assert [text for text in texts if "ix_attempts_recent" in text]
    # Nobody waits, nobody is being called: neither is found by reading the leads that are over.
    for index in ("ix_leads_due", "ix_leads_in_flight"):
        assert [text for text in texts if f"leads USING COVERING INDEX {index}" in text]
    assert not [
        text
        for text in texts
        if text.startswith("SCAN") and "CONSTANT ROW" not in text and "VIRTUAL" not in text
    ]
    assert not [text for text in texts if "TEMP B-TREE" in text]


def test_a_status_and_a_look_scan_nothing(steps: Steps) -> None:
    """Neither the leads nor the attempts are read through, whatever is asked of a campaign that runs."""
    campaign_id = steps.campaign("spring", *map(phone, range(30)))
    steps.load(campaign_id, phone(90), state=LeadState.HELD, hold=("unknown_timezone", "name it"))
    for state in AttemptState:
        steps.attempt(campaign_id, state)
    looker = Looker(steps.store, lambda _: SystemClock())
    campaign = steps.store.campaigns.get(campaign_id)
    assert campaign is not None

    def look() -> None:
        status(steps.store, campaign, NOW)
        looker.look(5)

    plans = _plans(steps, look)
    texts = [text for lines in plans.values() for _, _, text in lines]
    # The one forecast reads the index of what is pending; it is made seldom, as its share of the time allows.
    [groups] = [lines for sql, lines in plans.items() if "AS steps" in sql]
    assert "ix_leads_due" in groups[0][2]
    for table in ("leads", "attempts", "events", "rejects"):
        assert not [text for text in texts if text.startswith(f"SCAN {table}") and "INDEX" not in text], table
    assert [text for text in texts if "leads USING COVERING INDEX ix_leads_held" in text]
