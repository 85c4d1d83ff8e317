"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("at_real", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=True),
        sa.Column("attempt_id", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.CheckConstraint("subject IN ('attempt', 'campaign', 'lead')", name=op.f("ck_events_subject")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_campaign", "events", ["campaign_id", "id"], unique=False)
    op.create_index("ix_events_lead", "events", ["lead_id"], unique=False)
    op.create_table(
        "suppressions",
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("phone", name=op.f("pk_suppressions")),
    )
    op.create_table(
        "workspaces",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("line_limit", sa.Integer(), nullable=True),
        sa.Column("reserved_inbound", sa.Integer(), server_default="0", nullable=False),
        sa.Column("foreign_seen", sa.Text(), server_default="[]", nullable=False),
        sa.Column("observed_real", sa.BigInteger(), nullable=True),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("shrunk_to", sa.Integer(), nullable=True),
        sa.Column("shrunk_until_real", sa.BigInteger(), nullable=True),
        sa.Column("next_poll_real", sa.BigInteger(), nullable=True),
        sa.Column("poll_credit", sa.Float(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workspaces")),
    )
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("resume_at", sa.BigInteger(), nullable=True),
        sa.Column("trips", sa.Integer(), server_default="0", nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("launched_at", sa.BigInteger(), nullable=True),
        sa.Column("running_since", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('cancelled', 'completed'))",
            name=op.f("ck_campaigns_finished_or_not"),
        ),
        sa.CheckConstraint(
            "resume_at IS NULL OR state = 'paused'", name=op.f("ck_campaigns_only_paused_resume")
        ),
        sa.CheckConstraint(
            "state <> 'paused' OR reason IS NOT NULL", name=op.f("ck_campaigns_paused_has_reason")
        ),
        sa.CheckConstraint(
            "state IN ('cancelled', 'completed', 'draft', 'paused', 'running', 'scheduled')",
            name=op.f("ck_campaigns_state"),
        ),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.name"], name=op.f("fk_campaigns_workspace")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint("name", name=op.f("uq_campaigns_name")),
    )
    op.create_index("ix_campaigns_running", "campaigns", ["workspace", "state"], unique=False)
    op.create_table(
        "files",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("imported_by", sa.Text(), nullable=False),
        sa.Column("imported_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_files_campaign_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
    )
    op.create_index(op.f("ix_files_campaign_id"), "files", ["campaign_id"], unique=False)
    op.create_table(
        "segments",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_segments_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", "zones", "priority", name=op.f("pk_segments")),
    )
    op.create_table(
        "leads",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("zone_source", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("last_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("hold_code", sa.Text(), nullable=True),
        sa.Column("hold_remedy", sa.Text(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("agent_version", sa.Text(), nullable=False),
        sa.Column("extension", sa.Text(), nullable=False),
        sa.Column("consent", sa.Text(), nullable=False),
        sa.Column("ignore_e164", sa.Boolean(), nullable=False),
        sa.Column("variables", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("sip_headers", sa.Text(), nullable=False),
        sa.Column("cells", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(state = 'held') = (hold_code IS NOT NULL AND hold_remedy IS NOT NULL)",
            name=op.f("ck_leads_held_has_code"),
        ),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN ('blocked', 'busy', 'callback', 'config_error', 'declined', 'do_not_call', 'human', 'invalid_number', 'machine', 'no_answer', 'platform_error', 'stopped', 'unknown')",
            name=op.f("ck_leads_outcome"),
        ),
        sa.CheckConstraint("phone LIKE '+%'", name=op.f("ck_leads_phone_e164")),
        sa.CheckConstraint(
            "state IN ('cancelled', 'exhausted', 'expired', 'held', 'in_flight', 'pending', 'reached', 'suppressed')",
            name=op.f("ck_leads_state"),
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_leads_campaign_id")),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_leads_file_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leads")),
        sa.UniqueConstraint("campaign_id", "phone", name=op.f("uq_leads_campaign_id_phone")),
    )
    op.create_index("ix_leads_by_state", "leads", ["campaign_id", "state", "next_attempt_at"], unique=False)
    op.create_index(
        "ix_leads_due",
        "leads",
        ["campaign_id", "zones", "priority", "next_attempt_at"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(op.f("ix_leads_phone"), "leads", ["phone"], unique=False)
    op.create_table(
        "rejects",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("cells", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_rejects_campaign_id")),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_rejects_file_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejects")),
    )
    op.create_index(op.f("ix_rejects_campaign_id"), "rejects", ["campaign_id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("from_number", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("agent_version", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("charged", sa.Boolean(), nullable=False),
        sa.Column("lease_until_real", sa.BigInteger(), nullable=True),
        sa.Column("dialing_real", sa.BigInteger(), nullable=True),
        sa.Column("first_sent_real", sa.BigInteger(), nullable=True),
        sa.Column("sends", sa.Integer(), server_default="0", nullable=False),
        sa.Column("searches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=False),
        sa.Column("dialing_at", sa.BigInteger(), nullable=True),
        sa.Column("placed_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("call_id", sa.Text(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("refusal_status", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("disconnection_reason", sa.Text(), nullable=True),
        sa.Column("in_voicemail", sa.Boolean(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("cost_cents", sa.Float(), nullable=True),
        sa.Column("sentiment", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("recording_url", sa.Text(), nullable=True),
        sa.Column("transcript", sa.Text(), nullable=True),
        sa.Column("analysis", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'settled') = (outcome IS NOT NULL)", name=op.f("ck_attempts_settled_has_outcome")
        ),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN ('blocked', 'busy', 'callback', 'config_error', 'declined', 'do_not_call', 'human', 'invalid_number', 'machine', 'no_answer', 'platform_error', 'stopped', 'unknown')",
            name=op.f("ck_attempts_outcome"),
        ),
        sa.CheckConstraint(
            "state <> 'not_placed' OR NOT charged", name=op.f("ck_attempts_not_placed_is_free")
        ),
        sa.CheckConstraint(
            "state <> 'not_placed' OR refusal IS NOT NULL", name=op.f("ck_attempts_not_placed_has_refusal")
        ),
        sa.CheckConstraint(
            "state IN ('ambiguous', 'claimed', 'dialing', 'ended', 'not_placed', 'placed', 'settled', 'unresolved')",
            name=op.f("ck_attempts_state"),
        ),
        sa.CheckConstraint(
            "state IN ('claimed', 'not_placed') OR dialing_at IS NOT NULL",
            name=op.f("ck_attempts_dialing_has_time"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('ended', 'placed', 'settled') OR call_id IS NOT NULL",
            name=op.f("ck_attempts_placed_has_call"),
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_attempts_campaign_id")),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name=op.f("fk_attempts_lead_id")),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.name"], name=op.f("fk_attempts_workspace")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index("ix_attempts_campaign", "attempts", ["campaign_id", "state"], unique=False)
    op.create_index("ix_attempts_lead", "attempts", ["lead_id"], unique=False)
    op.create_index(
        "ix_attempts_open",
        "attempts",
        ["workspace", "state"],
        unique=False,
        sqlite_where=sa.text("state IN ('ambiguous', 'claimed', 'dialing', 'ended', 'placed')"),
        postgresql_where=sa.text("state IN ('ambiguous', 'claimed', 'dialing', 'ended', 'placed')"),
    )
    op.create_index("ix_attempts_phone", "attempts", ["workspace", "phone", "dialing_at"], unique=False)
    op.create_index("ix_attempts_recent", "attempts", ["campaign_id", "claimed_at"], unique=False)
    op.create_index("uq_attempts_call", "attempts", ["call_id"], unique=True)
    op.create_index(
        "uq_attempts_open_lead",
        "attempts",
        ["lead_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('ambiguous', 'claimed', 'dialing', 'ended', 'placed')"),
        postgresql_where=sa.text("state IN ('ambiguous', 'claimed', 'dialing', 'ended', 'placed')"),
    )
    op.create_index(
        "uq_attempts_open_phone",
        "attempts",
        ["workspace", "phone"],
        unique=True,
        sqlite_where=sa.text("state IN ('ambiguous', 'claimed', 'dialing', 'ended', 'placed')"),
        postgresql_where=sa.text("state IN ('ambiguous', 'claimed', 'dialing', 'ended', 'placed')"),
    )
