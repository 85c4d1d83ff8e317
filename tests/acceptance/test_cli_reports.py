"""`report` and `forecast`: what they say, and the files they write."""

from __future__ import annotations

import builtins
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import pytest
from pydantic import TypeAdapter

from campaigns.cli.documents.table import DOCUMENTS
from tests.acceptance.conftest import NUMBERS, Cli, Retell
from tests.acceptance.dialing import AT_ONCE, dial_to_the_end

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def dialed(cli: Cli, retell: Retell) -> Cli:
    """Five calls of a campaign whose name must be escaped: three taken, one busy, one not."""
    simulator = retell.start(speed=2000)
    for number, reason in zip(NUMBERS[:2], ("dial_busy", "dial_no_answer"), strict=True):
        simulator.engine.script(number, reason)
    cli.draft("<b>spring", (), *AT_ONCE)
    cli.ok("launch", "<b>spring")
    dial_to_the_end("<b>spring")
    return cli


def pinned(command: str, document: Any) -> Any:
    TypeAdapter(DOCUMENTS[command]).validate_python(document, strict=True)
    return document


def test_the_figures_of_a_report(dialed: Cli) -> None:
    found = pinned("report", dialed.ok("report", "<b>spring"))
    assert (found["calls"], found["dialed_leads"], found["contacted_leads"]) == (5, 5, 3)
    assert (found["penetration"], found["contact_rate"], found["answer_rate"]) == (1.0, 0.6, 0.6)
    assert found["attempts_to_contact"] == {"1": 3}
    assert sum(hour["calls"] for hour in found["by_local_time"]) == 5
    [agent], [number], [file] = found["by_agent"], found["by_number"], found["by_file"]
    assert (agent["calls"], agent["contacts"]) == (number["calls"], number["contacts"]) == (5, 3)
    assert (number["key"], file["key"]) == ("+14155550100", "<b>spring.csv")
    assert found["cost_per_contact_cents"] == pytest.approx(found["cost_cents"] / 3, abs=0.001)
    text = dialed("report", "<b>spring").out
    for words in ("penetration", "60.0%", "attempts to contact", "per contact", "Answered by local hour"):
        assert words in text


class _Page(HTMLParser):
    """Balanced, and asks for nothing from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data") and not (value or "").startswith("#"):
                self.fetched.append(f"{tag} {name}={value}")


def test_the_page_needs_nothing_else(dialed: Cli) -> None:
    path = dialed.folder / "spring.html"
    assert dialed("report", "<b>spring", "--html", path).code == 0
    text = path.read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.fetched == []
    assert "script" not in page.tags
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "<b>spring" not in text
    assert "&lt;b&gt;spring" in text
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) == 5
    ids = [one for picture in pictures for one in re.findall(r'\bid="([^"]+)"', picture)]
    assert len(ids) == len(set(ids))
    for picture in pictures:
        ET.fromstring(picture)
        for used in re.findall(r'(?:url\(|xlink:href=")#([^")]+)', picture):
            assert used in ids
    for words in ("penetration", "contact rate", "success rate", "cost per contact", "By agent", "By file"):
        assert words in text
    assert not list(dialed.folder.glob(".*.part"))


def test_plots_are_pictures(dialed: Cli) -> None:
    folder = dialed.folder / "new" / "plots"
    said = dialed("report", "<b>spring", "--plot", folder, "--json")
    assert said.code == 0
    pinned("report", said.document)
    assert {path.stem for path in folder.glob("*.png")} == {
        "leads",
        "outcomes",
        "attempts",
        "answers",
        "days",
    }
    assert all(path.read_bytes().startswith(PNG) for path in folder.glob("*.png"))


def test_a_campaign_without_calls_has_a_page_too(cli: Cli) -> None:
    cli.draft()
    path = cli.folder / "spring.html"
    assert cli("report", "spring", "--html", path).code == 0
    assert path.read_text().count("<svg") == 1


def test_without_matplotlib_it_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.draft()
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for option in (("--html", "x.html"), ("--plot", "plots")):
        assert "campaigns[plot]" in cli.refused("report", "spring", *option)
    assert not (cli.folder / "x.html").exists()
    cli.ok("report", "spring")


def test_files_that_cannot_be_written(cli: Cli) -> None:
    cli.draft()
    (cli.folder / "file").write_text("")
    for option in (("--html", "nowhere/x.html"), ("--html", cli.home), ("--plot", "file")):
        assert "error" in cli.refused("report", "spring", *option)
    assert not list(cli.folder.rglob(".*.part"))


# -- forecast


def test_a_forecast_before_the_first_call(cli: Cli) -> None:
    cli.draft("spring", (), "--profile", "none")
    found = pinned("forecast", cli.ok("forecast", "spring"))
    assert (found["leads_left"], found["settled_calls"], found["cost_left_cents"]) == (5, 0, None)
    assert found["earliest"] <= found["done_at"] <= found["latest"]
    assert found["calls_least"] <= found["calls_left"] <= found["calls_most"]
    assert any("draft" in guess for guess in found["assumed"])
    text = cli("forecast", "spring").out
    for words in ("leads left", "about", "between", "assumed"):
        assert words in text


def test_a_forecast_when_all_is_done(dialed: Cli) -> None:
    found = pinned("forecast", dialed.ok("forecast", "<b>spring"))
    assert (found["leads_left"], found["done_at"], found["calls_left"]) == (0, None, 0)
    assert found["cost_total_cents"] > 0
    assert "nobody is left to call" in dialed("forecast", "<b>spring").out
