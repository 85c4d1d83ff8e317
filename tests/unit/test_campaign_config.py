"""One model of a campaign's options: the file, the command line, the schema and the campaign's own options agree."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from test_docs import ROOT, rows, ticked

from campaigns.cli.app import app
from campaigns.domain.entities import CampaignOptions
from campaigns.domain.errors import UsageError
from campaigns.domain.span import SpanError, check_span, read_instant
from campaigns.services.campaign_config import FLAGS, CampaignConfig, check_values, json_schema, key_of
from campaigns.services.campaign_file import CheckedFile, read_campaign_file

NOW = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
SAMPLE = ROOT / "docs" / "campaign.toml"
#: What an operator cannot choose for a whole campaign.
_INTERNAL: set[str] = set()

WRONG = """\
# a comment
name = "spring"
from = [
  "+14155550100",
  # the second
  "4155550101",
]
windw = "Mon"
window = ["Mon-Fri 09:00-20:00",
  "Mon-Fri"]
concurrency = "many"
cps = nan
max-attempts = 3
timezone = "Mars/Olympus"
end_at = 2027-02-01
weight = 0
retry = "human:5m"

[map]
phone = "Mobile no"
zip = 5
"""


def checked(text: str, tmp_path: Path, now: datetime | None = NOW) -> CheckedFile:
    path = tmp_path / "campaign.toml"
    path.write_text(text)
    return read_campaign_file(path, now)


def test_the_model_has_every_option_of_a_campaign() -> None:
    assert set(FLAGS) == {field.name for field in fields(CampaignOptions)} - _INTERNAL
    assert set(CampaignConfig.model_fields) == {"name", *FLAGS}


def test_what_is_left_out_is_the_campaigns_own_default() -> None:
    assert CampaignConfig().over(CampaignOptions()) == CampaignOptions()
    for name, field in CampaignConfig.model_fields.items():
        if name in FLAGS:
            default = field.get_default(call_default_factory=True)
            known = getattr(CampaignOptions(), name)
            assert (tuple(default) if isinstance(default, list) else default) == known


@pytest.mark.parametrize("command", ["run", "create"])
def test_the_command_line_has_every_key_of_the_file_and_no_other(command: str) -> None:
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    flags = {opt for parameter in found.params for opt in parameter.opts if opt.startswith("--")}
    expected = {f"--{key_of(name)}".replace("_", "-") for name in FLAGS}
    own = {"--config", "--json", "--simulate", "--speed", "--name"}
    assert flags - own == expected
    assert "--config" in flags


def test_the_schema_knows_every_key_and_refuses_others() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == {"name", *map(key_of, FLAGS)}
    assert schema["additionalProperties"] is False
    assert all(about["description"] for about in schema["properties"].values())
    assert schema["properties"]["weight"]["default"] == 1.0
    assert "default" not in schema["properties"]["cps"]
    json.dumps(schema)


def test_the_page_explains_every_key() -> None:
    table = rows((ROOT / "docs" / "campaign-file.md").read_text(), "key")
    assert {ticked(row[0]) for row in table} == {"name", *map(key_of, FLAGS)}
    for key, flag, _ in table[1:]:
        assert ticked(flag) == f"--{ticked(key)}".replace("_", "-")


def test_the_samples_are_right_and_the_large_one_is_whole() -> None:
    whole = read_campaign_file(SAMPLE, NOW)
    assert whole.problems == []
    assert set(tomllib.loads(SAMPLE.read_text())) == {"name", *map(key_of, FLAGS)}
    options = whole.usable().over(CampaignOptions())
    assert options.from_numbers == ("+14155550100", "+14155550101")
    assert options.agents == ("agent_abc123=2", "agent_def456=1")
    assert options.mapping == {"phone": "Mobile no"}
    assert options.starts_at() == datetime(2027, 3, 1, 14, 0, tzinfo=UTC)
    assert CampaignOptions.from_json(options.to_json()) == options
    small = read_campaign_file(SAMPLE.with_name("campaign-small.toml"), NOW).usable()
    assert small.over(CampaignOptions()).windows == ("Mon-Fri 09:00-20:00",)


def test_everything_that_is_wrong_is_told_at_once_with_line_and_remedy(tmp_path: Path) -> None:
    found = checked(WRONG, tmp_path)
    assert [(one.line, one.key) for one in found.problems] == [
        (6, "from.1"), (8, "windw"), (10, "window.1"), (11, "concurrency"), (12, "cps"), (13, "max-attempts"),
        (14, "timezone"), (15, "end_at"), (16, "weight"), (17, "retry"), (21, "map.zip"),
    ]  # fmt: skip
    assert all(one.message and one.remedy for one in found.problems)
    by_key = {one.key: one for one in found.problems}
    assert by_key["windw"].remedy == "write window"
    assert by_key["max-attempts"].remedy == "write max_attempts"
    # What is right stays usable, and what is wrong is not.
    assert found.config.model_fields_set == {"name"}
    with pytest.raises(UsageError) as error:
        found.usable()
    assert "campaign.toml:6: from.1" in str(error.value)
    assert "10 more" in error.value.remedy


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name = spring\n", 1, "Invalid value"),
        ('a = 1\nname = "x\n', 2, ""),
        ('name = "x"\nname = "y"\n', 2, ""),
        ("window = [\n", 1, ""),
    ],
)
def test_a_file_that_is_no_toml(tmp_path: Path, text: str, line: int, words: str) -> None:
    [problem] = checked(text, tmp_path).problems
    assert problem.line == line
    assert words in problem.message
    assert problem.remedy


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ('window = "Sun 03:00-04:00"', "window", "never opens"),
        ("start_at = 2027-03-01T09:00:00", "start_at", "zone"),
        ('end_at = "2027-03-01 09:00"', "end_at", "zone"),
        (
            'timezone = "UTC"\nstart_at = 2027-03-02T09:00:00\nend_at = 2027-03-01T09:00:00',
            "end_at",
            "before",
        ),
        ("start_at = 2028-03-02T09:00:00Z", "start_at", "year"),
        ("end_at = 2026-03-02T09:00:00Z", "end_at", "past"),
        ("start_at = 09:00:00", "start_at", ""),
        ("from = []", "from", "at least 1"),
        ("concurrency = true", "concurrency", "integer"),
        ('agent = " "', "agent.0", "empty"),
        ('agent = "agent_a="', "agent.0", "no weight"),
        ('agent = ["agent_a", "agent_b=0"]', "agent.1", "no weight"),
        ('agent = ["agent_a=-1", "agent_b"]', "agent.0", "no weight"),
        ('agent = ["agent_a=1/3", "agent_b"]', "agent.0", "no weight"),
        ('agent = ["agent_a=nan", "agent_b"]', "agent.0", "no weight"),
        ('agent = ["agent_a", "=2"]', "agent.1", "no agent"),
        ('agent = ["agent_a", "agent_b", "agent_a=2"]', "agent", "twice"),
        ("agent = []", "agent", "at least 1"),
        ('from = ["+14155550100", "+14155550100"]', "from", "twice"),
        ("number_cap = 0", "number_cap", "greater than or equal to 1"),
        ("number_cap = -5", "number_cap", "greater than or equal to 1"),
        ('number_cap = "many"', "number_cap", "integer"),
        ('number_rest = "soon"', "number_rest", "not a delay"),
        ('number_rest = "-4h"', "number_rest", "not a delay"),
        ('name = ""', "name", "name"),
        ('"" = 1', "", "no such option"),
    ],
)
def test_each_of_these_is_wrong(tmp_path: Path, text: str, key: str, words: str) -> None:
    [problem] = checked(text, tmp_path).problems
    assert problem.key == key
    assert words in problem.message
    assert problem.line == len(text.splitlines())


def test_without_a_clock_nothing_is_past(tmp_path: Path) -> None:
    assert checked("end_at = 2020-03-02T09:00:00Z", tmp_path, None).problems == []


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    for path in (tmp_path, tmp_path / "nowhere.toml", tmp_path / "latin.toml"):
        with pytest.raises(UsageError) as error:
            read_campaign_file(path)
        assert str(path) in str(error.value)
        assert error.value.remedy


def test_what_only_the_command_line_says_is_checked_the_same() -> None:
    values: dict[str, Any] = {"from": ["1"], "cps": 0.0, "nonsense": 1}
    _, problems = check_values(values)
    assert {problem.key for problem in problems} == {"from.0", "cps", "nonsense"}


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2027-03-01 09:00", "America/New_York", "2027-03-01T14:00"),
        ("2027-03-01T09:00:00+01:00", "America/New_York", "2027-03-01T08:00"),
        ("2027-03-01T09:00:00Z", "", "2027-03-01T09:00"),
        # The clocks jump from 02:00 to 03:00, and show 01:30 twice.
        ("2027-03-14 02:30", "America/New_York", "2027-03-14T07:30"),
        ("2027-11-07 01:30", "America/New_York", "2027-11-07T05:30"),
    ],
)
def test_instants_by_the_campaigns_zone(text: str, zone: str, expected: str) -> None:
    assert read_instant(text, zone) == datetime.fromisoformat(f"{expected}:00+00:00")


@pytest.mark.parametrize(
    "text", ["tomorrow", "2027-03-01", "2027-13-01 09:00", "0001-01-01T00:00:00+10:00", ""]
)
def test_an_instant_that_cannot_be_read_names_the_remedy(text: str) -> None:
    with pytest.raises(SpanError, match=r": (write|name)"):
        read_instant(text, "Pacific/Kiritimati")


def test_a_year_ahead_is_the_most() -> None:
    check_span(datetime(2027, 12, 1, tzinfo=UTC), None, NOW)
    with pytest.raises(SpanError, match="year"):
        check_span(datetime(2028, 1, 1, tzinfo=UTC), None, NOW)
