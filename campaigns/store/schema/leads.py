"""Lead files, what became of their rows, and the leads."""

from __future__ import annotations

import sqlalchemy as sa

from campaigns.domain.outcomes import Outcome
from campaigns.domain.states import (
    LeadState,
)
from campaigns.store.schema.base import E164, IS_E164, ROW_ID, listed, metadata, ms, one_of

files = sa.Table(
    "files",
    metadata,
    sa.Column("id", ROW_ID, primary_key=True),
    sa.Column("campaign_id", sa.Text, sa.ForeignKey("campaigns.id"), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("header", sa.Text, nullable=False),
    # Positions of the columns that are dynamic variables; FIELD -> column name of the others; how the file was read.
    sa.Column("variables", sa.Text, nullable=False, server_default="[]"),
    sa.Column("mapping", sa.Text, nullable=False, server_default="{}"),
    sa.Column("format", sa.Text, nullable=False, server_default="{}"),
    sa.Column("counts", sa.Text, nullable=False),
    sa.Column("imported_by", sa.Text, nullable=False),
    ms("imported_at", nullable=False),
    # While its rows are being moved in: the file beside the database that has them, and how many are in.
    sa.Column("staged", sa.Text),
    sa.Column("moved", sa.BigInteger, nullable=False, server_default="0"),
)

#: The rows that became leads, as the file had them: blocks of them, seldom read, and most of the data.
file_rows = sa.Table(
    "file_rows",
    metadata,
    sa.Column("file_id", sa.BigInteger, sa.ForeignKey("files.id"), primary_key=True, autoincrement=False),
    sa.Column("first_line", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("rows", sa.LargeBinary, nullable=False),
)

rejects = sa.Table(
    "rejects",
    metadata,
    sa.Column("id", ROW_ID, primary_key=True),
    sa.Column("campaign_id", sa.Text, sa.ForeignKey("campaigns.id"), nullable=False, index=True),
    sa.Column("file_id", sa.BigInteger, sa.ForeignKey("files.id"), nullable=False),
    sa.Column("line", sa.Integer, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("column_name", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("cells", sa.Text, nullable=False),
)

leads = sa.Table(
    "leads",
    metadata,
    sa.Column("id", ROW_ID, primary_key=True),
    sa.Column("campaign_id", sa.Text, sa.ForeignKey("campaigns.id"), nullable=False),
    sa.Column("file_id", sa.BigInteger, sa.ForeignKey("files.id"), nullable=False),
    sa.Column("line", sa.Integer, nullable=False),
    sa.Column("phone", E164, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("zones", sa.Text, nullable=False),
    sa.Column("zone_source", sa.Text, nullable=False),
    # Somewhere in the US: the strictest rules there are, for leads older than the column.
    sa.Column("jurisdictions", sa.Text, nullable=False, server_default="US"),
    sa.Column("priority", sa.Integer, nullable=False),
    ms("next_attempt_at", nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("outcome", sa.Text),
    ms("last_attempt_at"),
    # Whether somebody was ever spoken to, and whether the agent judged one of the calls a success.
    sa.Column("contacted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("succeeded", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("hold_code", sa.Text),
    sa.Column("hold_remedy", sa.Text),
    # Since when the retry policy's budget counts, where an operator started a further pass.
    ms("recycled_at"),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.Column("agent_id", sa.Text, nullable=False),
    sa.Column("agent_version", sa.Text, nullable=False),
    sa.Column("extension", sa.Text, nullable=False),
    sa.Column("consent", sa.Text, nullable=False),
    sa.Column("zip", sa.Text, nullable=False),
    sa.Column("state_given", sa.Text, nullable=False),
    sa.Column("ignore_e164", sa.Boolean, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
    sa.Column("sip_headers", sa.Text, nullable=False),
    # The number first: one index finds it in one campaign and in all of them.
    sa.UniqueConstraint("phone", "campaign_id"),
    sa.CheckConstraint(one_of("state", LeadState), name="state"),
    sa.CheckConstraint(
        "(state = 'held') = (hold_code IS NOT NULL AND hold_remedy IS NOT NULL)", name="held_has_code"
    ),
    sa.CheckConstraint(IS_E164, name="phone_e164"),
    sa.CheckConstraint(f"outcome IS NULL OR outcome IN ({listed(Outcome)})", name="outcome"),
    # A claim is one LIMIT probe per segment into this index alone, flat in the size of the list.
    sa.Index(
        "ix_leads_due",
        "campaign_id",
        "zones",
        "jurisdictions",
        "priority",
        "next_attempt_at",
        # Of those that are equally old the first of the file.
        "line",
        # SQLite answers from a partial index alone only if that holds the columns of its own condition too.
        "state",
        sqlite_where=sa.text("state = 'pending'"),
    ),
    # Of the states only those that somebody asks for while a campaign runs: every index is paid for by every import.
    sa.Index("ix_leads_campaign", "campaign_id"),
    sa.Index("ix_leads_in_flight", "campaign_id", "state", sqlite_where=sa.text("state = 'in_flight'")),
    sa.Index(
        # With the state, which is the same in all of it: otherwise SQLite reads the rows as well.
        "ix_leads_held",
        "campaign_id",
        "state",
        "hold_code",
        "hold_remedy",
        sqlite_where=sa.text("state = 'held'"),
    ),
)


def in_state(state: LeadState) -> sa.ColumnElement[bool]:
    """The lead is in that state. As SQL that says so, not as a parameter: a partial index is used only then."""
    return leads.c.state == sa.literal_column(f"'{state}'")


#: Which zones, jurisdictions and priorities a campaign's leads have: the probes of a claim, without reading the leads.
segments = sa.Table(
    "segments",
    metadata,
    sa.Column("campaign_id", sa.Text, sa.ForeignKey("campaigns.id"), primary_key=True),
    sa.Column("zones", sa.Text, primary_key=True),
    sa.Column("jurisdictions", sa.Text, primary_key=True),
    sa.Column("priority", sa.Integer, primary_key=True),
)

#: How many leads of a campaign, by their zones, each of its agents was given. split: the weights they were dealt by.
agent_shares = sa.Table(
    "agent_shares",
    metadata,
    sa.Column("campaign_id", sa.Text, sa.ForeignKey("campaigns.id"), primary_key=True),
    sa.Column("split", sa.Text, primary_key=True),
    sa.Column("zones", sa.Text, primary_key=True),
    sa.Column("agent_id", sa.Text, primary_key=True),
    sa.Column("leads", sa.BigInteger, nullable=False),
)


def rows_of(table: sa.FromClause) -> sa.ScalarSelect[bytes]:
    """The block of the file's rows that has the row of a lead."""
    return (
        sa.select(file_rows.c.rows)
        .where(file_rows.c.file_id == table.c.file_id, file_rows.c.first_line <= table.c.line)
        .order_by(file_rows.c.first_line.desc())
        .limit(1)
        .scalar_subquery()
    )
