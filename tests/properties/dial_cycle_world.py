"""Two campaigns that share a number, on the real store, services and client, with a simulated Retell behind them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from dial_cycle_chaos import DIAL_TIMEOUT, Ambush, Chaos, RetellTime, Time, Turns, Wire
from dial_cycle_promises import Promises, Rules

from campaigns.domain.entities import CampaignOptions, NewLead
from campaigns.domain.states import AttemptState, CampaignState, LeadState
from campaigns.retell import Call, RetellClient
from campaigns.services import breaker, dispatch, results
from campaigns.services import dial as dialing
from campaigns.services.audit import Audit, audit
from campaigns.services.context import Context
from campaigns.services.reconcile import reconcile
from campaigns.services.webhook import receive
from campaigns.simulator.api import Api
from campaigns.simulator.config import SimulatorConfig
from campaigns.simulator.engine import Engine
from campaigns.simulator.transport import SimulatorTransport
from campaigns.store import Store
from campaigns.store.schema import metadata

WORKSPACE = "acme"
EAST, WEST = "America/New_York", "America/Los_Angeles"
FROM = ("+14155550100", "+12125550101")
RETRY = "no_answer:10m,1h;busy:5m,1h;machine:20m;declined:1h;callback:30m;platform_error:5m"
OUTCOMES = (
    "human=4,dial_no_answer=5,dial_busy=2,voicemail_reached=2,hidden_voicemail=2,user_requested_callback=1,"
    "user_requested_dnc=1,invalid_destination=1,telephony_provider_unavailable=2,error_unknown=1"
)
#: Name, leads as (number, zone), rules. Numbers 3 and 4 stand in both.
CAMPAIGNS: tuple[tuple[str, Sequence[tuple[int, str]], Rules, float | None], ...] = (
    ("spring", ((1, EAST), (2, EAST), (3, EAST), (4, WEST)), Rules(9, 20, 2, None), None),
    ("autumn", ((3, EAST), (4, WEST)), Rules(10, 16, 3, 2), 2.0),
)

#: Why leads are held here, where nobody doubts that they may be dialed again.
RELEASED = ("platform_error", "dial_refused")


def phone(number: int) -> str:
    return f"+1212555{number:04}"


def _lead(line: int, number: int, zone: str, time: Time) -> NewLead:
    return NewLead(
        line=line, phone=phone(number), zones=zone, zone_source="column", priority=5, jurisdictions="US-NY",
        next_attempt_at=time.now(),
        state=LeadState.PENDING, hold=None, external_id="", agent_id="", agent_version="", extension="",
        consent="", zip="", state_given="", ignore_e164=False, metadata={}, sip_headers={}, cells=(phone(number),),
    )  # fmt: skip


class Bench:
    """What is made once for all examples: the database, the client, and the product's own time and dice, replaced."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "campaigns.db"
        self.time, self.chaos = Time(), Chaos()
        self.wire = Wire(self.time, self.chaos)
        self.store = Store.open(f"sqlite:///{self.path}")
        # Processes die here, machines do not.
        sa.event.listen(
            self.store.database.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF").close()
        )
        self.store.database.engine.dispose()
        with self.store.database.write() as connection:  # between the examples every row goes, evidence too
            for what in ("update", "delete", "replace"):
                connection.exec_driver_sql(f"DROP TRIGGER evidence_no_{what}")
        self.chaos.guard(self.store.database, self._committed)
        self.client = RetellClient(
            "key_test",
            "http://simulator.invalid",
            dial_timeout=DIAL_TIMEOUT,
            transport=self.wire,
            sleep=lambda seconds: None,
        )
        self.world: World | None = None
        #: Second sends over all worlds: promises about them are worth nothing where none was made.
        self.resends = 0
        self.heard = 0

    @classmethod
    @contextmanager
    def made(cls, folder: Path) -> Iterator[Bench]:
        bench = cls(folder)
        words = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        with pytest.MonkeyPatch.context() as patch:
            for module in ("store.events", "services.reconcile", "services.dial"):
                patch.setattr(f"campaigns.{module}.time", bench.time)
            # So that an example can be replayed to the letter.
            ids = itertools.count()
            fake_uuid = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{next(ids):032x}"[::-1]))
            patch.setattr("campaigns.store.campaign_rows.uuid", fake_uuid)
            fake_secrets = SimpleNamespace(token_hex=lambda size: f"{next(ids):0{2 * size}x}")
            for module in ("simulator.engine", "store.claim_rows"):
                patch.setattr(f"campaigns.{module}.secrets", fake_secrets)
            try:
                yield bench
            finally:
                bench.client.close()
                bench.store.close()
                structlog.configure(**words)

    def _committed(self) -> None:
        if self.world is not None:
            self.world.promises.look()

    def empty(self) -> None:
        """No rows, no world, time at its start. A new database would have every statement compiled anew."""
        self.world = None
        self.time.restart()
        with self.store.database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(sa.delete(table))


