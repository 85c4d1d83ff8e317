"""A campaign in batch mode in one process: as `services_world`, on a clock that moves business and real time alike."""

from __future__ import annotations

import json
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import sqlalchemy as sa
from services_world import FROM, WORKSPACE, FakeLimiter
from store_steps import new_lead

from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.retell import RetellClient
from campaigns.services import batch, batch_calls, breaker, dispatch, results
from campaigns.services import dial as dialing
from campaigns.services.audit import audit
from campaigns.services.context import Context
from campaigns.services.launch import begin_and_end
from campaigns.services.reconcile import reconcile
from campaigns.services.report import status
from campaigns.simulator.api import Api
from campaigns.simulator.config import SimulatorConfig
from campaigns.simulator.engine import Engine
from campaigns.simulator.transport import SimulatorTransport
from campaigns.store import Store
from campaigns.store.schema import attempts, batches, leads

#: A Tuesday, 10:00 in New York.
START = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
BATCH, LIST = "/create-batch-call", "/v3/list-calls"
EAST, CENTRAL, MOUNTAIN, WEST = (
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
)


def number(n: int) -> str:
    return f"+1212{5_550_000 + n:07}"


class Time:
    """Business time, and a stand-in for the module `time`: both go on together, the machine is never asleep."""

    speed = 1.0
    CLOCK_BOOTTIME = CLOCK_MONOTONIC = 0

    def __init__(self, start: datetime) -> None:
        self.at = start

    def now(self) -> datetime:
        return self.at

    def time(self) -> float:
        return self.at.timestamp()

    def clock_gettime(self, _: int) -> float:
        return self.at.timestamp()


class Behind(Time):
    """Another machine's clock, so many seconds behind."""

    def __init__(self, clock: Time, seconds: float) -> None:
        self._clock, self._by = clock, timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._clock.at - self._by

    def time(self) -> float:
        return self.now().timestamp()


def real_time_of(clock: Time) -> Callable[[], None]:
    """Real time is the clock's, wherever the product reads it; until what this returns is called."""
    patch = pytest.MonkeyPatch()
    for module in ("store.events", "services.reconcile", "services.dial"):
        patch.setattr(f"campaigns.{module}.time", clock)
    return patch.undo


class Killed(BaseException):
    """The process is dead."""


