"""A campaign file as a user uses it: checked, made into a campaign, overridden by the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from campaigns.store import Store
from tests.acceptance.conftest import Cli

FILE = """\
name = "spring"
from = "+14155550100"
window = ["Mon-Fri 09:00-20:00"]
concurrency = 7
max_attempts = 2

[map]
phone = "Mobile no"
"""


def options(cli: Cli, name: str) -> Any:
    store = Store.open(f"sqlite:///{cli.home / 'campaigns.db'}")
    found = store.campaigns.by_name(name)
    assert found is not None
    return found.options


def write(cli: Cli, text: str = FILE) -> None:
    (cli.folder / "campaign.toml").write_text(text)


def test_a_campaign_is_made_as_its_file_says(cli: Cli) -> None:
    write(cli)
    assert cli.ok("create", "--config", "campaign.toml")["campaign"] == "spring"
    made = options(cli, "spring")
    assert (made.from_numbers, made.concurrency, made.max_attempts) == (("+14155550100",), 7, 2)
    assert made.mapping == {"phone": "Mobile no"}
    assert made.profile == "us-sales"


def test_the_command_line_goes_before_the_file(cli: Cli) -> None:
    write(cli)
    cli.ok("create", "autumn", "--config", "campaign.toml", "--concurrency", "3", "--weight", "2.5")
    made = options(cli, "autumn")
    assert (made.concurrency, made.max_attempts, made.weight) == (3, 2, 2.5)


def test_a_run_reads_the_file(cli: Cli) -> None:
    """Seen in what it refuses: the column that only the file names is not there."""
    write(cli, FILE.replace("Mobile no", "Handset"))
    path = cli.folder / "leads.csv"
    path.write_text("Mobile no\n+12125550100\n")
    assert "Handset" in cli.refused("run", path, "--simulate", "--config", "campaign.toml", code=2)
    assert cli.ok("status") == []


def test_without_any_name_nothing_is_made(cli: Cli) -> None:
    write(cli, 'from = "+14155550100"\n')
    assert "no name" in cli.refused("create", "--config", "campaign.toml", code=2)
    assert cli.ok("status") == []


@pytest.mark.parametrize("command", [("create", "x"), ("run", "leads.csv", "--simulate")])
def test_a_file_that_is_wrong_stops_the_command_in_one_line(cli: Cli, command: tuple[str, ...]) -> None:
    cli.leads()
    write(cli, FILE.replace("concurrency = 7", "concurrency = 0\ncps = -1"))
    line = cli.refused(*command, "--config", "campaign.toml", code=2)
    assert "campaign.toml:4: concurrency" in line
    assert "1 more" in line
    assert "nowhere.toml" in cli.refused(*command, "--config", "nowhere.toml", code=2)
    # Each is right, and together they are not.
    write(cli)
    assert "never opens" in cli.refused(
        *command, "--config", "campaign.toml", "--window", "Sun 03:00-04:00", code=2
    )
    assert cli.ok("status") == []


def test_validate(cli: Cli) -> None:
    write(cli)
    assert cli.ok("validate", "campaign.toml") == {"file": "campaign.toml", "valid": True, "problems": []}
    write(cli, FILE.replace("concurrency = 7", "concurency = 7").replace("+1415", "415"))
    said = cli("validate", "campaign.toml")
    assert (said.code, said.err) == (2, "")
    lines = said.out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("campaign.toml:2: from")
    assert lines[1] == "campaign.toml:4: concurency: there is no such option; write concurrency"
    said = cli("validate", "campaign.toml", "--json")
    assert said.code == 2
    assert [one["line"] for one in said.document["problems"]] == [2, 4]
    assert "nowhere.toml" in cli.refused("validate", "nowhere.toml", code=2)


def test_the_schema_is_one_json_document(cli: Cli) -> None:
    said = cli("schema")
    assert said.code == 0
    assert json.loads(said.out)["properties"]["max_attempts"]["minimum"] == 1
