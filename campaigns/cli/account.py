"""`campaigns concurrency`: the account's lines."""

from __future__ import annotations

import typer

from campaigns.cli import options as given
from campaigns.cli.documents.account import Concurrency
from campaigns.cli.output import Output
from campaigns.runtime import open_retell, open_store
from campaigns.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("concurrency")(concurrency)


def concurrency(as_json: given.Json = False) -> None:
    """The account's lines: limit, burst, inbound reserve, calls of others, ours, free.

    Example: campaigns concurrency
    """
    settings, out = load_settings(), Output(as_json)
    with open_retell(settings) as retell:
        seen = retell.get_concurrency()
    own = len(open_store(settings).attempts.holding_ids(settings.workspace))
    current = seen.current_concurrency or 0
    ceiling = seen.ceiling() or 0
    lines = Concurrency(
        limit=seen.concurrency_limit,
        burst_enabled=bool(seen.concurrency_burst_enabled),
        burst_limit=seen.concurrency_burst_limit,
        reserved_inbound=seen.reserved_inbound_concurrency or 0,
        ceiling=ceiling,
        current=current,
        own=own,
        foreign=max(0, current - own),
        free=max(0, ceiling - max(current, own)),
    )
    out.document(lines)
    if not as_json:
        out.fields(lines)
