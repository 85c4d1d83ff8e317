"""The benchmarks run, say what they should, and what they measured was dialed by the rules. Never a timing."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

#: One process takes the figures, where tests are dealt out to several.
pytestmark = [pytest.mark.xdist_group("figures"), pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
FIGURES = (
    "slots",
    "claim",
    "gate",
    "east_first",
    "dial_cycle_cpu",
    "help",
    "status",
    "report",
    "watch",
)
#: Minutes of killed and stopped processes; what they assert is in short among the other tests.
SLOW = ("recovery", "adoption", "pause", "batch")


def bench(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str], seconds: float) -> tuple[str, str]:
    """Both outputs of a bench; it cleans up behind itself when it is told to stop."""
    try:
        return process.communicate(timeout=seconds)
    finally:
        process.terminate()
        process.wait()


def measured(groups: list[tuple[str, ...]], seconds: float) -> dict[str, dict[str, Any]]:
    """The line of each figure. Timings are of no interest here, so the groups run side by side."""
    running = [bench(*figures, "--quick") for figures in groups]
    documents: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(lambda process: answer(process, seconds), running))
    for figures, process, (out, err) in zip(groups, running, said, strict=True):
        assert process.returncode == 0, err
        found = [json.loads(line) for line in out.splitlines()]
        assert [document["figure"] for document in found] == list(figures)
        documents |= {document["figure"]: document for document in found}
    return documents


@pytest.fixture(scope="module")
def lines() -> dict[str, dict[str, Any]]:
    return measured([FIGURES[:1], FIGURES[1:]], 300)


@pytest.fixture(scope="module")
def slow_lines() -> dict[str, dict[str, Any]]:
    return measured([(figure,) for figure in SLOW], 300)


def has_what_the_contract_names(line: dict[str, Any], name: str) -> None:
    assert isinstance(line["value"], float)
    assert line["unit"]
    assert line["peer"]["what"]
    assert line["goal"]
    assert set(line["missed"]) <= set(line["goal"])
    assert line["met"] is (not line["missed"])
    assert line["command"] == f"python -m tests.benchmarks {name} --quick"


@pytest.mark.parametrize("name", FIGURES)
def test_every_line_has_what_the_contract_names(lines: dict[str, dict[str, Any]], name: str) -> None:
    has_what_the_contract_names(lines[name], name)


@pytest.mark.chaos
@pytest.mark.parametrize("name", SLOW)
def test_the_slow_ones_too(slow_lines: dict[str, dict[str, Any]], name: str) -> None:
    has_what_the_contract_names(slow_lines[name], name)


def test_slots_were_filled_without_a_refusal_or_a_second_ring(lines: dict[str, dict[str, Any]]) -> None:
    line = lines["slots"]
    assert line["refusals"] == {}
    assert line["peak_concurrency"] <= line["lines"]
    assert line["rings"] == line["leads"]
    assert line["attempts_rung_twice"] == 0
    assert line["most_rings_of_a_number"] == 1
    assert 0 < line["utilisation"] <= 1
    assert line["requests"]["create-phone-call"] == line["leads"]
    assert line["requests_per_call"] == pytest.approx(
        sum(line["requests"].values()) / line["rings"], abs=0.001
    )


@pytest.mark.chaos
def test_batches_filled_the_same_lines_with_few_requests(slow_lines: dict[str, dict[str, Any]]) -> None:
    line = slow_lines["batch"]
    assert line["attempts_rung_twice"] == 0
    assert line["rings"] == line["leads"]
    assert line["peak_concurrency"] <= line["lines"]
    assert line["requests"]["create-batch-call"] >= 1
    assert "create-phone-call" not in line["requests"]
    assert line["peer"]["requests"]["create-phone-call"] == line["leads"]


def test_the_naive_script_had_the_same_work(lines: dict[str, dict[str, Any]]) -> None:
    line = lines["slots"]
    assert line["peer"]["rings"] == line["leads"]
    assert line["peer"]["peak_concurrency"] <= line["lines"]
    assert 0 < line["peer"]["utilisation"] <= 1


def test_every_dial_of_the_cycle_rang_once(lines: dict[str, dict[str, Any]]) -> None:
    line = lines["dial_cycle_cpu"]
    assert line["refusals"] == {}
    assert line["attempts_rung_twice"] == 0
    assert line["rings"] == line["expected_rings"]
    assert line["value"] == pytest.approx(line["guarded_cpu_ms"] - line["peer"]["cpu_ms_per_post"], abs=2)
    assert {"read the row", "commit dialing", "POST", "commit placed"} <= set(line["parts"])


@pytest.mark.chaos
def test_dialing_went_on_after_each_kill(slow_lines: dict[str, dict[str, Any]]) -> None:
    line = slow_lines["recovery"]
    assert set(line["by_process_s"]) == {"dial", "beat"}
    assert all(0 < seconds < float("inf") for found in line["by_process_s"].values() for seconds in found)
    assert line["attempts_rung_twice"] == 0
    assert line["peak_concurrency"] <= line["lines"]


@pytest.mark.chaos
def test_a_running_campaign_was_paused(slow_lines: dict[str, dict[str, Any]]) -> None:
    line = slow_lines["pause"]
    assert len(line["last_dial_s"]) == 1
    assert line["value"] == pytest.approx(max(0.0, line["last_dial_s"][0]), abs=0.01)
    assert line["peer"]["dials_per_second"] > 0
    assert line["attempts_rung_twice"] == 0


@pytest.mark.chaos
def test_calls_without_an_answer_were_adopted(slow_lines: dict[str, dict[str, Any]]) -> None:
    line = slow_lines["adoption"]
    assert line["calls"]["lag 2 s"] >= 3
    assert line["worst_s"]["lag 2 s"] == line["value"]
    assert line["attempts_rung_twice"] == 0


def test_claims_were_made_from_every_size(lines: dict[str, dict[str, Any]]) -> None:
    sizes = lines["claim"]["by_leads"]
    assert list(sizes) == ["4000", "40000"]
    for measured in sizes.values():
        assert 0 < measured["median_ms"] <= measured["p99_ms"]


def test_looking_was_measured_on_what_is_there(lines: dict[str, dict[str, Any]]) -> None:
    assert lines["status"]["help_ms"] > 0
    assert lines["status"]["value"] <= lines["status"]["worst_ms"]
    assert lines["report"]["peak_mib"] > 0
    assert lines["watch"]["value"] > 0
    assert lines["watch"]["commit_beside_to_alone"] > 0


def test_a_figure_that_does_not_exist_is_a_wrong_use() -> None:
    process = bench("speed")
    out, err = answer(process, 30)
    assert process.returncode == 2
    assert out == ""
    assert "no such figure: speed" in err
