"""The account: its calls, its limits, its batches. No network, no threads, no sleeping.

The engine moves only when it is asked something: it then first lets happen what was due since it was last
asked (calls end, batches dial), in the order of time. So it can be driven by a wall clock, a scaled clock, or
a test's own.
"""

from __future__ import annotations

import heapq
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from campaigns.domain.clock import Clock, SystemClock, to_ms
from campaigns.simulator.batches import Batch, batch_request
from campaigns.simulator.calls import EVENTS, Call
from campaigns.simulator.config import BASE_CONCURRENCY, PURCHASE_LIMIT, SimulatorConfig
from campaigns.simulator.faults import Faults, FaultSpec, parse_faults
from campaigns.simulator.ledger import Journal, Ledger, summarise
from campaigns.simulator.listing import CallIndex, Query, page_key, query_v2, query_v3, sort_key
from campaigns.simulator.plans import Pace, check_outcome, default_outcomes, parse_outcomes, plan_call
from campaigns.simulator.requests import Account, CallRequest, Refused, bad
from campaigns.simulator.slots import RateLimit, Slots

IDEMPOTENCY_SECONDS = 3600.0


class Engine:
    """A simulated workspace.

    Every method takes and returns what the API's JSON says; a request that the API would refuse raises
    `Refused`. Business time comes from `clock`; `real_time` (Unix seconds) measures what is real by nature:
    calls per second, the listing lag, the hour of an idempotency key. Hold `lock` when several threads use
    one engine.
    """

    def __init__(
        self,
        config: SimulatorConfig | None = None,
        clock: Clock | None = None,
        real_time: Callable[[], float] = time.time,
    ) -> None:
        self.config = config or SimulatorConfig()
        self.clock: Clock = clock or SystemClock()
        self.real_time = real_time
        self.lock = threading.RLock()
        self._journal = Journal(self.config.ledger) if self.config.ledger is not None else None
        self._start_empty()
        self.configure({})
        if self._journal is not None:
            self._reload(self._journal)

    def _start_empty(self) -> None:
        self.ledger = Ledger()
        self.faults = Faults(FaultSpec(), self.config.seed)
        self.index = CallIndex()
        self._times_called: Counter[str] = Counter()
        self._scripted: dict[str, deque[str]] = {}
        self._keys: dict[str, Call] = {}
        self._batches: dict[str, Batch] = {}
        self._open_batches: list[Batch] = []
        self._slots = Slots()
        self._rate = RateLimit()
        self._events: list[tuple[int, int, str, str]] = []
        self._advanced_ms = 0
        self._next_batch_ms = 0

    # -- settings

    def configure(self, changes: dict[str, Any]) -> SimulatorConfig:
        """Change settings while running (limits, faults, ...). Raises ValueError for a bad one."""
        config = self.config.changed(changes)
        # What was due before the change happens under the old settings.
        self.advance()
        self.config = config
        self.account = Account(config)
        self._mix = parse_outcomes(config.outcomes) or default_outcomes(config.mean_call)
        self._pace = Pace(config.mean_call, config.analysis_delay, config.speed)
        self.faults.spec = parse_faults(config.faults)
        lag = self.faults.spec.lag
        self._lag = config.listing_lag if lag is None else lag
        return config

    def script(self, to_number: str, *outcomes: str) -> None:
        """Fix the outcomes of the coming calls to a number. Raises ValueError for an unknown outcome."""
        for outcome in outcomes:
            check_outcome(outcome)
        self._scripted.setdefault(to_number, deque()).extend(outcomes)

    def reset(self) -> None:
        """Forget all calls, batches, keys and counters; keep the settings."""
        self._start_empty()
        self.configure({})
        if self._journal is not None:
            self._journal.write("reset")

    def close(self) -> None:
        """Close the ledger's file."""
        if self._journal is not None:
            self._journal.close()

    # -- making calls

    def create_phone_call(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /v2/create-phone-call: the new call, or the earlier one of the same `idempotency_key`."""
        now_ms = self.advance()
        real = self.real_time()
        key = body.get("idempotency_key")
        if key is not None and (not isinstance(key, str) or not key):
            raise bad("idempotency_key must be a string")
        if key is not None and not self.config.ignore_idempotency:
            earlier = self._keys.get(key)
            if earlier is not None and real - earlier.created_real < IDEMPOTENCY_SECONDS:
                self.ledger.idempotent_replays += 1
                return self._show(earlier, now_ms)
        request = self.account.check_call(body)
        if self._rate.full(self.config.cps, real):
            raise Refused(429, "Account rate limited, too many calls per second.", "cps")
        outcome: str | None = None
        if self.in_use >= self.config.outbound_limit:
            if self.config.overflow == "429":
                raise Refused(429, "Account rate limited, concurrency limit reached.", "concurrency")
            outcome = "concurrency_limit_reached"
        self._rate.take(real)
        call = self._dial(request, now_ms, real, key=key, outcome=outcome)
        # The answer is from before anything happened: a call that fails at once is seen to have failed by a
        # later GET.
        return call.show(now_ms - 1)

    def create_batch_call(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /create-batch-call: the batch. Its calls are made as time passes, in the tasks' order."""
        now_ms = self.advance()
        batch, skipped = batch_request(
            body, self.account, now_ms, skip_bad=self.config.batch_bad_task == "skip"
        )
        for refusal in skipped:
            self.ledger.refusals[f"create-batch-call:skipped_{refusal.why}"] += 1
        self._batches[batch.batch_call_id] = batch
        if not batch.done:
            self._open_batches.append(batch)
        if self._journal is not None:
            self._journal.write("batch", batch=batch.to_json())
        self.advance()
        return batch.show()

    def _dial(
        self,
        request: CallRequest,
        now_ms: int,
        real: float,
        *,
        key: str | None = None,
        outcome: str | None = None,
        batch: Batch | None = None,
    ) -> Call:
        """Make the call: from here on somebody's phone rings."""
        to_number = request.to_number
        scripted = self._scripted.get(to_number)
        if outcome is None and scripted:
            outcome = scripted.popleft()
        overflow = outcome == "concurrency_limit_reached"
        world = self.faults.spec.world
        plan = plan_call(
            self.config.seed,
            to_number,
            self._times_called[to_number],
            self._mix,
            self._pace,
            outcome=outcome,
            analysis_never=world.get("analysis_never", 0.0),
            never_ends=world.get("never_ends", 0.0),
        )
        if not overflow:
            self._times_called[to_number] += 1
        call = Call(
            call_id="call_" + secrets.token_hex(14),
            seq=len(self.index.by_id),
            from_number=request.from_number,
            to_number=to_number,
            agent_id=request.agent.agent_id,
            agent_version=request.agent.version,
            agent_name=request.agent.name,
            created_ms=now_ms,
            created_real=real,
            plan=plan,
            metadata=request.metadata,
            dynamic_variables=request.dynamic_variables,
            sip_headers=request.sip_headers,
            batch_call_id=None if batch is None else batch.batch_call_id,
            idempotency_key=key,
        )
        if self._journal is not None:
            self._journal.write("call", call=call.to_json())
        self._take_in(call, now_ms)
        self._schedule(call, EVENTS)
        self.ledger.peak_total = max(self.ledger.peak_total, self.in_use)
        return call

    def _take_in(self, call: Call, now_ms: int) -> None:
        """Enter a call into every index."""
        self.index.add(call)
        if call.idempotency_key is not None:
            self._keys[call.idempotency_key] = call
        if not call.over(now_ms):
            self._slots.take(call)

    # -- time

    @property
    def in_use(self) -> int:
        """Concurrent calls of the org as of the last `advance`: ringing, talking, and those of others."""
        return len(self._slots) + self.config.foreign

    def advance(self) -> int:
        """Let everything happen that is due by now; returns the business time in milliseconds."""
        now_ms = max(to_ms(self.clock.now()), self._advanced_ms)
        if self._open_batches:
            self._run_batches(now_ms)
        self._slots.release(now_ms)
        self._advanced_ms = now_ms
        return now_ms

    def _run_batches(self, now_ms: int) -> None:
        """Dial for the batches, each call at the instant at which it became possible."""
        real_now = self.real_time()
        gap_ms = self.clock.speed * 1000 / self.config.cps if self.config.cps else 0.0
        cursor = self._advanced_ms
        while self._open_batches:
            self._slots.release(cursor)
            due = [
                (max(batch.next_allowed(cursor), self._next_batch_ms), batch) for batch in self._open_batches
            ]
            at_ms = min(at for at, _ in due)
            if at_ms > now_ms:
                return
            if at_ms > cursor:
                cursor = at_ms
                continue
            ready = next((batch for at, batch in due if at <= cursor and self._has_room(batch)), None)
            if ready is None:
                next_end = self._slots.next_end()
                later = [at for at in (*(at for at, _ in due), next_end) if at is not None and at > cursor]
                cursor = min(later, default=now_ms + 1)
                if cursor > now_ms:
                    return
                continue
            real = real_now - (now_ms - cursor) / 1000 / self.clock.speed
            request = self.account.check_call(ready.tasks[ready.dialed], ready.from_number)
            ready.dialed += 1
            self._dial(request, cursor, real, batch=ready)
            self._rate.take(real)
            self._next_batch_ms = cursor + round(gap_ms)
            if ready.done:
                self._open_batches.remove(ready)

    def _has_room(self, batch: Batch) -> bool:
        others = self.in_use - self._slots.of_batches
        limit = max(self.config.concurrency, self.config.burst_limit) - max(
            others, batch.reserved_concurrency
        )
        return self.in_use < self.config.outbound_limit and self._slots.of_batches < limit

    # -- asking

    def get_call(self, call_id: str) -> dict[str, Any]:
        """GET /v2/get-call/{id}: the whole call. An unknown id is refused with 422, as by Retell."""
        now_ms = self.advance()
        return self._show(self._known(call_id), now_ms)

    def stop_call(self, call_id: str) -> None:
        """POST /v2/stop-call/{id}: end a call now. One that is over stays as it is."""
        now_ms = self.advance()
        call = self._known(call_id)
        if call.over(now_ms):
            return
        if self._journal is not None:
            self._journal.write("stop", call_id=call_id, at_ms=now_ms)
        call.stopped_ms = now_ms
        self._slots.free(call_id)
        self._schedule(call, EVENTS[1:])

    def concurrency(self) -> dict[str, Any]:
        """GET /get-concurrency."""
        self.advance()
        limit = self.config.concurrency
        base = min(BASE_CONCURRENCY, limit)
        bought = limit - base
        ceiling = max(PURCHASE_LIMIT, bought)
        return {
            "current_concurrency": self.in_use,
            "concurrency_limit": limit,
            "base_concurrency": base,
            "purchased_concurrency": bought,
            "concurrency_purchase_limit": ceiling,
            "remaining_purchase_limit": ceiling - bought,
            "concurrency_burst_enabled": self.config.burst,
            "concurrency_burst_limit": self.config.burst_limit,
            "reserved_inbound_concurrency": self.config.reserved_inbound,
        }

    def list_calls(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /v3/list-calls: items without transcript, and how to go on."""
        now_ms = self.advance()
        query = query_v3(body)
        page, more, total = self._find(query, now_ms)
        answer: dict[str, Any] = {
            "items": [self._show(call, now_ms, transcript=False) for call in page],
            "has_more": more,
        }
        if more:
            answer["pagination_key"] = page_key(page[-1], now_ms)
        if query.include_total:
            answer["total"] = total
        return answer

    def list_calls_v2(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """POST /v2/list-calls: a bare array of whole calls."""
        now_ms = self.advance()

        def after(call_id: str) -> tuple[int, int] | None:
            call = self.index.by_id.get(call_id)
            return None if call is None else sort_key(call, now_ms)

        return [self._show(call, now_ms) for call in self._find(query_v2(body, after), now_ms)[0]]

    def summary(self) -> dict[str, Any]:
        """The ledger, summed up."""
        now_ms = self.advance()
        ours = max(0, self.config.outbound_limit - self.config.foreign)
        return summarise(self.ledger, self.calls, now_ms, ours) | {"clock_speed": self.clock.speed}

    @property
    def calls(self) -> Sequence[Call]:
        """Every call, oldest first."""
        return list(self.index.by_id.values())

    def _find(self, query: Query, now_ms: int) -> tuple[list[Call], bool, int]:
        newest = self.real_time() - self._lag

        def visible(call: Call) -> bool:
            return call.created_real <= newest and (
                self.config.list_registered or call.status(now_ms) != "registered"
            )

        return self.index.find(query, now_ms, visible)

    def _known(self, call_id: str) -> Call:
        call = self.index.by_id.get(call_id)
        if call is None:
            raise Refused(
                422, f"Cannot find requested asset under given api key: call {call_id}.", "unknown_call"
            )
        return call

    def _show(self, call: Call, now_ms: int, *, transcript: bool = True) -> dict[str, Any]:
        return call.show(now_ms, transcript=transcript, unconnected_end=self.config.unconnected_end_timestamp)

    # -- webhooks

    def _schedule(self, call: Call, events: Sequence[str]) -> None:
        if self.config.webhook_url is None:
            return
        for event in events:
            at = call.event_ms(event)
            if at is not None:
                heapq.heappush(self._events, (at, call.seq, event, call.call_id))

    def take_events(self) -> list[dict[str, Any]]:
        """The webhook bodies that have become due since the last time, in the order of time."""
        now_ms = self.advance()
        due = []
        while self._events and self._events[0][0] <= now_ms:
            at, _, event, call_id = heapq.heappop(self._events)
            call = self.index.by_id[call_id]
            # A call that was stopped has its events planned anew; what was planned first is void.
            if call.event_ms(event) == at:
                due.append({"event": event, "call": self._show(call, at)})
        return due

    # -- the file

    def _reload(self, journal: Journal) -> None:
        """Know again what an earlier simulator wrote down."""
        calls, batches = journal.restore()
        self._batches = batches
        now_ms = to_ms(self.clock.now())
        for call in calls:
            self._take_in(call, now_ms)
            self._times_called[call.to_number] += call.rang
            if call.batch_call_id is not None:
                batches[call.batch_call_id].dialed += 1
            # What fell due while we were away is not sent any more: the runner has to live without webhooks.
            self._schedule(call, [event for event in EVENTS if (call.event_ms(event) or 0) > now_ms])
        self._open_batches = [batch for batch in batches.values() if not batch.done]
        self._advanced_ms = now_ms
