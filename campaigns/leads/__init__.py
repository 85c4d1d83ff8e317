"""CSV -> accepted lead rows and rejected rows. Pure: no database, no network.

file = open_lead_file(Path("leads.csv"), ReadOptions(timezone="America/Chicago"))
for row in file.rows():
    ...  # a LeadRow, or a RejectedRow; file.batches() gives the same rows many at once
"""

from campaigns.leads.batches import LeadBatch
from campaigns.leads.phones import Phone, PhoneProblem, countries_of, is_region, normalise_phone
from campaigns.leads.reader import LeadFile, open_lead_file
from campaigns.leads.rejects import rejects_file, spreadsheet_safe, write_rejects
from campaigns.leads.rows import (
    Held,
    LeadFileError,
    LeadRow,
    ReadOptions,
    RejectedRow,
    RowCode,
    SeenPhones,
)
from campaigns.leads.uploads import plain_file
from campaigns.leads.zones import Place, place_of, zone_named

__all__ = [
    "Held",
    "LeadBatch",
    "LeadFile",
    "LeadFileError",
    "LeadRow",
    "Phone",
    "PhoneProblem",
    "Place",
    "ReadOptions",
    "RejectedRow",
    "RowCode",
    "SeenPhones",
    "countries_of",
    "is_region",
    "normalise_phone",
    "open_lead_file",
    "place_of",
    "plain_file",
    "rejects_file",
    "spreadsheet_safe",
    "write_rejects",
    "zone_named",
]
