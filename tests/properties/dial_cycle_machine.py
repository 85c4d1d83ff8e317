"""The dial cycle under every fault, as a state machine: issue by issue random, judged after every commit.

The store (an SQLite file), the services and the client are the product's own; Retell is the simulator, in the same
process, often one that ignores idempotency keys. Processes run one at a time, but each can be ambushed at any commit
and on the wire: killed, refused by the database, or held up while others pace, dial, settle, reconcile, pause or
suppress. Messages and webhooks are late, lost, out of order, and delivered again. The promises are judged by
`dial_cycle_promises`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dial_cycle_chaos import Ambush
from dial_cycle_world import Bench, World, phone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from campaigns.domain.recovery import EMPTY_SEARCHES
from campaigns.domain.states import FINAL_LEAD, AttemptState, LeadState
from campaigns.simulator.faults import Fault


@dataclass(frozen=True, slots=True)
class Delivery:
    """A dial message, at last.

    again: it will come once more. delay: business seconds it waited, in a moment of real time. fault: what becomes of
    its request; seconds: it reaches Retell so much later, when nobody waits for the answer.
    """

    index: int
    again: bool = False
    delay: int = 0
    ambush: Ambush | None = None
    fault: Fault | float | None = None


_KILLS = st.sampled_from(["kill", "locked"])
#: What stops a dial that is about to be made, a second delivery for one: aimed at it (0), or at another.
_STOPS = st.tuples(st.sampled_from(["again", "pause", "suppress", "cancel"]), st.sampled_from([0, 0, 1]))
_STEPS = st.one_of(
    st.tuples(st.just("sleep"), st.sampled_from([1, 14, 100])),
    st.tuples(st.just("search"), st.sampled_from([1, EMPTY_SEARCHES + 1])),
    st.tuples(st.sampled_from(["pace", "deliver", "settle", "resume"]), st.integers(0, 3)),
    _STOPS,
)
_HELD_UP = st.lists(_STEPS, min_size=1, max_size=4).map(tuple)
_AMBUSHES = st.one_of(
    st.none(),
    st.builds(Ambush, st.sampled_from(["begin", "commit"]), st.integers(1, 4), _KILLS),
    st.builds(Ambush, st.sampled_from(["done", "sending", "answered"]), st.integers(1, 3), st.just("kill")),
    st.builds(Ambush, st.sampled_from(["begin", "done", "sending", "answered"]), st.integers(1, 3), _HELD_UP),
)
_DIAL_AMBUSHES = st.one_of(
    st.none(),
    st.builds(Ambush, st.sampled_from(["begin", "commit"]), st.integers(1, 2), _KILLS),
    st.builds(Ambush, st.sampled_from(["turn", "done", "sending", "answered"]), st.just(1), st.just("kill")),
    st.builds(
        Ambush, st.sampled_from(["turn", "begin", "done"]), st.just(1), _STOPS.map(lambda stop: (stop,))
    ),
    st.builds(Ambush, st.sampled_from(["begin", "done", "sending", "answered"]), st.just(1), _HELD_UP),
)
_DIAL_FAULTS = st.sampled_from(
    [
        Fault("drop"),
        Fault("drop", after=False),
        Fault("reset"),
        Fault("status", status=500),
        Fault("status", after=False, status=500),
        Fault("status", after=False, status=503),
        Fault("status", after=False, status=429),
        Fault("status", after=False, status=402),
        Fault("status", after=False, status=422),
        Fault("hang"),
        Fault("hang", after=False),
        Fault("slow", seconds=9.0),
        Fault("malformed"),
        5.0,
        25.0,
        None,
    ]
)
_READ_FAULTS = st.sampled_from(
    [Fault("status", after=False, status=500), Fault("malformed"), Fault("drop"), Fault("status", status=401)]
)
_OUTCOMES = st.sampled_from(
    ["human", "dial_no_answer", "hidden_voicemail", "user_requested_dnc", "user_requested_callback",
     "telephony_provider_unavailable", "error_unknown", "concurrency_limit_reached", "no_valid_payment"]
)  # fmt: skip
_DELAYS = st.sampled_from([0, 0, 0, 600, 12 * 3600])
_DELIVERIES = st.lists(
    st.builds(Delivery, st.integers(0, 7), st.booleans(), _DELAYS, _DIAL_AMBUSHES, _DIAL_FAULTS),
    min_size=1,
    max_size=3,
)
_CHANGES = st.one_of(
    st.fixed_dictionaries({"foreign": st.integers(0, 3)}),
    st.fixed_dictionaries({"concurrency": st.integers(1, 5)}),
    st.fixed_dictionaries({"listing_lag": st.sampled_from([0.0, 3.0, 100.0])}),
    st.fixed_dictionaries({"list_registered": st.booleans()}),
    st.fixed_dictionaries({"faults": st.sampled_from(["", "never_ends=0.3,analysis_never=0.3"])}),
)
_GAPS = st.sampled_from([0.6, 9.0, 20.0, 90.0])
_NUMBERS = st.integers(1, 4)
_ENDED = frozenset(FINAL_LEAD | {LeadState.HELD})


class DialCycle(RuleBasedStateMachine):
    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.stepped_back = False

    @initialize(
        seed=st.integers(0, 20),
        concurrency=st.integers(1, 4),
        forgetful=st.sampled_from([True, True, False]),
        overflow=st.sampled_from(["429", "error"]),
        lag=st.sampled_from([0.0, 0.0, 3.0, 100.0, 2000.0]),
        ringing_listed=st.booleans(),
    )
    def start(
        self, seed: int, concurrency: int, forgetful: bool, overflow: str, lag: float, ringing_listed: bool
    ) -> None:
        self.world = World(
            self.bench,
            seed=seed,
            concurrency=concurrency,
            ignore_idempotency=forgetful,
            overflow=overflow,
            listing_lag=lag,
            list_registered=ringing_listed,
        )

    # -- processes and messages

    @rule(ambush=_AMBUSHES)
    def pace(self, ambush: Ambush | None) -> None:
        self.world.pace(ambush)

    @rule(deliveries=_DELIVERIES)
    def deliver_dials(self, deliveries: list[Delivery]) -> None:
        """Messages arrive, in a world where a request may meet a fault."""
        world = self.world
        if not world.dials:
            world.pace()
        for one in deliveries:
            if not world.dials:
                return
            attempt_id = world.dials[one.index % len(world.dials)]
            if not one.again:
                world.dials.remove(attempt_id)
            world.time.pass_by(one.delay, 0.2)
            if isinstance(one.fault, float):
                world.wire.late = one.fault
            else:
                world.engine.faults.next("create-phone-call", one.fault)
            world.dial(attempt_id, one.ambush)

    @rule(deliveries=_DELIVERIES, gap=_GAPS, talk=st.sampled_from([0, 0, 10, 25]))
    def deliver_dials_and_search(self, deliveries: list[Delivery], gap: float, talk: int) -> None:
        """The same, until leases have run out and searches are over; then a call that shows the list does not lag.

        talk: business seconds of that call before the next search.
        """
        self.deliver_dials(deliveries)
        self.reconcile(gap, EMPTY_SEARCHES - 2, None)
        # By now the other claims may be stale: a new one is last.
        self.world.pace()
        self.deliver_dials([Delivery(-1)])
        self.world.time.pass_by(talk, 0.2)
        self.reconcile(gap, 3, None)

    @rule(gap=_GAPS, passes=st.integers(1, 5), ambush=_AMBUSHES)
    def reconcile(self, gap: float, passes: int, ambush: Ambush | None) -> None:
        """Some passes while business time stands still, as it nearly does between two of them."""
        for _ in range(passes):
            self.world.time.pass_by(0, gap)
            self.world.reconcile(ambush)

    @rule(wait=st.sampled_from([0.3, 2.1, 12.0]), ambush=_AMBUSHES)
    def poll(self, wait: float, ambush: Ambush | None) -> None:
        self.world.time.pass_by(wait, wait)
        self.world.poll(ambush)

    @rule(index=st.integers(0, 7), again=st.booleans(), ambush=_AMBUSHES)
    def deliver_settle(self, index: int, again: bool, ambush: Ambush | None) -> None:
        messages = self.world.settles
        if not messages:
            self.world.time.pass_by(300, 3)
            self.world.poll()
        if not messages:
            return
        attempt_id = messages[index % len(messages)]
        if not again:
            messages.remove(attempt_id)
        self.world.settle(attempt_id, ambush)

    @rule(minutes=st.sampled_from([0, 1, 1, 5, 20, 60]), lost=st.sampled_from(["", "", "dials", "settles"]))
    def let_it_run(self, minutes: int, lost: str) -> None:
        """Nothing in particular goes wrong for a while, unless the broker comes back empty."""
        if lost == "dials":
            self.world.dials.clear()
        self.world.pace()
        self.world.deliver_all()
        self.world.time.pass_by(60 * minutes, 3)
        self.world.poll()
        if lost == "settles":
            self.world.settles.clear()
        self.world.deliver_all()

    # -- the world

    @rule(
        business=st.sampled_from([1, 15, 40, 120, 400, 1800, 7200, 12 * 3600]),
        real=st.sampled_from([0.2, 1, 9, 31, 80]),
        step=st.sampled_from([0, 0, 0, -3600, -100, -5, 5, 100, 1000]),
    )
    def wait(self, business: int, real: float, step: int) -> None:
        """Time goes by, perhaps much of it; perhaps the machine's clock is set."""
        self.world.time.pass_by(business, real)
        self.stepped_back |= step < 0
        self.world.time.set(step)

    @rule(
        endpoint=st.sampled_from(["list-calls", "get-call", "get-concurrency"]),
        fault=_READ_FAULTS,
        times=st.sampled_from([1, 4, 8]),
        mood=st.sampled_from(["free", "away", "crowded", "slow"]),
        number=_NUMBERS,
        outcome=_OUTCOMES,
    )
    def trouble(self, endpoint: str, fault: Fault, times: int, mood: str, number: int, outcome: str) -> None:
        """Reads fail (the client repeats each up to four times), the limiter balks, a call ends in a special way."""
        self.world.engine.faults.next(endpoint, *[fault] * times)
        self.world.turns.mood = mood
        self.world.engine.script(phone(number), outcome)

    @rule(change=_CHANGES)
    def change_retell(self, change: dict[str, object]) -> None:
        self.world.engine.configure(change)

    @rule(what=st.sampled_from(["pause", "resume", "suppress", "resolve", "release", "cancel"]), index=_NUMBERS,
          sure=st.booleans())  # fmt: skip
    def operate(self, what: str, index: int, sure: bool) -> None:
        if sure or what != "cancel":
            self.world.operate(what, index)

    # -- the promises

    @invariant()
    def promises_hold(self) -> None:
        self.world.promises.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self._once_quiet()
        finally:
            self.bench.world = None
            self.world.close()

    def _once_quiet(self) -> None:
        world = self.world
        world.promises.check()
        world.run_until_quiet()
        self._audits_name_only(world.promises.unresolved())
        # An operator says what became of those: then nothing is left to say.
        if world.resolve():
            world.run_until_quiet()
        self._audits_name_only(world.promises.unresolved())

    def _audits_name_only(self, unresolved: set[str]) -> None:
        """The audit of each campaign holds, but for the unresolved attempts, each of which it names."""
        world = self.world
        states = {row[0] for row in world.promises.query("SELECT state FROM leads")}
        assert states <= _ENDED, states
        assert not world.promises.held()
        named: set[str] = set()
        for done in world.audit():
            for check in done.checks:
                if self.stepped_back and check.claim == "nobody was dialed after a do-not-call request":
                    continue  # it compares two instants of a clock that was set back between them
                for finding in check.found:
                    about = {attempt_id for attempt_id in unresolved if attempt_id in finding}
                    assert about, f"{check.claim}: {finding}"
                    named |= about
        assert named == unresolved
        assert AttemptState.UNRESOLVED not in states


class DialCycleWithWebhooks(DialCycle):
    """The same, with Retell telling of its calls; apart, so that without them as much is left to searches and polls."""

    @rule(indexes=st.lists(st.integers(0, 7), min_size=1, max_size=5), again=st.booleans(), lost=st.booleans(),
          wait=st.sampled_from([0, 20, 120, 600]), ambush=_AMBUSHES)  # fmt: skip
    def hear_webhooks(
        self, indexes: list[int], again: bool, lost: bool, wait: int, ambush: Ambush | None
    ) -> None:
        """Some of those that are under way, in any order; the others may be lost."""
        if not self.world.webhooks:
            self.world.pace()
            self.world.deliver_all()
        self.world.time.pass_by(wait, 0.2)
        for index in indexes:
            self.world.hear(index, again, ambush)
            ambush = None
        if lost:
            self.world.webhooks.clear()
