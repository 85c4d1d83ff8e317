"""The evidence of a campaign's dials as a file: CSV for people, JSON lines for programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from campaigns.domain.clock import from_ms
from campaigns.domain.entities import Campaign
from campaigns.leads import spreadsheet_safe
from campaigns.services.report import iso
from campaigns.store import Store
from campaigns.whole_file import whole_file

COLUMNS = (
    "attempt", "send", "campaign", "lead", "external_id", "to_number", "from_number", "agent", "dialed_at_utc",
    "local_times", "zones", "zone_source", "jurisdictions", "profile", "rules_version", "tzdata_version",
    "window_until_utc", "caps", "dnc_checked_at_utc", "on_dnc_list", "consent", "attempt_state", "call_id", "outcome",
    "disconnection_reason", "duration_seconds",
)  # fmt: skip


def export_evidence(store: Store, campaign: Campaign, path: Path) -> int:
    """Write one row per dial, JSON lines where the name ends in .jsonl, CSV otherwise; returns how many.

    The file appears whole, or not at all. Instants are ISO 8601 in UTC; `local_times` gives the wall time in every zone
    the callee may have been in, `caps` what was used of each before the dial.
    """
    count = 0
    with whole_file(path) as handle:
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            for row in _rows(store, campaign):
                handle.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        else:
            writer = csv.writer(handle)
            writer.writerow(COLUMNS)
            for row in _rows(store, campaign):
                writer.writerow([spreadsheet_safe(_cell(row[name])) for name in COLUMNS])
                count += 1
    return count


def _rows(store: Store, campaign: Campaign) -> Iterator[dict[str, Any]]:
    for row in store.evidence.of_campaign(campaign.id):
        duration = row["duration_ms"]
        yield {
            "attempt": row["attempt_id"],
            "send": row["send"],
            "campaign": row["campaign"],
            "lead": row["lead_id"],
            "external_id": row["external_id"],
            "to_number": row["phone"],
            "from_number": row["from_number"],
            "agent": row["agent_id"],
            "dialed_at_utc": iso(from_ms(row["at"])),
            "local_times": row["local_times"],
            "zones": list(filter(None, row["zones"].split("|"))),
            "zone_source": row["zone_source"],
            "jurisdictions": list(filter(None, row["jurisdictions"].split("|"))),
            "profile": row["profile"],
            "rules_version": row["rules_version"],
            "tzdata_version": row["tzdata_version"],
            "window_until_utc": iso(from_ms(row["window_until"])),
            "caps": row["caps"],
            "dnc_checked_at_utc": iso(from_ms(row["dnc_checked_at"])),
            "on_dnc_list": False,
            "consent": row["consent"],
            "attempt_state": row["state"],
            "call_id": row["call_id"],
            "outcome": row["outcome"],
            "disconnection_reason": row["disconnection_reason"],
            "duration_seconds": None if duration is None else duration / 1000,
        }


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return "; ".join(f"{key} {one}" for key, one in value.items())
    if isinstance(value, list):
        if value and isinstance(value[0], dict):
            return "; ".join(f"{cap['used']} of {cap['calls']} in {cap['hours']} h" for cap in value)
        return ", ".join(map(str, value))
    return str(value)
