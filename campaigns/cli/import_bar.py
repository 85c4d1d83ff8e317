"""How far an import is: what was read, then what moved in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID

from campaigns.cli.output import Output


class ImportBar:
    """Shows nothing without a terminal, or with `--quiet`."""

    def __init__(self, bar: Progress | None, task: TaskID | None) -> None:
        self._bar, self._task = bar, task
        self._rows = 0

    def reading(self, rows: int, share: float | None) -> None:
        self._rows = rows
        self._show("reading", share)

    def counting(self, rows: int) -> None:
        self.reading(rows, None)

    def moving(self, done: int, of: int) -> None:
        self._show("moving in", done / max(1, of))

    def _show(self, what: str, share: float | None) -> None:
        if self._bar is None or self._task is None:
            return
        seconds = self._bar.tasks[0].elapsed or 0.0
        self._bar.update(
            self._task,
            completed=share or 0,
            total=None if share is None else 1,
            what=what,
            rows=f"{self._rows:,} rows",
            rate=f"{self._rows / seconds:,.0f} rows/s" if seconds > 0.2 else "",
        )


@contextmanager
def import_bar(out: Output, name: str) -> Iterator[ImportBar]:
    """A progress bar on standard error, gone at the end."""
    if not (sys.stderr.isatty() and out.shows_progress):
        yield ImportBar(None, None)
        return
    words = ("{task.description}", "{task.fields[what]}")
    counts = ("{task.fields[rows]}", "{task.fields[rate]}")
    with Progress(*words, BarColumn(), *counts, console=Console(stderr=True), transient=True) as bar:
        yield ImportBar(bar, bar.add_task(escape(name), total=1, what="opening", rows="", rate=""))