class World:
    """One example: what processes and operators do, one at a time, each with an ambush where one is set."""

    def __init__(self, bench: Bench, **simulator: Any) -> None:
        bench.empty()
        self.bench = bench
        self.time, self.chaos, self.store = bench.time, bench.chaos, bench.store
        settings = {
            "outcomes": OUTCOMES, "analysis_delay": (2.0, 90.0), "webhook_url": "http://receiver.invalid/", **simulator,
        }  # fmt: skip
        retell = RetellTime(self.time)
        self.engine = Engine(SimulatorConfig(**settings), retell, retell.real)
        self.promises = Promises(bench.path, self.time, self.engine)
        self.wire = wire = bench.wire
        wire.inner = SimulatorTransport(Api(self.engine), wait=self.time.sleep)
        wire.late, wire.on_start = 0.0, self.promises.on_start
        wire.on_send, wire.on_arrival = self.promises.on_send, self.promises.on_arrival
        wire.on_limit = self.promises.on_limit
        self.turns = Turns(self.chaos)
        self.context = Context(
            store=self.store,
            retell=bench.client,
            clock=self.time,
            limiter=self.turns,
            workspace=WORKSPACE,
            dial_timeout=DIAL_TIMEOUT,
            sleep=self.time.sleep,
        )
        self.dials: list[str] = []
        self.settles: list[str] = []
        self.webhooks: list[dict[str, Any]] = []
        self._dialing: str | None = None
        self._settling: str | None = None
        self.chaos.interlude = self.meanwhile
        self.store.workspaces.ensure(WORKSPACE)
        self.campaigns = [self._campaign(*campaign) for campaign in CAMPAIGNS]
        bench.world = self

    def _campaign(
        self, name: str, numbers: Sequence[tuple[int, str]], rules: Rules, cps: float | None
    ) -> str:
        options = CampaignOptions(
            from_numbers=FROM,
            windows=(f"Mon-Fri {rules.opens:02}:00-{rules.closes:02}:00",),
            retry=RETRY,
            max_attempts=rules.max_attempts,
            concurrency=rules.lines,
            cps=cps,
        )
        made = self.store.campaigns.create(name, WORKSPACE, options, self.time.now())
        assert made is not None
        with self.store.imports.writer(made.id, self.time.now()) as writer:
            writer.begin("list.csv", "0" * 64, 100, ["phone"], "test")
            leads = [_lead(line, number, zone, self.time) for line, (number, zone) in enumerate(numbers, 2)]
            writer.add_leads(leads)
            writer.finish({"rows": len(leads), "accepted": len(leads)})
        assert self.store.campaigns.launch(made.id, self.time.now())
        # From here on the events tell everything.
        self.promises.know(made.id, rules)
        return made.id

    def close(self) -> None:
        self.bench.resends += self.promises.resends
        self.promises.close()

    # -- processes

    def pace(self, ambush: Ambush | None = None) -> None:
        with self.chaos.process(ambush):
            self.dials += dispatch.pace(self.context).attempt_ids

    def dial(self, attempt_id: str, ambush: Ambush | None = None) -> None:
        self._dialing = attempt_id
        with self.chaos.process(ambush):
            if dialing.dial(self.context, attempt_id).dialed is dialing.Dialed.LATER:
                self.dials.append(attempt_id)
        self._dialing = None

    def poll(self, ambush: Ambush | None = None) -> None:
        with self.chaos.process(ambush):
            polled = results.poll(self.context)
            if polled is None:
                return
            if polled.ended:
                self.dials += dispatch.pace(self.context).attempt_ids
            self.settles += results.follow_up(self.context, polled)

    def hear(self, index: int, again: bool, ambush: Ambush | None = None) -> None:
        """One of the webhooks that are under way arrives; again: it will come once more."""
        self.webhooks += self.engine.take_events()
        if not self.webhooks:
            return
        told = self.webhooks[index % len(self.webhooks)]
        if not again:
            self.webhooks.remove(told)
        with self.chaos.process(ambush):
            received = receive(self.context, told["event"], Call.model_validate(told["call"]))
            self.bench.heard += received.changed
            if received.freed:
                self.dials += dispatch.pace(self.context).attempt_ids
            if received.settle is not None:
                self.settles.append(received.settle)

    def settle(self, attempt_id: str, ambush: Ambush | None = None) -> None:
        self._settling = attempt_id
        with self.chaos.process(ambush):
            results.settle(self.context, attempt_id)
        self._settling = None

    def reconcile(self, ambush: Ambush | None = None) -> None:
        with self.chaos.process(ambush):
            breaker.watch_over(self.context)
            reconcile(self.context)
            return
        self.context.watched.clear()  # what a process remembers dies with it

    def deliver_all(self) -> None:
        """Every waiting message once."""
        for attempt_id in self._taken(self.dials):
            self.dial(attempt_id)
        for attempt_id in self._taken(self.settles):
            self.settle(attempt_id)

    @staticmethod
    def _taken(messages: list[str]) -> list[str]:
        taken, messages[:] = list(messages), []
        return taken

    # -- operators

    def operate(self, what: str, index: int) -> None:
        campaigns, now = self.store.campaigns, self.time.now()
        campaign_id = self.campaigns[index % len(self.campaigns)]
        if what == "pause":
            campaigns.pause(campaign_id, "by hand", now)
        elif what == "resume":
            campaigns.resume(campaign_id, now)
        elif what == "cancel":
            campaigns.cancel(campaign_id, now)
        elif what == "resolve":
            self.resolve()
        elif what == "release":
            released = [self.store.returns.release(campaign_id, code, None, now) for code in RELEASED]
            if any(released):
                campaigns.launch(campaign_id, now)
        else:
            self.store.imports.suppress([phone(index % 4 + 1)], "operator", "asked by letter", now)

    def resolve(self) -> bool:
        """An operator looks at Retell for each unresolved attempt, and says what is true. Whether it changed any."""
        changed = False
        for attempt_id in sorted(self.promises.unresolved()):
            attempts, now = self.store.attempts, self.time.now()
            calls = [call for call in self.engine.calls if call.attempt_id == attempt_id]
            source = AttemptState.UNRESOLVED
            if calls:
                changed |= attempts.place(attempt_id, source, calls[0].call_id, now)
            else:
                changed |= attempts.give_back(attempt_id, source, "not placed, by hand", 0, now, now)
        for campaign in self.store.campaigns.listed(WORKSPACE, (CampaignState.COMPLETED,)):
            if changed:
                self.store.campaigns.launch(campaign.id, self.time.now())
        return changed

    # -- between the steps of a process

    def meanwhile(self, steps: tuple[tuple[str, int], ...]) -> None:
        """What other processes and operators do while one is held up; the broken ones stay out of it."""
        for what, index in steps:
            if what == "sleep":
                self.time.sleep(index)
            elif what == "pace":
                self.dials += dispatch.pace(self.context).attempt_ids
            elif what == "deliver" and self.dials:
                dialing.dial(self.context, self.dials[index % len(self.dials)])
            elif what == "settle" and self.settles:
                results.settle(self.context, self.settles[index % len(self.settles)])
            elif what == "search":
                for _ in range(index):
                    self.time.sleep(2.5 if index == 1 else 16)  # the longest interval between searches is 15
                    reconcile(self.context)
            elif what == "again" and self._dialing is not None:
                dialing.dial(self.context, self._dialing)
            elif what == "again" and self._settling is not None:
                results.settle(self.context, self._settling)
            elif what == "suppress" and index == 0 and self._dialing is not None:
                [(number,)] = self.promises.query("SELECT phone FROM attempts WHERE id = ?", self._dialing)
                self.store.imports.suppress([number], "operator", "asked by letter", self.time.now())
            elif what in ("pause", "resume", "cancel", "suppress"):
                self.operate(what, self._aim(index))

    def _aim(self, index: int) -> int:
        """0 is the campaign of the attempt that is being dialed."""
        if self._dialing is None:
            return index
        [(campaign_id,)] = self.promises.query("SELECT campaign_id FROM attempts WHERE id = ?", self._dialing)
        return self.campaigns.index(campaign_id) + index

    # -- the end

    def run_until_quiet(self) -> None:
        """No more faults, everybody answers: the schedule and the messages do the rest.

        An operator resumes what has been paused for good. Once quiet, everything is in a final account.
        """
        self.engine.configure({"faults": "", "listing_lag": 0.0, "list_registered": True, "foreign": 0})
        self.engine.configure({"concurrency": 4, "outcomes": "human=1"})
        self.engine.faults._scripted.clear()
        self.engine._scripted.clear()
        self.turns.mood, self.wire.late = "free", 0.0
        for _ in range(60):
            if not self.promises.left_open():
                return
            for campaign in self.store.campaigns.listed(WORKSPACE, (CampaignState.PAUSED,)):
                if campaign.resume_at is None:
                    self.store.campaigns.resume(campaign.id, self.time.now())
            before = len(self.engine.calls)
            self.pace()
            self.deliver_all()
            self.reconcile()
            for _ in range(
                8 if self.promises.query("SELECT 1 FROM attempts WHERE state = 'ambiguous'") else 0
            ):
                self.time.pass_by(0, 16)
                self.reconcile()
            if len(self.engine.calls) == before and not self.promises.held():
                self._wait_for_an_open_window()
            self.time.pass_by(1800, 200)
            self.poll()
            self.deliver_all()
            self.promises.check()
        raise AssertionError(f"never quiet: {self.promises.left_open()}")

    def _wait_for_an_open_window(self) -> None:
        """Nobody to call: until all windows are open, on the next working day."""
        now = self.time.business
        opening = now.replace(hour=18, minute=15)
        while opening <= now or opening.weekday() > 4:
            opening += timedelta(days=1)
        self.time.pass_by((opening - now).total_seconds(), 60)

    def audit(self) -> list[Audit]:
        found = []
        for campaign_id in self.campaigns:
            campaign = self.store.campaigns.get(campaign_id)
            assert campaign is not None
            found.append(audit(self.store, self.context.retell, campaign))
        return found
