"""The page, the tables in code and the database's constraints say the same about states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from campaigns.domain.states import (
    ATTEMPT_TRANSITIONS,
    CAMPAIGN_TRANSITIONS,
    FINAL_CAMPAIGN,
    FINAL_LEAD,
    LEAD_TRANSITIONS,
    OPEN_ATTEMPT,
    SLOT_HOLDING,
    WITH_CALL,
    AttemptState,
    CampaignState,
    LeadState,
)
from campaigns.store.schema import attempts, metadata

PAGE = Path(__file__).parents[2] / "docs" / "states.md"
TABLES: dict[str, tuple[type[StrEnum], Mapping[StrEnum, frozenset[StrEnum]], str]] = {
    "Campaign": (CampaignState, CAMPAIGN_TRANSITIONS, "campaigns"),
    "Lead": (LeadState, LEAD_TRANSITIONS, "leads"),
    "Attempt": (AttemptState, ATTEMPT_TRANSITIONS, "attempts"),
}
FIRST = {"Campaign": "draft", "Lead": "pending", "Attempt": "claimed"}


def _section(name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found, f"docs/states.md has no section {name}"
    return found[1]


def _arrows(name: str) -> set[tuple[str, str]]:
    diagrams = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", _section(name), re.S)
    assert len(diagrams) == 1
    arrows: set[tuple[str, str]] = set()
    for line in diagrams[0].splitlines():
        arrow = re.fullmatch(r"\s+(\[\*\]|\w+) --> (\[\*\]|\w+)", line)
        assert arrow, f"not an arrow: {line!r}"
        assert arrow.groups() not in arrows, f"drawn twice: {line!r}"
        arrows.add((arrow[1], arrow[2]))
    return arrows


def _described(name: str) -> dict[str, list[str]]:
    """State -> the other cells of its row in the page's table."""
    rows = [line.strip("|").split("|") for line in _section(name).splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


@pytest.mark.parametrize("name", TABLES)
def test_the_diagram_is_the_table_of_transitions(name: str) -> None:
    states, table, _ = TABLES[name]
    assert set(table) == set(states)
    declared = {(str(source), str(target)) for source, targets in table.items() for target in targets}
    assert all(source != target for source, target in declared)
    endings = {(str(source), "[*]") for source, targets in table.items() if not targets}
    assert _arrows(name) == declared | endings | {("[*]", FIRST[name])}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_explains_every_state(name: str) -> None:
    states, _, _ = TABLES[name]
    described = _described(name)
    assert list(described) == [str(state) for state in states]
    assert all(cells[-1] for cells in described.values())


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=["sqlite", "postgresql"])
@pytest.mark.parametrize("name", TABLES)
def test_the_database_knows_the_same_states(name: str, dialect: object) -> None:
    states, _, table = TABLES[name]
    ddl = str(CreateTable(metadata.tables[table]).compile(dialect=dialect))
    check = re.search(rf"CONSTRAINT ck_{table}_state CHECK \((state (?:IN|=) .*)\)", ddl)
    assert check
    assert sorted(re.findall(r"'(\w+)'", check[1])) == sorted(states)


@pytest.mark.parametrize("name", TABLES)
def test_every_state_can_be_come_to(name: str) -> None:
    states, table, _ = TABLES[name]
    found, fresh = {FIRST[name]}, [FIRST[name]]
    while fresh:
        for target in table[states(fresh.pop())]:
            if target not in found:
                found.add(str(target))
                fresh.append(str(target))
    assert found == {str(state) for state in states}


def test_open_attempts_are_those_of_the_unique_indexes_and_of_the_page() -> None:
    partial = {
        str(index.name): str(CreateIndex(index).compile(dialect=sqlite.dialect()))
        for index in attempts.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }
    assert {"uq_attempts_open_lead", "uq_attempts_open_phone"} <= set(partial)
    unanalysed = partial.pop("ix_attempts_unanalysed")
    assert re.findall(r"'(\w+)'", unanalysed) == [AttemptState.SETTLED]
    for ddl in partial.values():
        assert sorted(re.findall(r"'(\w+)'", ddl)) == sorted(OPEN_ATTEMPT)
    cells = _described("Attempt")
    assert {state for state, row in cells.items() if row[0] == "yes"} == OPEN_ATTEMPT
    assert {state for state, row in cells.items() if row[1] == "yes"} == SLOT_HOLDING


def test_the_sets_of_states_agree_with_the_transitions() -> None:
    assert SLOT_HOLDING < OPEN_ATTEMPT
    assert {AttemptState.SETTLED} == WITH_CALL - OPEN_ATTEMPT
    # A final attempt is never open, and what holds a line never ends without freeing it.
    final = {state for state, targets in ATTEMPT_TRANSITIONS.items() if not targets}
    assert final == {AttemptState.NOT_PLACED, AttemptState.SETTLED}
    assert not final & OPEN_ATTEMPT
    marked = {state for state, cells in _described("Lead").items() if cells[-1].startswith("final")}
    assert marked == FINAL_LEAD
    assert {CampaignState.COMPLETED, CampaignState.CANCELLED} == FINAL_CAMPAIGN
    # A call is known before an attempt counts as one that has it.
    for state in WITH_CALL - {AttemptState.PLACED}:
        sources = {source for source, targets in ATTEMPT_TRANSITIONS.items() if state in targets}
        assert sources <= WITH_CALL
