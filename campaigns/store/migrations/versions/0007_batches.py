"""Dispatch by create-batch-call: the batches, and which attempts are in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STATES = "'claimed', 'not_sent', 'over', 'sending', 'sent', 'unknown'"
_OPEN = sa.text("state IN ('claimed', 'sending', 'sent', 'unknown')")
_BATCHED = sa.text("batch_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("burst_limit", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("from_number", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("taken", sa.Integer(), nullable=True),
        sa.Column("batch_call_id", sa.Text(), nullable=True),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("windows", sa.Text(), server_default="[]", nullable=False),
        sa.Column("stretches", sa.Text(), server_default="[]", nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=True),
        sa.Column("claimed_at", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=True)
            for name in ("sent_at", "begins_at", "ends_at", "sent_real", "lease_until_real")
        ),
        sa.Column("searches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("left_over", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reopens_at", sa.BigInteger(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("refusal_status", sa.Integer(), nullable=True),
        sa.CheckConstraint(f"state IN ({_STATES})", name=op.f("ck_batches_state")),
        sa.CheckConstraint(
            "state <> 'sent' OR batch_call_id IS NOT NULL", name=op.f("ck_batches_sent_has_id")
        ),
        sa.CheckConstraint(
            "state IN ('claimed', 'not_sent') OR (sent_at IS NOT NULL AND ends_at IS NOT NULL AND size > 0)",
            name=op.f("ck_batches_sending_has_window"),
        ),
        sa.CheckConstraint(
            "state <> 'not_sent' OR refusal IS NOT NULL", name=op.f("ck_batches_not_sent_has_refusal")
        ),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.name"], name=op.f("fk_batches_workspace")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_batches_campaign_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_index("uq_batches_call", "batches", ["batch_call_id"], unique=True)
    op.create_index("ix_batches_campaign", "batches", ["campaign_id", "claimed_at"], unique=False)
    op.create_index(
        "ix_batches_open", "batches", ["workspace", "state"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.add_column("attempts", sa.Column("batch_id", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("stopped_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_attempts_batch",
        "attempts",
        ["batch_id", "state"],
        sqlite_where=_BATCHED,
        postgresql_where=_BATCHED,
    )
