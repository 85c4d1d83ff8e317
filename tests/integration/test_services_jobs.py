"""Jobs from the tick to the launched campaign: files are taken once, moved once, and nothing of a failure is silent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from services_world import FROM, START, WORKSPACE, World, phone

from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.jobs import Cause, Job, JobRun, RunState
from campaigns.domain.states import CampaignState
from campaigns.services import job_runs
from campaigns.services.job_runs import Runner, perform
from campaigns.services.jobs import MOST_AT_WORK, add_job, run_now, tick, times
from campaigns.store.schema import job_runs as run_rows
from campaigns.store.schema import jobs as job_rows

NEW_YORK = "America/New_York"
#: The world's clock says 10:00 in New York.
DAILY = "0 11 * * *"


class Desk:
    """A job's folder beside a world, and short words for what the workers do."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.config = folder / "campaign.toml"
        self.config.write_text(f'from = "{FROM}"\nprofile = "none"\nwindow = "daily 00:00-24:00"\n')
        self.runner = replace(Runner.of(world.context), sleep=lambda seconds: None)

    def job(self, name: str = "daily", **changes: Any) -> Job:
        how: dict[str, Any] = {
            "cron": DAILY, "timezone": NEW_YORK, "source": str(self.inbox / "*.csv"), "config": self.config,
        }  # fmt: skip
        return add_job(self.world.store, WORKSPACE, name, self.world.clock.now(), "ann", **(how | changes))

    def put(self, name: str, *numbers: int, text: str | None = None) -> Path:
        """A lead list that nobody writes to any more."""
        path = self.inbox / name
        path.write_text(
            text if text is not None else "phone_number\n" + "".join(f"{phone(n)}\n" for n in numbers)
        )
        os.utime(path, (1, 1))
        return path

    def tick(self) -> list[JobRun]:
        """One tick, and what the runs that it told came to."""
        ended = [perform(self.runner, run_id) for run_id in tick(self.world.context).runs]
        return [run for run in ended if run is not None]

    def at_eleven(self) -> list[JobRun]:
        self.world.clock.at = START.replace(hour=16)
        return self.tick()

    def files(self, folder: str = "") -> list[str]:
        at = self.inbox / folder
        return sorted(path.name for path in at.iterdir() if path.is_file()) if at.is_dir() else []

    def runs(self, job: Job) -> list[JobRun]:
        return self.world.store.jobs.runs(job.id, 20)

    def campaign(self, name: str) -> Any:
        found = self.world.store.campaigns.by_name(name)
        assert found is not None, [one.name for one in self.world.store.campaigns.listed()]
        return found


@pytest.fixture
def desk(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Desk]:
    with World.made(tmp_path, migrated_sqlite) as world:
        yield Desk(world, tmp_path)


# -- the ordinary day


def test_at_its_time_new_files_become_a_running_campaign_of_that_date(desk: Desk) -> None:
    desk.job()
    desk.put("b.csv", 3)
    desk.put("a.csv", 1, 2, text=f"phone_number\n{phone(1)}\n{phone(2)}\n12\n{phone(1)}\n")
    assert desk.tick() == []
    [run] = desk.at_eleven()
    assert (run.state, run.cause, run.campaign) == (RunState.DONE, Cause.SCHEDULE, "daily-2026-12-01")
    made = desk.campaign("daily-2026-12-01")
    assert made.state == CampaignState.RUNNING
    assert made.options.from_numbers == (FROM,)
    assert desk.world.lead_counts(made) == {"pending": 3}
    assert run.result["accepted"] == 3
    assert desk.files() == []
    assert desk.files("done") == ["a-rejected.csv", "a.csv", "b.csv"]
    assert "invalid_phone" in (desk.inbox / "done" / "a-rejected.csv").read_text()
    assert not (desk.inbox / "processing").exists()
    assert len(desk.world.pace()) == 3
    # The day is over with that; the next one has a campaign of its own.
    assert desk.tick() == []
    desk.world.clock.at += timedelta(hours=3)
    assert desk.tick() == []


def test_without_files_nothing_is_made(desk: Desk) -> None:
    desk.job()
    [run] = desk.at_eleven()
    assert (run.state, run.message, run.campaign) == (RunState.DONE, "no new files", "")
    assert desk.world.store.campaigns.listed() == []


