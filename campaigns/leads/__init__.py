"""CSV -> accepted lead rows and rejected rows. Pure: no database, no network.

file = open_lead_file(Path("leads.csv"), ReadOptions(timezone="America/Chicago"))
seen = SeenPhones()
for row in file.rows():
    if isinstance(row, LeadRow) and (first := seen.duplicate_of(row.phone, row.line)):
        row = file.reject(row, RowCode.DUPLICATE_IN_FILE, first)
"""

from campaigns.leads.phones import Phone, PhoneProblem, is_region, normalise_phone
from campaigns.leads.reader import LeadFile, open_lead_file
from campaigns.leads.rejects import spreadsheet_safe, write_rejects
from campaigns.leads.rows import (
    Held,
    LeadFileError,
    LeadRow,
    ReadOptions,
    RejectedRow,
    RowCode,
    SeenPhones,
)
from campaigns.leads.zones import zone_named, zones_of

__all__ = [
    "Held",
    "LeadFile",
    "LeadFileError",
    "LeadRow",
    "Phone",
    "PhoneProblem",
    "ReadOptions",
    "RejectedRow",
    "RowCode",
    "SeenPhones",
    "is_region",
    "normalise_phone",
    "open_lead_file",
    "spreadsheet_safe",
    "write_rejects",
    "zone_named",
    "zones_of",
]
