"""Sending webhooks: a thread of the HTTP server, never of the engine."""

from __future__ import annotations

import heapq
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from campaigns.retell.webhooks import SIGNATURE_HEADER, sign
from campaigns.simulator.api import Api

_TICK = 0.02
_SENDERS = 8
_LATE_SECONDS = 1.5


@dataclass(order=True, slots=True)
class _Delivery:
    due: float
    number: int
    event: str = field(compare=False)
    body: bytes = field(compare=False)
    tries: int = field(compare=False, default=0)


class Deliveries:
    """Posts the webhooks of an engine as they become due, signed, each retried until a 2xx or out of tries.

    Several are under way at once, so that a slow receiver delays nobody: their order is not promised, as at
    Retell.
    """

    def __init__(self, api: Api, post: Callable[[str, bytes, dict[str, str]], int] | None = None) -> None:
        self._api = api
        self._engine = api.engine
        self._client: httpx.Client | None = None
        self._post = post or self._post_http
        self.waiting: list[_Delivery] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._number = 0

    def start(self) -> None:
        """Begin in the background."""
        self._thread = threading.Thread(target=self._run, name="simulator-webhooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; what is not sent yet is lost, as when a provider restarts."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._client is not None:
            self._client.close()

    def _run(self) -> None:
        with ThreadPoolExecutor(_SENDERS, thread_name_prefix="simulator-webhook") as pool:
            while not self._stopping.wait(_TICK):
                self.collect()
                for delivery in self._due():
                    pool.submit(self.send, delivery)
            pool.shutdown(cancel_futures=True)

    def collect(self) -> None:
        """Take over the events that became due, as the faults have it: lost, twice, or late."""
        with self._engine.lock:
            if self._engine.config.webhook_url is None:
                return
            events = self._engine.take_events()
            strikes, counts = self._engine.faults.strikes, self._engine.ledger.webhooks
            now = time.monotonic()
            for event in events:
                if strikes("webhook_drop"):
                    counts["dropped"] += 1
                    continue
                late = strikes("webhook_reorder")
                twice = strikes("webhook_duplicate")
                if late:
                    counts["reordered"] += 1
                if twice:
                    counts["duplicated"] += 1
                body = json.dumps(event, separators=(",", ":")).encode()
                for copy in range(1 + twice):
                    self._wait(now + late * _LATE_SECONDS + copy * 0.05, event["event"], body)

    def _wait(self, due: float, event: str, body: bytes, tries: int = 0) -> None:
        with self._lock:
            self._number += 1
            heapq.heappush(self.waiting, _Delivery(due, self._number, event, body, tries))

    def _due(self) -> list[_Delivery]:
        now = time.monotonic()
        with self._lock:
            due = []
            while self.waiting and self.waiting[0].due <= now:
                due.append(heapq.heappop(self.waiting))
            return due

    def send(self, delivery: _Delivery) -> None:
        """Post one webhook once; if that fails, have it tried again later."""
        config = self._engine.config
        if config.webhook_url is None:
            return
        key = config.api_key or self._api.last_key or "key_simulator"
        headers = {"content-type": "application/json", SIGNATURE_HEADER: sign(delivery.body, key)}
        try:
            good = 200 <= self._post(config.webhook_url, delivery.body, headers) < 300
        except httpx.HTTPError:
            good = False
        retry = not good and delivery.tries < len(config.webhook_backoff)
        with self._engine.lock:
            self._engine.ledger.webhooks["sent"] += 1
            self._engine.ledger.webhooks["delivered" if good else "retried" if retry else "given_up"] += 1
        if retry:
            due = time.monotonic() + config.webhook_backoff[delivery.tries]
            self._wait(due, delivery.event, delivery.body, delivery.tries + 1)

    def _post_http(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(timeout=self._engine.config.webhook_timeout, trust_env=False)
        return self._client.post(url, content=body, headers=headers).status_code
