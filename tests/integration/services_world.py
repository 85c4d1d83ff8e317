"""A campaign's whole world in one process: real store, real client, simulated Retell, time that waits."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import redis
import sqlalchemy as sa
from store_steps import new_lead

from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.retell import RetellClient
from campaigns.services import dial as dialing
from campaigns.services import dispatch, results
from campaigns.services.context import Context
from campaigns.services.reconcile import Reconciled, reconcile
from campaigns.simulator.api import Api
from campaigns.simulator.config import SimulatorConfig
from campaigns.simulator.engine import Engine
from campaigns.simulator.transport import SimulatorTransport
from campaigns.store import Store
from campaigns.store.schema import attempts, events, leads

#: A Tuesday, 10:00 in New York.
START = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
FROM = "+14155550100"
WORKSPACE = "acme"
DIAL = "/v2/create-phone-call"


def phone(number: int) -> str:
    return f"+1212555{number:04}"


class ManualClock:
    """Business time that stands still until it is moved."""

    speed = 1.0

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


class FakeLimiter:
    """Hands out turns as told; a turn at once where nothing was told."""

    def __init__(self) -> None:
        self.answers: deque[tuple[bool, float] | redis.RedisError] = deque()
        self.asked: list[tuple[str, float, float]] = []

    def reserve(self, key: str, per_second: float, patience: float) -> tuple[bool, float]:
        self.asked.append((key, per_second, patience))
        answer = self.answers.popleft() if self.answers else (True, 0.0)
        if isinstance(answer, redis.RedisError):
            raise answer
        return answer


class Wire(httpx.BaseTransport):
    """The way to the simulator: counts dials, and can answer one itself, or do something around it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._inner = SimulatorTransport(api, wait=lambda seconds: None)
        self.dials = 0
        self.instead: deque[httpx.Response | Exception] = deque()
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == DIAL:
            self.dials += 1
            self.before()
            if self.instead:
                answer = self.instead.popleft()
                if isinstance(answer, Exception):
                    raise answer
                return answer
        response = self._inner.handle_request(request)
        if request.url.path == DIAL:
            self.after()
        return response


