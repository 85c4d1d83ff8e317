"""The report's figures are those of the rows, counted once more by hand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from services_world import START, World, phone

from campaigns.domain.outcomes import CONTACTS
from campaigns.services import figures
from campaigns.services.figures import WEEKDAYS, report
from campaigns.services.report_page import page
from campaigns.store.schema import attempts, leads

ZONES = ("America/New_York", "America/Los_Angeles", "America/Chicago|America/Denver", "Asia/Kolkata", "")


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite, concurrency=50, accept_any=True) as made:
        yield made


def busy_campaign(world: World) -> Any:
    """Four rounds of calls over some days, with agents, numbers and zones in turn."""
    campaign = world.campaign(
        "spring", retry="no_answer:30m,30m,30m;busy:30m", max_attempts=4, profile="none", windows=(),
        from_numbers=("+14155550100", "+14155550101"),
    )  # fmt: skip
    for n, zones in enumerate(ZONES):
        world.add_leads(campaign, *range(10 * n, 10 * n + 8), zones=zones, agent_id=f"agent_{n % 2}")
    dice = random.Random(3)
    for n in range(50):
        world.engine.script(phone(n), *dice.choices(
            ["user_hangup", "dial_no_answer", "dial_busy", "voicemail_reached", "user_requested_callback"], k=4
        ))  # fmt: skip
    for _ in range(4):
        world.dial_all()
        world.after(hours=1.25)
        world.poll_and_settle()
        world.after(hours=13)
    return campaign


def test_every_figure_is_that_of_the_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_CHUNK", 7)  # so that several chunks are put together
    campaign = busy_campaign(world)
    found = report(world.store, campaign, world.clock.now())
    with world.store.database.read() as connection:
        calls = [
            dict(row._mapping)
            for row in connection.execute(
                sa.select(attempts, leads.c.zones, leads.c.file_id)
                .join(leads, leads.c.id == attempts.c.lead_id)
                .where(attempts.c.state == "settled")
                .order_by(attempts.c.dialing_at)
            )
        ]
        own = [dict(row._mapping) for row in connection.execute(sa.select(leads))]
    taken = [call for call in calls if call["outcome"] in CONTACTS]
    assert len(calls) > 50
    assert (found.calls, found.contacts) == (len(calls), len(taken))
    assert found.talk_seconds == pytest.approx(sum(call["duration_ms"] or 0 for call in calls) / 1000)
    assert found.status.cost_cents == pytest.approx(sum(call["cost_cents"] or 0 for call in calls), abs=0.01)

    first: dict[int, int] = {}
    seen: Counter[int] = Counter()
    for call in calls:
        seen[call["lead_id"]] += 1
        if call["outcome"] in CONTACTS:
            first.setdefault(call["lead_id"], seen[call["lead_id"]])
    assert found.attempts_to_contact == dict(sorted(Counter(first.values()).items()))
    assert found.contact_rate == pytest.approx(len(first) / len(seen), abs=1e-4)
    assert found.penetration == 1.0
    won = {call["lead_id"] for call in calls if call["successful"]}
    assert found.success_rate == pytest.approx(len(won) / len(seen), abs=1e-4)
    assert found.attempts_per_lead == dict(sorted(Counter(lead["attempts"] for lead in own).items()))

    by_hour: Counter[tuple[int, int, bool]] = Counter()
    for call in calls:
        if call["zones"]:
            local = datetime.fromtimestamp(call["dialing_at"] / 1000, UTC).astimezone(
                ZoneInfo(call["zones"].split("|")[0])
            )
            by_hour[(local.weekday(), local.hour, call["outcome"] in CONTACTS)] += 1
    assert found.local == {
        (day, hour): (by_hour[(day, hour, True)] + by_hour[(day, hour, False)], by_hour[(day, hour, True)])
        for day, hour, _ in by_hour
    }
    assert found.without_zone == sum(not call["zones"] for call in calls)

    for shares, key in ((found.by_agent, "agent_id"), (found.by_number, "from_number")):
        assert {share.key: share.calls for share in shares} == Counter(call[key] for call in calls)
        assert {share.key: share.contacts for share in shares if share.contacts} == Counter(
            call[key] for call in taken
        )
        for share in shares:
            its = [call for call in calls if call[key] == share.key]
            assert share.cost_cents == pytest.approx(sum(call["cost_cents"] or 0 for call in its))
            assert share.successes == sum(bool(call["successful"]) for call in its)
    days = Counter(f"{datetime.fromtimestamp(call['dialing_at'] / 1000, UTC):%Y-%m-%d}" for call in calls)
    assert {day: counts[0] for day, counts in found.daily.items()} == days
    assert (found.first_dial, found.last_dial) == (START, START + timedelta(hours=3 * 14.25))


def test_agents_are_compared_by_their_leads(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_CHUNK", 7)
    campaign = busy_campaign(world)
    found = report(world.store, campaign, world.clock.now())
    with world.store.database.read() as connection:
        own = [dict(row._mapping) for row in connection.execute(sa.select(leads))]
    assert [one.agent for one in found.variants] == ["agent_0", "agent_1"]
    for one in found.variants:
        its = [lead for lead in own if lead["agent_id"] == one.agent and lead["attempts"]]
        assert one.leads == len(its)
        assert one.contacted == sum(lead["contacted"] for lead in its)
        assert one.succeeded == sum(lead["succeeded"] for lead in its)
        assert 0 < (one.contact.low or 0) < one.contacted / one.leads < (one.contact.high or 0)
    document = found.document()
    assert sum(one["cost_cents"] for one in document["variants"]) == pytest.approx(
        found.status.cost_cents, abs=0.01
    )
    assert [line.partition(":")[0] for line in document["comparison"]] == ["contact rate", "success rate"]
    said = page(found, world.clock.now())
    assert "Agents compared" in said
    assert document["comparison"][0] in said


def test_one_agent_is_compared_with_nobody(world: World) -> None:
    campaign = world.campaign("spring", 1, 2, agents=("agent_a",))
    world.dial_all()
    world.after(hours=1.25)
    world.poll_and_settle()
    found = report(world.store, campaign, world.clock.now())
    assert found.calls == 2
    assert (found.variants, found.document()["comparison"]) == ([], [])


def test_files_are_told_apart(world: World) -> None:
    campaign = busy_campaign(world)
    found = report(world.store, campaign, world.clock.now())
    assert sum(share.calls for share in found.by_file) == found.calls
    assert {share.key for share in found.by_file} == {"list.csv"}
    assert len(found.by_file) == len(ZONES)


def test_the_clocks_change_where_they_do(world: World) -> None:
    """New York, the morning of 2026-03-08: 6:59 UTC is 1:59, 7:00 UTC is 3:00."""
    instants = [datetime(2026, 3, 8, 6, 59, tzinfo=UTC), datetime(2026, 3, 8, 7, 0, tzinfo=UTC)]
    milliseconds = figures.np.array([int(at.timestamp() * 1000) for at in instants])
    hours = (milliseconds + figures._offsets(milliseconds, "America/New_York")) // 3_600_000 % 24
    assert list(hours) == [1, 3]
    assert WEEKDAYS[(0 + 3) % 7] == "Thu"


def test_a_campaign_without_a_call(world: World) -> None:
    found = report(world.store, world.campaign("spring", 1, launch=False), START)
    document = found.document()
    assert (found.calls, found.penetration, found.contact_rate) == (0, 0.0, None)
    assert document["by_local_time"] == document["by_agent"] == document["by_day"] == []
    assert (document["slot_use"], document["first_dial"], document["cost_per_contact_cents"]) == (
        None,
        None,
        None,
    )
