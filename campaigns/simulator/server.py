"""The simulator as an HTTP server.

An ASGI application over `Api`, run by uvicorn with a protocol that hands the socket on, so that a dropped
connection is really dropped. Everything of the engine runs on the event loop's thread: a request is a
fraction of a millisecond.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from campaigns.domain.clock import Clock
from campaigns.listening import is_loopback, listen, url_of
from campaigns.simulator.api import JSON_HEADERS, Api, Drop, Hang, Request, parse_query
from campaigns.simulator.config import SimulatorConfig
from campaigns.simulator.deliveries import Deliveries
from campaigns.simulator.engine import Engine

DEFAULT_PORT = 8787
_TRANSPORT = "campaigns.simulator.transport"
_HEADERS = [(name.encode(), value.encode()) for name, value in JSON_HEADERS]

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class SimulatorApp:
    """The ASGI application."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.stopping = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = self.api.handle(
            Request(
                method=scope["method"],
                path=scope["path"],
                query=parse_query(scope["query_string"].decode("latin-1")),
                headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
                body=body,
            )
        )
        if isinstance(answer, Hang):
            await self._gone(receive, answer.seconds)
            answer = Drop()
        elif not isinstance(answer, Drop) and answer.delay and not await self._gone(receive, answer.delay):
            answer = Drop()
        if isinstance(answer, Drop):
            await _cut(scope["extensions"][_TRANSPORT], receive, reset=answer.reset)
            return
        headers = (
            [*_HEADERS, (b"content-length", str(len(answer.body)).encode())] if answer.status != 204 else []
        )
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _gone(self, receive: Receive, seconds: float | None) -> bool:
        """Wait so long, or until the client is gone or the server stops; whether the time simply passed."""
        waits = {asyncio.ensure_future(_disconnected(receive)), asyncio.ensure_future(self.stopping.wait())}
        try:
            done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return not done


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cut(transport: asyncio.Transport, receive: Receive, *, reset: bool) -> None:
    if reset:
        # A linger time of zero makes close() send RST and not FIN.
        connection: socket.socket = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _disconnected(receive)


class _Protocol(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: self.transport}  # type: ignore[dict-item]


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: SimulatorApp, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app, self._ready = app, ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, so that the process would not exit with 0.
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(_: int, __: FrameType | None) -> None:
            self.should_exit = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.stopping.set()
        await super().shutdown(sockets)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs in the background of this process."""

    url: str
    api: Api
    engine: Engine


def serve(
    config: SimulatorConfig | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    clock: Clock | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Run the simulator until SIGINT or SIGTERM; `ready` is called with its URL once it answers.

    Port 0 takes a free port. Raises ValueError for a host that others can reach while no API key is
    configured, and OSError if the port is taken.
    """
    engine = Engine(config, clock)
    try:
        listener = _listen(engine.config, host, port)
        with listener:
            _run(Api(engine), listener, ready or (lambda url: None))
    finally:
        engine.close()


@contextlib.contextmanager
def running(
    config: SimulatorConfig | Engine | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Clock | None = None,
) -> Iterator[Running]:
    """The simulator on a thread of this process, for as long as the block lasts. Raises as `serve` does."""
    engine = config if isinstance(config, Engine) else Engine(config, clock)
    api = Api(engine)
    listener = _listen(engine.config, host, port)
    ready, urls, servers = threading.Event(), [""], list[_Server]()

    def announce(url: str) -> None:
        urls[0] = url
        ready.set()

    thread = threading.Thread(
        target=_run, args=(api, listener, announce, servers), name="simulator", daemon=True
    )
    thread.start()
    try:
        if not ready.wait(10):
            raise RuntimeError("the simulator did not start within 10 seconds")
        yield Running(urls[0], api, engine)
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(10)
        listener.close()
        engine.close()


def _listen(config: SimulatorConfig, host: str, port: int) -> socket.socket:
    if config.api_key is None and not is_loopback(host):
        raise ValueError(
            f"the simulator accepts any API key, so it listens on this machine only; to bind {host}, "
            "configure an API key"
        )
    return listen(host, port)


def _run(
    api: Api, listener: socket.socket, ready: Callable[[str], None], servers: list[_Server] | None = None
) -> None:
    app = SimulatorApp(api)
    url = url_of(listener)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        # A client that keeps a connection for a later poll must not find it closed under its request.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config, app, lambda: ready(url))
    if servers is not None:
        servers.append(server)
    deliveries = Deliveries(api)
    deliveries.start()
    try:
        server.run(sockets=[listener])
    finally:
        deliveries.stop()
