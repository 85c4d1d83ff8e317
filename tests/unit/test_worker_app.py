"""The Celery app: the settings that keep a dial from being repeated, and tasks that only pass ids on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from campaigns.domain.clock import ScaledClock, SystemClock
from campaigns.domain.jobs import RunState
from campaigns.services.dial import Dialed, DialResult
from campaigns.services.dispatch import Paced
from campaigns.services.jobs import Ticked
from campaigns.services.reconcile import Reconciled
from tests.faults.rig import free_port
from workers import queues, tasks
from workers.app import app, broker_url, make_app
from workers.embedded import Stack

TASKS = {name: task for name, task in app.tasks.items() if name.startswith("campaigns.")}


# -- settings

#: Each keeps a message from being delivered twice, lost with a crash, or handed to nobody.
SETTINGS = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_prefetch_multiplier": 1,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "task_ignore_result": True,
    "worker_pool": "threads",
    "worker_concurrency": 32,
    "worker_redirect_stdouts": False,
    "beat_scheduler": "workers.beat:Scheduler",
    "result_backend": None,
}
TRANSPORT = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "max_connections": 512,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
}


@pytest.mark.parametrize(("name", "value"), SETTINGS.items())
def test_setting(name: str, value: object) -> None:
    assert app.conf[name] == value


def test_transport_options() -> None:
    assert app.conf.broker_transport_options.items() >= TRANSPORT.items()


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock"),
        ("redis://:secret@host:6379/1", "redis://:secret@host:6379/1"),
        ("rediss://host", "rediss://host"),
    ],
)
def test_broker_urls(url: str, spelled: str) -> None:
    assert broker_url(url) == spelled
    assert make_app(url).conf.broker_url == spelled


def test_every_task_is_routed_to_a_queue_that_somebody_takes() -> None:
    taken = {*queues.DIAL_QUEUES, *queues.CONTROL_QUEUES}
    assert set(TASKS) == set(app.conf.task_routes)
    for name in TASKS:
        assert app.conf.task_routes[name]["queue"] in taken
    assert app.conf.task_default_queue in taken
    assert not set(queues.DIAL_QUEUES) & set(queues.CONTROL_QUEUES)


def test_what_beat_sends_expires_before_it_is_sent_again() -> None:
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(TASKS)
    assert {"campaigns.pace", "campaigns.poll", "campaigns.reconcile"} <= {
        entry["task"] for entry in app.conf.beat_schedule.values()
    }
    for entry in app.conf.beat_schedule.values():
        assert 0 < entry["options"]["expires"] <= entry["schedule"]


def test_beat_needs_no_task_and_nothing_that_they_import() -> None:
    code = (
        "import sys, workers.beat; workers.beat.app.loader.import_default_modules();"
        "print([name for name in ('workers.tasks', 'httpx', 'sqlalchemy', 'pandas') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert answer.stdout.strip() == "[]"


# -- tasks


class Sent(list[tuple[Any, ...]]):
    """(task, arguments, options) of every message, instead of a broker."""

    def of(self, task: str) -> list[tuple[Any, dict[str, Any]]]:
        return [(arguments, options) for name, arguments, options in self if name == task]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    messages = Sent()

    def note(name: str) -> Any:
        def send(arguments: Any = (), *_: Any, **options: Any) -> None:
            messages.append((name, tuple(arguments or ()), options))

        return send

    for name in ("pace", "dial", "poll", "settle", "reconcile", "jobs", "job_run"):
        monkeypatch.setattr(getattr(tasks, name), "apply_async", note(name))
    monkeypatch.setattr(tasks, "app", make_app("memory://"))
    return messages


@pytest.fixture(autouse=True)
def context(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    fake = SimpleNamespace()
    monkeypatch.setattr(tasks, "context", lambda: fake)
    return fake


def returns(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: Any) -> list[tuple[Any, ...]]:
    """The arguments of the calls of a service that now returns `value`."""
    calls: list[tuple[Any, ...]] = []

    def service(*arguments: Any) -> Any:
        calls.append(arguments)
        return value

    monkeypatch.setattr(module, name, service)
    return calls


def test_pace_sends_a_message_per_claim_in_order(
    monkeypatch: pytest.MonkeyPatch, sent: Sent, context: SimpleNamespace
) -> None:
    calls = returns(monkeypatch, tasks.dispatch, "pace", Paced(["a", "b", "c"]))
    tasks.pace()
    assert calls == [(context,)]
    assert [arguments for arguments, _ in sent.of("dial")] == [("a",), ("b",), ("c",)]
    assert len(sent) == 3


def test_pace_without_claims_sends_nothing(monkeypatch: pytest.MonkeyPatch, sent: Sent) -> None:
    returns(monkeypatch, tasks.dispatch, "pace", Paced())
    tasks.pace()
    assert sent == []


def test_pace_comes_again_when_more_can_be_claimed_soon(monkeypatch: pytest.MonkeyPatch, sent: Sent) -> None:
    returns(monkeypatch, tasks.dispatch, "pace", Paced(["a"], again_in=0.3))
    tasks.pace()
    assert sent == [("dial", ("a",), sent[0][2]), ("pace", (), {"countdown": 0.3})]


@pytest.mark.parametrize("dialed", list(Dialed))
def test_dial(monkeypatch: pytest.MonkeyPatch, sent: Sent, context: SimpleNamespace, dialed: Dialed) -> None:
    calls = returns(monkeypatch, tasks.dialing, "dial", DialResult(dialed, again_in=0.7))
    tasks.dial("a")
    assert calls == [(context, "a")]
    expected: list[tuple[Any, ...]] = []
    if dialed is Dialed.LATER:
        expected = [("dial", ("a",), {"countdown": 0.7})]
    elif dialed is Dialed.GIVEN_BACK:
        expected = [("pace", (), {"expires": 1.0})]
    assert sent == expected


def polled(ended: int) -> SimpleNamespace:
    return SimpleNamespace(calls=[], seen={}, ended=ended, next_in=0.4)


@pytest.mark.parametrize("ended", [0, 2])
def test_poll_fills_the_freed_lines_first(monkeypatch: pytest.MonkeyPatch, sent: Sent, ended: int) -> None:
    returns(monkeypatch, tasks.results, "poll", polled(ended))
    paced = returns(monkeypatch, tasks.dispatch, "pace", Paced(["a"]))
    returns(monkeypatch, tasks.results, "follow_up", ["x", "y"])
    monkeypatch.setattr(tasks.settle, "delay", lambda one: sent.append(("settle", (one,), {})))
    tasks.poll()
    assert len(paced) == bool(ended)
    names = [name for name, _, _ in sent]
    assert names == [*(["dial"] if ended else []), "poll", "settle", "settle"]
    assert sent.of("poll") == [((), {"countdown": 0.4})]


def test_poll_out_of_turn_does_nothing(monkeypatch: pytest.MonkeyPatch, sent: Sent) -> None:
    returns(monkeypatch, tasks.results, "poll", None)
    tasks.poll()
    assert sent == []


def test_settle_passes_the_id_on(
    monkeypatch: pytest.MonkeyPatch, sent: Sent, context: SimpleNamespace
) -> None:
    calls = returns(monkeypatch, tasks.results, "settle", True)
    tasks.settle("x")
    assert (calls, sent) == ([(context, "x")], [])


@pytest.mark.parametrize(
    ("begun", "changed", "done", "paces"),
    [
        (0, 0, Reconciled(), False),
        (1, 0, Reconciled(), True),
        (0, 1, Reconciled(), True),
        (0, 0, Reconciled(freed_claims=1), True),
    ],
)
def test_reconcile_paces_when_something_was_put_right(
    monkeypatch: pytest.MonkeyPatch, sent: Sent, begun: int, changed: int, done: Reconciled, paces: bool
) -> None:
    clocked = returns(monkeypatch, tasks.launching, "by_the_clock", begun)
    watched = returns(monkeypatch, tasks.breaker, "watch_over", changed)
    reconciled = returns(monkeypatch, tasks.reconciling, "reconcile", done)
    tasks.reconcile()
    assert len(clocked) == len(watched) == len(reconciled) == 1
    assert sent == ([("pace", (), {"expires": 1.0})] if paces else [])


@pytest.mark.parametrize("again_in", [None, 0.25])
def test_a_tick_of_the_jobs_tells_their_runs_and_comes_again_on_time(
    monkeypatch: pytest.MonkeyPatch, sent: Sent, again_in: float | None
) -> None:
    returns(monkeypatch, tasks.scheduling, "tick", Ticked([3, 4], again_in))
    tasks.jobs()
    again = [("jobs", (), {"countdown": 0.25, "expires": 1.25})] if again_in else []
    assert sent == [("job_run", (3,), {}), ("job_run", (4,), {}), *again]


@pytest.mark.parametrize("ended", [None, RunState.DONE, RunState.FAILED])
def test_a_run_that_was_done_paces_and_makes_room_for_the_next(
    monkeypatch: pytest.MonkeyPatch, sent: Sent, ended: RunState | None
) -> None:
    monkeypatch.setattr(tasks.job_runs.Runner, "of", lambda context: "runner")
    run = ended and SimpleNamespace(state=ended, message="why")
    calls = returns(monkeypatch, tasks.job_runs, "perform", run)
    tasks.job_run(7)
    assert calls == [("runner", 7)]
    assert sent == ([("pace", (), {"expires": 1.0}), ("jobs", (), {"expires": 1.0})] if ended else [])


def test_housekeeping_does_all_its_parts(context: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    context.store = SimpleNamespace(
        imports=SimpleNamespace(resume=lambda: done.append("finished")),
        suppressions=SimpleNamespace(expire=lambda now: done.append("expired")),
        database=SimpleNamespace(checkpoint=lambda: done.append("folded")),
        tallies=SimpleNamespace(fold=lambda: done.append("tallied")),
    )
    context.clock = SystemClock()
    monkeypatch.setattr(tasks.results, "look_for_late_analyses", lambda context: done.append("heard"))
    tasks.housekeeping()
    assert done == ["finished", "expired", "folded", "tallied", "heard"]


def test_the_do_not_call_list_goes_by_the_calendar_on_the_wall(
    context: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of a simulated run is ahead, and the list is that of the real campaigns too."""
    expired: list[datetime] = []
    context.store = SimpleNamespace(
        imports=SimpleNamespace(resume=lambda: None),
        suppressions=SimpleNamespace(expire=expired.append),
        database=SimpleNamespace(checkpoint=lambda: None),
        tallies=SimpleNamespace(fold=lambda: None),
    )
    now = SystemClock().now()
    context.clock = ScaledClock(now + timedelta(days=90), 120.0, time.time())
    monkeypatch.setattr(tasks.results, "look_for_late_analyses", lambda context: 0)
    tasks.housekeeping()
    assert now <= expired[0] < now + timedelta(minutes=5)


