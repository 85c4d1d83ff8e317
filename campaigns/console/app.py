"""The ASGI application, and the server that runs it."""

from __future__ import annotations

import signal
import socket
import threading

import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from campaigns.console.webhook import Hints, WebhookReceiver
from campaigns.services.context import Context

WEBHOOK_PATH = "/webhooks/retell"
#: Requests under way at once; beyond it the answer is 503, and Retell tries again.
_MOST_REQUESTS = 100


def make_app(context: Context, key: str, hints: Hints) -> Starlette:
    """The routes. key: the API key that signs the webhooks; raises ValueError without one.

    Each route carries its own credential (the webhook's signature) or tells nothing (health), so that these may be
    reached by anybody. A page that shows or changes anything needs one before it may join them.
    """
    receiver = WebhookReceiver(context, key, hints)

    async def health(_: Request) -> Response:
        """Whether the database answers, and how many webhooks came to what since the start."""
        try:
            await to_thread.run_sync(context.store.workspaces.account, context.workspace)
        except Exception as error:
            return JSONResponse({"status": "database", "error": type(error).__name__}, 503)
        return JSONResponse({"status": "ok", "webhooks": dict(receiver.counts)})

    async def webhook(request: Request) -> Response:
        return await receiver(request)

    return Starlette(
        routes=[Route(WEBHOOK_PATH, webhook, methods=["POST"]), Route("/healthz", health, methods=["GET"])]
    )


def make_server(app: Starlette) -> uvicorn.Server:
    """A server for it. `should_exit = True` ends its `run`."""
    config = uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_REQUESTS,
        timeout_graceful_shutdown=10,
    )
    return uvicorn.Server(config)


def serve(app: Starlette, listener: socket.socket) -> None:
    """Run until SIGINT or SIGTERM; what is being answered is answered first."""
    if threading.current_thread() is threading.main_thread():
        # uvicorn stops at a signal and then raises it again for whoever was there before: nobody must die of it.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
    make_server(app).run(sockets=[listener])
