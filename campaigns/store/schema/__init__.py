"""Tables and the invariants that the database itself holds.

Units: every `*_at` column is business time, `*_real` is real time; both are milliseconds since the Unix epoch.
JSON is kept as text. CHECK constraints and partial indexes are built from `campaigns.domain.states`.
"""

from __future__ import annotations

from campaigns.store.schema.accounts import campaigns, from_numbers, workspaces
from campaigns.store.schema.attempts import HOLDING_STATES, UNANALYSED, attempts, batches, is_open
from campaigns.store.schema.base import listed, metadata
from campaigns.store.schema.jobs import job_runs, jobs
from campaigns.store.schema.leads import (
    agent_shares,
    file_rows,
    files,
    in_state,
    leads,
    rejects,
    rows_of,
    segments,
)
from campaigns.store.schema.records import (
    EVIDENCE_GUARDS,
    blackouts,
    events,
    evidence,
    suppression_log,
    suppressions,
)

#: The migration that this code works with; `Store.open` migrates older databases and refuses newer ones.
HEAD_REVISION = "0010"

__all__ = [
    "EVIDENCE_GUARDS",
    "HEAD_REVISION",
    "HOLDING_STATES",
    "UNANALYSED",
    "agent_shares",
    "attempts",
    "batches",
    "blackouts",
    "campaigns",
    "events",
    "evidence",
    "file_rows",
    "files",
    "from_numbers",
    "in_state",
    "is_open",
    "job_runs",
    "jobs",
    "leads",
    "listed",
    "metadata",
    "rejects",
    "rows_of",
    "segments",
    "suppression_log",
    "suppressions",
    "workspaces",
]
