"""Commands about the account and this installation: concurrency, numbers, agents, doctor."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable

import typer

from campaigns.cli import options as given
from campaigns.cli.output import Output
from campaigns.domain.errors import CampaignsError
from campaigns.retell import RetellError
from campaigns.runtime import open_retell, open_store
from campaigns.settings import Settings, load_settings

_LEAST_DISK = 200 * 1024 * 1024


def register(app: typer.Typer) -> None:
    app.command("concurrency")(concurrency)
    app.command("doctor")(doctor)


def concurrency(as_json: given.Json = False) -> None:
    """The account's lines: limit, inbound reserve, calls in progress.

    Example: campaigns concurrency
    """
    settings, out = load_settings(), Output(as_json)
    with open_retell(settings) as retell:
        seen = retell.get_concurrency()
    store = open_store(settings)
    own = len(store.attempts.holding_ids(settings.workspace))
    current = seen.current_concurrency or 0
    ceiling = seen.ceiling() or 0
    document = {
        "limit": seen.concurrency_limit,
        "burst_enabled": bool(seen.concurrency_burst_enabled),
        "burst_limit": seen.concurrency_burst_limit,
        "reserved_inbound": seen.reserved_inbound_concurrency or 0,
        "ceiling": ceiling,
        "current": current,
        "own": own,
        "foreign": max(0, current - own),
        "free": max(0, ceiling - max(current, own)),
    }
    out.document(document)
    if not as_json:
        out.table(
            "Concurrency", ["", "lines"], [[key.replace("_", " "), value] for key, value in document.items()]
        )


def doctor(as_json: given.Json = False) -> None:
    """Check this installation: home, database, message server, account, time data, disk. Exit code 1 on a failure.

    Example: campaigns doctor
    """
    settings, out = load_settings(), Output(as_json)
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("home and database", _database),
        ("message server", _broker),
        (
            "clock",
            lambda s: f"{type(s.clock()).__name__}, business time {s.clock().now():%Y-%m-%d %H:%M:%S} UTC",
        ),
        ("time data", _time_data),
        ("disk", _disk),
        ("account", _account),
    ]
    rows: list[dict[str, str]] = []
    for name, check in checks:
        try:
            rows.append({"check": name, "result": "ok", "detail": check(settings), "remedy": ""})
        except CampaignsError as error:
            rows.append({"check": name, "result": "failure", "detail": str(error), "remedy": error.remedy})
        except RetellError as error:
            rows.append({"check": name, "result": "failure", "detail": error.message, "remedy": error.remedy})
    out.document(rows)
    if not as_json:
        out.table("Doctor", ["check", "result", "detail", "remedy"], [list(row.values()) for row in rows])
    raise typer.Exit(1 if any(row["result"] == "failure" for row in rows) else 0)


def _database(settings: Settings) -> str:
    store = open_store(settings)
    return f"{store.database.url.render_as_string(hide_password=True)}, {len(store.campaigns.listed())} campaigns"


def _broker(settings: Settings) -> str:
    from workers.embedded import answers, server_binary

    if not settings.redis_url:
        return f"embedded, {server_binary()}"
    if not answers(settings.redis_url):
        raise CampaignsError(
            "CAMPAIGNS_REDIS_URL does not answer", "start the server, or correct the address"
        )
    return "answers"


def _time_data(_: Settings) -> str:
    return f"tzdata {importlib.metadata.version('tzdata')}"


def _disk(settings: Settings) -> str:
    free = shutil.disk_usage(
        settings.home.resolve() if settings.home.exists() else settings.home.resolve().parent
    ).free
    if free < _LEAST_DISK:
        raise CampaignsError(f"{free // 2**20} MiB free", "free some disk space before calls are made")
    return f"{free // 2**20:,} MiB free"


def _account(settings: Settings) -> str:
    with open_retell(settings) as retell:
        seen = retell.get_concurrency()
    return f"{seen.current_concurrency or 0} of {seen.concurrency_limit} lines in use at {settings.base_url}"
