"""The console's application behind a real socket, and webhooks as Retell posts them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from services_world import World

from campaigns.console.app import WEBHOOK_PATH, make_app, make_server
from campaigns.listening import listen, url_of
from campaigns.retell.webhooks import SIGNATURE_HEADER, sign

KEY = "key_test"


class Heard:
    """Hints that nobody acts on."""

    def __init__(self) -> None:
        self.paces = 0
        self.settles: list[str] = []

    def pace(self) -> None:
        self.paces += 1

    def settle(self, attempt_id: str) -> None:
        self.settles.append(attempt_id)


class Console:
    """A served application. post: a webhook, signed with our key unless told otherwise."""

    def __init__(self, url: str, hints: Heard, http: httpx.Client) -> None:
        self.url = url
        self.webhook_url = url + WEBHOOK_PATH
        self.hints = hints
        self.http = http

    def post(self, body: bytes | dict[str, Any], **headers: str) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(
            self.webhook_url, content=raw, headers={SIGNATURE_HEADER: sign(raw, KEY), **headers}
        )

    def health(self) -> tuple[int, dict[str, Any]]:
        answer = self.http.get(f"{self.url}/healthz")
        return answer.status_code, answer.json()


@contextmanager
def served(world: World) -> Iterator[Console]:
    """The application for a world's store, on a thread of this process."""
    hints = Heard()
    server = make_server(make_app(world.context, KEY, hints))
    listener = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="console")
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        with httpx.Client(timeout=20, trust_env=False) as http:
            yield Console(url_of(listener), hints, http)
    finally:
        server.should_exit = True
        thread.join(15)
        listener.close()
