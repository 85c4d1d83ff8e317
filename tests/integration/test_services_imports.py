"""Imports: every row of every file in exactly one account, all of a file or nothing of it."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from services_world import START, World, phone

from campaigns.domain.entities import Campaign
from campaigns.services.imports import ImportSummary, export_rejects, import_file
from campaigns.store.schema import events, files, leads, rejects, segments

HEADER = ["phone", "first_name", "timezone", "priority"]


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite) as made:
        yield made


def write(path: Path, *rows: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([HEADER, *rows])
    return path


def load(world: World, campaign: Campaign, path: Path, **options: Any) -> ImportSummary:
    return import_file(world.store, campaign, path, world.clock.now(), "tester", **options)


def rows_in(world: World) -> dict[str, int]:
    with world.store.database.read() as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (files, leads, rejects, segments, events)
        }


MIXED = [
    ["+12125550101", "Ann", "", ""],
    ["(212) 555-0102", "Bob", "America/Los_Angeles", "1"],
    ["", "nobody", "", ""],
    ["12", "short", "", ""],
    ["8005550103", "toll-free", "", ""],
    ["2125550101", "Ann again", "", ""],
    ["+12125550104", "listed", "", ""],
    ["+12125550104", "listed again", "", ""],
    ["+12125550105", "where", "Mars/Olympus", ""],
    ["+12125550106", "already", "", ""],
]


def test_each_row_has_its_account(world: World, tmp_path: Path) -> None:
    campaign = world.campaign(launch=False)
    world.store.imports.suppress(["+12125550104"], "list", "asked", START)
    load(world, campaign, write(tmp_path / "first.csv", ["+12125550106", "first", "", ""]))
    path = tmp_path / "rejects.csv"
    summary = load(world, campaign, write(tmp_path / "list.csv", *MIXED), rejects_to=path)
    counts = summary.counts()
    assert set(counts) == {"rows", "accepted", "rejected", "duplicates", "suppressed", "held", "by_code"}
    assert counts["rows"] == 10
    assert counts["duplicates"] == 2
    assert counts["suppressed"] == 2
    assert counts["accepted"] == 2
    by_code = counts["by_code"]
    assert isinstance(by_code, dict)
    assert by_code["missing_phone"] == 1
    assert by_code["duplicate_in_file"] == 1
    assert by_code["duplicate_in_campaign"] == 1
    assert by_code["suppressed"] == 2
    assert by_code["not_dialable"] >= 1
    assert sum(by_code.values()) == 8
    with path.open(encoding="utf-8-sig", newline="") as handle:
        written = list(csv.DictReader(handle))
    assert list(written[0]) == ["line", "code", "message", "column", "value", *HEADER]
    kept = world.store.reports.lead_counts(campaign.id)
    assert sum(kept.values()) + world.store.reports.rejected_rows(campaign.id) == 11
    assert len(written) == world.store.reports.rejected_rows(campaign.id)
    assert all(row["message"] for row in written)
    again = tmp_path / "again.csv"
    assert export_rejects(world.store, campaign, again) == len(written)


def test_what_a_lead_carries(world: World, tmp_path: Path) -> None:
    campaign = world.campaign(launch=False)
    load(world, campaign, write(tmp_path / "list.csv", MIXED[1]))
    lead = world.lead(102)
    assert (lead["zones"], lead["zone_source"], lead["priority"]) == ("America/Los_Angeles", "column", 1)
    [row] = world.store.reports.leads(campaign.id)
    assert row["cells"] == ["(212) 555-0102", "Bob", "America/Los_Angeles", "1"]
    assert row["variables"] == {"first_name": "Bob"}
    assert lead["line"] == 2


def test_the_identical_file_again_adds_nothing_and_says_so(world: World, tmp_path: Path) -> None:
    campaign = world.campaign(launch=False)
    path = write(tmp_path / "list.csv", *MIXED)
    first = load(world, campaign, path)
    before = rows_in(world)
    copy = tmp_path / "copy.csv"
    shutil.copy(path, copy)
    for same in (path, copy):
        again = load(world, campaign, same)
        assert again.again
        assert (again.rows, again.duplicates, again.accepted) == (first.rows, first.rows, 0)
        assert again.file_id == first.file_id
    assert rows_in(world) == before


def test_the_same_file_into_another_campaign_is_new(world: World, tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", *MIXED)
    first = load(world, world.campaign("one", launch=False), path)
    second = load(world, world.campaign("two", launch=False), path)
    assert not second.again
    assert second.counts() == first.counts()


def test_a_dry_run_counts_everything_and_changes_nothing(world: World, tmp_path: Path) -> None:
    campaign = world.campaign(launch=False)
    path = write(tmp_path / "list.csv", *MIXED)
    before = rows_in(world)
    dry = load(world, campaign, path, dry_run=True, rejects_to=tmp_path / "rejects.csv")
    assert rows_in(world) == before
    assert dry.file_id == 0
    assert (tmp_path / "rejects.csv").exists()
    real = load(world, campaign, path)
    assert not real.again
    assert real.counts() == dry.counts()
    assert real.file_id > 0


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_stopping_in_the_middle_leaves_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    monkeypatch.setattr("campaigns.leads.records._TOGETHER", 2)
    campaign = world.campaign(launch=False)
    path = write(tmp_path / "list.csv", *MIXED)
    before = rows_in(world)
    seen: list[int] = []

    def progress(rows: int, share: float) -> None:
        seen.append(rows)
        if rows >= 6:
            raise stop

    with pytest.raises(stop):
        load(world, campaign, path, progress=progress, rejects_to=tmp_path / "rejects.csv")
    assert seen == [1, 3, 5, 7]
    assert rows_in(world) == before
    assert not (tmp_path / "rejects.csv").exists()
    assert load(world, campaign, path).rows == 10


def test_a_stop_while_the_rows_move_in_is_made_good_by_the_next_import(world: World, tmp_path: Path) -> None:
    campaign = world.campaign(launch=False)
    path = write(tmp_path / "list.csv", *MIXED)

    def moving(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(world, campaign, path, moving=moving)
    before = sum(world.store.reports.lead_counts(campaign.id).values())
    again = load(world, campaign, path)
    assert again.again
    [warning] = again.warnings
    assert "list.csv" in warning
    kept = sum(world.store.reports.lead_counts(campaign.id).values())
    assert kept > before
    assert kept + world.store.reports.rejected_rows(campaign.id) == 10
    assert load(world, campaign, path).warnings == ()


def test_a_mended_row_frees_its_held_lead(world: World, tmp_path: Path) -> None:
    campaign = world.campaign(launch=False)
    load(world, campaign, write(tmp_path / "one.csv", ["+12125550105", "where", "Mars/Olympus", ""]))
    same = load(world, campaign, write(tmp_path / "two.csv", ["+12125550105", "who", "Mars/Olympus", ""]))
    assert (same.duplicates, same.mended) == (1, 0)
    mended = load(world, campaign, write(tmp_path / "three.csv", ["+12125550105", "where", "CT", ""]))
    assert (mended.accepted, mended.mended, mended.duplicates) == (1, 1, 0)
    lead = world.lead(105)
    assert (lead["state"], lead["zones"], lead["hold_code"]) == ("pending", "America/Chicago", None)
    assert world.store.reports.lead_counts(campaign.id)["held"] == 0


def test_a_lead_without_any_open_hour_is_held(world: World, tmp_path: Path) -> None:
    campaign = world.campaign(launch=False, windows=("daily 09:00-10:00",))
    path = write(tmp_path / "list.csv", ["+19075550101", "Alaska", "", ""])  # two zones
    summary = load(world, campaign, path)
    assert summary.accepted + summary.held == 1
    if summary.held:
        lead = world.store.reports.held(campaign.id)
        assert lead[0][0] == "window_never_opens"
        assert lead[0][1]


def test_without_windows_nobody_needs_a_zone(world: World, tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", ["+12125550105", "where", "Mars/Olympus", ""])
    held = load(world, world.campaign("strict", launch=False), path)
    free = load(world, world.campaign("free", launch=False, profile="none", windows=()), path)
    assert (held.held, held.by_code) == (1, Counter({"unknown_timezone": 1}))
    assert (free.held, free.accepted) == (0, 1)


NUMBERS = st.sampled_from(
    [phone(n) for n in range(100, 106)]
    + ["212555010" + str(n) for n in range(4)]
    + ["", "12", "8005550103", "9005550100", "+442079460000", "+14375550100", "=2125550100", "7295550123"]
)
ZONES = st.sampled_from(["", "America/New_York", "America/Chicago", "nowhere", "EST"])
ROWS = st.lists(
    st.tuples(NUMBERS, st.text(max_size=6), ZONES, st.sampled_from(["", "1", "9", "high"])).map(list),
    min_size=1,
    max_size=14,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=ROWS, two=ROWS, listed=st.lists(st.sampled_from([phone(n) for n in range(100, 106)]), max_size=2))
def test_rows_are_never_lost_nor_counted_twice(
    world: World, tmp_path: Path, one: list[list[str]], two: list[list[str]], listed: list[str]
) -> None:
    # A file with nothing but empty rows has no rows, and is refused.
    assume(all(any(any(cells) for cells in rows) for rows in (one, two)))
    campaign = world.campaign(f"campaign {len(world.store.campaigns.listed())}", launch=False)
    world.sql("DELETE FROM suppressions")
    world.store.imports.suppress(listed, "list", "", START)
    total = 0
    for name, rows in (("one.csv", one), ("two.csv", two)):
        path = write(tmp_path / name, *rows)
        dry = load(world, campaign, path, dry_run=True)
        summary = load(world, campaign, path)
        sorted_out = (
            summary.accepted + summary.rejected + summary.duplicates + summary.suppressed + summary.held
        )
        assert summary.rows == sorted_out
        assert sum(summary.by_code.values()) == summary.rows - summary.accepted
        if summary.again:
            assert one == two
            continue
        assert dry.counts() == summary.counts()
        total += summary.rows - summary.mended
        kept = world.store.reports.lead_counts(campaign.id)
        assert sum(kept.values()) + world.store.reports.rejected_rows(campaign.id) == total
    counts = world.store.reports.lead_counts(campaign.id)
    assert set(listed).isdisjoint(
        row["phone"] for row in world.store.reports.leads(campaign.id) if row["state"] == "pending"
    )
    assert sum(counts.values()) <= 12
