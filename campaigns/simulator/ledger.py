"""What really happened: every ring, every refusal, every request.

The calls themselves are the account of the rings, so nothing is counted twice over; this module adds the
counters of what did not become a call, sums both up, and keeps the file from which a restarted simulator
knows it all.
"""

from __future__ import annotations

import heapq
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from campaigns.simulator.batches import Batch
from campaigns.simulator.calls import Call


@dataclass(slots=True)
class Ledger:
    """Counters of what came in, by kind."""

    requests: Counter[str] = field(default_factory=Counter)
    """By endpoint."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Requests that were turned down, by `endpoint:why` (as `create-phone-call:concurrency`)."""
    faults: Counter[str] = field(default_factory=Counter)
    """Faults that struck, by `endpoint:kind`."""
    webhooks: Counter[str] = field(default_factory=Counter)
    """sent, delivered, retried, given_up, dropped, duplicated, reordered."""
    idempotent_replays: int = 0
    """Creates that were answered with an earlier call because of their key."""
    peak_total: int = 0
    """Most calls at once at the moment of a dial, those of others included."""


def summarise(ledger: Ledger, calls: Iterable[Call], now_ms: int, limit: int) -> dict[str, Any]:
    """The ledger as one JSON document. `limit` is what our own calls may use; times are business ms."""
    rang = [call for call in calls if call.rang]
    per_attempt = Counter(call.attempt_id for call in rang if call.attempt_id is not None)
    per_number = Counter(call.to_number for call in rang)
    spans = [(call.created_ms, _end(call, now_ms)) for call in rang]
    first = min((start for start, _ in spans), default=None)
    last = max((start for start, _ in spans), default=None)
    doubled = [attempt for attempt, count in per_attempt.items() if count > 1]
    return {
        "rings": len(rang),
        "attempts": len(per_attempt),
        "rings_without_attempt_id": sum(call.attempt_id is None for call in rang),
        "attempts_rung_twice": len(doubled),
        "doubled_attempts": sorted(doubled)[:100],
        "numbers": len(per_number),
        "most_rings_of_a_number": max(per_number.values(), default=0),
        "first_dial_ms": first,
        "last_dial_ms": last,
        "open": sum(not call.over(now_ms) for call in rang),
        "statuses": dict(Counter(call.status(now_ms) for call in rang)),
        "reasons": dict(Counter(call.disconnection_reason(now_ms) or "open" for call in rang)),
        "peak_concurrency": peak([(call.created_ms, _end(call, now_ms, now_ms + 1)) for call in rang]),
        "peak_total_concurrency": ledger.peak_total,
        "peak_dials_per_second": _peak_rate([call.created_real for call in rang]),
        "limit": limit,
        "refusals": dict(ledger.refusals),
        "requests": dict(ledger.requests),
        "faults": dict(ledger.faults),
        "webhooks": dict(ledger.webhooks),
        "idempotent_replays": ledger.idempotent_replays,
        **_use_of_slots(spans, limit),
    }


def ring(call: Call, now_ms: int) -> dict[str, Any]:
    """One ring of the ledger."""
    return {
        "call_id": call.call_id,
        "attempt_id": call.attempt_id,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "at_ms": call.created_ms,
        "real": call.created_real,
        "end_ms": call.ends_ms() if call.over(now_ms) else None,
        "status": call.status(now_ms),
        "disconnection_reason": call.disconnection_reason(now_ms),
        "batch_call_id": call.batch_call_id,
        "idempotency_key": call.idempotency_key,
        "metadata": call.metadata,
    }


def peak(spans: Sequence[tuple[int, int]]) -> int:
    """Most half-open spans at one instant."""
    # At the same instant an end sorts before a start: a slot that is freed can be used again at once.
    edges = sorted(
        [(start, 1) for start, end in spans if end > start]
        + [(end, -1) for start, end in spans if end > start]
    )
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def _end(call: Call, now_ms: int, open_until: int | None = None) -> int:
    """The end of a call; of an open one now, or for a peak, which counts it at this very instant, `open_until`."""
    end = call.ends_ms()
    if end is not None and end <= now_ms:
        return end
    return max(call.created_ms, now_ms) if open_until is None else open_until


def _peak_rate(times: list[float]) -> int:
    times.sort()
    most = start = 0
    for index, at in enumerate(times):
        while at - times[start] >= 1.0:
            start += 1
        most = max(most, index - start + 1)
    return most


def _use_of_slots(spans: list[tuple[int, int]], limit: int) -> dict[str, Any]:
    """Busy time, and how long a freed slot waited for its next dial; slots are used first in, first out."""
    spans.sort()
    busy_ms = sum(end - start for start, end in spans)
    gaps: list[int] = []
    freed: list[int] = []
    for start, end in spans:
        if freed and freed[0] <= start:
            gaps.append(start - heapq.heappop(freed))
        heapq.heappush(freed, end)
    gaps.sort()
    span_ms = spans[-1][0] - spans[0][0] if spans else 0
    inside_ms = sum(min(end, spans[-1][0]) - start for start, end in spans) if spans else 0
    return {
        "busy_slot_seconds": busy_ms / 1000,
        "utilisation": round(inside_ms / (span_ms * limit), 4) if span_ms and limit > 0 else None,
        "gap_seconds": {
            "count": len(gaps),
            "mean": round(sum(gaps) / len(gaps) / 1000, 4) if gaps else None,
            "p50": gaps[len(gaps) // 2] / 1000 if gaps else None,
            "p95": gaps[int(len(gaps) * 0.95)] / 1000 if gaps else None,
            "max": gaps[-1] / 1000 if gaps else None,
        },
    }


class Journal:
    """An append-only file of JSON lines, each handed to the operating system before the request is answered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def read(self) -> Iterator[dict[str, Any]]:
        """The records so far. A last line that a kill cut off is removed from the file.

        Raises ValueError for a damaged line elsewhere: the file is then not one to go on with.
        """
        if not self.path.exists():
            return
        good = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    record = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    raise ValueError(f"{self.path}: line {number} is not a record of a ledger") from None
                if record is None:
                    break
                if not isinstance(record, dict) or "kind" not in record:
                    raise ValueError(f"{self.path}: line {number} is not a record of a ledger")
                good += len(line)
                yield record
        if good < self.path.stat().st_size:
            os.truncate(self.path, good)

    def restore(self) -> tuple[list[Call], dict[str, Batch]]:
        """The calls and batches since the last reset, as they were written down."""
        calls: dict[str, Call] = {}
        batches: dict[str, Batch] = {}
        for record in self.read():
            kind = record["kind"]
            if kind == "reset":
                calls, batches = {}, {}
            elif kind == "call":
                call = Call.from_json(record["call"])
                calls[call.call_id] = call
            elif kind == "stop":
                calls[record["call_id"]].stopped_ms = record["at_ms"]
            elif kind == "batch":
                batch = Batch.from_json(record["batch"])
                batches[batch.batch_call_id] = batch
        return list(calls.values()), batches

    def write(self, kind: str, **data: Any) -> None:
        """Append a record."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        self._file.write(json.dumps({"kind": kind, **data}, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Let go of the file; writing opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
