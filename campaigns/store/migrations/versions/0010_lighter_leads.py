"""The indexes of leads are what an import spends most of its time on: those that are in flight, not every state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_IN_FLIGHT = sa.text("state = 'in_flight'")


def upgrade() -> None:
    op.drop_index("ix_leads_by_state", table_name="leads")
    op.create_index("ix_leads_campaign", "leads", ["campaign_id"], unique=False)
    op.create_index(
        "ix_leads_in_flight",
        "leads",
        ["campaign_id", "state"],
        unique=False,
        sqlite_where=_IN_FLIGHT,
        postgresql_where=_IN_FLIGHT,
    )