def test_a_second_time_on_the_same_day_has_the_hour_in_its_name(desk: Desk) -> None:
    desk.job(cron="0 11,14 * * *", overlap="parallel")
    desk.put("a.csv", 1)
    desk.at_eleven()
    desk.put("a.csv", 2)
    desk.world.clock.at = START.replace(hour=19)
    [run] = desk.tick()
    assert run.campaign == "daily-2026-12-01-1400"
    assert desk.files("done") == ["a-2.csv", "a.csv"]


def test_a_standing_campaign_is_added_to(desk: Desk) -> None:
    desk.job(append_to="everybody", cron="0 11,14 * * *")
    desk.put("a.csv", 1)
    desk.at_eleven()
    standing = desk.campaign("everybody")
    assert standing.state == CampaignState.RUNNING
    desk.put("b.csv", 1, 2)
    desk.put("same.csv", 1)
    desk.world.clock.at = START.replace(hour=19)
    [run] = desk.tick()
    assert run.state is RunState.DONE
    assert desk.world.lead_counts(standing) == {"pending": 2}
    # A paused one is not resumed behind the operator's back.
    assert desk.world.store.campaigns.pause(standing.id, "by hand", desk.world.clock.now())
    desk.put("c.csv", 3)
    desk.world.clock.at += timedelta(hours=21)
    [run] = desk.tick()
    assert run.state is RunState.DONE
    assert "everybody is paused" in run.message
    assert desk.campaign("everybody").state == CampaignState.PAUSED
    assert desk.world.lead_counts(standing) == {"pending": 3}


def test_a_campaign_file_whose_end_has_passed_does_not_end_the_standing_campaign(desk: Desk) -> None:
    """Its end was put off by the command line, and the file still has the old one."""
    desk.config.write_text(desk.config.read_text() + "end_at = 2026-12-01T13:00:00-05:00\n")
    desk.job(append_to="everybody", cron="0 11,14 * * *")
    desk.put("a.csv", 1)
    desk.at_eleven()
    standing = desk.campaign("everybody")
    later = replace(standing.options, end_at="2026-12-02T13:00:00-05:00")
    desk.world.store.campaigns.set_options(standing.id, later, desk.world.clock.now())
    desk.put("b.csv", 2)
    desk.world.clock.at = START.replace(hour=19)
    [run] = desk.tick()
    assert run.state is RunState.FAILED
    assert "past" in run.message
    assert desk.campaign("everybody").options.end_at == later.end_at
    assert desk.files() == ["b.csv"]


# -- what goes wrong


def test_a_file_that_is_wrong_fails_the_run_and_not_the_others(desk: Desk) -> None:
    job = desk.job()
    desk.put("bad.csv", text="name,city\nAnn,Rome\n")
    desk.put("good.csv", 1)
    [run] = desk.at_eleven()
    assert run.state is RunState.FAILED
    assert "bad.csv" in run.message
    assert desk.files("failed") == ["bad.csv", "bad.csv.error.txt"]
    assert "phone" in (desk.inbox / "failed" / "bad.csv.error.txt").read_text()
    assert desk.files("done") == ["good.csv"]
    assert desk.campaign("daily-2026-12-01").state == CampaignState.RUNNING
    [(failed, last)] = desk.world.store.jobs.failing()
    assert (failed.name, last.id) == ("daily", run.id)
    # It goes on next time, and is well again.
    desk.world.store.campaigns.cancel(desk.campaign("daily-2026-12-01").id, desk.world.clock.now())
    desk.put("more.csv", 2)
    desk.world.after(hours=24)
    [again] = desk.tick()
    assert again.state is RunState.DONE
    assert desk.world.store.jobs.failing() == []
    assert [one.state for one in desk.runs(job)] == [RunState.DONE, RunState.FAILED]


def test_where_no_file_can_be_used_no_campaign_is_left(desk: Desk) -> None:
    desk.job()
    desk.put("bad.csv", text="name\nAnn\n")
    [run] = desk.at_eleven()
    assert run.state is RunState.FAILED
    assert desk.world.store.campaigns.listed() == []


