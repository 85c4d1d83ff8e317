"""One claim of 50 out of lists of very different sizes, half of them closed: it should not notice the size."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from campaigns.compliance import rules_for
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Campaign
from campaigns.domain.pacing import Segment
from campaigns.leads.places import regions_of_country
from campaigns.retell import RetellClient
from campaigns.services import dispatch
from campaigns.services.context import Context
from campaigns.store import Store
from tests.benchmarks import cycle, stage
from tests.benchmarks.figure import Figure, at_most, percentile, say

_CLAIM = 50
_WARM_UP = 5
#: A Tuesday on which about half of the places are open; which of them says the figure itself.
_HALF_PAST = datetime(2026, 12, 1, 14, 30, tzinfo=UTC)

# Made inside the database: a million leads take seconds that way. All are due, the oldest of each segment first.
_LEADS = """
    WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :rows)
    INSERT INTO leads (campaign_id, file_id, line, phone, state, zones, jurisdictions, zone_source, priority,
        next_attempt_at, external_id, agent_id, agent_version, extension, consent, zip, state_given, ignore_e164,
        metadata, sip_headers)
    SELECT :campaign, :file, n + 2, 12000000000 + n, 'pending', key.value ->> 0, key.value ->> 1,
        'number', 5, :due + n % 1000, 'X-' || n, '', '', '', '', '', '', 0, '{}', '{}'
    FROM numbers JOIN json_each(:keys) AS key ON key.key = n % json_array_length(:keys)
"""


class _Still:
    """Business time stands still, half of the places open."""

    speed = 1.0

    def now(self) -> datetime:
        return _HALF_PAST


def all_segments() -> list[Segment]:
    """Every zone of every state and territory by itself, and all of a state's together where it has several."""
    found: list[Segment] = []
    for region in regions_of_country("US"):
        found.extend(Segment(zone, region.code, 5) for zone in region.zones)
        if len(region.zones) > 1:
            found.append(Segment("|".join(sorted(region.zones)), region.code, 5))
    return found


@dataclass
class _Size:
    rows: int
    store: Store
    context: Context
    claims: list[float]
    plans: list[float]
    floors: list[float]
    processor: list[float]


def claim(quick: bool) -> Figure:
    sizes = (4_000, 40_000) if quick else (10_000, 100_000, 1_000_000)
    rounds = 20 if quick else 300
    made: list[_Size] = []
    segments = all_segments()
    rules = rules_for("us-sales", ())
    open_now = sum(rules.until(segment.callee, _HALF_PAST) is not None for segment in segments)
    with stage.folder() as where:
        try:
            for rows in sizes:
                say(f"claim: a list of {rows:,}")
                made.append(_filled(where / f"{rows}.db", rows, segments))
            say(f"claim: {rounds} claims of {_CLAIM} from each, in turns")
            for turn in range(_WARM_UP + rounds):
                for size in made:
                    _claim_once(size, turn >= _WARM_UP)
        finally:
            for size in made:
                size.context.retell.close()
                size.store.close()
    by_size = {
        str(size.rows): {
            "median_ms": round(statistics.median(size.claims), 3),
            "p99_ms": round(percentile(size.claims, 0.99), 3),
            # What it would be on a machine of its own, but for the disk.
            "cpu_median_ms": round(statistics.median(size.processor), 3),
            "plan_median_ms": round(statistics.median(size.plans), 3),
            "commit_floor_median_ms": round(statistics.median(size.floors), 3),
        }
        for size in made
    }
    least, most = by_size[str(sizes[0])], by_size[str(sizes[-1])]
    ratio = round(most["median_ms"] / least["median_ms"], 3)
    return Figure(
        "claim",
        most["median_ms"],
        f"ms per claim of {_CLAIM} from {sizes[-1]:,} leads, median",
        [
            at_most("median_ms", most["median_ms"], 10.0),
            at_most("largest_to_smallest_list", ratio, 1.5),
        ],
        {
            "what": "a commit of one changed row on the same file, median ms",
            "median_ms": most["commit_floor_median_ms"],
        },
        {
            "p99_ms": most["p99_ms"],
            "cpu_median_ms": most["cpu_median_ms"],
            "largest_to_smallest_list": ratio,
            "by_leads": by_size,
            "claims_of_each": rounds,
            "segments": len(segments),
            "segments_open": open_now,
            "database": "SQLite WAL, synchronous=FULL",
        },
    )


def _filled(path: Path, rows: int, segments: Sequence[Segment]) -> _Size:
    store = Store.open(f"sqlite:///{path}")
    clock = _Still()
    now = clock.now()
    campaign = cycle.campaign(store, "bench", now, profile="us-sales")
    fill(store, campaign, rows, now, segments)
    with closing(store.database.engine.raw_connection()) as connection:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    store.campaigns.launch(campaign.id, now)
    retell = RetellClient(stage.KEY, "http://127.0.0.1:9")  # nobody is asked
    return _Size(rows, store, replace(cycle.context(store, retell), clock=clock), [], [], [], [])


def fill(store: Store, campaign: Campaign, rows: int, now: datetime, segments: Sequence[Segment]) -> None:
    """Give a campaign so many leads, all due, spread over the segments."""
    with store.imports.writer(campaign.id, now) as writer:
        writer.begin("bench.csv", "0" * 64, 0, ["phone_number"], "bench")
        writer.finish({"accepted": rows})
    file_id = store.imports.files(campaign.id)[-1].id
    due = to_ms(now) - 3_600_000
    with store.database.write() as connection:
        connection.execute(
            sa.text(_LEADS),
            {
                "rows": rows,
                "campaign": campaign.id,
                "file": file_id,
                "due": due,
                "keys": json.dumps([[one.zones, one.jurisdictions] for one in segments]),
            },
        )
        store.database.add_segments(connection, campaign.id, segments)


def _claim_once(size: _Size, counted: bool) -> None:
    """Plan and claim, timed apart; then put everything back, the leads at the end of the queue."""
    store, context = size.store, size.context
    started = time.perf_counter()
    plans = dispatch.claim_plans(context, store.campaigns.listed(context.workspace))
    planned, busy = time.perf_counter(), time.thread_time()
    claimed = store.claims.claim(
        context.workspace, _CLAIM, 0, plans, context.clock.now(), dispatch.CLAIM_LEASE_MS
    )
    done, busy = time.perf_counter(), time.thread_time() - busy
    if len(claimed.attempt_ids) != _CLAIM:
        raise stage.BenchError(
            f"{len(claimed.attempt_ids)} of {_CLAIM} were claimed from {size.rows:,} leads"
        )
    with store.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE leads SET state = 'pending', next_attempt_at = next_attempt_at + 1000"
            " WHERE id IN (SELECT lead_id FROM attempts WHERE state = 'claimed')"
        )
        connection.exec_driver_sql(
            "UPDATE attempts SET state = 'not_placed', refusal = 'bench' WHERE state = 'claimed'"
        )
    floor = time.perf_counter()
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE workspaces SET trouble = 'bench'")
    if counted:
        size.floors.append((time.perf_counter() - floor) * 1000)
        size.plans.append((planned - started) * 1000)
        size.claims.append((done - planned) * 1000)
        size.processor.append(busy * 1000)
