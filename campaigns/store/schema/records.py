"""What is written down and kept: events, the do-not-call list, blackouts, evidence."""

from __future__ import annotations

import sqlalchemy as sa

from campaigns.store.schema.base import E164, IS_E164, ROW_ID, metadata, ms

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", ROW_ID, primary_key=True),
    ms("at", nullable=False),
    ms("at_real", nullable=False),
    sa.Column("campaign_id", sa.Text, nullable=False),
    sa.Column("lead_id", sa.BigInteger),
    sa.Column("attempt_id", sa.Text),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("from_state", sa.Text),
    sa.Column("to_state", sa.Text, nullable=False),
    sa.Column("detail", sa.Text),
    sa.CheckConstraint("subject IN ('attempt', 'campaign', 'lead')", name="subject"),
    sa.Index("ix_events_campaign", "campaign_id", "id"),
    sa.Index("ix_events_lead", "lead_id"),
)

#: Numbers that nobody rings. A row is a ban: rows that have expired are removed, never read around.
suppressions = sa.Table(
    "suppressions",
    metadata,
    sa.Column("phone", E164, primary_key=True, autoincrement=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    ms("added_at", nullable=False),
    # NULL = for good.
    ms("expires_at"),
    sa.CheckConstraint(IS_E164, name="phone_e164"),
    sa.Index(
        "ix_suppressions_expiring",
        "expires_at",
        sqlite_where=sa.text("expires_at IS NOT NULL"),
    ),
)

#: Append-only: who put which number on the list or took it off, and why. A whole list is one row without a number.
suppression_log = sa.Table(
    "suppression_log",
    metadata,
    sa.Column("id", ROW_ID, primary_key=True),
    ms("at", nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("phone", E164),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by_whom", sa.Text, nullable=False),
    # Of a whole list: its name, its digest, how many numbers it had, the day its data is of.
    sa.Column("file", sa.Text),
    sa.Column("sha256", sa.Text),
    sa.Column("numbers", sa.BigInteger, nullable=False, server_default="1"),
    ms("data_of"),
    sa.CheckConstraint("action IN ('added', 'expired', 'imported', 'removed')", name="action"),
    sa.Index("ix_suppression_log_phone", "phone"),
)

#: Dates on which an operator wants nobody called in a place. Lifting one keeps its row.
blackouts = sa.Table(
    "blackouts",
    metadata,
    sa.Column("id", ROW_ID, primary_key=True),
    sa.Column("jurisdiction", sa.Text, nullable=False),
    sa.Column("first_day", sa.Text, nullable=False),
    sa.Column("last_day", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("added_by", sa.Text, nullable=False),
    ms("added_at", nullable=False),
    sa.Column("lifted_by", sa.Text),
    ms("lifted_at"),
    sa.CheckConstraint("first_day <= last_day", name="days_in_order"),
    sa.CheckConstraint("(lifted_by IS NULL) = (lifted_at IS NULL)", name="lifted_or_not"),
)

#: One row per POST that may have rung somebody: what was known when it was sent. Rows are added, never changed.
evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("id", ROW_ID, primary_key=True),
    sa.Column("attempt_id", sa.Text, sa.ForeignKey("attempts.id"), nullable=False),
    sa.Column("send", sa.Integer, nullable=False),
    sa.Column("campaign_id", sa.Text, nullable=False),
    sa.Column("phone", E164, nullable=False),
    sa.Column("from_number", sa.Text, nullable=False),
    ms("at", nullable=False),
    sa.Column("local_times", sa.Text, nullable=False),
    sa.Column("zones", sa.Text, nullable=False),
    sa.Column("zone_source", sa.Text, nullable=False),
    sa.Column("jurisdictions", sa.Text, nullable=False),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("rules_version", sa.Text, nullable=False),
    sa.Column("tzdata_version", sa.Text, nullable=False),
    ms("window_until", nullable=False),
    sa.Column("caps", sa.Text, nullable=False),
    ms("dnc_checked_at", nullable=False),
    sa.Column("consent", sa.Text, nullable=False),
    sa.Index("uq_evidence_attempt", "attempt_id", "send", unique=True),
    sa.Index("ix_evidence_campaign", "campaign_id", "id"),
)

_FINAL = "evidence is final: rows are added, never changed"

#: What keeps evidence as it was written, per database; INSERT OR REPLACE on SQLite would delete without a trigger.
EVIDENCE_GUARDS: dict[str, tuple[str, ...]] = {
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

for _dialect, _statements in EVIDENCE_GUARDS.items():
    for _statement in _statements:
        guard = sa.DDL(_statement)  # type: ignore[no-untyped-call]
        sa.event.listen(evidence, "after_create", guard.execute_if(dialect=_dialect))
