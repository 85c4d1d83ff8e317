"""What a dial leaves behind, written by the code that dials, and read back as CSV and as JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from services_world import FROM, START, World, phone

from campaigns.compliance import the_book, tzdata_version
from campaigns.services.evidence import COLUMNS, export_evidence
from campaigns.services.report import iso
from campaigns.simulator.faults import Fault


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def dialed(world: World) -> str:
    """A lead of two possible zones and two states, dialed for the second time today."""
    campaign = world.campaign("spring", launch=False, retry="none", profile="us-sales", windows=())
    world.add_leads(
        campaign, 1, zones="America/Chicago|America/New_York", zone_source="state", jurisdictions="US-AL|US-TN",
        consent="=form 7",
    )  # fmt: skip
    world.campaign("other", 1)
    world.dial(world.claim())
    assert world.after(hours=1).poll_and_settle() == 1
    assert world.store.campaigns.launch(campaign.id, world.clock.now())
    attempt_id = world.claim()
    world.dial(attempt_id)
    return attempt_id


def test_every_part_of_it_is_exported(world: World, tmp_path: Path) -> None:
    attempt_id = dialed(world)
    at = world.clock.now()
    world.after(hours=1).poll_and_settle()
    name = world.attempt(attempt_id)["campaign_id"]
    campaign = world.store.campaigns.get(name)
    assert campaign is not None
    assert export_evidence(world.store, campaign, tmp_path / "e.jsonl") == 1
    [document] = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert tuple(document) == COLUMNS
    assert (document["attempt"], document["send"], document["campaign"]) == (attempt_id, 1, campaign.name)
    assert (document["to_number"], document["from_number"]) == (phone(1), FROM)
    assert document["dialed_at_utc"] == document["dnc_checked_at_utc"] == iso(at)
    assert document["local_times"] == {
        zone: at.astimezone(ZoneInfo(zone)).isoformat() for zone in ("America/Chicago", "America/New_York")
    }
    assert (document["profile"], document["rules_version"]) == ("us-sales", the_book().version)
    assert document["tzdata_version"] == tzdata_version()
    assert document["on_dnc_list"] is False
    assert document["caps"] == [{"calls": 3, "hours": 24, "used": 1}]
    assert (document["attempt_state"], document["outcome"]) == ("settled", "human")
    assert document["duration_seconds"] > 0

    assert export_evidence(world.store, campaign, tmp_path / "e.csv") == 1
    with (tmp_path / "e.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert tuple(row) == COLUMNS
    assert row["caps"] == "1 of 3 in 24 h"
    assert row["call_id"] == document["call_id"]
    assert document["consent"] in ("", "=form 7")
    assert not row["consent"].startswith("="), "safe in a spreadsheet"


def test_a_dial_that_is_sent_again_leaves_evidence_of_both(world: World) -> None:
    world.campaign("spring", 1)
    attempt_id = world.claim()
    world.engine.faults.next("create-phone-call", Fault("drop", after=False))
    world.dial(attempt_id)
    world.sql("UPDATE attempts SET lease_until_real = 1")
    [one] = world.store.recovery.unknown_dials("acme")
    from campaigns.services.dial import redial

    world.after(minutes=1)
    assert redial(world.context, one)
    campaign = world.store.campaigns.by_name("spring")
    assert campaign is not None
    sends = [(row["send"], row["at"]) for row in world.store.evidence.of_campaign(campaign.id)]
    first = int(START.timestamp() * 1000)
    assert sends == [(1, first), (2, first + int(timedelta(minutes=1).total_seconds() * 1000))]
