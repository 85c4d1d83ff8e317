"""A file on its way in: nothing before the decision, all of it afterwards, whoever is killed; and claims go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from store_steps import EAST, NOW, WEST, Steps, new_lead, phone, plan

from campaigns.domain.states import LeadState
from campaigns.store import Busy, PlainLeads, Reject, Store, arrival, staging
from campaigns.store.schema import leads


@pytest.fixture
def sqlite(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Steps]:
    path = tmp_path / "campaigns.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    store = Store.open(f"sqlite:///{path}")
    yield Steps(store)
    store.close()


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "_MOST", 20)
    monkeypatch.setattr(arrival, "_FEWEST", 20)


class Killed(BaseException):
    """What a killed process does not get to handle."""


def die_half_way(done: int, of: int) -> None:
    if done > of // 2:
        raise Killed


def left_behind(steps: Steps) -> list[str]:
    home = Path(str(steps.store.database.url.database)).parent
    return sorted(path.name for path in home.glob("*-import-*"))


def load(steps: Steps, campaign_id: str, count: int, moving: object = None) -> None:
    with steps.store.imports.writer(campaign_id, NOW, moving or (lambda done, of: None)) as writer:  # type: ignore[arg-type]
        writer.begin("list.csv", "0" * 64, 100, ["phone", "name"], "test", variables=[1])
        writer.add_leads([new_lead(at, phone(at), cells=(phone(at), f"n{at}")) for at in range(1, count + 1)])
        writer.add_rejects([Reject(count + 1, "invalid_phone", "no number", "phone", "x", ("x", ""))])
        writer.finish({"rows": count + 1})


@pytest.mark.usefixtures("short_turns")
def test_an_importer_killed_half_way_in_is_finished_by_the_next(sqlite: Steps) -> None:
    campaign_id = sqlite.draft()

    with pytest.raises(Killed):
        load(sqlite, campaign_id, 9_000, die_half_way)
    [file] = sqlite.store.imports.files(campaign_id)
    assert file.moving
    assert 0 < sum(sqlite.store.reports.lead_counts(campaign_id).values()) < 9_000
    assert left_behind(sqlite)
    assert not sqlite.store.campaigns.complete_if_done(campaign_id, NOW)
    assert sqlite.store.imports.resume() == (["list.csv"], [])
    [file] = sqlite.store.imports.files(campaign_id)
    assert not file.moving
    assert sqlite.store.reports.lead_counts(campaign_id)["pending"] == 9_000
    assert sqlite.store.reports.rejected_rows(campaign_id) == 1
    assert left_behind(sqlite) == []
    assert [row["variables"]["name"] for row in sqlite.store.reports.leads(campaign_id)][:2] == ["n1", "n2"]
    assert sqlite.store.imports.resume() == ([], [])


def test_a_turn_that_fails_leaves_the_leads_counted_one_by_one(
    sqlite: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn counts its leads by itself, in the place of a trigger that it takes away for as long as it goes on."""
    campaign_id = sqlite.draft()
    insert = arrival._insert_leads

    def fail(*turn: object) -> None:
        insert(*turn)  # type: ignore[arg-type]
        raise Killed

    monkeypatch.setattr(arrival, "_insert_leads", fail)
    with pytest.raises(Killed):
        load(sqlite, campaign_id, 300)
    monkeypatch.setattr(arrival, "_insert_leads", insert)
    tallies = sqlite.store.tallies
    assert sum(tallies.of(campaign_id).leads.values()) == 0
    before = sqlite.rows(sa.text("SELECT sql FROM sqlite_master WHERE name = 'tally_lead_insert'"))
    assert len(before) == 1
    assert sqlite.store.imports.resume() == (["list.csv"], [])
    assert tallies.of(campaign_id).leads["pending"] == 300
    assert tallies.miscounted(campaign_id) == []
    assert sqlite.rows(sa.text("SELECT sql FROM sqlite_master WHERE name = 'tally_lead_insert'")) == before


