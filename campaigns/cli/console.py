"""`campaigns console`: the web side, which for now is the receiver of Retell's webhooks."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.listening import is_loopback, listen, url_of
from campaigns.logs import configure_logs
from campaigns.runtime import open_context
from campaigns.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("console")(console)


def console(
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="P", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8080,
    webhooks_only: Annotated[
        bool,
        typer.Option(
            "--webhooks-only",
            help="Nothing but the signed webhooks and the health check: for a public address.",
        ),
    ] = False,
) -> None:
    """Receive Retell's webhooks at /webhooks/retell, so that ends and analyses need not wait for a poll.

    Example: campaigns console --port 8080
    """
    from campaigns.console.app import WEBHOOK_PATH, make_app, serve
    from workers.embedded import socket_path
    from workers.hints import Hints

    if not webhooks_only and not is_loopback(host):
        raise UsageError(
            f"others can reach {host}, and the console has no password for its pages",
            "listen on 127.0.0.1 behind a proxy that forwards the webhooks, or give --webhooks-only",
        )
    settings = load_settings()
    settings = settings.model_copy(
        update={"redis_url": settings.redis_url or f"unix://{socket_path(settings.home)}"}
    )
    configure_logs()
    context = open_context(settings)
    try:
        listener = listen(host, port)
    except OSError as error:
        raise CampaignsError(
            f"the console cannot listen on {host} port {port}: {error.strerror}",
            "choose another --host or --port",
        ) from None
    hints = Hints(settings.redis_url)
    try:
        with listener:
            sys.stdout.write(f"webhooks are received at {url_of(listener)}{WEBHOOK_PATH}\n")
            sys.stdout.flush()
            serve(make_app(context, settings.api_key.get_secret_value(), hints), listener)
    finally:
        hints.close()
        context.retell.close()
        context.store.close()
