"""Calls that were settled before their analysis came are found by an index: it may bring a do-not-call request."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None

_UNANALYSED = sa.text("state = 'settled' AND analysis IS NULL AND duration_ms > 0")


def upgrade() -> None:
    op.create_index(
        "ix_attempts_unanalysed",
        "attempts",
        ["workspace", "settled_at"],
        unique=False,
        sqlite_where=_UNANALYSED,
        postgresql_where=_UNANALYSED,
    )