class World:
    """Everything that a service needs, and short words to look at what it did."""

    def __init__(self, store: Store, **simulator: Any) -> None:
        self.clock = ManualClock()
        settings = {"outcomes": "human=1", "analysis_delay": (2.0, 6.0), **simulator}
        self.engine = Engine(SimulatorConfig(**settings), self.clock)
        self.wire = Wire(Api(self.engine))
        self.limiter = FakeLimiter()
        self.slept: list[float] = []
        self.store = store
        self.store.workspaces.ensure(WORKSPACE)
        self.context = Context(
            store=self.store,
            retell=RetellClient(
                "key_test", "http://simulator.invalid", transport=self.wire, sleep=lambda seconds: None
            ),
            clock=self.clock,
            limiter=self.limiter,
            workspace=WORKSPACE,
            sleep=self.slept.append,
        )

    @classmethod
    @contextmanager
    def made(cls, folder: Path, migrated: Path, **simulator: Any) -> Iterator[World]:
        """A world with an empty database in a folder; closed at the end."""
        shutil.copy(migrated, folder / "campaigns.db")
        world = cls(Store.open(f"sqlite:///{folder / 'campaigns.db'}"), **simulator)
        try:
            yield world
        finally:
            world.context.retell.close()
            world.store.close()

    # -- doing

    def campaign(self, name: str = "spring", *numbers: int, launch: bool = True, **options: Any) -> Campaign:
        """A campaign with one lead per number, in New York; running unless told otherwise."""
        chosen = {"from_numbers": (FROM,), "windows": ("Mon-Fri 09:00-20:00",), **options}
        made = self.store.campaigns.create(name, WORKSPACE, CampaignOptions(**chosen), self.clock.now())
        assert made is not None
        if numbers:
            self.add_leads(made, *numbers)
        if launch:
            assert self.store.campaigns.launch(made.id, self.clock.now())
        return self.campaign_now(made)

    def add_leads(self, campaign: Campaign, *numbers: int, **changes: Any) -> None:
        now = self.clock.now()
        with self.store.imports.writer(campaign.id, now) as writer:
            writer.begin("list.csv", "0" * 64, 100, ["phone", "name"], "test", variables=[1])
            changes = {"next_attempt_at": now, **changes}
            writer.add_leads(
                [new_lead(line, phone(number), **changes) for line, number in enumerate(numbers, start=2)]
            )
            writer.finish({"accepted": len(numbers)})

    def after(self, **time: float) -> World:
        self.clock.at += timedelta(**time)
        return self

    def pace(self) -> list[str]:
        """Pace with a snapshot of the account that is not older than this moment."""
        self.sql("UPDATE workspaces SET observed_real = NULL, shrunk_until_real = NULL")
        return dispatch.pace(self.context).attempt_ids

    def claim(self) -> str:
        [attempt_id] = self.pace()
        return attempt_id

    def dial(self, attempt_id: str, **options: Any) -> dialing.DialResult:
        return dialing.dial(self.context, attempt_id, **options)

    def dial_all(self) -> list[str]:
        ids = self.pace()
        for attempt_id in ids:
            self.dial(attempt_id)
        return ids

    def poll(self) -> tuple[int, list[str]]:
        """(slots freed, attempts ready to be settled), whosever turn it is."""
        self.sql("UPDATE workspaces SET next_poll_real = NULL")
        polled = results.poll(self.context)
        assert polled is not None
        return polled.ended, results.follow_up(self.context, polled)

    def poll_and_settle(self) -> int:
        _, ready = self.poll()
        return sum(results.settle(self.context, attempt_id) for attempt_id in ready)

    def reconcile(self) -> Reconciled:
        """One pass over everything that waits for a lease or a search, as if the real time for it were over."""
        self.sql(
            "UPDATE attempts SET lease_until_real = lease_until_real - 3600000 WHERE lease_until_real > 0"
        )
        return reconcile(self.context)

    def watched(self, attempt_id: str, seconds: float) -> None:
        """As if this process had been looking for the latest send of the attempt for so much longer."""
        key = (attempt_id, self.attempt(attempt_id)["sends"])
        self.context.watched[key] = self.context.watched.get(key, dialing.awake_seconds()) - seconds

    def finish_call(self, attempt_id: str, reason: str) -> None:
        """Dial a claimed attempt, let its call end for a reason, and settle it."""
        self.engine.script(self.attempt(attempt_id)["phone"], reason)
        self.dial(attempt_id)
        self.after(hours=1.5)
        assert self.poll_and_settle() == 1

    # -- looking

    def sql(self, text: str) -> None:
        """SQL past all the checks of the code."""
        with self.store.database.write() as connection:
            connection.execute(sa.text(text))

    def _row(self, query: sa.Select[Any]) -> dict[str, Any]:
        with self.store.database.read() as connection:
            return dict(connection.execute(query).one()._mapping)

    def attempt(self, attempt_id: str) -> dict[str, Any]:
        return self._row(sa.select(attempts).where(attempts.c.id == attempt_id))

    def lead(self, number: int, campaign: Campaign | None = None) -> dict[str, Any]:
        query = sa.select(leads).where(leads.c.phone == phone(number))
        if campaign is not None:
            query = query.where(leads.c.campaign_id == campaign.id)
        return self._row(query)

    def due(self, number: int) -> datetime:
        """When the lead is to be dialed next."""
        return datetime.fromtimestamp(self.lead(number)["next_attempt_at"] / 1000, UTC)

    def campaign_now(self, campaign: Campaign) -> Campaign:
        found = self.store.campaigns.get(campaign.id)
        assert found is not None
        return found

    def counts(self, campaign: Campaign) -> dict[str, int]:
        """Attempts by state, those that there are."""
        return {k: n for k, n in self.store.reports.attempt_counts(campaign.id).items() if n}

    def lead_counts(self, campaign: Campaign) -> dict[str, int]:
        return {k: n for k, n in self.store.reports.lead_counts(campaign.id).items() if n}

    def transitions(self, attempt_id: str) -> list[str]:
        """The states it came to; what was noted of it while it stayed in one is left out."""
        query = sa.select(events.c.to_state).where(
            events.c.attempt_id == attempt_id,
            events.c.subject == "attempt",
            sa.func.coalesce(events.c.from_state, "") != events.c.to_state,
        )
        with self.store.database.read() as connection:
            return list(connection.execute(query.order_by(events.c.id)).scalars())

    @property
    def requests(self) -> dict[str, int]:
        """Requests that the simulator got, by endpoint."""
        return dict(self.engine.ledger.requests)

    @property
    def rings(self) -> list[str]:
        return [call.to_number for call in self.engine.calls if call.rang]