@pytest.mark.parametrize(
    ("text", "words"), [('from = "12"\n', "campaign.toml:1"), (None, "campaign.toml"), ("from = [", "TOML")]
)
def test_a_campaign_file_that_broke_leaves_the_files_for_the_next_time(
    desk: Desk, text: str | None, words: str
) -> None:
    desk.job()
    desk.put("a.csv", 1)
    whole = desk.config.read_text()
    if text is None:
        desk.config.unlink()
    else:
        desk.config.write_text(text)
    [run] = desk.at_eleven()
    assert run.state is RunState.FAILED
    assert words in run.message
    assert desk.files() == ["a.csv"]
    desk.config.write_text(whole)
    desk.world.after(hours=24)
    assert [one.state for one in desk.tick()] == [RunState.DONE]


def test_a_launch_that_fails_keeps_the_leads_and_does_not_hold_up_the_next_day(desk: Desk) -> None:
    desk.config.write_text('end_at = 2026-12-01T12:00:00Z\nfrom = "+14155550100"\n')
    desk.job("late", config=None)
    desk.world.sql(f"UPDATE jobs SET config = '{desk.config}'")
    desk.put("a.csv", 1)
    [run] = desk.at_eleven()
    assert run.state is RunState.FAILED
    assert "end is past" in run.message
    assert desk.files("done") == ["a.csv"]
    assert desk.campaign("late-2026-12-01").state == CampaignState.DRAFT
    desk.config.write_text('from = "+14155550100"\n')
    desk.put("b.csv", 2)
    desk.world.after(hours=24)
    [run] = desk.tick()
    assert (run.state, run.campaign) == (RunState.DONE, "late-2026-12-02")


def test_an_unforeseen_error_is_the_run_s_result_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.job()
    desk.put("a.csv", 1)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk sang")

    monkeypatch.setattr(job_runs, "import_file", broken)
    [run] = desk.at_eleven()
    assert (run.state, run.message) == (RunState.FAILED, "RuntimeError: the disk sang")
    assert desk.files() == ["a.csv"]


# -- kills


class Killed(BaseException):
    """What no handler catches."""


