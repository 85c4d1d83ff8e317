"""Tables and the invariants that the database itself holds.

Units: every `*_at` column is business time, `*_real` is real time; both are milliseconds since the Unix epoch.
JSON is kept as text. CHECK constraints and partial indexes are built from `campaigns.domain.states`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from campaigns.domain.batching import OPEN_BATCH, BatchState
from campaigns.domain.jobs import OPEN_RUN, Cause, JobState, Misfire, Overlap, RunState
from campaigns.domain.outcomes import Outcome
from campaigns.domain.states import (
    FINAL_CAMPAIGN,
    OPEN_ATTEMPT,
    SLOT_HOLDING,
    WITH_CALL,
    AttemptState,
    CampaignState,
    LeadState,
)

#: The migration that this code works with; `Store.open` migrates older databases and refuses newer ones.
HEAD_REVISION = "0010"

metadata = sa.MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


@sa.event.listens_for(metadata, "before_create")
def _partial_on_postgresql_too(_: sa.MetaData, connection: sa.Connection, **__: Any) -> None:
    """The condition of a partial index is said once, for SQLite: naming PostgreSQL's would import its dialect."""
    if connection.dialect.name == "postgresql":
        for index in (index for table in metadata.tables.values() for index in table.indexes):
            index.dialect_kwargs["postgresql_where"] = index.dialect_options["sqlite"]["where"]


def listed(values: Iterable[StrEnum]) -> str:
    """SQL list of state names, in a stable order: `'claimed', 'dialing'`."""
    return ", ".join(f"'{value}'" for value in sorted(values))


def one_of(column: str, values: Iterable[StrEnum]) -> str:
    """The same as `column IN (...)`. SQLite builds a table for a long list again for every row that is inserted."""
    return " OR ".join(f"{column} = '{value}'" for value in values)


