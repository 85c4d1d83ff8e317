"""Looks, forecasts and what keeps records from being deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from services_world import START, WORKSPACE, World, phone

from campaigns.domain.entities import Campaign
from campaigns.domain.errors import CampaignsError
from campaigns.domain.states import CampaignState
from campaigns.services.forecast import Forecast, forecast
from campaigns.services.looking import Looker
from campaigns.services.retention import KEEP_YEARS, may_delete
from campaigns.settings import SIMULATOR
from campaigns.store import Remains


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite, concurrency=5) as made:
        yield made


def looker(world: World, name: str | None = None) -> Looker:
    return Looker(world.store, lambda workspace: world.clock, name)


def test_a_look_shows_what_goes_on(world: World) -> None:
    world.campaign("spring", *range(1, 9))
    for attempt_id in world.pace():
        world.dial(attempt_id)
    world.after(seconds=5)
    look = looker(world).look(events=4)
    [seen] = look.campaigns
    assert (seen.status.own, seen.status.ceiling) == (5, 5)
    assert [(call.state, call.campaign) for call in look.calls] == [("placed", "spring")] * 5
    assert {call.phone for call in look.calls} == {phone(n) for n in range(1, 6)}
    assert {(seen.now - call.since).total_seconds() for call in look.calls} == {5.0}
    assert seen.calls_per_second == pytest.approx(5 / 15, abs=0.01)
    assert [event["id"] for _, event in look.events] == sorted(event["id"] for _, event in look.events)
    assert len(look.events) == 4
    world.after(seconds=30)
    assert looker(world).look(0).campaigns[0].calls_per_second == 0


def test_what_is_over_or_archived_is_out_of_sight_while_something_goes_on(world: World) -> None:
    for name in ("spring", "autumn", "winter"):
        world.campaign(name, len(name), launch=name == "autumn")
    over = world.store.campaigns.by_name("spring")
    assert over is not None
    world.store.campaigns.cancel(over.id, START)
    assert [seen.status.campaign.name for seen in looker(world).look(3).campaigns] == ["autumn"]
    assert [seen.status.campaign.name for seen in looker(world, "spring").look(3).campaigns] == ["spring"]
    assert looker(world, "none").look(3).campaigns == []


def test_looking_changes_nothing(world: World) -> None:
    world.campaign("spring", *range(1, 9))
    world.pace()
    with world.store.database.engine.connect() as connection:
        before = connection.exec_driver_sql("PRAGMA data_version").scalar()
        changes = connection.exec_driver_sql("SELECT total_changes()").scalar()
        looker(world).look(5)
        assert connection.exec_driver_sql("PRAGMA data_version").scalar() == before
        assert connection.exec_driver_sql("SELECT total_changes()").scalar() == changes


def test_a_forecast_that_has_passed_is_not_shown_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one took so long that it would stand for minutes; the virtual clock has left it behind."""
    world.campaign("spring", *range(1, 9))
    real, took = [100.0], [50.0]
    monkeypatch.setattr("campaigns.services.looking.time.monotonic", lambda: real[0])

    def slow(*arguments: Any) -> Forecast:
        real[0] += took[0]
        return forecast(*arguments)

    monkeypatch.setattr("campaigns.services.looking.forecast", slow)
    watching = looker(world, "spring")

    def foretold() -> datetime:
        [seen] = watching.look(0).campaigns
        assert seen.forecast is not None
        assert seen.forecast.done_at is not None
        return seen.forecast.done_at

    first = foretold()
    real[0] += 5
    world.after(seconds=5)
    assert foretold() == first, "made anew at most for a small share of the time"
    world.after(hours=24)
    assert foretold() > world.clock.now()


# -- forecast


def test_a_forecast_of_a_draft_says_what_it_assumes(world: World) -> None:
    campaign = world.campaign("spring", *range(1, 41), launch=False, windows=(), profile="none", retry="none")
    found = forecast(world.store, campaign, world.clock.now())
    assert (found.leads_left, found.basis, found.pace, found.cost_left) == (40, 0, None, None)
    assert found.calls_left == pytest.approx(40, abs=1)
    assert found.earliest is not None
    assert found.done_at is not None
    assert found.latest is not None
    assert START < found.earliest <= found.done_at <= found.latest
    said = " ".join(found.assumed)
    for words in ("draft", "outcomes", "length of a call", "lines", "pace"):
        assert words in said


def test_a_forecast_comes_true_in_the_simulator(world: World) -> None:
    """Dialed for a while, then foretold, then dialed to the end."""
    campaign = world.campaign(
        "spring", *range(1, 131), windows=(), profile="none", retry="no_answer:10m;busy:10m", max_attempts=2
    )
    world.engine.configure({"outcomes": "human=4,dial_no_answer=4,dial_busy=2"})

    def go_on() -> None:
        world.dial_all()
        world.after(seconds=30)
        world.poll_and_settle()

    for _ in range(25):
        go_on()
    at = world.clock.now()
    found = forecast(world.store, world.campaign_now(campaign), at)
    assert found.pace is not None
    assert found.basis > 50
    for _ in range(3000):
        if world.campaign_now(campaign).state == CampaignState.COMPLETED:
            break
        go_on()
    took = world.clock.now() - at
    assert found.done_at is not None
    assert found.earliest is not None
    assert found.latest is not None
    assert found.earliest - timedelta(minutes=10) <= world.clock.now() <= found.latest + timedelta(minutes=10)
    assert (found.done_at - at) / took == pytest.approx(1, abs=0.35)
    made = world.store.tallies.of(campaign.id).attempts["settled"]
    assert found.calls_least <= made - found.basis <= found.calls_most * 1.05
    # Long calls cost most, and are the last to be settled: what is known of the first ones is on the low side.
    assert found.cost_total == pytest.approx(world.store.tallies.of(campaign.id).cost_cents, rel=0.4)


