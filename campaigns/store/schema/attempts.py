"""Attempts, the batches that some of them were sent in, and which of them are open."""

from __future__ import annotations

import sqlalchemy as sa

from campaigns.domain.batching import OPEN_BATCH, BatchState
from campaigns.domain.outcomes import Outcome
from campaigns.domain.states import (
    OPEN_ATTEMPT,
    SLOT_HOLDING,
    WITH_CALL,
    AttemptState,
)
from campaigns.store.schema.base import E164, listed, metadata, ms

_OPEN = sa.text(f"state IN ({listed(OPEN_ATTEMPT)})")

#: Of attempts: the call was answered, and settled before its analysis came.
UNANALYSED = sa.text("state = 'settled' AND analysis IS NULL AND duration_ms > 0")

_BATCHED = sa.text("batch_id IS NOT NULL")

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), nullable=False),
    sa.Column("campaign_id", sa.Text, sa.ForeignKey("campaigns.id"), nullable=False),
    sa.Column("lead_id", sa.BigInteger, sa.ForeignKey("leads.id"), nullable=False),
    sa.Column("phone", E164, nullable=False),
    sa.Column("from_number", sa.Text, nullable=False),
    sa.Column("agent_id", sa.Text, nullable=False),
    sa.Column("agent_version", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("charged", sa.Boolean, nullable=False),
    # Stale claim, dial lease, next search, or the settling turn, by state.
    ms("lease_until_real"),
    ms("dialing_real"),
    # The first POST of this attempt, and how many there were: a second one only with proof that nobody rang.
    ms("first_sent_real"),
    sa.Column("sends", sa.Integer, nullable=False, server_default="0"),
    sa.Column("searches", sa.Integer, nullable=False, server_default="0"),
    ms("claimed_at", nullable=False),
    ms("dialing_at"),
    ms("placed_at"),
    ms("ended_at"),
    ms("settled_at"),
    sa.Column("call_id", sa.Text),
    # Why it was not placed, why it is ambiguous or unresolved; `refusal_status` is the HTTP status, 0 = not sent.
    sa.Column("refusal", sa.Text),
    sa.Column("refusal_status", sa.Integer),
    sa.Column("outcome", sa.Text),
    sa.Column("disconnection_reason", sa.Text),
    sa.Column("in_voicemail", sa.Boolean),
    sa.Column("duration_ms", sa.BigInteger),
    sa.Column("cost_cents", sa.Float),
    # Of the analysis: whether the agent did what it was to do; null without an analysis.
    sa.Column("successful", sa.Boolean),
    sa.Column("sentiment", sa.Text),
    sa.Column("summary", sa.Text),
    sa.Column("recording_url", sa.Text),
    sa.Column("transcript", sa.Text),
    sa.Column("analysis", sa.Text),
    # In batch mode, from the claim on: the batch in which Retell dials it. stopped_at: its call was hung up by us.
    # hang_up_at: an operator asked for that, whether it was a call by then or becomes one.
    sa.Column("batch_id", sa.Text),
    ms("stopped_at"),
    ms("hang_up_at"),
    sa.CheckConstraint(f"state IN ({listed(AttemptState)})", name="state"),
    sa.CheckConstraint(f"state NOT IN ({listed(WITH_CALL)}) OR call_id IS NOT NULL", name="placed_has_call"),
    sa.CheckConstraint("(state = 'settled') = (outcome IS NOT NULL)", name="settled_has_outcome"),
    sa.CheckConstraint(f"outcome IS NULL OR outcome IN ({listed(Outcome)})", name="outcome"),
    sa.CheckConstraint("state <> 'not_placed' OR refusal IS NOT NULL", name="not_placed_has_refusal"),
    sa.CheckConstraint("state <> 'not_placed' OR NOT charged", name="not_placed_is_free"),
    sa.CheckConstraint(
        "state IN ('claimed', 'not_placed') OR dialing_at IS NOT NULL", name="dialing_has_time"
    ),
    sa.Index("uq_attempts_open_lead", "lead_id", unique=True, sqlite_where=_OPEN),
    sa.Index(
        "uq_attempts_open_phone",
        "workspace",
        "phone",
        unique=True,
        sqlite_where=_OPEN,
    ),
    sa.Index("uq_attempts_call", "call_id", unique=True),
    sa.Index("ix_attempts_open", "workspace", "state", sqlite_where=_OPEN),
    sa.Index("ix_attempts_campaign", "campaign_id", "state"),
    sa.Index("ix_attempts_lead", "lead_id"),
    # Rolling caps: attempts on a number over all campaigns.
    sa.Index("ix_attempts_phone", "workspace", "phone", "dialing_at"),
    sa.Index("ix_attempts_batch", "batch_id", "state", sqlite_where=_BATCHED),
    # The cap of a from-number, and which one was used least recently.
    sa.Index("ix_attempts_from", "workspace", "from_number", "claimed_at"),
    # Settled without the analysis of a conversation, which may still bring a do-not-call request.
    sa.Index(
        "ix_attempts_unanalysed",
        "workspace",
        "settled_at",
        sqlite_where=UNANALYSED,
    ),
    # The last dials of a campaign, for pausing on refusals.
    sa.Index("ix_attempts_recent", "campaign_id", "claimed_at"),
)

