"""The dial cycle under every fault: promises after each commit, and every lead accounted for once it is quiet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dial_cycle_chaos import Ambush
from dial_cycle_machine import DialCycle, DialCycleWithWebhooks
from dial_cycle_world import Bench, World
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from campaigns.domain.recovery import EMPTY_SEARCHES
from campaigns.simulator.faults import Fault

CALM = settings(
    deadline=None,
    max_examples=60,
    stateful_step_count=25,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
BRIEF = settings(CALM, max_examples=20)
LONG = settings(CALM, max_examples=1_000, stateful_step_count=30, derandomize=False, print_blob=True)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench.made(tmp_path_factory.mktemp("dial_cycle")) as made:
        yield made


# Half a minute of processor: on a machine that does other things as well several times as long.
@pytest.mark.timeout(400)
def test_sixty_dial_cycles_under_faults(bench: Bench) -> None:
    run_state_machine_as_test(lambda: DialCycle(bench), settings=CALM)
    assert bench.resends, "no example came to a second send"


def test_dial_cycles_with_webhooks_in_any_order_lost_and_repeated(bench: Bench) -> None:
    run_state_machine_as_test(lambda: DialCycleWithWebhooks(bench), settings=BRIEF)
    assert bench.heard > 20


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_a_thousand_dial_cycles_with_webhooks(bench: Bench) -> None:
    run_state_machine_as_test(lambda: DialCycleWithWebhooks(bench), settings=LONG)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_a_thousand_dial_cycles_under_faults(bench: Bench) -> None:
    run_state_machine_as_test(lambda: DialCycle(bench), settings=LONG)


_PLACES = ("turn", "begin", "commit", "done", "sending", "answered")
_MEANWHILE = ("again", "pause", "suppress", "cancel")


@pytest.mark.parametrize("fault", [None, Fault("drop")], ids=["answered", "dropped"])
@pytest.mark.parametrize("place", _PLACES)
def test_every_ambush_of_one_dial(bench: Bench, place: str, fault: Fault | None) -> None:
    """The small scope in full: what chance may miss in sixty examples."""
    slept = (("sleep", 100), ("search", EMPTY_SEARCHES + 3))
    ambushes = ["kill", *([(step, 0)] for step in _MEANWHILE), slept]
    if place in ("begin", "commit"):
        ambushes.append("locked")
    for what in ambushes:
        machine = DialCycle(bench)
        machine.world = world = World(bench, concurrency=2, ignore_idempotency=True, outcomes="human=1")
        world.pace()
        world.engine.faults.next("create-phone-call", fault)
        world.dial(world.dials.pop(0), Ambush(place, 1, what if isinstance(what, str) else tuple(what)))
        machine.teardown()


@pytest.mark.parametrize("asleep", ["done", "sending"])
def test_a_worker_that_slept_gives_back_nothing_that_was_sent_again(bench: Bench, asleep: str) -> None:
    """It wakes up, does not send, and must not say "not placed" of a second send that rang."""
    world = World(bench, concurrency=4, ignore_idempotency=True, outcomes="human=1")
    world.pace()
    attempt_id = world.dials.pop(0)
    faults = [None, Fault("drop")]  # the one who shows that the list does not lag; the second send
    world.engine.faults.next("create-phone-call", *faults)
    searched = (("sleep", 100), ("search", EMPTY_SEARCHES + 3), ("sleep", 14))
    meanwhile = (*searched, ("pace", 0), ("deliver", -1), ("search", 1))
    world.dial(attempt_id, Ambush(asleep, 1, meanwhile))
    world.promises.check()
    assert world.promises.query("SELECT state, sends FROM attempts WHERE id = ?", attempt_id) == [
        ("ambiguous", 2)
    ]
    world.run_until_quiet()
    assert all(audit.holds for audit in world.audit())
    world.close()


def test_a_clock_that_is_set_back_strands_nothing(bench: Bench) -> None:
    """Leases given before would last an hour longer: claims, and what waits for its search, hold their lines."""
    world = World(bench, concurrency=4, ignore_idempotency=True, outcomes="human=1")
    world.pace()
    world.engine.faults.next("create-phone-call", Fault("drop"))
    world.dial(world.dials.pop(0))
    world.time.set(-3600)
    world.time.pass_by(0, 15)
    world.reconcile()
    states = dict(world.promises.query("SELECT state, count(*) FROM attempts GROUP BY state"))
    assert states == {"placed": 1, "not_placed": 3}
    world.close()
