"""Start and end of campaigns, further passes over leads, what each was short of its share of the lines, and jobs with their runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("start_at", sa.BigInteger(), nullable=True))
    op.add_column("campaigns", sa.Column("end_at", sa.BigInteger(), nullable=True))
    op.add_column("leads", sa.Column("recycled_at", sa.BigInteger(), nullable=True))
    op.add_column("workspaces", sa.Column("shares", sa.Text(), server_default="{}", nullable=False))
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("append_to", sa.Text(), nullable=False),
        sa.Column("misfire", sa.Text(), nullable=False),
        sa.Column("overlap", sa.Text(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('active', 'paused')", name=op.f("ck_jobs_state")),
        sa.CheckConstraint("misfire IN ('run-once', 'skip')", name=op.f("ck_jobs_misfire")),
        sa.CheckConstraint("overlap IN ('parallel', 'queue', 'skip')", name=op.f("ck_jobs_overlap")),
        sa.CheckConstraint(
            "(state = 'active') = (next_at IS NOT NULL)", name=op.f("ck_jobs_active_has_next")
        ),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.name"], name=op.f("fk_jobs_workspace")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("name", name=op.f("uq_jobs_name")),
    )
    op.create_index("ix_jobs_due", "jobs", ["workspace", "next_at"], unique=False)
    op.create_table(
        "job_runs",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("lease_until_real", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("cause IN ('misfire', 'operator', 'schedule')", name=op.f("ck_job_runs_cause")),
        sa.CheckConstraint(
            "state IN ('done', 'failed', 'queued', 'running', 'skipped')", name=op.f("ck_job_runs_state")
        ),
        sa.CheckConstraint(
            "(state IN ('done', 'failed', 'skipped')) = (finished_at IS NOT NULL)",
            name=op.f("ck_job_runs_finished_or_not"),
        ),
        sa.CheckConstraint(
            "(state = 'running') = (lease_until_real IS NOT NULL)", name=op.f("ck_job_runs_running_has_lease")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_runs_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_runs")),
        sa.UniqueConstraint("job_id", "due_at", name=op.f("uq_job_runs_job_id_due_at")),
    )
    op.create_index(
        "ix_job_runs_open",
        "job_runs",
        ["workspace", "state"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
