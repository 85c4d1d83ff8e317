"""What goes on, drawn: `campaigns watch` and the progress of `campaigns run` are this view.

On a terminal the whole screen, redrawn in place and given back at the end; on anything else a line now and then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from campaigns.cli.output import STATE_STYLES, event_words, printable
from campaigns.domain.clock import from_ms
from campaigns.logs import mask
from campaigns.services.forecast import Forecast
from campaigns.services.looking import Look, Seen
from campaigns.services.words import span
from campaigns.store import LiveCall

#: Events that a look has to bring along.
MOST_EVENTS = 12
#: Rows that calls and events get at least, where there are any.
_LEAST_CALLS, _LEAST_EVENTS = 3, 3


class Screen:
    """Shows one look after another. line_every: real seconds between lines, where it is no terminal."""

    def __init__(self, console: Console, line_every: float = 0.0) -> None:
        self._console = console
        self._live = (
            Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False)
            if console.is_terminal
            else None
        )
        self._line_every = line_every
        self._line_at: float | None = None
        self._note = ""

    def __enter__(self) -> Screen:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def show(self, look: Look, note: str = "") -> None:
        """note: what the watcher itself has to say, as that it ends; a new one is shown at once."""
        console = self._console
        if self._live:
            drawn = view(look, console.width, console.height, console.options.ascii_only, note)
            self._live.update(drawn, refresh=True)
            return
        now = time.monotonic()
        if self._line_at is not None and note == self._note and now - self._line_at < self._line_every:
            return
        self._line_at, self._note = now, note
        for seen in look.campaigns:
            console.print(printable(plain_line(seen, note)), markup=False, soft_wrap=True)


def plain_line(seen: Seen, note: str = "") -> str:
    """One campaign in one line, for logs."""
    status = seen.status
    leads = ", ".join(f"{count:,} {state}" for state, count in status.leads.items() if count)
    parts = [
        f"{seen.now:%a %H:%M} UTC", status.campaign.name, _state(seen), leads or "no leads",
        f"lines {status.own}/{status.ceiling}", f"{sum(status.outcomes.values()):,} calls settled",
        f"{seen.calls_per_second:.1f}/s", _rates(seen), _done(seen),
        status.no_number or "", f"trouble: {mask(status.trouble)}" if status.trouble else "", note,
    ]  # fmt: skip
    return " | ".join(part for part in parts if part)


def view(look: Look, width: int, height: int, ascii_only: bool = False, note: str = "") -> RenderableType:
    """The whole screen, no more than `height` lines of `width`."""
    if not look.campaigns:
        return Text("no campaign yet: make one with `campaigns run FILE` or `campaigns import`")
    if len(look.campaigns) == 1:
        head = list(_whole(look.campaigns[0], width, ascii_only))
    else:
        head = [line for seen in look.campaigns for line in _brief(seen, width, ascii_only)]
    if note:
        head.append(Text(f" {note}", "bold"))
    left = height - len(head) - 2  # two headings
    least = min(_LEAST_EVENTS, len(look.events))
    for_calls = max(min(_LEAST_CALLS, len(look.calls)), min(len(look.calls), left - least))
    for_events = max(0, min(len(look.events), left - for_calls))
    several = len(look.campaigns) > 1
    lines = [*head, *_calls(look, for_calls, several), *_events(look, for_events, several)]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines[:height])


def _whole(seen: Seen, width: int, ascii_only: bool) -> Iterator[Text]:
    status = seen.status
    total = max(1, sum(status.leads.values()))
    room = max(10, width - 26)
    yield _heading(seen, width)
    for state, count in status.leads.items():
        if count:
            yield _bar(state, count, total, f"{count:,}", room, STATE_STYLES.get(state, ""), ascii_only)
    used = f"{status.own} of {status.ceiling}"
    yield _bar("lines", status.own, max(1, status.ceiling), used, room, "bold blue", ascii_only)
    limit = status.campaign.options.cps
    yield _fact(
        "pace",
        f"{seen.calls_per_second:.1f} calls/s" + (f" (limit {limit:g})" if limit else "")
        + (f", {status.foreign} calls of others on the account" if status.foreign else ""),
    )  # fmt: skip
    yield _fact("outcomes", "  ".join(f"{name} {n:,}" for name, n in status.outcomes.items()) or "none yet")
    yield _fact("rates", f"{_rates(seen)}  cost {status.cost_cents / 100:,.2f} USD")
    if status.batches is not None:
        yield _fact("batches", status.batches.words)
    if deferred := _deferred(seen):
        yield _fact("deferred", deferred)
    yield _fact("next", _next(seen))
    if done := _done(seen):
        yield _fact("done", done)
    if status.trouble:
        yield _fact("trouble", mask(status.trouble), "bold red")
    if status.held:
        codes: dict[str, int] = {}
        for code, _, count in status.held:
            codes[code] = codes.get(code, 0) + count
        yield _fact("held", "  ".join(f"{code} {n:,}" for code, n in codes.items()), "bold red")
    if status.attempts["unresolved"]:
        yield _fact("unresolved", f"{status.attempts['unresolved']:,} attempts wait for a person", "bold red")


def _brief(seen: Seen, width: int, ascii_only: bool) -> Iterator[Text]:
    status = seen.status
    yield _heading(seen, width)
    total = max(1, sum(status.leads.values()))
    bar, room = Text(" "), width - 2
    block = "#" if ascii_only else "━"
    for state, count in status.leads.items():
        bar.append(block * round(room * count / total), STATE_STYLES.get(state, ""))
    yield bar
    states = "  ".join(f"{state} {count:,}" for state, count in status.leads.items() if count)
    yield Text(f" {states or 'no leads'}")
    yield Text(
        f" lines {status.own}/{status.ceiling}  {seen.calls_per_second:.1f}/s  {_rates(seen)}"
        f"  {status.cost_cents / 100:,.2f} USD  {_done(seen) or _next(seen)}"
    )


def _heading(seen: Seen, width: int) -> Text:
    state = seen.status.campaign.state.value
    clock = f"{seen.now:%a %d %b %H:%M} UTC" + (f" x{seen.speed:g}" if seen.speed != 1 else "")
    left = Text.assemble((seen.status.campaign.name, "bold"), "  ", (state, STATE_STYLES.get(state, "")))
    if seen.status.campaign.reason:
        left.append(f": {seen.status.campaign.reason}", STATE_STYLES.get(state, ""))
    left.truncate(max(1, width - len(clock) - 2), overflow="ellipsis")
    left.append(" " * max(1, width - left.cell_len - len(clock)))
    return left.append(clock, "dim")


def _bar(name: str, count: int, total: int, text: str, room: int, style: str, ascii_only: bool) -> Text:
    done, rest = ("#", ".") if ascii_only else ("━", "─")
    filled = min(room, max(1 if count else 0, round(room * count / total)))
    return Text.assemble(
        (f" {name:<11}", style), (done * filled, style), (rest * (room - filled), "dim"), f"  {text}"
    )


def _fact(name: str, text: str, style: str = "") -> Text:
    return Text.assemble((f" {name:<11}", style or "dim"), (text, style))


def _calls(look: Look, room: int, several: bool) -> Iterator[Text]:
    if not look.calls:
        return
    left_out = len(look.calls) - room
    yield Text(
        f"calls in progress: {len(look.calls)}" + (f", the {room} oldest" if left_out > 0 else ""), "bold"
    )
    now = {seen.status.campaign.id: seen.now for seen in look.campaigns}
    for call in look.calls[:room]:
        yield _call(call, now[call.campaign_id], several)


def _call(call: LiveCall, now: datetime, several: bool) -> Text:
    seconds = max(0, int((now - call.since).total_seconds()))
    words = {"claimed": "waits", "dialing": "is dialed", "placed": "on line", "ambiguous": "unknown"}[
        call.state
    ]
    where = f"  {call.campaign}" if several else ""
    agent = call.agent_id or "the number's agent"
    return Text(f" {mask(call.phone)}  {words:<9} {seconds // 60:>3}:{seconds % 60:02}  {agent}{where}")


def _events(look: Look, room: int, several: bool) -> Iterator[Text]:
    shown: Sequence[tuple[str, Mapping[str, Any]]] = look.events[-room:] if room else []
    if not shown:
        return
    yield Text("last events", "bold")
    for campaign, event in shown:
        where = f"{campaign}  " if several else ""
        yield Text(f" {from_ms(event['at']):%H:%M:%S}  {where}{event_words(event)}")


# -- words ---------------------------------------------------------------------------------------------------


def _state(seen: Seen) -> str:
    campaign = seen.status.campaign
    return campaign.state.value + (f" ({campaign.reason})" if campaign.reason else "")


def _rates(seen: Seen) -> str:
    tally = seen.status.tally
    if not tally.dialed:
        return "nobody dialed yet"
    return (
        f"{tally.dialed:,} leads dialed, {tally.contacted / tally.dialed:.0%} contacted,"
        f" {tally.succeeded / tally.dialed:.0%} success"
    )


def _deferred(seen: Seen) -> str:
    """Leads that are not dialed now, and attempts that were not placed, by cause."""
    foretold = seen.forecast
    waiting = {} if foretold is None else {
        "leads outside their window": foretold.outside_window, "leads not due": foretold.not_due,
    }  # fmt: skip
    causes = {**waiting, **seen.status.tally.deferrals}
    return "  ".join(f"{cause} {n:,}" for cause, n in causes.items() if n)


def _next(seen: Seen) -> str:
    at = seen.status.next_event.at
    return seen.status.next_event.what + (f" at {at:%a %H:%M} UTC" if at else "")


def _done(seen: Seen) -> str:
    foretold = seen.forecast
    return "" if foretold is None else done_words(foretold, seen.now, seen.speed)


def done_words(foretold: Forecast, now: datetime, speed: float = 1.0) -> str:
    """When it will be done, with the range: as sure as it can be."""
    if not foretold.leads_left:
        return "nobody is left to call"
    if foretold.done_at is None:
        return "not within 60 days at this pace"
    left = span((foretold.done_at - now).total_seconds() / speed)
    form = "%H:%M" if foretold.done_at.date() == now.date() else "%a %d %b %H:%M"
    text = f"about {foretold.done_at:{form}} UTC, in {left}"
    early = "?" if foretold.earliest is None else f"{foretold.earliest:%a %H:%M}"
    late = "later than 60 days" if foretold.latest is None else f"{foretold.latest:%a %d %b %H:%M}"
    return f"{text}; between {early} and {late}"
