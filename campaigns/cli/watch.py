"""`campaigns watch`: what goes on, redrawn in place; on anything but a terminal a line now and then."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from campaigns.cli import options as given
from campaigns.cli.completion import campaign_names
from campaigns.cli.output import Output
from campaigns.cli.view import MOST_EVENTS, Screen, plain_line
from campaigns.domain.states import FINAL_CAMPAIGN
from campaigns.runtime import clock_of, open_store
from campaigns.services.looking import Look, Looker, Seen
from campaigns.settings import load_settings

_EVERY, _PLAIN_EVERY = 1.0, 5.0
#: Seconds within which a signal is noticed.
_NOTICE = 0.1


def register(app: typer.Typer) -> None:
    app.command("watch")(watch)


def watch(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="One campaign, until it is over; without it all, until Ctrl-C.",
            autocompletion=campaign_names,
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            "--every", metavar="S", min=0.2, max=3600,
            help=f"Seconds between looks; default {_EVERY:g} on a terminal, else {_PLAIN_EVERY:g}.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Watch campaigns live: leads, lines, calls in progress, outcomes, cost, when they will be done.

    Example: campaigns watch spring
    """
    settings, out = load_settings(), Output(False)
    store = open_store(settings)
    if name is not None:
        given.find_campaign(store, name)
    looker = Looker(store, lambda workspace: clock_of(settings, store, workspace), name)
    on_terminal = out.console.is_terminal
    pause = every if every is not None else (_EVERY if on_terminal else _PLAIN_EVERY)
    with _told_to_stop() as told, Screen(out.console) as screen:
        for look in _looks(looker, pause, told):
            screen.show(look)
    if on_terminal and not told:
        for seen in look.campaigns:
            out.line(plain_line(seen))


@contextmanager
def _told_to_stop() -> Iterator[list[int]]:
    """The signals that came. Each ends the watching in order, wherever it is, so that the screen is given back."""
    told: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda came, _: told.append(came)) for number in numbers]
    try:
        yield told
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _looks(looker: Looker, pause: float, told: list[int]) -> Iterator[Look]:
    """Looks, until the one campaign that is watched is over and its last call is settled."""
    while True:
        look = looker.look(MOST_EVENTS)
        yield look
        [*seen] = look.campaigns
        if looker.name is not None and all(_is_over(one) for one in seen):
            return
        until = time.monotonic() + pause
        while not told and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _NOTICE))
        if told:
            return


def _is_over(seen: Seen) -> bool:
    status = seen.status
    return status.campaign.state in FINAL_CAMPAIGN and not (status.own or status.attempts["ended"])
