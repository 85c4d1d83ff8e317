"""Jobs and their runs. A due time becomes a run in the transaction that moves the job to its next time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.jobs import OPEN_RUN, Cause, Firing, Job, JobRun, JobState, Misfire, Overlap, RunState
from campaigns.store.database import Database
from campaigns.store.events import is_over, real_ms
from campaigns.store.schema import job_runs, jobs, workspaces

_OPEN = sorted(OPEN_RUN)


def _job(row: Mapping[str, Any]) -> Job:
    return Job(
        id=row["id"],
        name=row["name"],
        workspace=row["workspace"],
        state=JobState(row["state"]),
        cron=row["cron"],
        timezone=row["timezone"],
        config=row["config"],
        source=row["source"],
        append_to=row["append_to"],
        misfire=Misfire(row["misfire"]),
        overlap=Overlap(row["overlap"]),
        next_at=None if row["next_at"] is None else from_ms(row["next_at"]),
        created_at=from_ms(row["created_at"]),
        created_by=row["created_by"],
    )


def _run(row: Mapping[str, Any]) -> JobRun:
    return JobRun(
        id=row["id"],
        job_id=row["job_id"],
        due_at=from_ms(row["due_at"]),
        cause=Cause(row["cause"]),
        state=RunState(row["state"]),
        campaign=row["campaign"],
        result=json.loads(row["result"]),
        message=row["message"],
        started_at=None if row["started_at"] is None else from_ms(row["started_at"]),
        finished_at=None if row["finished_at"] is None else from_ms(row["finished_at"]),
    )


class JobRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    # -- jobs ------------------------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        workspace: str,
        next_at: datetime,
        now: datetime,
        created_by: str,
        **how: str,
    ) -> Job | None:
        """A new job, active; None when the name is taken. how: the other columns, cron to overlap."""
        with self._db.write() as connection:
            connection.execute(self._db.insert_ignore(workspaces).values(name=workspace))
            made = connection.execute(
                self._db.insert_ignore(jobs)
                .values(
                    id=uuid.uuid4().hex[:12],
                    name=name,
                    workspace=workspace,
                    state=JobState.ACTIVE,
                    next_at=to_ms(next_at),
                    created_at=to_ms(now),
                    created_by=created_by,
                    **how,
                )
                .returning(jobs.c.id)
            ).first()
        return self.by_name(name) if made is not None else None

    def by_name(self, name: str) -> Job | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.name == name)).first()
        return _job(dict(row._mapping)) if row else None

    def listed(self) -> list[Job]:
        """All jobs by name."""
        with self._db.read() as connection:
            return [
                _job(dict(row._mapping)) for row in connection.execute(sa.select(jobs).order_by(jobs.c.name))
            ]

    def remove(self, job_id: str) -> bool:
        """The job and what is known of its runs. False: one of them is running, or it is gone."""
        with self._db.write() as connection:
            connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
            running = sa.select(job_runs.c.id).where(
                job_runs.c.job_id == job_id, job_runs.c.state == RunState.RUNNING
            )
            if connection.execute(running).first() is not None:
                return False
            connection.execute(sa.delete(job_runs).where(job_runs.c.job_id == job_id))
            return connection.execute(sa.delete(jobs).where(jobs.c.id == job_id)).rowcount == 1

    def pause(self, job_id: str) -> bool:
        """active -> paused: no time comes. False: it was not active."""
        return self._move(job_id, JobState.ACTIVE, JobState.PAUSED, None)

    def resume(self, job_id: str, next_at: datetime) -> bool:
        """paused -> active: the times in between are left out. False: it was not paused."""
        return self._move(job_id, JobState.PAUSED, JobState.ACTIVE, next_at)

    def _move(self, job_id: str, source: JobState, to: JobState, next_at: datetime | None) -> bool:
        with self._db.write() as connection:
            moved = connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state == source)
                .values(state=to, next_at=None if next_at is None else to_ms(next_at))
            )
        return moved.rowcount == 1

    # -- the tick --------------------------------------------------------------------------------------------

    def due(self, workspace: str, now: datetime) -> list[Job]:
        """Jobs whose time has come, the longest due first."""
        query = (
            sa.select(jobs)
            .where(jobs.c.workspace == workspace, jobs.c.next_at <= to_ms(now))
            .order_by(jobs.c.next_at, jobs.c.id)
        )
        with self._db.read() as connection:
            return [_job(dict(row._mapping)) for row in connection.execute(query)]

    def next_due(self, workspace: str) -> datetime | None:
        """When the next time of any job comes."""
        query = sa.select(sa.func.min(jobs.c.next_at)).where(jobs.c.workspace == workspace)
        with self._db.read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else from_ms(found)

    def fire(self, job: Job, firing: Firing, next_at: datetime, now: datetime) -> bool:
        """Move the job to its next time and write the run of this one, both or neither. False: another tick did it.

        While a run of the job waits already, this one is noted as skipped: never a burst.
        """
        if job.next_at is None:
            return False
        with self._db.write() as connection:
            won = connection.execute(
                sa.update(jobs)
                .where(
                    jobs.c.id == job.id, jobs.c.state == JobState.ACTIVE, jobs.c.next_at == to_ms(job.next_at)
                )
                .values(next_at=to_ms(next_at))
            )
            if won.rowcount == 0:
                return False
            self._insert(connection, job, firing, now)
        return True

    def add_run(self, job: Job, firing: Firing, now: datetime) -> int | None:
        """A run at the operator's word. None: one of the job waits or runs already."""
        with self._db.write() as connection:
            connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job.id).with_for_update())
            busy = sa.select(job_runs.c.id).where(job_runs.c.job_id == job.id, job_runs.c.state.in_(_OPEN))
            if connection.execute(busy).first() is not None:
                return None
            return self._insert(connection, job, firing, now)

    @staticmethod
    def _insert(connection: sa.Connection, job: Job, firing: Firing, now: datetime) -> int:
        state, message = firing.state, firing.message
        waiting = sa.select(job_runs.c.id).where(
            job_runs.c.job_id == job.id, job_runs.c.state == RunState.QUEUED
        )
        if state is RunState.QUEUED and connection.execute(waiting).first() is not None:
            state, message = RunState.SKIPPED, "a run of it waits already"
        made = connection.execute(
            sa.insert(job_runs)
            .values(
                job_id=job.id,
                workspace=job.workspace,
                due_at=to_ms(firing.due_at),
                cause=firing.cause,
                state=state,
                campaign="",
                result="{}",
                message=message,
                created_at=to_ms(now),
                finished_at=to_ms(now) if state is RunState.SKIPPED else None,
            )
            .returning(job_runs.c.id)
        )
        return int(made.scalar_one())

    # -- runs ------------------------------------------------------------------------------------------------

    def waiting(self, workspace: str) -> list[tuple[Job, JobRun]]:
        """Runs that nobody is at: queued, or running under a lease that is over. The oldest first."""
        query = (
            sa.select(jobs, job_runs)
            .join(job_runs, job_runs.c.job_id == jobs.c.id)
            .where(
                job_runs.c.workspace == workspace,
                # Word for word the partial index's condition.
                job_runs.c.state.in_([sa.literal_column(f"'{state}'") for state in _OPEN]),
                sa.or_(job_runs.c.state == RunState.QUEUED, is_over(job_runs.c.lease_until_real, real_ms())),
            )
            .order_by(job_runs.c.id)
        ).set_label_style(sa.LABEL_STYLE_TABLENAME_PLUS_COL)
        with self._db.read() as connection:
            return [
                (_job(_part(row, "jobs_")), _run(_part(row, "job_runs_")))
                for row in connection.execute(query)
            ]

    def at_work(self, workspace: str) -> int:
        """Runs that somebody is at."""
        query = (
            sa.select(sa.func.count())
            .select_from(job_runs)
            .where(
                job_runs.c.workspace == workspace,
                job_runs.c.state == RunState.RUNNING,
                job_runs.c.state.in_([sa.literal_column(f"'{state}'") for state in _OPEN]),
                sa.not_(is_over(job_runs.c.lease_until_real, real_ms())),
            )
        )
        with self._db.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def run_of(self, run_id: int) -> tuple[Job, JobRun] | None:
        query = (
            sa.select(jobs, job_runs)
            .join(job_runs, job_runs.c.job_id == jobs.c.id)
            .where(job_runs.c.id == run_id)
        ).set_label_style(sa.LABEL_STYLE_TABLENAME_PLUS_COL)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else (_job(_part(row, "jobs_")), _run(_part(row, "job_runs_")))

    def begin(self, job: Job, run_id: int, now: datetime, lease_ms: int) -> bool:
        """queued -> running, or taken over from who died at it. False: somebody has it, or another run of the job is
        running and may not run beside it."""
        other = job_runs.alias("other")
        beside = sa.select(other.c.id).where(
            other.c.job_id == job.id, other.c.id != run_id, other.c.state == RunState.RUNNING
        )
        free = sa.true() if job.overlap is Overlap.PARALLEL else sa.not_(beside.exists())
        stamp = real_ms()
        with self._db.write() as connection:
            # One at a time decides about the runs of a job.
            connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job.id).with_for_update())
            begun = connection.execute(
                sa.update(job_runs)
                .where(
                    job_runs.c.id == run_id,
                    sa.or_(
                        job_runs.c.state == RunState.QUEUED,
                        sa.and_(
                            job_runs.c.state == RunState.RUNNING, is_over(job_runs.c.lease_until_real, stamp)
                        ),
                    ),
                    free,
                )
                .values(
                    state=RunState.RUNNING,
                    started_at=sa.func.coalesce(job_runs.c.started_at, to_ms(now)),
                    lease_until_real=stamp + lease_ms,
                    message="",
                )
            )
        return begun.rowcount == 1

    def renew(self, run_id: int, lease_ms: int) -> None:
        """Still at it."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(job_runs)
                .where(job_runs.c.id == run_id, job_runs.c.state == RunState.RUNNING)
                .values(lease_until_real=real_ms() + lease_ms)
            )

    def choose_campaign(self, run_id: int, name: str) -> None:
        """Written before the campaign is made, so that whoever takes the run over goes on with the same."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(job_runs)
                .where(job_runs.c.id == run_id, job_runs.c.campaign == "")
                .values(campaign=name)
            )

    def say(self, run_id: int, message: str) -> None:
        """Why a queued run waits."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(job_runs)
                .where(
                    job_runs.c.id == run_id,
                    job_runs.c.state == RunState.QUEUED,
                    job_runs.c.message != message,
                )
                .values(message=message)
            )

    def end(
        self,
        run_id: int,
        source: RunState,
        to: RunState,
        now: datetime,
        message: str = "",
        result: Mapping[str, object] | None = None,
    ) -> bool:
        """queued -> skipped, running -> done or failed. False: it was in another state."""
        with self._db.write() as connection:
            ended = connection.execute(
                sa.update(job_runs)
                .where(job_runs.c.id == run_id, job_runs.c.state == source)
                .values(
                    state=to,
                    finished_at=to_ms(now),
                    lease_until_real=None,
                    message=message,
                    result=json.dumps(dict(result or {})),
                )
            )
        return ended.rowcount == 1

    def runs(self, job_id: str, limit: int) -> list[JobRun]:
        """The job's latest runs, newest first."""
        query = (
            sa.select(job_runs).where(job_runs.c.job_id == job_id).order_by(job_runs.c.id.desc()).limit(limit)
        )
        with self._db.read() as connection:
            return [_run(dict(row._mapping)) for row in connection.execute(query)]

    def latest(self) -> dict[str, JobRun]:
        """Of each job its latest run that is over and was not skipped, by the job's id."""
        over = (RunState.DONE, RunState.FAILED)
        newest = (
            sa.select(sa.func.max(job_runs.c.id))
            .where(job_runs.c.state.in_(over))
            .group_by(job_runs.c.job_id)
        )
        with self._db.read() as connection:
            rows = connection.execute(sa.select(job_runs).where(job_runs.c.id.in_(newest)))
            return {row.job_id: _run(dict(row._mapping)) for row in rows}

    def failing(self) -> list[tuple[Job, JobRun]]:
        """Jobs whose last run failed, with that run."""
        failed = {job: run for job, run in self.latest().items() if run.state is RunState.FAILED}
        return [(job, failed[job.id]) for job in (self.listed() if failed else []) if job.id in failed]

    def campaigns_of(self, job_id: str, but: int) -> Sequence[str]:
        """Names of the campaigns of the job's earlier runs, newest first."""
        query = (
            sa.select(job_runs.c.campaign)
            .where(job_runs.c.job_id == job_id, job_runs.c.id < but, job_runs.c.campaign != "")
            .order_by(job_runs.c.id.desc())
            .limit(20)
        )
        with self._db.read() as connection:
            return list(dict.fromkeys(connection.execute(query).scalars()))


def _part(row: sa.Row[Any], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value for name, value in row._mapping.items() if name.startswith(prefix)
    }
