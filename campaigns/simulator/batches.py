"""Batch calls: what a batch is, and when its window lets it dial."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from campaigns.simulator.requests import Account, Refused, bad

DEFAULT_ZONE = "America/Los_Angeles"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAY_MINUTES = 1440
_LATEST_MS = 32_503_680_000_000  # the year 3000


@dataclass(frozen=True, slots=True)
class CallTimeWindow:
    """Half-open windows of minutes since local midnight, on some days, in one zone."""

    windows: tuple[tuple[int, int], ...]
    zone: str = DEFAULT_ZONE
    days: tuple[str, ...] = ()
    """Empty: every day."""

    @classmethod
    def parse(cls, data: Any) -> CallTimeWindow:
        """Read a request's `call_time_window`. Raises Refused."""
        if not isinstance(data, dict):
            raise bad("call_time_window must be an object")
        entries = data.get("windows")
        if not isinstance(entries, list) or not entries:
            raise bad("call_time_window.windows needs at least one window")
        windows = []
        for entry in entries:
            start, end = (entry.get("start"), entry.get("end")) if isinstance(entry, dict) else (None, None)
            if start is None or end is None or not (_is_minute(start) and _is_minute(end) and start < end):
                raise bad("a window needs start and end in minutes since midnight, 0 <= start < end <= 1440")
            windows.append((int(start), int(end)))
        zone = data.get("timezone") or DEFAULT_ZONE
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            raise bad(f"call_time_window.timezone {zone!r} is not an IANA time zone") from None
        days = data.get("day") or []
        if not isinstance(days, list) or not all(day in DAYS for day in days):
            raise bad(f"call_time_window.day must be among {', '.join(DAYS)}")
        return cls(tuple(sorted(windows)), zone, tuple(days))

    def show(self) -> dict[str, Any]:
        """As the API answers it."""
        shown: dict[str, Any] = {
            "windows": [{"start": start, "end": end} for start, end in self.windows],
            "timezone": self.zone,
        }
        if self.days:
            shown["day"] = list(self.days)
        return shown

    def is_open(self, at_ms: int) -> bool:
        """Whether calls may be made at a business instant."""
        local = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        day_ok = not self.days or DAYS[local.weekday()] in self.days
        return day_ok and any(start <= minute < end for start, end in self.windows)

    def next_open(self, at_ms: int) -> int:
        """The first instant from `at_ms` on at which it is open."""
        if self.is_open(at_ms):
            return at_ms
        zone = ZoneInfo(self.zone)
        midnight = datetime.fromtimestamp(at_ms / 1000, zone).replace(
            hour=0, minute=0, second=0, microsecond=0, fold=0
        )
        # Two weeks and not one: where clocks go forward, this week's window may not exist.
        for day in range(16):
            for start, _ in self.windows:
                local = midnight + timedelta(days=day, minutes=start)
                opens = int(local.astimezone(UTC).timestamp() * 1000)
                if opens >= at_ms and self.is_open(opens):
                    return opens
        raise AssertionError(f"{self} never opens")


def _is_minute(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _DAY_MINUTES


@dataclass(slots=True)
class Batch:
    """A batch on its way; `dialed` of its tasks have become calls, in their order."""

    batch_call_id: str
    name: str
    from_number: str
    scheduled_ms: int
    tasks: list[dict[str, Any]]
    reserved_concurrency: int = 0
    window: CallTimeWindow | None = None
    dialed: int = field(default=0)

    @property
    def done(self) -> bool:
        """Whether every task has been dialed."""
        return self.dialed >= len(self.tasks)

    def next_allowed(self, at_ms: int) -> int:
        """The first instant from `at_ms` on at which the schedule and the window let it dial."""
        at_ms = max(at_ms, self.scheduled_ms)
        return at_ms if self.window is None else self.window.next_open(at_ms)

    def show(self) -> dict[str, Any]:
        """The answer of create-batch-call; `scheduled_timestamp` is in seconds, as in Retell's example."""
        shown: dict[str, Any] = {
            "batch_call_id": self.batch_call_id,
            "name": self.name,
            "from_number": self.from_number,
            "scheduled_timestamp": self.scheduled_ms / 1000,
            "total_task_count": len(self.tasks),
        }
        if self.window is not None:
            shown["call_time_window"] = self.window.show()
        return shown

    def to_json(self) -> dict[str, Any]:
        """The record for the ledger's file; how many were dialed follows from the calls there."""
        return {
            "batch_call_id": self.batch_call_id,
            "name": self.name,
            "from_number": self.from_number,
            "scheduled_ms": self.scheduled_ms,
            "tasks": self.tasks,
            "reserved_concurrency": self.reserved_concurrency,
            "window": None if self.window is None else self.window.show(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Batch:
        """The record that `to_json` wrote."""
        window = data["window"]
        return cls(**{**data, "window": None if window is None else CallTimeWindow.parse(window)})


def batch_request(
    body: dict[str, Any], account: Account, now_ms: int, *, skip_bad: bool
) -> tuple[Batch, list[Refused]]:
    """Check the body of create-batch-call; the batch, and why tasks were skipped.

    Unless `skip_bad`, one bad task refuses the whole batch. Raises Refused.
    """
    from_number, tasks = body.get("from_number"), body.get("tasks")
    if not isinstance(from_number, str) or not from_number:
        raise bad("from_number is required and must be a string")
    account.number(from_number)
    if not isinstance(tasks, list) or not tasks:
        raise bad("tasks must be a list of at least one task")
    good, skipped = [], []
    for position, task in enumerate(tasks):
        try:
            if not isinstance(task, dict):
                raise bad("a task must be an object")
            account.check_call(task, from_number)
            good.append(task)
        except Refused as refusal:
            if not skip_bad:
                raise Refused(refusal.status, f"tasks[{position}]: {refusal.message}", refusal.why) from None
            skipped.append(refusal)
    trigger = body.get("trigger_timestamp")
    if trigger is not None and (
        isinstance(trigger, bool) or not isinstance(trigger, int | float) or not 0 <= trigger <= _LATEST_MS
    ):
        raise bad("trigger_timestamp must be a Unix time in milliseconds")
    reserved = body.get("reserved_concurrency", 0)
    if type(reserved) is not int or reserved < 0:
        raise bad("reserved_concurrency must be a whole number of at least 0")
    window = body.get("call_time_window")
    batch = Batch(
        batch_call_id="batch_call_" + secrets.token_hex(10),
        name=str(body.get("name") or "Batch call"),
        from_number=from_number,
        scheduled_ms=now_ms if trigger is None else int(trigger),
        tasks=good,
        reserved_concurrency=reserved,
        window=None if window is None else CallTimeWindow.parse(window),
    )
    return batch, skipped
