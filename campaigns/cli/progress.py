"""Live progress of a run: on a terminal a view that redraws itself, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from campaigns.cli.output import STATE_STYLES
from campaigns.domain.clock import Clock
from campaigns.services.report import Status

_LINE_EVERY = 5.0
_RATE_OVER = 15.0


class Progress:
    """Shows one `Status` after another. Rates are per real second; times of day are business time."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        )
        self._last_line = 0.0
        self._last_note = ""
        self._seen: deque[tuple[float, int, int]] = deque()

    def __enter__(self) -> Progress:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def show(self, status: Status, note: str = "") -> None:
        done = sum(
            status.leads[state] for state in ("reached", "exhausted", "suppressed", "expired", "cancelled")
        )
        calls = sum(status.outcomes.values())
        rate, left = self._pace(done, calls, status.leads["pending"] + status.leads["in_flight"])
        if self._live:
            self._live.update(self._view(status, note, done, rate, left))
        elif note != self._last_note or time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line, self._last_note = time.monotonic(), note
            trouble = f" | trouble: {status.trouble}" if status.trouble else ""
            leads = ", ".join(f"{count} {state}" for state, count in status.leads.items() if count)
            self._console.print(
                f"{self._clock.now():%a %H:%M} UTC | {leads} | lines {status.own}/{status.ceiling} | "
                f"{calls} calls settled, {rate:.1f}/s, {left}{trouble}{' | ' + note if note else ''}",
                markup=False,
                soft_wrap=True,
            )

    def _pace(self, done: int, calls: int, waiting: int) -> tuple[float, str]:
        now = time.monotonic()
        self._seen.append((now, done, calls))
        while len(self._seen) > 2 and now - self._seen[0][0] > _RATE_OVER:
            self._seen.popleft()
        first_at, first_done, first_calls = self._seen[0]
        seconds = now - first_at
        if seconds < 1 or not waiting:
            return 0.0, "time left unknown" if waiting else "finishing"
        finished = (done - first_done) / seconds
        left = (
            "waiting for retries or windows" if finished <= 0 else f"about {_span(waiting / finished)} left"
        )
        return (calls - first_calls) / seconds, left

    def _view(self, status: Status, note: str, done: int, rate: float, left: str) -> Group:
        total = max(1, sum(status.leads.values()))
        state = status.campaign.state.value
        head = Text.assemble(
            (status.campaign.name, "bold"), "  ", (state, STATE_STYLES.get(state, "")),
            f"  {self._clock.now():%a %d %b %H:%M} UTC", f"  x{self._clock.speed:g}" if self._clock.speed != 1 else "",
        )  # fmt: skip
        bars = Table.grid(padding=(0, 1))
        for state, count in status.leads.items():
            if count:
                style = STATE_STYLES.get(state, "")
                bars.add_row(
                    Text(state, style=style),
                    ProgressBar(total, count, width=36, complete_style=style),
                    f"{count:,}",
                )
        lines = Table.grid(padding=(0, 1))
        used = f"{status.own}/{status.ceiling}" + (f", {status.foreign} by others" if status.foreign else "")
        lines.add_row("lines", ProgressBar(max(1, status.ceiling), status.own, width=36), used)
        outcomes = "  ".join(f"{name} {count:,}" for name, count in status.outcomes.items()) or "none yet"
        foot = [
            f"{done:,} of {total:,} leads done, {rate:.1f} calls/s, {left}",
            f"next: {status.next_event.what}",
        ]
        if status.trouble:
            foot.append(f"trouble: {status.trouble}")
        if note:
            foot.append(note)
        return Group(head, bars, lines, Text(f"outcomes  {outcomes}"), *map(Text, foot))


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
