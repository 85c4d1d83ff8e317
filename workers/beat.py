"""The app as beat needs it: names and times, without the tasks and all that they import."""

from __future__ import annotations

import time
from typing import Any

from celery import beat
from celery.schedules import schedstate

from workers.app import app


class Entry(beat.ScheduleEntry):  # type: ignore[misc]
    """A tick that is due an interval after the one before it, by a clock that nobody sets."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Beat makes an entry anew, of all that the last one had, at each run.
        options.pop("since", None)
        super().__init__(*arguments, **options)
        self.since = time.monotonic()

    def is_due(self) -> schedstate:
        interval = self.schedule.run_every.total_seconds()
        left = interval - (time.monotonic() - self.since)
        return schedstate(is_due=left <= 0, next=interval if left <= 0 else left)


class Scheduler(beat.Scheduler):  # type: ignore[misc]
    """Celery's goes by the machine's clock: set back by an hour, it would not tick for an hour."""

    Entry = Entry

    def _when(self, entry: beat.ScheduleEntry, next_time_to_run: float, *_: object) -> float:
        return time.monotonic() + max(0.0, self.adjust(next_time_to_run) or 0.0)


app.conf.include = []
