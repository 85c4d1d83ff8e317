"""Beat's tick killed at the moment of firing, as a real process: no time of any job is lost, none makes two runs."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from campaigns.store import Store
from campaigns.store.schema import job_runs

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
JOBS, MINUTES = 60, 2
#: Ticks in a loop, at a business time that stands still; says when it begins.
TICKER = """
import sys
from datetime import datetime
from types import SimpleNamespace
from campaigns.services.jobs import tick
from campaigns.store import Store
now = datetime.fromisoformat(sys.argv[2])
context = SimpleNamespace(
    store=Store.open(sys.argv[1]), workspace="acme", clock=SimpleNamespace(now=lambda: now, speed=1.0)
)
print("ready", flush=True)
tick(context)
print("done", flush=True)
"""


def ticker(url: str, now: datetime) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TICKER, url, now.isoformat()], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def fired(store: Store) -> Counter[tuple[str, int]]:
    with store.database.read() as connection:
        return Counter((row.job_id, row.due_at) for row in connection.execute(sa.select(job_runs)))


def test_ticks_killed_while_they_fire_lose_and_double_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'campaigns.db'}"
    chance = random.Random(3)
    midway = 0
    with closing(Store.open(url)) as store:
        how = {
            "cron": "* * * * *", "timezone": "UTC", "config": "", "source": "x", "append_to": "",
            "misfire": "run-once", "overlap": "parallel",
        }  # fmt: skip
        for n in range(JOBS):
            assert store.jobs.add(f"job-{n}", "acme", START, START, "test", **how)
        for minute in range(MINUTES):
            now = START + timedelta(minutes=minute, seconds=1)
            # Killed in its firing, as soon as it has fired a few; then two at once, of which one may be killed as well.
            doomed = ticker(url, now)
            enough = minute * JOBS + chance.randint(1, JOBS // 2)
            while sum(fired(store).values()) < enough and doomed.poll() is None:
                time.sleep(0.001)
            doomed.send_signal(signal.SIGKILL)
            midway += sum(fired(store).values()) < (minute + 1) * JOBS
            pair = [ticker(url, now), ticker(url, now)]
            if chance.random() < 0.7:
                pair[0].send_signal(signal.SIGKILL)
            for process in (doomed, *pair):
                process.communicate(timeout=60)
            last = ticker(url, now)
            assert "done" in last.communicate(timeout=60)[0]
            with store.database.write() as connection:
                # Whoever waits would hold the next time off.
                connection.execute(
                    sa.update(job_runs)
                    .values(state="done", finished_at=1)
                    .where(job_runs.c.state == "queued")
                )
        assert midway, "no tick was killed between two jobs"
        found = fired(store)
        due = [int((START + timedelta(minutes=n)).timestamp() * 1000) for n in range(MINUTES)]
        assert found == Counter((job.id, at) for job in store.jobs.listed() for at in due)
        assert {job.next_at for job in store.jobs.listed()} == {START + timedelta(minutes=MINUTES)}
