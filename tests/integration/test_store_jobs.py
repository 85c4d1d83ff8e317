"""Job rows: a due time makes one run, whoever ticks, and a run is one process's at a time. On both databases."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from store_steps import NOW, WORKSPACE, Steps

from campaigns.domain.jobs import Cause, Firing, Job, Overlap, RunState
from campaigns.store import Store

S = RunState
SOON = NOW + timedelta(minutes=1)
LATER = NOW + timedelta(minutes=2)
LEASE = 60_000
HOW = {
    "cron": "* * * * *", "timezone": "UTC", "config": "", "source": "inbox/*.csv", "append_to": "",
    "misfire": "run-once", "overlap": "queue",
}  # fmt: skip


def add(store: Store, name: str = "daily", **changes: str) -> Job:
    made = store.jobs.add(name, WORKSPACE, SOON, NOW, "test", **(HOW | changes))
    assert made is not None
    return made


def firing(state: RunState = S.QUEUED) -> Firing:
    return Firing(SOON, Cause.SCHEDULE, state, "")


def test_a_job_is_made_once_and_due_at_its_time(store: Store) -> None:
    job = add(store)
    assert store.jobs.add("daily", WORKSPACE, SOON, NOW, "test", **HOW) is None
    assert store.jobs.due(WORKSPACE, NOW) == []
    assert store.jobs.due("other", SOON) == []
    assert store.jobs.due(WORKSPACE, SOON) == [job]
    assert store.jobs.next_due(WORKSPACE) == SOON
    assert store.jobs.next_due("other") is None


def test_a_time_fires_once_and_moves_the_job_on(store: Store) -> None:
    job = add(store)
    assert store.jobs.fire(job, firing(), LATER, SOON)
    assert not store.jobs.fire(job, firing(), LATER, SOON)
    [(again, run)] = store.jobs.waiting(WORKSPACE)
    assert (again.next_at, run.due_at, run.state) == (LATER, SOON, S.QUEUED)
    # And even if the job were set back, its time makes no second run.
    with store.database.write() as connection:
        connection.execute(sa.text("UPDATE jobs SET next_at = :at"), {"at": int(SOON.timestamp() * 1000)})
    with pytest.raises(sa.exc.IntegrityError):
        store.jobs.fire(job, firing(), LATER, SOON)
    assert store.jobs.due(WORKSPACE, SOON) == [job]


def test_beats_at_the_same_moment_fire_once(store: Store) -> None:
    jobs = [add(store, f"job-{n}") for n in range(12)]
    won: list[str] = []
    start = threading.Barrier(4)

    def beat() -> None:
        start.wait()
        for job in jobs:
            if store.jobs.fire(job, firing(), LATER, SOON):
                won.append(job.name)

    threads = [threading.Thread(target=beat) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(job.name for job in jobs)
    assert len(store.jobs.waiting(WORKSPACE)) == 12


def test_killed_between_the_two_halves_of_firing_neither_happened(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add(store)
    with monkeypatch.context() as patch:

        def die(*_: object) -> int:
            raise SystemExit

        patch.setattr(type(store.jobs), "_insert", staticmethod(die))
        with pytest.raises(SystemExit):
            store.jobs.fire(job, firing(), LATER, SOON)
    assert store.jobs.due(WORKSPACE, SOON) == [job]
    assert store.jobs.waiting(WORKSPACE) == []
    assert store.jobs.fire(job, firing(), LATER, SOON)


def test_one_run_waits_at_most(store: Store) -> None:
    job = add(store)
    assert store.jobs.fire(job, firing(), LATER, SOON)
    [again] = store.jobs.due(WORKSPACE, LATER)
    assert store.jobs.fire(
        again, Firing(LATER, Cause.SCHEDULE, S.QUEUED, ""), LATER + timedelta(minutes=1), LATER
    )
    newest, first = store.jobs.runs(job.id, 10)
    assert (first.state, newest.state, newest.message) == (S.QUEUED, S.SKIPPED, "a run of it waits already")
    assert store.jobs.add_run(job, Firing(NOW, Cause.OPERATOR, S.QUEUED, ""), NOW) is None


@pytest.mark.parametrize("overlap", list(Overlap))
def test_a_run_is_one_process_s_until_its_lease_is_over(store: Store, steps: Steps, overlap: Overlap) -> None:
    job = add(store, overlap=overlap.value)
    assert store.jobs.fire(job, firing(), LATER, SOON)
    [(_, run)] = store.jobs.waiting(WORKSPACE)
    assert store.jobs.begin(job, run.id, SOON, LEASE)
    assert not store.jobs.begin(job, run.id, SOON, LEASE)
    assert store.jobs.waiting(WORKSPACE) == []
    assert store.jobs.at_work(WORKSPACE) == 1
    # Another of the same job begins beside it only where that is wanted.
    [again] = store.jobs.due(WORKSPACE, LATER)
    assert store.jobs.fire(
        again, Firing(LATER, Cause.SCHEDULE, S.QUEUED, ""), LATER + timedelta(minutes=1), LATER
    )
    [(_, second)] = store.jobs.waiting(WORKSPACE)
    assert store.jobs.begin(job, second.id, LATER, LEASE) is (overlap is Overlap.PARALLEL)
    assert not store.jobs.remove(job.id)
    # Who died at it is followed by another, who keeps the campaign that was chosen.
    store.jobs.choose_campaign(run.id, "daily-1")
    store.jobs.choose_campaign(run.id, "daily-2")
    steps.execute(f"UPDATE job_runs SET lease_until_real = 1 WHERE id = {run.id}")
    assert run.id in [waiting.id for _, waiting in store.jobs.waiting(WORKSPACE)]
    assert store.jobs.begin(job, run.id, LATER, LEASE) is True
    found = store.jobs.run_of(run.id)
    assert found is not None
    assert found[1].campaign == "daily-1"
    assert found[1].started_at == SOON
    store.jobs.renew(run.id, LEASE)
    assert store.jobs.end(run.id, S.RUNNING, S.DONE, LATER, "fine", {"accepted": 3})
    assert not store.jobs.end(run.id, S.RUNNING, S.FAILED, LATER)
    assert store.jobs.latest()[job.id].result == {"accepted": 3}
    assert store.jobs.campaigns_of(job.id, second.id) == ["daily-1"]


def test_a_paused_job_has_no_time(store: Store) -> None:
    job = add(store)
    assert store.jobs.pause(job.id)
    assert not store.jobs.pause(job.id)
    assert store.jobs.due(WORKSPACE, LATER) == []
    assert not store.jobs.fire(job, firing(), LATER, SOON)
    assert store.jobs.resume(job.id, LATER)
    assert not store.jobs.resume(job.id, LATER)
    assert [one.next_at for one in store.jobs.listed()] == [LATER]
    assert store.jobs.remove(job.id)
    assert not store.jobs.remove(job.id)
    assert store.jobs.listed() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE jobs SET next_at = NULL",
        "UPDATE jobs SET state = 'paused'",
        "UPDATE jobs SET misfire = 'burst'",
        "UPDATE job_runs SET state = 'running'",
        "UPDATE job_runs SET state = 'done'",
        "UPDATE job_runs SET cause = 'whim'",
    ],
)
def test_the_database_refuses_what_cannot_be(store: Store, steps: Steps, statement: str) -> None:
    assert store.jobs.fire(add(store), firing(), LATER, SOON)
    with pytest.raises(sa.exc.IntegrityError):
        steps.execute(statement)
