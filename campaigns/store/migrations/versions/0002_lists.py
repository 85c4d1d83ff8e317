"""Lists: numbers as integers, the rows of files in blocks, do-not-call lists with dates, and a record of their changes."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from campaigns.domain.cells import csv_line
from campaigns.store.row_blocks import pack

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BLOCK = 128
_PENDING = sa.text("state = 'pending'")
_OUTCOME = "outcome IS NULL OR outcome IN ('blocked', 'busy', 'callback', 'config_error', 'declined', 'do_not_call', 'human', 'invalid_number', 'machine', 'no_answer', 'platform_error', 'stopped', 'unknown')"
_STATE = "state = 'pending' OR state = 'in_flight' OR state = 'reached' OR state = 'exhausted' OR state = 'suppressed' OR state = 'expired' OR state = 'cancelled' OR state = 'held'"
_E164 = "phone BETWEEN 100 AND 999999999999999"
_KEPT = (
    "id, campaign_id, file_id, line, CAST(phone AS BIGINT), state, zones, zone_source, priority, next_attempt_at,"
    " attempts, outcome, last_attempt_at, hold_code, hold_remedy, external_id, agent_id, agent_version, extension,"
    " consent, '', '', ignore_e164, metadata, sip_headers"
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.add_column("files", sa.Column("variables", sa.Text(), server_default="[]", nullable=False))
    op.add_column("files", sa.Column("mapping", sa.Text(), server_default="{}", nullable=False))
    op.add_column("files", sa.Column("format", sa.Text(), server_default="{}", nullable=False))
    op.add_column("files", sa.Column("staged", sa.Text(), nullable=True))
    op.add_column("files", sa.Column("moved", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "file_rows",
        sa.Column("file_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_file_rows_file_id")),
        sa.PrimaryKeyConstraint("file_id", "first_line", name=op.f("pk_file_rows")),
    )
    op.create_table(
        "suppression_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("phone", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by_whom", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("numbers", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("data_of", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "action IN ('added', 'expired', 'imported', 'removed')", name=op.f("ck_suppression_log_action")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression_log")),
    )
    op.create_index("ix_suppression_log_phone", "suppression_log", ["phone"], unique=False)
    _fill_blocks()
    _suppressions()
    if sqlite:
        _leads_on_sqlite()
        _attempts_on_sqlite()
    else:
        _numbers_on_postgresql()


def _fill_blocks() -> None:
    """What stood in each lead's own columns, as blocks of its file."""
    connection = op.get_bind()
    for file_id, header in connection.execute(sa.text("SELECT id, header FROM files")).all():
        names = json.loads(header)
        rows = connection.execute(
            sa.text("SELECT line, cells, variables FROM leads WHERE file_id = :file ORDER BY line"),
            {"file": file_id},
        )
        first = True
        for part in rows.partitions(_BLOCK):
            if first:
                own = json.loads(part[0].variables)
                positions = [at for at, name in enumerate(names) if name in own]
                connection.execute(
                    sa.text("UPDATE files SET variables = :positions WHERE id = :file"),
                    {"positions": json.dumps(positions), "file": file_id},
                )
                first = False
            written = b"\n".join(csv_line(json.loads(row.cells), ",") for row in part)
            block = pack([row.line for row in part], written, ",")
            connection.execute(
                sa.text("INSERT INTO file_rows (file_id, first_line, rows) VALUES (:file, :line, :rows)"),
                {"file": file_id, "line": part[0].line, "rows": block},
            )


def _suppressions() -> None:
    op.execute(
        "CREATE TEMPORARY TABLE kept AS"
        " SELECT CAST(phone AS BIGINT) AS phone, source, reason, added_at FROM suppressions"
    )
    op.drop_table("suppressions")
    op.create_table(
        "suppressions",
        sa.Column(
            "phone",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(_E164, name=op.f("ck_suppressions_phone_e164")),
        sa.PrimaryKeyConstraint("phone", name=op.f("pk_suppressions")),
    )
    op.execute("INSERT INTO suppressions (phone, source, reason, added_at) SELECT * FROM kept")
    op.execute("DROP TABLE kept")
    op.create_index(
        "ix_suppressions_expiring",
        "suppressions",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )


def _numbers_on_postgresql() -> None:
    op.drop_constraint("uq_leads_campaign_id_phone", "leads")
    op.drop_constraint("ck_leads_phone_e164", "leads")
    op.drop_constraint("ck_leads_state", "leads")
    op.drop_index("ix_leads_phone", "leads")
    for table in ("leads", "attempts"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN phone TYPE BIGINT USING phone::bigint")
    for column in ("variables", "cells"):
        op.drop_column("leads", column)
    for column in ("zip", "state_given"):
        op.add_column("leads", sa.Column(column, sa.Text(), nullable=False, server_default=""))
        op.alter_column("leads", column, server_default=None)
    op.create_check_constraint(op.f("ck_leads_phone_e164"), "leads", _E164)
    op.create_check_constraint(op.f("ck_leads_state"), "leads", _STATE)
    op.create_unique_constraint(op.f("uq_leads_phone_campaign_id"), "leads", ["phone", "campaign_id"])


def _leads_on_sqlite() -> None:
    op.create_table(
        "leads_new",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("phone", sa.Integer(), nullable=False),
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
        sa.Column("zip", sa.Text(), nullable=False),
        sa.Column("state_given", sa.Text(), nullable=False),
        sa.Column("ignore_e164", sa.Boolean(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("sip_headers", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(state = 'held') = (hold_code IS NOT NULL AND hold_remedy IS NOT NULL)",
            name=op.f("ck_leads_held_has_code"),
        ),
        sa.CheckConstraint(_OUTCOME, name=op.f("ck_leads_outcome")),
        sa.CheckConstraint(_E164, name=op.f("ck_leads_phone_e164")),
        sa.CheckConstraint(_STATE, name=op.f("ck_leads_state")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_leads_campaign_id")),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_leads_file_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leads")),
        sa.UniqueConstraint("phone", "campaign_id", name=op.f("uq_leads_phone_campaign_id")),
    )
    op.execute(f"INSERT INTO leads_new SELECT {_KEPT} FROM leads")
    op.drop_table("leads")
    op.rename_table("leads_new", "leads")
    op.create_index("ix_leads_by_state", "leads", ["campaign_id", "state", "next_attempt_at"], unique=False)
    op.create_index(
        "ix_leads_due",
        "leads",
        ["campaign_id", "zones", "priority", "next_attempt_at"],
        unique=False,
        sqlite_where=_PENDING,
    )


def _attempts_on_sqlite() -> None:
    """The table as it is, with its number an integer: whatever else it has is left to the migration that made it."""
    connection = op.get_bind()
    query = "SELECT type, sql FROM sqlite_master WHERE tbl_name = 'attempts' AND sql IS NOT NULL"
    made = connection.execute(sa.text(query)).all()
    [table] = [sql for kind, sql in made if kind == "table"]
    names = [row.name for row in connection.execute(sa.text("PRAGMA table_info(attempts)"))]
    columns = ", ".join(names)
    values = ", ".join("CAST(phone AS INTEGER)" if name == "phone" else name for name in names)
    body = table.partition("(")[2]
    body = body.replace("phone TEXT NOT NULL", "phone INTEGER NOT NULL", 1)
    op.execute("CREATE TABLE attempts_new (" + body)
    op.execute(f"INSERT INTO attempts_new ({columns}) SELECT {values} FROM attempts")
    op.drop_table("attempts")
    op.rename_table("attempts_new", "attempts")
    for kind, sql in made:
        if kind == "index":
            op.execute(sql)