class Wire(httpx.BaseTransport):
    """The way to the simulator. Trouble with the next batches: `dropped` (it arrives, its answer does not), `killed`
    (the process dies before it leaves), `died` (after it arrived), or an answer instead."""

    def __init__(self, api: Api) -> None:
        self._inner = SimulatorTransport(api, wait=lambda seconds: None)
        self.trouble: deque[str | httpx.Response | Exception] = deque()
        self.sent: list[dict[str, Any]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != BATCH:
            return self._inner.handle_request(request)
        trouble = self.trouble.popleft() if self.trouble else ""
        if trouble == "killed":
            raise Killed
        if isinstance(trouble, Exception):
            raise trouble
        if isinstance(trouble, httpx.Response):
            return trouble
        self.sent.append(json.loads(request.content))
        response = self._inner.handle_request(request)
        if trouble == "died":
            raise Killed
        if trouble == "dropped":
            raise httpx.ReadTimeout("no answer")
        return response


class BatchWorld:
    """What the processes do, in the order in which a test lets them."""

    def __init__(self, store: Store, start: datetime = START, ahead: float = 0.0, **simulator: Any) -> None:
        """ahead: seconds by which our clock is ahead of Retell's."""
        self.clock = Time(start)
        settings = {"outcomes": "human=1", "analysis_delay": (2.0, 6.0), "concurrency": 20, **simulator}
        theirs = Behind(self.clock, ahead) if ahead else self.clock
        self.engine = Engine(SimulatorConfig(**settings), theirs, theirs.time)
        self.wire = Wire(Api(self.engine))
        self.store = store
        store.workspaces.ensure(WORKSPACE)
        self.context = Context(
            store=store,
            retell=RetellClient(
                "key_test", "http://simulator.invalid", transport=self.wire, sleep=lambda seconds: None
            ),
            clock=self.clock,
            limiter=FakeLimiter(),
            workspace=WORKSPACE,
            sleep=lambda seconds: None,
        )
        self.lost_messages = False

    @classmethod
    @contextmanager
    def made(cls, folder: Path, migrated: Path, **simulator: Any) -> Iterator[BatchWorld]:
        shutil.copy(migrated, folder / "campaigns.db")
        world = cls(Store.open(f"sqlite:///{folder / 'campaigns.db'}"), **simulator)
        unset = real_time_of(world.clock)
        try:
            yield world
        finally:
            unset()
            world.context.retell.close()
            world.store.close()

    def campaign(
        self, name: str = "spring", zones: Sequence[str] = (EAST,) * 4, first: int = 0, **options: Any
    ) -> Campaign:
        """A running campaign, with a lead for each of these zones."""
        chosen: dict[str, Any] = {
            "from_numbers": (FROM,), "windows": ("Mon-Fri 09:00-20:00",), "mode": "batch", "retry": "none", **options,
        }  # fmt: skip
        made = self.store.campaigns.create(name, WORKSPACE, CampaignOptions(**chosen), self.clock.now())
        assert made is not None
        with self.store.imports.writer(made.id, self.clock.now()) as writer:
            writer.begin("list.csv", "0" * 64, 100, ["phone", "name"], "test", variables=[1])
            writer.add_leads(
                [
                    new_lead(line, number(first + line), zones=zone, next_attempt_at=self.clock.now())
                    for line, zone in enumerate(zones)
                ]
            )
            writer.finish({"rows": len(zones), "accepted": len(zones)})
        assert self.store.campaigns.launch(made.id, self.clock.now())
        return self.now(made)

    def now(self, campaign: Campaign) -> Campaign:
        found = self.store.campaigns.get(campaign.id)
        assert found is not None
        return found

    # -- doing

    def pace(self) -> dispatch.Paced:
        paced = dispatch.pace(self.context)
        for attempt_id in paced.attempt_ids:
            dialing.dial(self.context, attempt_id)
        return paced

    def send(self) -> list[str]:
        """Pace, and send what was claimed."""
        batch_ids = self.pace().batch_ids
        for batch_id in batch_ids:
            self.deliver(batch_id)
        return batch_ids

    def deliver(self, batch_id: str) -> None:
        with suppress(Killed):
            batch.send(self.context, batch_id)

    def look(self) -> batch_calls.Looked:
        looked = batch_calls.look(self.context)
        for attempt_id in looked.settle:
            results.settle(self.context, attempt_id)
        return looked

    def tick(self, seconds: float = 1.0) -> None:
        """Time goes on, then every process has its turn."""
        self.clock.at += timedelta(seconds=seconds)
        begin_and_end(self.store, WORKSPACE, self.clock.now())
        breaker.watch_over(self.context)
        reconcile(self.context)
        self.look()
        polled = results.poll(self.context)
        if polled is not None:
            for attempt_id in results.follow_up(self.context, polled):
                results.settle(self.context, attempt_id)
        if not self.lost_messages:
            self.send()

    def run(self, campaigns: Sequence[Campaign], hours: float, step: float = 4.0) -> None:
        """Until these campaigns are over and settled. Hours in which nothing is open or due are left out."""
        end = self.clock.at + timedelta(hours=hours)
        while self.clock.at < end:
            self.tick(step)
            counts = [self.lead_counts(one) for one in campaigns]
            if not any(count.keys() & {"pending", "in_flight"} for count in counts):
                return
            self.leave_out_quiet_hours(campaigns)
        raise AssertionError([self.lead_counts(one) for one in campaigns])

    def leave_out_quiet_hours(self, campaigns: Sequence[Campaign]) -> None:
        """Where nothing is in flight, on to shortly before something happens."""
        if not any("in_flight" in self.lead_counts(one) for one in campaigns):
            events = [status(self.store, self.now(one), self.clock.at).next_event.at for one in campaigns]
            wait = min((at for at in events if at is not None), default=self.clock.at) - self.clock.at
            self.clock.at += max(timedelta(0), wait - timedelta(seconds=90))

    # -- looking

    def rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self.store.database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    @property
    def batches(self) -> list[dict[str, Any]]:
        return self.rows(sa.select(batches).order_by(batches.c.claimed_at))

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return self.rows(sa.select(attempts).order_by(attempts.c.claimed_at, attempts.c.lead_id))

    def states(self) -> dict[str, int]:
        return dict(Counter(attempt["state"] for attempt in self.attempts))

    def lead_counts(self, campaign: Campaign) -> dict[str, int]:
        return {k: n for k, n in self.store.reports.lead_counts(campaign.id).items() if n}

    def leads(self) -> list[dict[str, Any]]:
        return self.rows(sa.select(leads).order_by(leads.c.id))

    @property
    def rings(self) -> Counter[str]:
        return Counter(call.to_number for call in self.engine.calls if call.rang)

    def holds(self, campaign: Campaign) -> None:
        found = audit(self.store, self.context.retell, self.now(campaign))
        assert found.holds, [check for check in found.checks if not check.holds]
        twice = self.engine.summary()
        assert twice["attempts_rung_twice"] == 0
        assert twice["peak_total_concurrency"] <= self.engine.config.outbound_limit


def minute_of_day(ms: int, zone: str) -> int:
    local = datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone))
    return local.hour * 60 + local.minute
