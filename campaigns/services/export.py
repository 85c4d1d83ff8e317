"""The results file: the file's own columns, then what became of each lead. Safe to open in a spreadsheet."""

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

RESULT_COLUMNS = (
    "lead_state",
    "attempts",
    "outcome",
    "last_attempt_at",
    "call_id",
    "disconnection_reason",
    "duration_seconds",
    "cost_cents",
    "sentiment",
    "summary",
    "recording_url",
    "transcript",
)


def export_results(store: Store, campaign: Campaign, path: Path) -> int:
    """Write one row per lead, in file order; returns how many. The file appears whole, or not at all."""
    fields = store.reports.analysis_fields(campaign.id)
    files = store.imports.files(campaign.id)
    header: list[str] = []
    for file in files:
        header.extend(name for name in file.header if name not in header)
    own = {file.id: file.header for file in files}
    count = 0
    with whole_file(path) as handle:
        writer = csv.writer(handle)
        columns = [*header, *RESULT_COLUMNS, *(f"analysis.{name}" for name in fields)]
        writer.writerow([spreadsheet_safe(name) for name in columns])
        for lead in store.reports.leads(campaign.id):
            cells = dict(zip(own[lead["file_id"]], lead["cells"], strict=False))
            row = [*(cells.get(name, "") for name in header), *_result(lead)]
            row.extend(_text(lead["last_analysis"].get(name)) for name in fields)
            writer.writerow([spreadsheet_safe(cell) for cell in row])
            count += 1
    return count


def _result(lead: dict[str, Any]) -> Iterator[str]:
    duration, last = lead["last_duration_ms"], lead["last_attempt_at"]
    yield lead["state"]
    yield str(lead["attempts"])
    yield _text(lead["outcome"])
    yield "" if last is None else iso(from_ms(last))
    yield _text(lead["last_call_id"])
    yield _text(lead["last_disconnection_reason"])
    yield "" if duration is None else f"{duration / 1000:g}"
    yield "" if lead["last_cost_cents"] is None else f"{lead['last_cost_cents']:g}"
    yield _text(lead["last_sentiment"])
    yield _text(lead["last_summary"])
    yield _text(lead["last_recording_url"])
    yield _text(lead["last_transcript"])


def _text(value: object) -> str:
    """A cell: strings as they are, nothing as an empty one, everything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