def die_at_eleven(desk: Desk, monkeypatch: pytest.MonkeyPatch, at: str, after: bool) -> None:
    """A worker takes the day's run and is killed at a step of it, or right after."""
    done = getattr(job_runs, at)

    def killed(*arguments: Any, **options: Any) -> Any:
        if after:
            done(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(job_runs, at, killed)
        # A process that is killed puts nothing back.
        patch.setattr(job_runs, "_put_back", lambda *_: None)
        desk.world.clock.at = START.replace(hour=16)
        with pytest.raises(Killed):
            desk.tick()


@pytest.mark.parametrize("at", ["make_campaign", "import_file", "_moved", "launch"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_somebody_else_finishes_it_and_nobody_is_in_two_campaigns(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, at: str, after: bool
) -> None:
    job = desk.job()
    desk.put("a.csv", 1)
    desk.put("b.csv", 2)
    die_at_eleven(desk, monkeypatch, at, after)
    assert [one.state for one in desk.runs(job)] == [RunState.RUNNING]
    # Its lease holds others off; when it is over, one goes on.
    assert desk.tick() == []
    desk.put("c.csv", 3)
    desk.world.sql("UPDATE job_runs SET lease_until_real = 1")
    [run] = desk.tick()
    assert (run.state, run.campaign) == (RunState.DONE, "daily-2026-12-01")
    [campaign] = desk.world.store.campaigns.listed()
    assert campaign.state == CampaignState.RUNNING
    assert desk.world.lead_counts(campaign) == {"pending": 3}
    assert desk.files() == []
    assert [name for name in desk.files("done") if "rejected" not in name] == ["a.csv", "b.csv", "c.csv"]


@pytest.mark.parametrize("append_to", ["", "everybody"])
@pytest.mark.parametrize(("at", "after"), [("_moved", True), ("launch", False), ("launch", True)])
def test_killed_when_all_files_were_in_their_campaign_is_launched_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, at: str, after: bool, append_to: str
) -> None:
    """No file is left to take, and the leads would wait in a draft for ever, of which nobody was told."""
    job = desk.job(append_to=append_to)
    desk.put("a.csv", 1)
    die_at_eleven(desk, monkeypatch, at, after)
    desk.world.sql("UPDATE job_runs SET lease_until_real = 1")
    [run] = desk.tick()
    assert (run.state, run.campaign) == (RunState.DONE, append_to or "daily-2026-12-01")
    [campaign] = desk.world.store.campaigns.listed()
    assert campaign.state == CampaignState.RUNNING
    assert desk.world.lead_counts(campaign) == {"pending": 1}
    assert desk.files("done") == ["a.csv"]
    assert [one.id for one in desk.runs(job)] == [run.id]


def test_two_jobs_never_have_the_same_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.job("one")
    desk.job("two")
    desk.put("a.csv", 1)
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        # Between the look and the taking, the other takes it.
        monkeypatch.setattr(Path, "rename", rename)
        rename(self, self.parent / "taken")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    runs = desk.at_eleven()
    assert [run.message for run in runs] == ["no new files", "no new files"]
    assert desk.world.store.campaigns.listed() == []


def test_a_file_that_is_still_written_is_waited_for_and_otherwise_left(desk: Desk) -> None:
    desk.job()
    path = desk.put("a.csv", 1)
    desk.put("b.csv", 2)
    os.utime(path)
    real = [path.stat().st_mtime]

    def sleep(seconds: float) -> None:
        real[0] += seconds
        os.utime(path, (real[0], real[0]))

    desk.runner = replace(desk.runner, sleep=sleep, now_real=lambda: real[0])
    [run] = desk.at_eleven()
    assert run.state is RunState.DONE
    assert "still writing: a.csv" in run.message
    assert desk.files() == ["a.csv"]
    assert desk.files("done") == ["b.csv"]
    patient = replace(desk.runner, sleep=lambda seconds: real.__setitem__(0, real[0] + seconds))
    desk.runner = patient
    desk.world.store.campaigns.cancel(desk.campaign("daily-2026-12-01").id, desk.world.clock.now())
    desk.world.after(hours=24)
    [run] = desk.tick()
    assert run.message == ""
    assert desk.files() == []


# -- misfires, overlaps, pauses


@pytest.mark.parametrize("misfire", ["run-once", "skip"])
def test_a_machine_that_was_off_for_days_makes_no_burst(desk: Desk, misfire: str) -> None:
    job = desk.job(cron="*/10 * * * *", misfire=misfire)
    desk.put("a.csv", 1)
    desk.world.after(days=3)
    told = desk.tick()
    [only] = desk.runs(job)
    assert only.cause is Cause.MISFIRE
    assert [run.id for run in told] == ([only.id] if misfire == "run-once" else [])
    assert only.state is (RunState.DONE if misfire == "run-once" else RunState.SKIPPED)
    assert desk.tick() == []
    found = desk.world.store.jobs.by_name("daily")
    assert found is not None
    assert found.next_at is not None
    assert timedelta(0) < found.next_at - desk.world.clock.now() <= timedelta(minutes=10)


@pytest.mark.parametrize(
    ("overlap", "states"),
    [
        ("queue", [RunState.QUEUED, RunState.DONE]),
        ("skip", [RunState.SKIPPED, RunState.DONE]),
        ("parallel", [RunState.DONE, RunState.DONE]),
    ],
)
def test_while_the_campaign_before_is_not_over(desk: Desk, overlap: str, states: list[RunState]) -> None:
    job = desk.job(overlap=overlap)
    desk.put("a.csv", 1)
    desk.at_eleven()
    desk.put("b.csv", 2)
    desk.world.after(hours=24)
    desk.tick()
    newest = desk.runs(job)[0]
    assert [run.state for run in desk.runs(job)] == states
    if overlap != "parallel":
        assert "daily-2026-12-01 is running" in newest.message
        assert desk.files() == ["b.csv"]
    if overlap == "queue":
        # A third waits for nothing: one waits already. When the first is over, the second comes.
        desk.world.after(hours=24)
        assert desk.tick() == []
        assert desk.runs(job)[0].state is RunState.SKIPPED
        desk.world.store.campaigns.cancel(desk.campaign("daily-2026-12-01").id, desk.world.clock.now())
        [run] = desk.tick()
        assert (run.state, run.campaign) == (RunState.DONE, "daily-2026-12-02")


def test_a_paused_job_does_nothing_and_its_times_are_left_out(desk: Desk) -> None:
    job = desk.job()
    desk.put("a.csv", 1)
    assert desk.world.store.jobs.pause(job.id)
    assert desk.at_eleven() == []
    now = desk.world.clock.now()
    assert desk.world.store.jobs.resume(job.id, times(job, now, 1)[0])
    assert desk.tick() == []
    assert desk.runs(job) == []


def test_run_now_leaves_the_times_as_they_are(desk: Desk) -> None:
    job = desk.job()
    desk.put("a.csv", 1)
    run = perform(desk.runner, run_now(desk.world.store, job, desk.world.clock.now()), "ann")
    assert run is not None
    assert (run.cause, run.state) == (Cause.OPERATOR, RunState.DONE)
    assert desk.world.store.jobs.due(WORKSPACE, START + timedelta(minutes=59)) == []
    run_now(desk.world.store, job, desk.world.clock.now() + timedelta(seconds=1))
    with pytest.raises(CampaignsError, match="waits or is at work"):
        run_now(desk.world.store, job, desk.world.clock.now() + timedelta(seconds=2))


def test_run_now_goes_on_with_a_run_whose_process_died(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no worker runs, nobody else would ever."""
    job = desk.job()
    desk.put("a.csv", 1)

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(job_runs, "import_file", killed)
        patch.setattr(job_runs, "_put_back", lambda *_: None)
        died = run_now(desk.world.store, job, desk.world.clock.now())
        with pytest.raises(Killed):
            perform(desk.runner, died, "ann")
    with pytest.raises(CampaignsError, match="at work"):
        run_now(desk.world.store, job, desk.world.clock.now())
    desk.world.sql("UPDATE job_runs SET lease_until_real = 1")
    again = run_now(desk.world.store, job, desk.world.clock.now())
    assert again == died
    run = perform(desk.runner, again, "ann")
    assert run is not None
    assert run.state == RunState.DONE
    assert desk.files("done") == ["a.csv"]


def test_no_more_runs_at_once_than_leave_room_for_pacing(desk: Desk) -> None:
    for n in range(5):
        desk.job(f"job-{n}")
    desk.world.clock.at = START.replace(hour=16)
    told = tick(desk.world.context).runs
    assert len(told) == MOST_AT_WORK
    assert tick(desk.world.context).runs == told
    for run_id in told:
        perform(desk.runner, run_id)
    assert len(tick(desk.world.context).runs) == MOST_AT_WORK


def test_a_tick_says_when_a_time_comes_before_the_next_tick(desk: Desk) -> None:
    desk.job()
    assert tick(desk.world.context).again_in is None
    desk.world.clock.at = START.replace(hour=15, minute=59, second=59, microsecond=400_000)
    again = tick(desk.world.context).again_in
    assert again == pytest.approx(0.6)


# -- adding


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cron": "0 9 * *"}, "cron"),
        ({"cron": "0 0 30 2 *"}, ""),
        ({"timezone": "Mars/Olympus"}, "zone"),
        ({"timezone": None}, "clocks"),
        ({"source": "/nowhere/at/all/*.csv"}, "no folder"),
        ({"config": Path("nowhere.toml")}, "nowhere.toml"),
        ({"misfire": "burst"}, "--misfire"),
        ({"overlap": "maybe"}, "--overlap"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    desk: Desk, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as error:
        desk.job(**changes)
    assert words in str(error.value)
    assert error.value.remedy
    assert desk.world.store.jobs.listed() == []


@pytest.mark.parametrize("name", ["", " ", "a/b", "x" * 61, "a\nb"])
def test_a_name_that_cannot_be_one(desk: Desk, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name"):
        desk.job(name)


def test_a_name_is_taken_once_and_the_zone_may_be_the_campaign_file_s(desk: Desk) -> None:
    desk.config.write_text('timezone = "Europe/London"\n')
    assert desk.job(timezone=None).timezone == "Europe/London"
    with pytest.raises(UsageError, match="exists already"):
        desk.job()


def test_a_job_is_of_its_workspace(desk: Desk) -> None:
    job = desk.job()
    desk.world.sql("INSERT INTO workspaces (name) VALUES ('other')")
    with desk.world.store.database.write() as connection:
        connection.execute(sa.update(job_rows).values(workspace="other"))
    assert desk.at_eleven() == []
    with desk.world.store.database.read() as connection:
        assert connection.execute(sa.select(run_rows)).all() == []
    assert desk.runs(job) == []
