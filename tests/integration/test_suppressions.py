"""Do-not-call lists: never weakened, always recorded, read by the million."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from services_world import START, World, phone
from store_steps import NOW, Steps
from store_steps import phone as number

from campaigns.domain.errors import UsageError
from campaigns.domain.states import LeadState
from campaigns.services.imports import import_file
from campaigns.services.suppressions import export_list, import_list, number_of, stale_lists

DAY = timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def test_an_entry_is_never_weakened(steps: Steps) -> None:
    rows = steps.store.suppressions
    assert rows.suppress([number(1)], "ours", "asked", NOW) == 1
    assert rows.suppress([number(1)], "list", "rented", NOW, expires_at=NOW + DAY) == 0
    kept = rows.find(number(1))
    assert kept is not None
    assert (kept.source, kept.expires_at) == ("ours", None)
    rows.suppress([number(2)], "list", "short", NOW, expires_at=NOW + DAY)
    rows.suppress([number(2)], "list", "long", NOW, expires_at=NOW + 3 * DAY)
    rows.suppress([number(2)], "list", "shorter", NOW, expires_at=NOW + 2 * DAY)
    assert (found := rows.find(number(2))) is not None
    assert (found.reason, found.expires_at) == ("long", NOW + 3 * DAY)
    rows.suppress([number(2)], "ours", "asked", NOW)
    assert rows.expire(NOW + 9 * DAY) == 0
    assert (found := rows.find(number(2))) is not None
    assert (found.source, found.expires_at) == ("ours", None)


def test_what_has_expired_is_taken_off_and_recorded(steps: Steps) -> None:
    rows = steps.store.suppressions
    rows.suppress([number(1), number(2)], "list", "rented", NOW, expires_at=NOW + DAY, by="ann")
    assert rows.expire(NOW + DAY - timedelta(milliseconds=1)) == 0
    assert rows.expire(NOW + DAY) == 2
    assert rows.find(number(1)) is None
    assert [(event.action, event.by) for event in rows.history(number(1))] == [
        ("added", "ann"),
        ("expired", ""),
    ]


def test_removing_needs_an_entry_and_keeps_the_reason(steps: Steps) -> None:
    rows = steps.store.suppressions
    assert rows.remove(number(1), "a mistake", "ann", NOW) is None
    rows.suppress([number(1)], "ours", "asked", NOW, by="bob")
    gone = rows.remove(number(1), "a mistake", "ann", NOW + DAY)
    assert gone is not None
    assert gone.reason == "asked"
    assert rows.find(number(1)) is None
    last = rows.history(number(1))[-1]
    assert (last.action, last.reason, last.by, last.at) == ("removed", "a mistake", "ann", NOW + DAY)


def test_a_list_is_read_and_read_again(world: World, tmp_path: Path) -> None:
    campaign = world.campaign("spring", 1, 2)
    path = tmp_path / "list.csv"
    path.write_text(f"phone\n{phone(1)}\n{phone(9)}\n{phone(9)}\nnot a number\n+442079460958\n")
    first = import_list(world.store, path, START, "ann", source="state-tx", reason="the law")
    assert (first.rows, first.new, first.known, first.repeated, first.rejected) == (5, 3, 0, 1, 1)
    assert world.lead(1)["state"] == "suppressed"
    assert world.lead_counts(campaign) == {"suppressed": 1, "pending": 1}
    again = import_list(world.store, path, START + DAY, "bob", source="state-tx", reason="the law")
    assert (again.new, again.known) == (0, 3)
    [one, two] = world.store.suppressions.history(action="imported")
    assert (one.by, one.numbers, one.sha256) == ("ann", 3, two.sha256)
    assert world.store.suppressions.counts() == {"state-tx": 3}
    out = tmp_path / "out.csv"
    assert export_list(world.store, out) == 3
    assert out.read_text().splitlines()[1].startswith(f"{phone(1)},state-tx,the law,")


def test_the_national_form_and_its_age(world: World, tmp_path: Path) -> None:
    path = tmp_path / "national.txt"
    path.write_text("212,5550101\n212,5550102\n")
    summary = import_list(
        world.store, path, START, "ann", source="federal", reason="law", data_of=START - 30 * DAY
    )
    assert (summary.new, summary.warnings) == (2, ())
    assert stale_lists(world.store, START + DAY) == []
    [warning] = stale_lists(world.store, START + 2 * DAY)
    assert "federal" in warning
    campaign = world.campaign(launch=False)
    leads = tmp_path / "leads.csv"
    leads.write_text("phone\n2125550101\n2125550103\n")
    found = import_file(world.store, campaign, leads, START + 2 * DAY, "ann")
    assert (found.suppressed, found.accepted) == (1, 1)
    assert warning in found.warnings


def test_a_number_is_read_as_people_write_it() -> None:
    assert number_of("(212) 555-0123") == "+12125550123"
    assert number_of("+44 20 7946 0958") == "+442079460958"
    with pytest.raises(UsageError, match="no phone number"):
        number_of("nobody")


def test_held_leads_are_suppressed_with_the_rest(steps: Steps) -> None:
    campaign_id = steps.draft()
    steps.load(campaign_id, number(1), state=LeadState.HELD, hold=("unknown_timezone", "name it"))
    assert steps.store.suppressions.load([int(number(1))], "list", "law", NOW, None) == 1
    assert steps.lead_row(number(1))["state"] == "suppressed"
