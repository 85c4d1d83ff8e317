"""Lines of the account that the operator keeps free, and calls that an operator wants hung up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    not_negative = sa.CheckConstraint("reserve >= 0", name=op.f("ck_workspaces_reserve_not_negative"))
    op.add_column(
        "workspaces", sa.Column("reserve", sa.Integer(), not_negative, server_default="0", nullable=False)
    )
    op.add_column("attempts", sa.Column("hang_up_at", sa.BigInteger(), nullable=True))
