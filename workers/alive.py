"""Signs of life: each worker, and beat, keeps a key in the message server that expires when nobody renews it.

For people only (`campaigns doctor`): nothing is decided by it. Workers do not answer Celery's own `inspect`, since
remote control is off.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import redis

from workers.queues import CONTROL_QUEUES, DIAL_QUEUES

#: Real seconds between renewals, and after the last one until the process counts as gone.
RENEWED_EVERY, FORGOTTEN_AFTER = 10.0, 35.0
_PREFIX = "campaigns:alive:"
#: The prefix of the queues' keys, as `workers.app` configures it.
_QUEUES = "campaigns:"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is at work. `kind`: worker or beat; `queues`: what a worker takes."""

    kind: str
    host: str
    pid: int
    queues: tuple[str, ...] = ()


class Heart:
    """Keeps this process's key until `stop`. A message server that is away stops nothing."""

    def __init__(self, client: Any, kind: str, queues: Sequence[str] = ()) -> None:
        self._client = client
        self._process = Process(kind, socket.gethostname(), os.getpid(), tuple(queues))
        self._key = f"{_PREFIX}{kind}:{self._process.host}:{self._process.pid}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def beat(self) -> None:
        """Renew the key once."""
        with contextlib.suppress(redis.RedisError, OSError):
            self._client.set(self._key, json.dumps(asdict(self._process)), px=int(FORGOTTEN_AFTER * 1000))

    def stop(self) -> None:
        """Say that the process is gone."""
        self._stopping.set()
        with contextlib.suppress(redis.RedisError, OSError):
            self._client.delete(self._key)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.beat()
            self._stopping.wait(RENEWED_EVERY)


def processes(client: Any) -> list[Process]:
    """The processes that showed a sign of life lately. Raises redis.RedisError when the server is away."""
    found: list[Process] = []
    for key in client.scan_iter(match=f"{_PREFIX}*", count=1000):
        text = client.get(key)
        if text is not None:
            values = json.loads(text)
            found.append(Process(**{**values, "queues": tuple(values["queues"])}))
    return sorted(found, key=lambda one: (one.kind, one.host, one.pid))


def queue_depths(client: Any) -> dict[str, int]:
    """Messages that wait, by queue. Raises redis.RedisError when the server is away."""
    return {name: int(client.llen(_QUEUES + name)) for name in (*DIAL_QUEUES, *CONTROL_QUEUES)}