def test_leads_that_wait_are_counted_by_why(world: World) -> None:
    campaign = world.campaign("spring", 1, 2)
    world.add_leads(campaign, 3, 4, 5, zones="Pacific/Honolulu")
    world.add_leads(campaign, 6, next_attempt_at=START + timedelta(hours=2))
    found = forecast(world.store, campaign, START)
    assert (found.leads_left, found.outside_window, found.not_due) == (6, 3, 1)


def test_over_means_nothing_is_left(world: World) -> None:
    campaign = world.campaign("spring", 1)
    world.store.campaigns.cancel(campaign.id, START)
    found = forecast(world.store, world.campaign_now(campaign), START)
    assert (found.leads_left, found.done_at, found.calls_left) == (0, None, 0)


# -- deleting

DIALED = datetime.fromisoformat("2024-02-29T12:00:00+00:00")


@pytest.fixture
def over(world: World) -> Campaign:
    campaign = world.campaign("spring", 1)
    return replace(campaign, state=CampaignState.COMPLETED)


def refusal(campaign: Campaign, remains: Remains, now: datetime, forced: bool = False) -> str:
    with pytest.raises(CampaignsError) as refused:
        may_delete(campaign, remains, now, forced)
    assert refused.value.remedy
    return str(refused.value)


def test_evidence_is_kept_five_years_unless_forced(over: Campaign) -> None:
    remains = Remains(7, DIALED, 0, 0)
    later = DIALED + timedelta(days=365)
    assert "until 2029-03-01" in refusal(over, remains, later)
    may_delete(over, remains, later, forced=True)
    may_delete(over, remains, DIALED.replace(year=2024 + KEEP_YEARS, month=3, day=1), forced=False)


def test_dials_that_count_for_a_cap_stay_whoever_forces(over: Campaign) -> None:
    assert "still count" in refusal(over, Remains(1, DIALED, 0, 0), DIALED + timedelta(days=29), forced=True)


def test_what_is_open_or_in_doubt_stays(over: Campaign) -> None:
    now = DIALED + timedelta(days=4000)
    assert "on the line" in refusal(over, Remains(1, DIALED, 1, 0), now, forced=True)
    assert "unresolved" in refusal(over, Remains(1, DIALED, 0, 1), now, forced=True)
    assert "running" in refusal(replace(over, state=CampaignState.RUNNING), Remains(0, None, 0, 0), now, True)


def test_what_rang_nobody_may_go(over: Campaign) -> None:
    may_delete(over, Remains(0, None, 0, 0), START, forced=False)
    may_delete(replace(over, state=CampaignState.DRAFT), Remains(0, None, 0, 0), START, forced=False)
    may_delete(replace(over, workspace=SIMULATOR), Remains(9, START, 0, 0), START, forced=False)


def test_a_deleted_campaign_leaves_one_event_and_its_do_not_call_requests(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.store.removal_rows._CHUNK", 3)
    kept = world.campaign("autumn", 1, 2)
    campaign = world.campaign("spring", *range(11, 18), retry="none")
    world.engine.script(phone(11), "user_requested_dnc")
    world.dial_all()
    world.after(hours=1)
    world.poll_and_settle()
    world.store.campaigns.cancel(campaign.id, world.clock.now())
    before = world.lead_counts(kept)
    rows = world.store.removals.delete(campaign.id, "spring: for the test", world.clock.now())
    assert rows > 7
    assert world.store.campaigns.by_name("spring") is None
    with world.store.database.read() as connection:

        def count(table: str) -> int:
            of_it = {"id": campaign.id}
            query = f"SELECT count(*) FROM {table} WHERE campaign_id = :id"
            return int(connection.exec_driver_sql(query, of_it).scalar() or 0)

        tables = (
            "leads",
            "attempts",
            "files",
            "segments",
            "rejects",
            "lead_tallies",
            "attempt_tallies",
            "evidence",
        )
        assert {table: count(table) for table in tables} == dict.fromkeys(tables, 0)
        last = connection.exec_driver_sql(
            "SELECT to_state, detail FROM events WHERE campaign_id = ?", (campaign.id,)
        )
        assert last.all() == [("deleted", "spring: for the test")]
        listed = connection.exec_driver_sql("SELECT count(*) FROM suppressions").scalar()
    assert listed == 1
    assert world.lead_counts(kept) == before
    # What is left of evidence is guarded as before.
    with pytest.raises(sa.exc.IntegrityError, match="evidence is final"):
        world.sql("DELETE FROM evidence")
    assert world.store.tallies.miscounted(kept.id) == []
    assert world.store.workspaces.account(WORKSPACE).limit == 5
