"""What is known of the numbers that campaigns call from, and how leads are shared out among several agents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("numbers_real", sa.BigInteger(), nullable=True))
    op.create_table(
        "from_numbers",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("listed", sa.Boolean(), nullable=True),
        sa.Column("read_real", sa.BigInteger(), nullable=True),
        sa.Column("resting_until", sa.BigInteger(), nullable=True),
        sa.Column("rest_reason", sa.Text(), nullable=True),
        sa.Column("refused_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(resting_until IS NULL) = (rest_reason IS NULL)", name=op.f("ck_from_numbers_rest_has_reason")
        ),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.name"], name=op.f("fk_from_numbers_workspace")),
        sa.PrimaryKeyConstraint("workspace", "number", name=op.f("pk_from_numbers")),
    )
    op.create_table(
        "agent_shares",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("leads", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_agent_shares_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", "split", "zones", "agent_id", name=op.f("pk_agent_shares")),
    )
    op.create_index("ix_attempts_from", "attempts", ["workspace", "from_number", "claimed_at"], unique=False)
