"""Telling the workers from another process that there is something to do."""

from __future__ import annotations

import queue
import threading

import structlog
from kombu.exceptions import OperationalError

from workers.app import make_app

log = structlog.get_logger(__name__)

#: Hints that wait while the broker is away; further ones are lost, and beat and the poller find the work.
_MOST_WAITING = 1000


class Hints:
    """Sends messages from a thread of its own, so that whoever gives the hint never waits for the broker."""

    def __init__(self, redis_url: str) -> None:
        self._app = make_app(redis_url)
        self._waiting: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._paced = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="hints", daemon=True)
        self._thread.start()

    def pace(self) -> None:
        """A line is free. Many at once are one message."""
        if not self._paced.is_set():
            self._paced.set()
            self._put("")

    def settle(self, attempt_id: str) -> None:
        """The call of an ended attempt can be read."""
        self._put(attempt_id)

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._put(None)
        self._thread.join(timeout=3)

    def _put(self, hint: str | None) -> None:
        try:
            self._waiting.put_nowait(hint)
        except queue.Full:
            self._paced.clear()

    def _send_all(self) -> None:
        while (attempt_id := self._waiting.get()) is not None:
            try:
                if attempt_id:
                    self._app.send_task("campaigns.settle", (attempt_id,), retry=False)
                else:
                    # Before the message: a line that is freed from here on is worth another one.
                    self._paced.clear()
                    self._app.send_task("campaigns.pace", expires=1.0, retry=False)
            except OperationalError as error:
                log.warning("broker_away", lost=1, error=str(error))
