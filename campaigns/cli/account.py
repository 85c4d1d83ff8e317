"""`campaigns concurrency`: the account's lines, and how many of them the operator keeps free."""

from __future__ import annotations

from typing import Annotated

import typer

from campaigns.cli import options as given
from campaigns.cli.documents.account import Concurrency
from campaigns.cli.output import Output
from campaigns.domain.errors import UsageError
from campaigns.retell import Concurrency as Lines
from campaigns.runtime import clock_of, open_retell, open_store
from campaigns.settings import SIMULATOR, Settings, load_settings
from campaigns.store import Store


def register(app: typer.Typer) -> None:
    app.command("concurrency")(concurrency)


def concurrency(
    reserve: Annotated[
        str | None,
        typer.Option(
            "--reserve", metavar="N", help="From now on keep N lines free of campaigns; 0 for none."
        ),
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="The account of simulated runs, as it was last seen.")
    ] = False,
    as_json: given.Json = False,
) -> None:
    """The account's lines: limit, burst, inbound reserve, the operator's own, calls of others, ours, free.

    Example: campaigns concurrency --reserve 5
    """
    settings, out = load_settings(), Output(as_json)
    wanted = None if reserve is None else _whole(reserve)
    store, workspace = open_store(settings), SIMULATOR if simulated else settings.workspace
    own = store.own_lines(workspace)
    seen = _last_seen(store, own) if simulated else _asked(settings)
    if wanted is not None:
        before = _keep_free(settings, store, workspace, wanted, seen.concurrency_limit)
        out.note(f"lines kept free: {before} before, {wanted} from the next claim on")
    kept = store.workspaces.account(workspace).reserve
    current, ceiling = seen.current_concurrency or 0, seen.ceiling(reserve=kept) or 0
    lines = Concurrency(
        limit=seen.concurrency_limit,
        burst_enabled=bool(seen.concurrency_burst_enabled),
        burst_limit=seen.concurrency_burst_limit,
        reserved_inbound=seen.reserved_inbound_concurrency or 0,
        reserve=kept,
        ceiling=ceiling,
        current=current,
        own=own,
        foreign=max(0, current - own),
        free=max(0, ceiling - max(current, own)),
    )
    out.document(lines)
    if not as_json:
        out.fields(lines)
    if kept and ceiling == 0 and lines.limit is not None:
        out.line(
            f"warning: with {kept} kept free no line is left, and no campaign dials;"
            " `campaigns concurrency --reserve N` sets a smaller reserve"
        )


def _whole(text: str) -> int:
    """Raises UsageError for what is no number of lines."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"--reserve {text} is no number of lines", "write 0 or more, as --reserve 5")
    return int(text)


def _asked(settings: Settings) -> Lines:
    with open_retell(settings) as retell:
        return retell.get_concurrency()


def _last_seen(store: Store, own: int) -> Lines:
    """A simulated run has its Retell to itself: nobody else can ask it."""
    account = store.workspaces.account(SIMULATOR)
    return Lines(
        current_concurrency=own + account.foreign,
        concurrency_limit=account.limit,
        concurrency_burst_enabled=account.burst_limit > 0,
        concurrency_burst_limit=account.burst_limit,
        reserved_inbound_concurrency=account.reserved_inbound,
    )


def _keep_free(settings: Settings, store: Store, workspace: str, lines: int, limit: int | None) -> int:
    if limit is not None and lines > limit:
        raise UsageError(
            f"--reserve {lines} is more than the {limit} lines of the account", f"write 0 to {limit}"
        )
    store.workspaces.ensure(workspace)
    return store.workspaces.set_reserve(workspace, lines, clock_of(settings, store, workspace).now())