def test_one_part_of_housekeeping_that_fails_keeps_none_of_the_others(
    context: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def broken(*_: object) -> None:
        raise OSError("a damaged leftover")

    context.store = SimpleNamespace(
        imports=SimpleNamespace(resume=broken),
        suppressions=SimpleNamespace(expire=broken),
        database=SimpleNamespace(checkpoint=broken),
        tallies=SimpleNamespace(fold=broken),
    )
    context.clock = SystemClock()
    monkeypatch.setattr(tasks.results, "look_for_late_analyses", lambda context: done.append("heard"))
    tasks.housekeeping()
    assert done == ["heard"]


# -- a broker that is away


def test_pace_with_the_broker_down_only_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "app", make_app(f"redis://127.0.0.1:{free_port()}/0"))
    returns(monkeypatch, tasks.dispatch, "pace", Paced(["a", "b"]))
    started = time.monotonic()
    tasks.pace()  # the claims go back when their lease ends
    assert time.monotonic() - started < 3


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as stack:
        yield stack


def test_pace_with_a_broker_that_dies_under_it_only_says_so(
    monkeypatch: pytest.MonkeyPatch, valkey: Stack
) -> None:
    monkeypatch.setattr(tasks, "app", make_app(valkey.valkey()))
    returns(monkeypatch, tasks.dispatch, "pace", Paced(["a", "b"]))
    tasks.pace()
    valkey.stop()
    tasks.pace()