@pytest.mark.usefixtures("short_turns")
def test_leads_move_by_area_code_and_are_dialed_by_line(sqlite: Steps) -> None:
    campaign_id = sqlite.draft()
    numbers = [f"+1{(907, 212, 503, 305)[at % 4]}{5_550_000 + at}" for at in range(400)]

    def enter() -> None:
        with sqlite.store.imports.writer(campaign_id, NOW, die_half_way) as writer:
            writer.begin("list.csv", "0" * 64, 100, ["phone"], "test")
            for start in range(0, 400, 150):
                some = numbers[start : start + 150]
                writer.add_leads([new_lead(start + at + 2, number) for at, number in enumerate(some)])
            writer.finish({"rows": 400})

    with pytest.raises(Killed):
        enter()
    moved = [row["phone"][2:5] for row in sqlite.rows(sa.select(leads.c.phone).order_by(leads.c.id))]
    assert moved == sorted(moved)
    assert len(moved) >= 190
    sqlite.store.imports.resume()
    assert sqlite.store.campaigns.launch(campaign_id, NOW)
    claimed = sqlite.claim(plan(campaign_id), ceiling=400).attempt_ids
    assert [sqlite.attempt_row(one)["phone"] for one in claimed] == numbers


@pytest.mark.usefixtures("short_turns")
def test_plain_leads_and_others_move_in_one_order_and_none_that_came_meanwhile_is_lost(sqlite: Steps) -> None:
    campaign_id = sqlite.draft()
    load(sqlite, campaign_id, 0)
    [file] = sqlite.store.imports.files(campaign_id)
    numbers = np.array([12_015_550_000 + at for at in range(100)])
    with sqlite.store.imports.writer(campaign_id, NOW) as writer:
        writer.begin("list.csv", "1" * 64, 100, ["phone", "zip"], "test")
        plain = PlainLeads(
            lines=np.arange(2, 102),
            phones=numbers,
            place=np.arange(100) % 2,
            places=[(EAST, "US-NY", "zip"), (WEST, "US-CA", "number")],
            priorities=np.full(100, 7),
            texts={"zip": np.array(["10001"] * 100, object)},
        )
        writer.add_plain(plain)
        writer.add_leads([new_lead(at, f"+1303555{at:04}") for at in range(200, 260)])
        for number in (12_015_550_003, 13_035_550_205):
            sqlite.execute(
                "INSERT INTO leads (campaign_id, file_id, line, phone, state, zones, zone_source, priority,"
                " next_attempt_at, external_id, agent_id, agent_version, extension, consent, zip, state_given,"
                " ignore_e164, metadata, sip_headers) VALUES (:id, :file, 900, :phone, 'pending', '', '', 5, 0,"
                " '', '', '', '', '', '', '', 0, '{}', '{}')",
                {"id": campaign_id, "file": file.id, "phone": number},
            )
    here = sqlite.rows(sa.select(leads).where(leads.c.file_id == writer.file_id).order_by(leads.c.id))
    assert [lead["line"] for lead in here] == [
        line for line in (*range(2, 102), *range(200, 260)) if line not in (5, 205)
    ]
    first, second = here[:2]
    assert (first["zones"], first["jurisdictions"], first["zone_source"]) == (EAST, "US-NY", "zip")
    assert (second["zones"], second["zip"], second["priority"], second["state"]) == (
        WEST,
        "10001",
        7,
        "pending",
    )
    rejects = list(sqlite.store.imports.rejects(campaign_id, writer.file_id))
    assert [(reject.line, reject.code) for reject in rejects] == [
        (5, "duplicate_in_campaign"),
        (205, "duplicate_in_campaign"),
    ]
    assert sqlite.store.tallies.miscounted(campaign_id) == []
    segments = sqlite.store.campaigns.segments([campaign_id])[campaign_id]
    assert {(EAST, "US-NY", 7), (WEST, "US-CA", 7), (EAST, "US-NY", 5)} == set(segments)


