"""Status, closing figures and the results file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services_world import START, WORKSPACE, World, phone

from campaigns.domain.clock import to_ms
from campaigns.domain.states import AttemptState, LeadState
from campaigns.services.export import RESULT_COLUMNS, export_results
from campaigns.services.figures import report, slot_use
from campaigns.services.imports import import_file
from campaigns.services.report import iso, status
from campaigns.services.results import poll

CONTRACT = [
    "campaign",
    "state",
    "reason",
    "leads",
    "attempts",
    "outcomes",
    "rejected_rows",
    "cost_cents",
    "slots",
    "next_event",
]
RESULTS = (
    "lead_state,attempts,outcome,last_attempt_at,call_id,disconnection_reason,duration_seconds,cost_cents,"
    "sentiment,summary,recording_url,transcript"
)


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite, concurrency=5) as made:
        yield made


def document(world: World, name: str = "spring") -> dict[str, object]:
    campaign = world.store.campaigns.by_name(name)
    assert campaign is not None
    shown = status(world.store, campaign, world.clock.now()).document()
    return dict(json.loads(json.dumps(shown)))


# -- status


def test_the_status_document_has_the_keys_of_the_contract(world: World) -> None:
    world.campaign("spring", 1, 2, launch=False)
    shown = document(world)
    assert [key for key in shown if key in CONTRACT] == CONTRACT
    assert shown["campaign"] == "spring"
    assert shown["leads"] == {"total": 2, **dict.fromkeys(LeadState, 0), "pending": 2}
    assert shown["attempts"] == dict.fromkeys(AttemptState, 0)
    assert (shown["state"], shown["reason"], shown["outcomes"], shown["cost_cents"]) == ("draft", None, {}, 0)
    assert shown["slots"] == {"ceiling": 0, "foreign": 0, "own": 0}
    assert shown["next_event"] == {"at": None, "what": "nothing until it is launched"}


def test_the_status_counts_what_is_going_on(world: World) -> None:
    world.engine.configure({"foreign": 1})
    world.campaign("spring", *range(1, 8))
    ids = world.pace()
    world.wire.instead.append(httpx.ReadTimeout("slow"))
    for attempt_id in ids[:2]:
        world.dial(attempt_id)
    shown = document(world)
    assert shown["slots"] == {"ceiling": 5, "foreign": 1, "own": 4}
    leads, attempts = shown["leads"], shown["attempts"]
    assert isinstance(leads, dict)
    assert isinstance(attempts, dict)
    assert (leads["total"], leads["in_flight"], leads["pending"]) == (7, 4, 3)
    assert {name: count for name, count in attempts.items() if count} == {
        "claimed": 2,
        "placed": 1,
        "ambiguous": 1,
    }


def test_the_campaigns_own_cap_bounds_the_shown_ceiling(world: World) -> None:
    world.campaign("spring", *range(1, 8), concurrency=2)
    world.pace()
    assert document(world)["slots"] == {"ceiling": 2, "foreign": 0, "own": 2}


def test_held_leads_and_unresolved_attempts_need_a_person(world: World) -> None:
    campaign = world.campaign("spring", 1, launch=False)
    assert not status(world.store, campaign, START).needs_a_person
    world.add_leads(campaign, 2, state=LeadState.HELD, hold=("unknown_timezone", "name the zone"))
    shown = document(world)
    assert status(world.store, campaign, START).needs_a_person
    assert shown["held"] == [{"code": "unknown_timezone", "remedy": "name the zone", "leads": 1}]


def test_what_happens_next(world: World) -> None:
    campaign = world.campaign("spring", 1, retry="no_answer:2h")

    def next_event() -> tuple[str | None, str]:
        shown = document(world)["next_event"]
        assert isinstance(shown, dict)
        assert list(shown) == ["at", "what"]
        return shown["at"], shown["what"]

    assert next_event() == (None, "leads are due: they are dialed as lines become free")
    world.after(hours=-3)
    assert next_event() == ("2026-12-01T15:00:00Z", "a retry is due")
    world.after(hours=13.5)  # in the evening
    assert next_event() == ("2026-12-02T14:00:00Z", "a calling window opens")
    world.after(hours=-10.5)
    attempt_id = world.claim()
    assert next_event() == (None, "the calls in progress end")
    world.engine.script(phone(1), "dial_no_answer")
    world.dial(attempt_id)
    dialed = world.clock.now()
    world.after(minutes=2)
    world.poll_and_settle()
    assert next_event() == (iso(dialed + timedelta(hours=2)), "a retry is due")
    world.store.campaigns.pause(campaign.id, "no credit", world.clock.now())
    assert next_event() == (None, "nothing until it is resumed: no credit")
    assert document(world)["reason"] == "no credit"
    world.sql("UPDATE campaigns SET state = 'completed', reason = NULL, finished_at = 1")
    assert next_event() == (None, "nothing until it is run or launched: 1 leads wait")
    world.sql("UPDATE campaigns SET state = 'paused', reason = 'no credit', finished_at = NULL")
    world.store.campaigns.cancel(campaign.id, world.clock.now())
    assert next_event() == (None, "nothing: the campaign is over")


# -- closing figures


def test_the_closing_figures(world: World) -> None:
    campaign = world.campaign("spring", 1, 2, 3, 4, retry="no_answer:30m", max_attempts=2)
    for number, reasons in enumerate(
        [["user_hangup"], ["dial_no_answer", "user_hangup"], ["dial_no_answer"] * 2, ["invalid_destination"]],
        1,
    ):
        world.engine.script(phone(number), *reasons)
    for _ in range(2):
        world.dial_all()
        world.after(hours=1)
        world.poll_and_settle()
    shown = report(world.store, campaign, world.clock.now()).document()
    assert shown["calls"] == 6
    assert shown["dialed_leads"] == 4
    assert shown["contact_rate"] == 0.5
    assert shown["attempts_per_lead"] == {"1": 2, "2": 2}
    assert shown["outcomes"] == {"no_answer": 3, "human": 2, "invalid_number": 1}
    assert shown["leads"]["total"] == 4
    assert shown["cost_cents"] == pytest.approx(
        sum((call.cost(call.ends_ms() or 0) or {})["combined_cost"] for call in world.engine.calls)
    )
    assert 0 < shown["slot_use"] <= 1


def test_a_campaign_without_a_dial_has_no_rates(world: World) -> None:
    shown = report(world.store, world.campaign("spring", 1, launch=False), START).document()
    assert (shown["calls"], shown["contact_rate"], shown["slot_use"], shown["slot_use_busy"]) == (
        0,
        None,
        None,
        None,
    )


def span(start: float, end: float) -> tuple[datetime, datetime]:
    return START + timedelta(seconds=start), START + timedelta(seconds=end)


def used(
    calls: list[tuple[datetime, datetime]], slots: int, last: datetime
) -> tuple[float | None, float | None]:
    starts, ends = (np.array([to_ms(call[n]) for call in calls], dtype=np.int64) for n in (0, 1))
    return slot_use(starts, ends, slots, to_ms(last))


@pytest.mark.parametrize(
    ("calls", "slots", "last", "expected"),
    [
        ([], 4, 100, (None, None)),
        ([span(0, 100)], 0, 100, (None, None)),
        ([span(0, 100)], 1, 100, (1.0, 1.0)),
        ([span(0, 100)], 2, 100, (0.5, 0.5)),
        ([span(0, 50), span(50, 100)], 1, 100, (1.0, 1.0)),
        # A night between two calls counts for the whole, not for the busy time.
        ([span(0, 10), span(90, 100)], 1, 100, (0.2, 1.0)),
        ([span(0, 100), span(20, 60)], 2, 100, (0.7, 0.7)),
        # What runs on after the last dial is nobody's idle line.
        ([span(0, 100), span(50, 500)], 2, 50, (0.5, 0.5)),
        ([span(0, 30)], 1, 0, (None, None)),
    ],
)
def test_slot_use(
    calls: list[tuple[datetime, datetime]],
    slots: int,
    last: float,
    expected: tuple[float | None, float | None],
) -> None:
    assert used(calls, slots, START + timedelta(seconds=last)) == expected


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0.1, 500)), min_size=1, max_size=30))
def test_slot_use_is_a_share_when_the_slots_were_kept(spans: list[tuple[float, float]]) -> None:
    calls = sorted(span(start, start + length) for start, length in spans)
    most = max(sum(a <= start < b for a, b in calls) for start, _ in calls)
    whole, busy = used(calls, most, calls[-1][0])
    for use in (whole, busy):
        assert use is None or 0 <= use <= 1 + 1e-6
    assert whole is None or busy is None or busy >= whole - 1e-6


# -- the results file


def exported(world: World, name: str = "spring") -> tuple[list[str], list[dict[str, str]], str]:
    campaign = world.store.campaigns.by_name(name)
    assert campaign is not None
    path = Path(str(world.store.database.url.database)).with_name("results.csv")
    count = export_results(world.store, campaign, path)
    text = path.read_bytes().decode()
    header, *rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len(rows) == count
    assert not list(path.parent.glob("*.part"))
    return header, [dict(zip(header, row, strict=True)) for row in rows], text


def test_the_columns_are_the_files_own_then_those_of_the_contract(world: World, tmp_path: Path) -> None:
    campaign = world.campaign("spring", launch=False)
    (tmp_path / "a.csv").write_text(
        "phone,name\n(212) 555-0002,Bo\n2125550001,Al\nnobody,\n", encoding="utf-8"
    )
    (tmp_path / "b.csv").write_text("name,phone,city\nCy,2125550003,Rome\n", encoding="utf-8")
    for name in ("a.csv", "b.csv"):
        import_file(world.store, campaign, tmp_path / name, START, "tester")
    assert ",".join(RESULT_COLUMNS) == RESULTS
    header, rows, _ = exported(world)
    assert header == ["phone", "name", "city", *RESULT_COLUMNS]
    assert [(row["phone"], row["name"], row["city"]) for row in rows] == [
        ("(212) 555-0002", "Bo", ""),
        ("2125550001", "Al", ""),
        ("2125550003", "Cy", "Rome"),
    ]
    assert {row["lead_state"] for row in rows} == {"pending"}
    assert {row["attempts"] for row in rows} == {"0"}
    assert {row["call_id"] + row["last_attempt_at"] + row["transcript"] for row in rows} == {""}

    world.store.campaigns.launch(campaign.id, START)
    ids = world.dial_all()
    world.after(hours=1)
    world.poll_and_settle()
    header, rows, _ = exported(world)
    extra = header[len(["phone", "name", "city"]) + len(RESULT_COLUMNS) :]
    assert extra == ["analysis.callback_time", "analysis.do_not_call", "analysis.interested"]
    assert {row["call_id"] for row in rows} == {world.attempt(one)["call_id"] for one in ids}
    for row in rows:
        assert (row["lead_state"], row["attempts"], row["outcome"]) == ("reached", "1", "human")
        assert row["last_attempt_at"] == "2026-12-01T15:00:00Z"
        assert row["disconnection_reason"] in ("user_hangup", "agent_hangup")
        assert float(row["duration_seconds"]) > 0
        assert float(row["cost_cents"]) > 0
        assert row["analysis.interested"] in ("true", "false")
        assert row["analysis.do_not_call"] == "false"
        assert "\n" in row["transcript"]
        assert row["summary"]
        assert row["recording_url"]


def test_the_latest_call_of_a_lead_is_the_one_shown(world: World) -> None:
    world.campaign("spring", 1, retry="no_answer:30m", max_attempts=3)
    world.finish_call(world.claim(), "dial_no_answer")
    last = world.claim()
    world.finish_call(last, "user_hangup")
    _, [row], _ = exported(world)
    assert (row["call_id"], row["attempts"]) == (world.attempt(last)["call_id"], "2")
    assert row["disconnection_reason"] == "user_hangup"


def test_no_cell_is_a_formula(world: World, tmp_path: Path) -> None:
    campaign = world.campaign("spring", launch=False)
    (tmp_path / "a.csv").write_text(
        'phone,=cmd()\n2125550001,"=HYPERLINK(""http://x"")"\n2125550002,@SUM(1)\n2125550003,-2+3\n+12125550004,+1+1\n',
        encoding="utf-8",
    )
    import_file(world.store, campaign, tmp_path / "a.csv", START, "tester")
    world.store.campaigns.launch(campaign.id, START)
    world.dial_all()
    world.after(hours=1)
    world.poll_and_settle()
    world.sql("UPDATE attempts SET transcript = '=1+1', summary = '@evil', analysis = '{\"=x\": \"-1+2\"}'")
    header, rows, text = exported(world)
    for cell in (*header, *(cell for row in rows for cell in row.values())):
        assert cell[:1] not in ("=", "@", "\t", "\r")
        assert not cell.startswith(("+", "-")) or cell[1:].isdigit()
    assert "=1+1" in text
    assert text.count("\r\n") == 5


def test_an_unknown_account_is_shown_as_no_line(world: World) -> None:
    world.campaign("spring", 1)
    assert poll(world.context) is not None
    assert world.store.workspaces.account(WORKSPACE).ceiling() == 0
