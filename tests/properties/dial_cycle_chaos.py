"""What may go wrong around a process of the dial cycle: time, death at any commit, trouble on the wire.

Time is three clocks that a test moves: business, the wall clock (leases, polls), and the seconds a machine was awake.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import httpx
import redis
import sqlalchemy as sa

from campaigns.simulator.transport import SimulatorTransport
from campaigns.store.database import Database

T = TypeVar("T")
#: A Tuesday, 12:00 in New York, 9:00 in Los Angeles.
START = datetime(2026, 12, 1, 17, 0, tzinfo=UTC)
DIAL = "/v2/create-phone-call"
CONCURRENCY = "/get-concurrency"
#: The client's own time-out of a dial: nothing is sent later than that after its beginning.
DIAL_TIMEOUT = 15.0


class Time:
    """A clock for the services, and a stand-in for the module `time` where the product reads real time."""

    speed = 1.0
    CLOCK_BOOTTIME = CLOCK_MONOTONIC = 0

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.business, self.real, self.awake = START, START.timestamp(), 0.0
        self._set_by = 0.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> datetime:
        return self.business

    def time(self) -> float:
        return self.real

    def clock_gettime(self, _: int) -> float:
        return self.awake

    def pass_by(self, business: float, real: float) -> None:
        """Time goes on. A simulated run's business time runs faster than the real one."""
        end = self.awake + real
        while self._due and self._due[0][0] <= end:
            at, happens = self._due.pop(0)
            share = (at - self.awake) / (end - self.awake) if end > self.awake else 0.0
            self._go_on(business * share, at - self.awake)
            business -= business * share
            happens()
        self._go_on(business, end - self.awake)

    def _go_on(self, business: float, real: float) -> None:
        self.business += timedelta(seconds=business)
        self.real += real
        self.awake += real

    def later(self, real: float, happens: Callable[[], None]) -> None:
        """Do it when so much real time has passed."""
        self._due = sorted([*self._due, (self.awake + real, happens)], key=lambda due: due[0])

    def sleep(self, seconds: float) -> None:
        self.pass_by(seconds, seconds)

    def set(self, seconds: float) -> None:
        """The machine's wall clock is set; nothing else moves, least of all Retell's."""
        self.real += seconds
        self.business += timedelta(seconds=seconds)
        self._set_by += seconds

    def unset(self) -> datetime:
        """Business time by a clock that nobody sets."""
        return self.business - timedelta(seconds=self._set_by)


class RetellTime:
    """Retell's own clocks."""

    speed = 1.0

    def __init__(self, time: Time) -> None:
        self._time = time

    def now(self) -> datetime:
        return self._time.unset()

    def real(self) -> float:
        return START.timestamp() + self._time.awake


class Killed(BaseException):
    """The process is dead: nothing in it catches this."""


@dataclass(frozen=True, slots=True)
class Ambush:
    """One thing that happens to a process at the nth time it comes to a place.

    place: `begin` (a transaction is about to), `commit` (it did its work and is about to), `done` (it is committed),
    `turn` (waiting under the calls per second), `sending` (a dial leaves), `answered` (its answer comes).
    what: `kill`, `locked` (the database refuses), or what other processes do meanwhile.
    """

    place: str
    nth: int
    what: str | tuple[tuple[str, int], ...]