class E164(sa.TypeDecorator[str]):
    """A phone number: `+12125550123` in Python, 12125550123 in the database, where indexes of it stay small."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        # SQLite keeps a table sorted by its key, without another index, only if that is INTEGER.
        return dialect.type_descriptor(sa.Integer() if dialect.name == "sqlite" else sa.BigInteger())

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else f"+{value}"


_IS_E164 = "phone BETWEEN 100 AND 999999999999999"


def _ms(name: str, nullable: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


# SQLite numbers rows by itself only for INTEGER keys; PostgreSQL should count in 64 bits.
_ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

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
    _ms("observed_real"),
    sa.Column("trouble", sa.Text),
    sa.Column("shrunk_to", sa.Integer),
    _ms("shrunk_until_real"),
    _ms("next_poll_real"),
    sa.Column("poll_credit", sa.Float, nullable=False, server_default="0"),
    # The virtual clock of a simulated run in progress, as `domain.clock.parse_clock` reads it.
    sa.Column("clock", sa.Text),
    # What each campaign was lately above its fair share of the lines; see `domain.pacing.Shares`.
    sa.Column("shares", sa.Text, nullable=False, server_default="{}"),
    # When the account's numbers were last asked for (real time), whatever came of it.
    _ms("numbers_real"),
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
    _ms("read_real"),
    _ms("resting_until"),
    sa.Column("rest_reason", sa.Text),
    _ms("refused_at"),
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
    _ms("resume_at"),
    sa.Column("trips", sa.Integer, nullable=False, server_default="0"),
    sa.Column("options", sa.Text, nullable=False),
    _ms("created_at", nullable=False),
    _ms("launched_at"),
    _ms("running_since"),
    _ms("finished_at"),
    # Out of sight for `status`, with everything kept.
    _ms("archived_at"),
    # Of the options, as instants.
    _ms("start_at"),
    _ms("end_at"),
    sa.CheckConstraint(f"state IN ({listed(CampaignState)})", name="state"),
    sa.CheckConstraint("state <> 'paused' OR reason IS NOT NULL", name="paused_has_reason"),
    sa.CheckConstraint("resume_at IS NULL OR state = 'paused'", name="only_paused_resume"),
    sa.CheckConstraint(
        f"(finished_at IS NOT NULL) = (state IN ({listed(FINAL_CAMPAIGN)}))", name="finished_or_not"
    ),
    sa.Index("ix_campaigns_running", "workspace", "state"),
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("id", _ROW_ID, primary_key=True),
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
    _ms("imported_at", nullable=False),
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
    sa.Column("id", _ROW_ID, primary_key=True),
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
    sa.Column("id", _ROW_ID, primary_key=True),
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
    _ms("next_attempt_at", nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("outcome", sa.Text),
    _ms("last_attempt_at"),
    # Whether somebody was ever spoken to, and whether the agent judged one of the calls a success.
    sa.Column("contacted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("succeeded", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("hold_code", sa.Text),
    sa.Column("hold_remedy", sa.Text),
    # Since when the retry policy's budget counts, where an operator started a further pass.
    _ms("recycled_at"),
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
    sa.CheckConstraint(_IS_E164, name="phone_e164"),
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
    _ms("lease_until_real"),
    _ms("dialing_real"),
    # The first POST of this attempt, and how many there were: a second one only with proof that nobody rang.
    _ms("first_sent_real"),
    sa.Column("sends", sa.Integer, nullable=False, server_default="0"),
    sa.Column("searches", sa.Integer, nullable=False, server_default="0"),
    _ms("claimed_at", nullable=False),
    _ms("dialing_at"),
    _ms("placed_at"),
    _ms("ended_at"),
    _ms("settled_at"),
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
    _ms("stopped_at"),
    _ms("hang_up_at"),
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
    _ms("claimed_at", nullable=False),
    _ms("sent_at"),
    _ms("begins_at"),
    _ms("ends_at"),
    _ms("sent_real"),
    # Until when its sender may be on its way; then when it is looked at next.
    _ms("lease_until_real"),
    sa.Column("searches", sa.Integer, nullable=False, server_default="0"),
    sa.Column("left_over", sa.Integer, nullable=False, server_default="0"),
    _ms("reopens_at"),
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

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _ROW_ID, primary_key=True),
    _ms("at", nullable=False),
    _ms("at_real", nullable=False),
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
    _ms("added_at", nullable=False),
    # NULL = for good.
    _ms("expires_at"),
    sa.CheckConstraint(_IS_E164, name="phone_e164"),
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
    sa.Column("id", _ROW_ID, primary_key=True),
    _ms("at", nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("phone", E164),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by_whom", sa.Text, nullable=False),
    # Of a whole list: its name, its digest, how many numbers it had, the day its data is of.
    sa.Column("file", sa.Text),
    sa.Column("sha256", sa.Text),
    sa.Column("numbers", sa.BigInteger, nullable=False, server_default="1"),
    _ms("data_of"),
    sa.CheckConstraint("action IN ('added', 'expired', 'imported', 'removed')", name="action"),
    sa.Index("ix_suppression_log_phone", "phone"),
)

#: Dates on which an operator wants nobody called in a place. Lifting one keeps its row.
blackouts = sa.Table(
    "blackouts",
    metadata,
    sa.Column("id", _ROW_ID, primary_key=True),
    sa.Column("jurisdiction", sa.Text, nullable=False),
    sa.Column("first_day", sa.Text, nullable=False),
    sa.Column("last_day", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("added_by", sa.Text, nullable=False),
    _ms("added_at", nullable=False),
    sa.Column("lifted_by", sa.Text),
    _ms("lifted_at"),
    sa.CheckConstraint("first_day <= last_day", name="days_in_order"),
    sa.CheckConstraint("(lifted_by IS NULL) = (lifted_at IS NULL)", name="lifted_or_not"),
)

#: One row per POST that may have rung somebody: what was known when it was sent. Rows are added, never changed.
evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("id", _ROW_ID, primary_key=True),
    sa.Column("attempt_id", sa.Text, sa.ForeignKey("attempts.id"), nullable=False),
    sa.Column("send", sa.Integer, nullable=False),
    sa.Column("campaign_id", sa.Text, nullable=False),
    sa.Column("phone", E164, nullable=False),
    sa.Column("from_number", sa.Text, nullable=False),
    _ms("at", nullable=False),
    sa.Column("local_times", sa.Text, nullable=False),
    sa.Column("zones", sa.Text, nullable=False),
    sa.Column("zone_source", sa.Text, nullable=False),
    sa.Column("jurisdictions", sa.Text, nullable=False),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("rules_version", sa.Text, nullable=False),
    sa.Column("tzdata_version", sa.Text, nullable=False),
    _ms("window_until", nullable=False),
    sa.Column("caps", sa.Text, nullable=False),
    _ms("dnc_checked_at", nullable=False),
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

#: A schedule: when files of `source` are imported and launched. config, source: absolute paths. append_to: name of the
#: standing campaign, empty = a new one at each run.
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("cron", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("append_to", sa.Text, nullable=False),
    sa.Column("misfire", sa.Text, nullable=False),
    sa.Column("overlap", sa.Text, nullable=False),
    _ms("next_at"),
    _ms("created_at", nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.CheckConstraint(f"state IN ({listed(JobState)})", name="state"),
    sa.CheckConstraint(f"misfire IN ({listed(Misfire)})", name="misfire"),
    sa.CheckConstraint(f"overlap IN ({listed(Overlap)})", name="overlap"),
    sa.CheckConstraint("(state = 'active') = (next_at IS NOT NULL)", name="active_has_next"),
    sa.Index("ix_jobs_due", "workspace", "next_at"),
)

_RUN_OPEN = sa.text(f"state IN ({listed(OPEN_RUN)})")

#: One time of a job, written in the transaction that moves the job to its next time. campaign: its name, once chosen.
#: result: JSON of what was imported. message: why it failed, was skipped, or waits.
job_runs = sa.Table(
    "job_runs",
    metadata,
    sa.Column("id", _ROW_ID, primary_key=True),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("workspace", sa.Text, nullable=False),
    _ms("due_at", nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("campaign", sa.Text, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    _ms("created_at", nullable=False),
    _ms("started_at"),
    _ms("finished_at"),
    _ms("lease_until_real"),
    # No time of a job makes two runs, whoever ticks.
    sa.UniqueConstraint("job_id", "due_at"),
    sa.CheckConstraint(f"cause IN ({listed(Cause)})", name="cause"),
    sa.CheckConstraint(f"state IN ({listed(RunState)})", name="state"),
    sa.CheckConstraint(
        f"(state IN ({listed(set(RunState) - OPEN_RUN)})) = (finished_at IS NOT NULL)", name="finished_or_not"
    ),
    sa.CheckConstraint("(state = 'running') = (lease_until_real IS NOT NULL)", name="running_has_lease"),
    sa.Index("ix_job_runs_open", "workspace", "state", sqlite_where=_RUN_OPEN),
)

HOLDING_STATES = sorted(SLOT_HOLDING)
OPEN_STATES = sorted(OPEN_ATTEMPT)


def rows_of(table: sa.FromClause) -> sa.ScalarSelect[bytes]:
    """The block of the file's rows that has the row of a lead."""
    return (
        sa.select(file_rows.c.rows)
        .where(file_rows.c.file_id == table.c.file_id, file_rows.c.first_line <= table.c.line)
        .order_by(file_rows.c.first_line.desc())
        .limit(1)
        .scalar_subquery()
    )


def is_open(table: sa.FromClause = attempts) -> sa.ColumnElement[bool]:
    """The attempt is open: word for word the condition of the partial indexes, without bound values.

    SQLite uses a partial index only for a query that repeats its condition; with it the work is bounded by the open
    attempts, without it by all that ever were.
    """
    return table.c.state.in_([sa.literal_column(f"'{state}'") for state in OPEN_STATES])