def test_an_importer_killed_before_the_decision_leaves_nothing(sqlite: Steps) -> None:
    campaign_id = sqlite.draft()
    path = Path(f"{sqlite.store.database.url.database}-import-{campaign_id}")
    stage = staging.Stage(path)
    stage.add("leads", staging.ALWAYS, lambda: [2, int(phone(1)), EAST, "US-NY", 0])
    stage.close()
    assert sqlite.store.imports.resume() == ([], [campaign_id])
    assert left_behind(sqlite) == []
    assert sqlite.store.imports.files(campaign_id) == []
    load(sqlite, campaign_id, 3)
    assert sqlite.store.reports.lead_counts(campaign_id)["pending"] == 3


def test_two_imports_into_one_campaign_do_not_meet(steps: Steps) -> None:
    campaign_id = steps.draft()
    with steps.store.imports.writer(campaign_id, NOW) as writer:
        writer.begin("one.csv", "0" * 64, 100, ["phone"], "test")
        with pytest.raises(Busy, match="another import"):
            steps.load(campaign_id, phone(2))
        writer.add_leads([new_lead(2, phone(1))])
    assert [file.name for file in steps.store.imports.files(campaign_id)] == ["one.csv"]
    steps.load(campaign_id, phone(2))
    assert sum(steps.store.reports.lead_counts(campaign_id).values()) == 2


@pytest.mark.usefixtures("short_turns")
def test_leads_are_claimed_while_others_move_in(sqlite: Steps) -> None:
    """A turn ends after its rows; whoever waits gets the database before the next."""
    campaign_id = sqlite.campaign("spring", *map(phone, range(8_000, 8_020)))
    other = sqlite.draft("other")
    claimed: list[str] = []
    begun, halfway = threading.Event(), threading.Event()

    def claims() -> None:
        begun.wait(10)
        for _ in range(10):
            claimed.extend(sqlite.claim(plan(campaign_id), ceiling=len(claimed) + 1).attempt_ids)
        halfway.set()

    def moving(done: int, of: int) -> None:
        begun.set()
        if done > of // 2:
            assert halfway.wait(30), "the claims were kept waiting for the whole of the import"

    thread = threading.Thread(target=claims)
    thread.start()
    load(sqlite, other, 5_000, moving)
    thread.join()
    assert len(claimed) == 10
    assert sqlite.store.reports.lead_counts(other)["pending"] == 5_000


def test_leads_of_a_campaign_cancelled_meanwhile_arrive_cancelled(sqlite: Steps) -> None:
    campaign_id = sqlite.draft()
    cancelled: list[bool] = []

    def moving(done: int, of: int) -> None:
        if not cancelled:
            cancelled.append(sqlite.store.campaigns.cancel(campaign_id, NOW))

    load(sqlite, campaign_id, 300, moving)
    assert cancelled == [True]
    assert sqlite.store.reports.lead_counts(campaign_id)["cancelled"] == 300


def test_a_mended_row_frees_the_held_lead(steps: Steps) -> None:
    campaign_id = steps.draft()
    steps.load(campaign_id, phone(1), state=LeadState.HELD, hold=("unknown_timezone", "name it"), zones="")
    before = steps.lead_row(phone(1))
    for expected in (["held", "pending"], ["held", "pending"]):
        with steps.store.imports.writer(campaign_id, NOW) as writer:
            writer.begin("mended.csv", "1" * 64, 100, ["phone", "name"], "test", variables=[1])
            mended = new_lead(7, phone(1), priority=2, cells=(phone(1), "Zoë"))
            writer.mend([(before["id"], mended)])
            writer.add_rows([7], lambda *_: f"{phone(1)};Zoë".encode(), ";")
        # The second time it is held no more: nothing changes.
        assert [event[1:] for event in steps.happened() if event[0] == "lead"] == [tuple(expected)]
    after = steps.lead_row(phone(1))
    assert (after["id"], after["state"], after["hold_code"], after["zones"]) == (
        before["id"],
        "pending",
        None,
        EAST,
    )
    [row] = steps.store.reports.leads(campaign_id)
    assert row["variables"] == {"name": "Zoë"}
    assert (EAST, "US-NY", 2) in steps.store.campaigns.segments([campaign_id])[campaign_id]
