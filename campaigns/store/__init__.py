"""The system of record, and the only place that speaks SQL: SQLite or PostgreSQL behind one `Store`."""

from __future__ import annotations

from campaigns.store.attempt_rows import AttemptRows
from campaigns.store.batch_reads import Batch, Load, Task
from campaigns.store.batch_rows import BatchRows
from campaigns.store.campaign_rows import CampaignRows
from campaigns.store.claim_rows import Claimed, ClaimPlan, ClaimRows, Gate
from campaigns.store.database import Database, StoreError, Unavailable
from campaigns.store.evidence_rows import EvidenceRows, RecordedBlackout
from campaigns.store.halt_rows import HaltRows, LeftAtRetell, Unwanted
from campaigns.store.import_rows import ImportedFile, ImportRows, ImportWriter, Reject
from campaigns.store.import_sinks import PlainLeads
from campaigns.store.job_rows import JobRows
from campaigns.store.listing_rows import ATTEMPT_ORDERS, LEAD_ORDERS, ListingRows, LiveCall, Page
from campaigns.store.number_rows import KnownNumber, NumberRows, as_known
from campaigns.store.recovery_rows import AuditedAttempt, BookedAttempt, RecoveryRows
from campaigns.store.removal_rows import Remains, RemovalRows
from campaigns.store.report_rows import CALL_COLUMNS, ReportRows, Waiting
from campaigns.store.result_rows import ResultRows
from campaigns.store.return_rows import ReturnRows
from campaigns.store.staging import Busy
from campaigns.store.suppression_rows import Suppression, SuppressionEvent, SuppressionRows
from campaigns.store.tally_rows import Tally, TallyRows
from campaigns.store.workspace_rows import Account, WorkspaceRows


class Store:
    """One database. Thread-safe. `Store.open` brings the schema up to date first."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.campaigns = CampaignRows(database)
        self.suppressions = SuppressionRows(database)
        self.imports = ImportRows(database, self.suppressions)
        self.returns = ReturnRows(database)
        self.claims = ClaimRows(database)
        self.attempts = AttemptRows(database)
        self.results = ResultRows(database)
        self.recovery = RecoveryRows(database)
        self.batches = BatchRows(database)
        self.halts = HaltRows(database)
        self.workspaces = WorkspaceRows(database)
        self.numbers = NumberRows(database)
        self.reports = ReportRows(database)
        self.tallies = TallyRows(database)
        self.jobs = JobRows(database)
        self.evidence = EvidenceRows(database)
        self.listings = ListingRows(database)
        self.removals = RemovalRows(database)

    @classmethod
    def open(cls, url: str) -> Store:
        """Connect and migrate. Raises StoreError when the database is of a newer version."""
        database = Database(url)
        try:
            database.migrate()
        except BaseException:
            database.close()
            raise
        return cls(database)

    def own_lines(self, workspace: str) -> int:
        """Lines that our attempts may be using at this moment, those of batches included."""
        return len(self.attempts.holding_ids(workspace)) + self.batches.load(workspace).unseen

    def close(self) -> None:
        self.database.close()


__all__ = [
    "ATTEMPT_ORDERS",
    "CALL_COLUMNS",
    "LEAD_ORDERS",
    "Account",
    "AuditedAttempt",
    "Batch",
    "BookedAttempt",
    "Busy",
    "ClaimPlan",
    "Claimed",
    "Gate",
    "ImportWriter",
    "ImportedFile",
    "KnownNumber",
    "LeftAtRetell",
    "LiveCall",
    "Load",
    "Page",
    "PlainLeads",
    "RecordedBlackout",
    "Reject",
    "Remains",
    "Store",
    "StoreError",
    "Suppression",
    "SuppressionEvent",
    "Tally",
    "Task",
    "Unavailable",
    "Unwanted",
    "Waiting",
    "as_known",
]
