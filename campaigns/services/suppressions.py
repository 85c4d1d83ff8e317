"""Do-not-call lists: read from files of millions, changed by hand, looked up. An entry is never weakened by a list."""

from __future__ import annotations

import csv
import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from campaigns.domain.errors import UsageError
from campaigns.leads import (
    PhoneProblem,
    ReadOptions,
    RejectedRow,
    RowCode,
    normalise_phone,
    open_lead_file,
    plain_file,
    spreadsheet_safe,
)
from campaigns.services.report import iso
from campaigns.store import Store, Suppression, SuppressionEvent
from campaigns.whole_file import whole_file

#: The source of the national list, and how old its data may be (16 CFR 310.4(b)(3)(iv)).
FEDERAL = "federal"
FRESH = timedelta(days=31)
#: Numbers of one short transaction.
_TURN = 10_000
# How the national list is given out: area code, seven digits.
_SPLIT_NUMBER = re.compile(r"[2-9]\d\d[,\t;]\d{7}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListSummary:
    """rows = new + known + repeated + rejected. known: listed before, from whatever source."""

    file: str
    rows: int
    new: int
    known: int
    repeated: int
    rejected: int
    warnings: tuple[str, ...]

    def document(self) -> dict[str, object]:
        return {
            "rows": self.rows,
            "new": self.new,
            "known": self.known,
            "repeated": self.repeated,
            "rejected": self.rejected,
        }


def import_list(
    store: Store,
    path: Path,
    now: datetime,
    by: str,
    *,
    source: str,
    reason: str,
    data_of: datetime | None = None,
    expires_at: datetime | None = None,
    region: str = "US",
    mapping: Mapping[str, str] | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> ListSummary:
    """Put every number of a file on the list; queued leads of theirs end as suppressed.

    The same file may be read again, and a stop in the middle leaves what was read so far listed. A row without a number
    that exists is counted as rejected. Raises LeadFileError for a file that cannot be used.
    """
    import numpy as np

    rows = rejected = new = known = repeated = 0
    with plain_file(path) as (plain, original, notes), _joined(plain) as readable:
        file = open_lead_file(readable, ReadOptions(region=region, mapping=dict(mapping or {})))
        digest = _sha256(original)
        for batch in file.batches():
            numbers = [batch.phones[batch.phones > 0]]
            abroad = [
                number
                for row in batch.odd.values()
                if isinstance(row, RejectedRow) and (number := _listable(row)) is not None
            ]
            numbers.append(np.array(abroad, np.int64))
            together = np.concatenate(numbers)
            distinct = np.unique(together).tolist()
            rows += len(batch.lines)
            rejected += len(batch.lines) - len(together)
            repeated += len(together) - len(distinct)
            for start in range(0, len(distinct), _TURN):
                part = distinct[start : start + _TURN]
                fresh = store.suppressions.load(part, source, reason, now, expires_at)
                new, known = new + fresh, known + len(part) - fresh
            progress(rows)
    store.suppressions.record_list(path.name, digest, new + known, source, reason, by, now, data_of)
    warnings = [*notes]
    if rows and rejected * 5 > rows:
        warnings.append(f"{rejected:,} of {rows:,} rows have no number that exists: is it the right column?")
    warnings += stale_lists(store, now)
    return ListSummary(path.name, rows, new, known, repeated, rejected, tuple(warnings))


def _listable(row: RejectedRow) -> int | None:
    """The number of a row that no campaign of the region would dial, and another may: listed all the same."""
    if row.code is not RowCode.FOREIGN_COUNTRY:
        return None
    match = re.match(r"\+(\d{7,15}) ", row.message)
    return int(match[1]) if match else None


@contextmanager
def _joined(path: Path) -> Iterator[Path]:
    """The file, or a copy of it in which area code and number are one, where they are given apart."""
    head: list[str] = []
    with (
        suppress(OSError),
        path.open(encoding="utf-8", errors="replace") as file,
    ):  # the reader of lists says what
        head = [file.readline(200).strip() for _ in range(3)]
    if not any(head) or not all(_SPLIT_NUMBER.fullmatch(line) for line in head if line):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="campaigns-") as folder:
        joined = Path(folder) / path.name
        with path.open("rb") as source, joined.open("wb") as target:
            while chunk := source.read(1 << 20):
                target.write(chunk.translate(None, b",\t; "))
        yield joined


def number_of(text: str, region: str = "US") -> str:
    """E.164 of what an operator wrote. Raises UsageError for what is no number."""
    phone = normalise_phone(text, region)
    if not isinstance(phone, PhoneProblem):
        return phone.e164
    digits = re.sub(r"[\s().-]", "", text)
    if re.fullmatch(r"\+[1-9]\d{6,14}", digits):
        # Nobody would dial it from here, but whoever asks not to be called need not prove that.
        return digits
    raise UsageError(f"{text!r} is no phone number", "write it as +12125550123")


def check_number(store: Store, phone: str) -> tuple[Suppression | None, list[SuppressionEvent]]:
    """(the entry if there is one, what the record says of the number)."""
    return store.suppressions.find(phone), store.suppressions.history(phone)


def stale_lists(store: Store, now: datetime) -> list[str]:
    """A warning for every national list whose data is too old to be relied on."""
    latest: dict[str, datetime] = {}
    for event in store.suppressions.history(action="imported"):
        moment = event.data_of or event.at
        latest[event.source] = max(moment, latest.get(event.source, moment))
    return [
        f"the {source} do-not-call list is of {moment:%Y-%m-%d}, more than {FRESH.days} days ago: get a newer one"
        for source, moment in latest.items()
        if source == FEDERAL and now - moment > FRESH
    ]


def export_list(store: Store, path: Path, source: str | None = None) -> int:
    """Write `phone,source,reason,added_at,expires_at`; returns how many. The file appears whole, or not at all."""
    count = 0
    with whole_file(path) as file:
        writer = csv.writer(file)
        writer.writerow(["phone", "source", "reason", "added_at", "expires_at"])
        for entry in store.suppressions.listed(source):
            expires = iso(entry.expires_at) if entry.expires_at else ""
            cells = (entry.phone, entry.source, entry.reason, iso(entry.added_at), expires)
            writer.writerow([spreadsheet_safe(cell) for cell in cells])
            count += 1
    return count


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