_BATCH_OPEN = sa.text(f"state IN ({listed(OPEN_BATCH)})")

#: What Retell's own dialer was given, or is about to be. lines: that all batches of the account may use together while
#: its tasks wait. size: tasks sent; taken: those that Retell counted. zone, day, windows: its `call_time_window`, as
#: minutes; stretches: the same as business instants, JSON. searches: those since its end that found nothing.
#: left_over: tasks that went back to the pacer, of which Retell may still make calls a week later: from reopens_at on.
batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), nullable=False),
    sa.Column("campaign_id", sa.Text, sa.ForeignKey("campaigns.id"), nullable=False),
    sa.Column("from_number", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("size", sa.Integer, nullable=False, server_default="0"),
    sa.Column("taken", sa.Integer),
    sa.Column("batch_call_id", sa.Text),
    sa.Column("zone", sa.Text, nullable=False),
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("windows", sa.Text, nullable=False, server_default="[]"),
    sa.Column("stretches", sa.Text, nullable=False, server_default="[]"),
    sa.Column("reserved", sa.Integer),
    ms("claimed_at", nullable=False),
    ms("sent_at"),
    ms("begins_at"),
    ms("ends_at"),
    ms("sent_real"),
    # Until when its sender may be on its way; then when it is looked at next.
    ms("lease_until_real"),
    sa.Column("searches", sa.Integer, nullable=False, server_default="0"),
    sa.Column("left_over", sa.Integer, nullable=False, server_default="0"),
    ms("reopens_at"),
    sa.Column("refusal", sa.Text),
    sa.Column("refusal_status", sa.Integer),
    sa.CheckConstraint(f"state IN ({listed(BatchState)})", name="state"),
    sa.CheckConstraint("state <> 'sent' OR batch_call_id IS NOT NULL", name="sent_has_id"),
    sa.CheckConstraint(
        "state IN ('claimed', 'not_sent') OR (sent_at IS NOT NULL AND ends_at IS NOT NULL AND size > 0)",
        name="sending_has_window",
    ),
    sa.CheckConstraint("state <> 'not_sent' OR refusal IS NOT NULL", name="not_sent_has_refusal"),
    sa.Index("uq_batches_call", "batch_call_id", unique=True),
    sa.Index("ix_batches_open", "workspace", "state", sqlite_where=_BATCH_OPEN),
    sa.Index("ix_batches_campaign", "campaign_id", "claimed_at"),
)

HOLDING_STATES = sorted(SLOT_HOLDING)

OPEN_STATES = sorted(OPEN_ATTEMPT)


def is_open(table: sa.FromClause = attempts) -> sa.ColumnElement[bool]:
    """The attempt is open: word for word the condition of the partial indexes, without bound values.

    SQLite uses a partial index only for a query that repeats its condition; with it the work is bounded by the open
    attempts, without it by all that ever were.
    """
    return table.c.state.in_([sa.literal_column(f"'{state}'") for state in OPEN_STATES])
