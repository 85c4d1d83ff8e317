"""Places of leads, blackouts, and evidence that is only ever added to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FINAL = "evidence is final: rows are added, never changed"
_GUARDS = {
    "sqlite": (
        f"CREATE TRIGGER evidence_no_update BEFORE UPDATE ON evidence BEGIN SELECT RAISE(ABORT, '{_FINAL}'); END",
        f"CREATE TRIGGER evidence_no_delete BEFORE DELETE ON evidence BEGIN SELECT RAISE(ABORT, '{_FINAL}'); END",
        "CREATE TRIGGER evidence_no_replace BEFORE INSERT ON evidence WHEN EXISTS (SELECT 1 FROM evidence"
        " WHERE id = NEW.id OR (attempt_id = NEW.attempt_id AND send = NEW.send))"
        f" BEGIN SELECT RAISE(ABORT, '{_FINAL}'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION evidence_is_final() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{_FINAL}'; END $$",
        "CREATE TRIGGER evidence_no_change BEFORE UPDATE OR DELETE ON evidence"
        " FOR EACH ROW EXECUTE FUNCTION evidence_is_final()",
        "CREATE TRIGGER evidence_no_truncate BEFORE TRUNCATE ON evidence"
        " FOR EACH STATEMENT EXECUTE FUNCTION evidence_is_final()",
    ),
}


def upgrade() -> None:
    # Leads from before: somewhere in the US, so that the strictest rules hold for them.
    op.add_column("leads", sa.Column("jurisdictions", sa.Text(), server_default="US", nullable=False))
    op.drop_index("ix_leads_due", table_name="leads")
    op.create_index(
        "ix_leads_due",
        "leads",
        ["campaign_id", "zones", "jurisdictions", "priority", "next_attempt_at", "state"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.drop_table("segments")
    op.create_table(
        "segments",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("jurisdictions", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_segments_campaign_id")),
        sa.PrimaryKeyConstraint(
            "campaign_id", "zones", "jurisdictions", "priority", name=op.f("pk_segments")
        ),
    )
    op.execute(
        "INSERT INTO segments (campaign_id, zones, jurisdictions, priority)"
        " SELECT DISTINCT campaign_id, zones, jurisdictions, priority FROM leads"
    )
    op.create_table(
        "blackouts",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("jurisdiction", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Text(), nullable=False),
        sa.Column("last_day", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("first_day <= last_day", name=op.f("ck_blackouts_days_in_order")),
        sa.CheckConstraint(
            "(lifted_by IS NULL) = (lifted_at IS NULL)", name=op.f("ck_blackouts_lifted_or_not")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blackouts")),
    )
    op.create_table(
        "evidence",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("send", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("phone", _ROW_ID, nullable=False),
        sa.Column("from_number", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("local_times", sa.Text(), nullable=False),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("zone_source", sa.Text(), nullable=False),
        sa.Column("jurisdictions", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("rules_version", sa.Text(), nullable=False),
        sa.Column("tzdata_version", sa.Text(), nullable=False),
        sa.Column("window_until", sa.BigInteger(), nullable=False),
        sa.Column("caps", sa.Text(), nullable=False),
        sa.Column("dnc_checked_at", sa.BigInteger(), nullable=False),
        sa.Column("consent", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_evidence_attempt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
    )
    op.create_index("uq_evidence_attempt", "evidence", ["attempt_id", "send"], unique=True)
    op.create_index("ix_evidence_campaign", "evidence", ["campaign_id", "id"], unique=False)
    for statement in _GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)