class Chaos:
    """Runs processes one at a time and ambushes them; `interlude` does what others do meanwhile."""

    def __init__(self) -> None:
        self.interlude: Callable[[tuple[tuple[str, int], ...]], None] = lambda steps: None
        self._armed: Ambush | None = None
        self._met = 0
        self._dead = False

    @contextmanager
    def process(self, ambush: Ambush | None = None) -> Iterator[None]:
        """What runs inside may die or fail, as a task of a worker does."""
        self._armed, self._met = ambush, 0
        try:
            yield
        except Killed:
            pass
        except sa.exc.OperationalError as error:
            if "an ambush" not in str(error):
                raise
        finally:
            self._armed, self._dead = None, False

    def alive(self) -> None:
        """The dead do nothing more, not even in their `finally`."""
        if self._dead:
            raise Killed

    def hit(self, place: str) -> None:
        """The process comes to a place."""
        self.alive()
        ambush = self._armed
        if ambush is None or ambush.place != place:
            return
        self._met += 1
        if self._met < ambush.nth:
            return
        self._armed = None
        if ambush.what == "kill":
            self._dead = True
            raise Killed
        if ambush.what == "locked":
            raise sa.exc.OperationalError("an ambush", None, Exception("database is locked"))
        assert not isinstance(ambush.what, str)
        if place != "commit":  # the others would wait for its lock
            self.interlude(ambush.what)

    def guard(self, database: Database, committed: Callable[[], None]) -> None:
        """Let every transaction come by here; `committed` looks at the rows after each."""
        write, together, read = database.write, database.commit_together, database.read
        shared = False

        @contextmanager
        def guarded_write() -> Iterator[sa.Connection]:
            if not shared:
                self.hit("begin")
            with write() as connection:
                yield connection
                self.hit("commit")
            committed()
            if not shared:
                self.hit("done")

        def guarded_together(work: Callable[[sa.Connection], T]) -> T:
            nonlocal shared
            self.hit("begin")
            shared = True
            try:
                result = together(work)
            finally:
                shared = False
            self.hit("done")
            return result

        @contextmanager
        def guarded_read() -> Iterator[sa.Connection]:
            self.alive()
            with read() as connection:
                yield connection

        # The rows keep the database, not its methods.
        vars(database).update(write=guarded_write, commit_together=guarded_together, read=guarded_read)


class Turns:
    """The calls per second: a turn at once, unless told otherwise."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self.mood = "free"

    def reserve(self, key: str, per_second: float, patience: float) -> tuple[bool, float]:
        self._chaos.hit("turn")
        mood, self.mood = self.mood, "free"
        if mood == "away":
            raise redis.ConnectionError("the broker is away")
        return (False, patience + 1) if mood == "crowded" else (True, 0.5 if mood == "slow" else 0.0)


class Wire(httpx.BaseTransport):
    """The way to the simulator, with a place to be ambushed at both ends of a dial."""

    def __init__(self, time: Time, chaos: Chaos) -> None:
        self._time, self._chaos = time, chaos
        self.inner: SimulatorTransport
        #: Real seconds after which the next dial reaches Retell, its sender long gone.
        self.late = 0.0
        self.on_start: Callable[[str], None]
        self.on_send: Callable[[str], None]
        self.on_arrival: Callable[[], None]
        self.on_limit: Callable[[int], None]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._chaos.alive()
        if request.url.path == DIAL:
            return self._dial(request)
        response = self.inner.handle_request(request)
        if request.url.path == CONCURRENCY and response.status_code == 200:
            with suppress(ValueError):  # cut off on the way
                self.on_limit(response.json()["concurrency_limit"])
        return response

    def _dial(self, request: httpx.Request) -> httpx.Response:
        began = self._time.awake
        attempt_id = json.loads(request.read())["metadata"]["attempt_id"]
        self.on_start(attempt_id)
        self._chaos.hit("sending")
        if self._time.awake - began >= DIAL_TIMEOUT:
            raise httpx.ConnectTimeout("the request could not be sent in time", request=request)
        self.on_send(attempt_id)
        late, self.late = self.late, 0.0
        if late:
            self._time.later(late, lambda: self._arrive(request))
            self._time.sleep(DIAL_TIMEOUT)
            raise httpx.ReadTimeout("The read operation timed out", request=request)
        try:
            return self.inner.handle_request(request)
        except httpx.ReadTimeout:
            self._time.sleep(DIAL_TIMEOUT)
            raise
        finally:
            self.on_arrival()
            self._chaos.hit("answered")

    def _arrive(self, request: httpx.Request) -> None:
        """Retell gets round to a request whose sender has given up waiting."""
        with suppress(httpx.TransportError):
            self.inner.handle_request(request)
        self.on_arrival()
