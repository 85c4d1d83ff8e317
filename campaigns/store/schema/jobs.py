"""Schedules and their runs."""

from __future__ import annotations

import sqlalchemy as sa

from campaigns.domain.jobs import OPEN_RUN, Cause, JobState, Misfire, Overlap, RunState
from campaigns.store.schema.base import ROW_ID, listed, metadata, ms

#: A schedule: when files of `source` are imported and launched. config, source: absolute paths. append_to: name of the
#: standing campaign, empty = a new one at each run.
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("cron", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("append_to", sa.Text, nullable=False),
    sa.Column("misfire", sa.Text, nullable=False),
    sa.Column("overlap", sa.Text, nullable=False),
    ms("next_at"),
    ms("created_at", nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.CheckConstraint(f"state IN ({listed(JobState)})", name="state"),
    sa.CheckConstraint(f"misfire IN ({listed(Misfire)})", name="misfire"),
    sa.CheckConstraint(f"overlap IN ({listed(Overlap)})", name="overlap"),
    sa.CheckConstraint("(state = 'active') = (next_at IS NOT NULL)", name="active_has_next"),
    sa.Index("ix_jobs_due", "workspace", "next_at"),
)

_RUN_OPEN = sa.text(f"state IN ({listed(OPEN_RUN)})")

#: One time of a job, written in the transaction that moves the job to its next time. campaign: its name, once chosen.
#: result: JSON of what was imported. message: why it failed, was skipped, or waits.
job_runs = sa.Table(
    "job_runs",
    metadata,
    sa.Column("id", ROW_ID, primary_key=True),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("workspace", sa.Text, nullable=False),
    ms("due_at", nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("campaign", sa.Text, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    ms("created_at", nullable=False),
    ms("started_at"),
    ms("finished_at"),
    ms("lease_until_real"),
    # No time of a job makes two runs, whoever ticks.
    sa.UniqueConstraint("job_id", "due_at"),
    sa.CheckConstraint(f"cause IN ({listed(Cause)})", name="cause"),
    sa.CheckConstraint(f"state IN ({listed(RunState)})", name="state"),
    sa.CheckConstraint(
        f"(state IN ({listed(set(RunState) - OPEN_RUN)})) = (finished_at IS NOT NULL)", name="finished_or_not"
    ),
    sa.CheckConstraint("(state = 'running') = (lease_until_real IS NOT NULL)", name="running_has_lease"),
    sa.Index("ix_job_runs_open", "workspace", "state", sqlite_where=_RUN_OPEN),
)
