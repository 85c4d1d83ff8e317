"""Accounts of Retell and their numbers, and the campaigns that call for them."""

from __future__ import annotations

import sqlalchemy as sa

from campaigns.domain.states import (
    FINAL_CAMPAIGN,
    CampaignState,
)
from campaigns.store.schema.base import listed, metadata, ms

#: One Retell account as this installation sees it: its limit, its poll turn. Its row is the account-level lock.
workspaces = sa.Table(
    "workspaces",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("line_limit", sa.Integer),
    sa.Column("reserved_inbound", sa.Integer, nullable=False, server_default="0"),
    # Where bursts are on: the lines that Retell's own dialer would use as well, beyond the limit.
    sa.Column("burst_limit", sa.Integer, nullable=False, server_default="0"),
    # Lines that the operator keeps free for other than campaigns.
    sa.Column(
        "reserve",
        sa.Integer,
        sa.CheckConstraint("reserve >= 0", name="reserve_not_negative"),
        nullable=False,
        server_default="0",
    ),
    sa.Column("foreign_seen", sa.Text, nullable=False, server_default="[]"),
    ms("observed_real"),
    sa.Column("trouble", sa.Text),
    sa.Column("shrunk_to", sa.Integer),
    ms("shrunk_until_real"),
    ms("next_poll_real"),
    sa.Column("poll_credit", sa.Float, nullable=False, server_default="0"),
    # The virtual clock of a simulated run in progress, as `domain.clock.parse_clock` reads it.
    sa.Column("clock", sa.Text),
    # What each campaign was lately above its fair share of the lines; see `domain.pacing.Shares`.
    sa.Column("shares", sa.Text, nullable=False, server_default="{}"),
    # When the account's numbers were last asked for (real time), whatever came of it.
    ms("numbers_real"),
)

#: The account's phone numbers as Retell last listed them, and why one is not called from for now. A number that is not
#: in the table may be called from. type: Retell's `phone_number_type`. listed: whether the list of `read_real` had it.
#: refused_at: a dial from it was refused while the list did not have it.
from_numbers = sa.Table(
    "from_numbers",
    metadata,
    sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), primary_key=True),
    sa.Column("number", sa.Text, primary_key=True),
    sa.Column("type", sa.Text),
    sa.Column("listed", sa.Boolean),
    ms("read_real"),
    ms("resting_until"),
    sa.Column("rest_reason", sa.Text),
    ms("refused_at"),
    sa.CheckConstraint("(resting_until IS NULL) = (rest_reason IS NULL)", name="rest_has_reason"),
)

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    # Set by the breaker: when the campaign tries again by itself, and how often it has paused in a row.
    ms("resume_at"),
    sa.Column("trips", sa.Integer, nullable=False, server_default="0"),
    sa.Column("options", sa.Text, nullable=False),
    ms("created_at", nullable=False),
    ms("launched_at"),
    ms("running_since"),
    ms("finished_at"),
    # Out of sight for `status`, with everything kept.
    ms("archived_at"),
    # Of the options, as instants.
    ms("start_at"),
    ms("end_at"),
    sa.CheckConstraint(f"state IN ({listed(CampaignState)})", name="state"),
    sa.CheckConstraint("state <> 'paused' OR reason IS NOT NULL", name="paused_has_reason"),
    sa.CheckConstraint("resume_at IS NULL OR state = 'paused'", name="only_paused_resume"),
    sa.CheckConstraint(
        f"(finished_at IS NOT NULL) = (state IN ({listed(FINAL_CAMPAIGN)}))", name="finished_or_not"
    ),
    sa.Index("ix_campaigns_running", "workspace", "state"),
)
