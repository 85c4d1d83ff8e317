"""Late analyses are found by an index; leads that are equally old are dialed in the order of their file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None

_UNANALYSED = sa.text("state = 'settled' AND analysis IS NULL AND duration_ms > 0")
_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    op.drop_index("ix_leads_due", table_name="leads")
    op.create_index(
        "ix_leads_due",
        "leads",
        ["campaign_id", "zones", "jurisdictions", "priority", "next_attempt_at", "line", "state"],
        unique=False,
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index(
        "ix_attempts_unanalysed",
        "attempts",
        ["workspace", "settled_at"],
        unique=False,
        sqlite_where=_UNANALYSED,
        postgresql_where=_UNANALYSED,
    )
