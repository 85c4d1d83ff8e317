"""What the documents say is there: commands, variables, outcomes, links, tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from campaigns.cli.app import app
from campaigns.compliance import PROFILES, the_book
from campaigns.domain.outcomes import DISPOSITIONS, Disposition, Outcome
from campaigns.domain.recovery import EMPTY_SEARCHES, KEY_SECONDS, MOST_SENDS, SEND_MARGIN
from campaigns.domain.retry import DEFAULT_RETRY, NEVER_RETRIED
from campaigns.domain.trouble import (
    BREAKER_LEAST,
    BREAKER_WINDOW,
    FIRST_PAUSE,
    GENTLE_CALLS,
    GENTLE_SUCCESSES,
    INVALID_LEAST,
)
from campaigns.domain.windows import Spans
from campaigns.leads import RowCode
from campaigns.services.export import RESULT_COLUMNS
from campaigns.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "sample_csvs" / "README.md",
        *(ROOT / "docs").glob("*.md"),
    ]
)
README = (ROOT / "README.md").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def commands() -> dict[str, Any]:
    """Name -> the command as it is registered."""
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def options(command: str, rest: str = "") -> set[str]:
    """Every spelling of a command's options, `--no-dial` included; `rest` may begin with a command of a group."""
    meant = commands()[command]
    words = rest.split()
    if words and words[0] in getattr(meant, "commands", {}):
        meant = meant.commands[words[0]]
    found = set[str]()
    for parameter in meant.params:
        found.update(parameter.opts)
        found.update(parameter.secondary_opts)
    return {option for option in found if option.startswith("-")} | {"--help"}


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table whose header begins with `heading`."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            next(lines)
            break
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    assert table, f"no table begins with {heading}"
    return table


def ticked(cell: str) -> str:
    return cell.strip("`")


def anchors(path: Path) -> set[str]:
    """The anchors that a page's headings get: lower case, blanks as dashes, other signs dropped."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def written_commands() -> list[tuple[str, str, str]]:
    """(document, command, rest) of every command line in a code block or in backticks."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text().replace("\\\n", " ")
        code = [*_FENCE.findall(text), *re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))]
        for block in code:
            for match in re.finditer(
                r"(?:^|\bbin/|[(]|run --rm (?:--user \S+ )?)(?:campaigns|cli) ([a-z][a-z-]*)\b([^\n#|]*)",
                block,
                re.MULTILINE,
            ):
                found.append((path.name, match[1], match[2]))
    return found


def test_the_readme_lists_every_command_and_no_other() -> None:
    listed = [ticked(row[0]).removeprefix("campaigns ") for row in rows(README, "command")]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help(name: str) -> None:
    command = commands()[name]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


def test_written_commands_and_options_exist() -> None:
    written = written_commands()
    assert len(written) > 60
    for document, command, rest in written:
        assert command in commands(), f"{document}: campaigns {command}"
        unknown = set(re.findall(r"(?<!\S)--?[a-z][\w-]*", rest)) - options(command, rest)
        assert not unknown, f"{document}: campaigns {command} has no {unknown}"


def test_the_option_table_of_the_readme_names_options_of_run() -> None:
    named = {option for row in rows(README, "option") for option in re.findall(r"--[a-z-]+", row[0])}
    assert named < options("run")
    assert options("run") - named == {"--json", "--help"}


def test_every_variable_is_in_the_readme_with_its_default() -> None:
    table = {ticked(row[0]): row for row in rows(README, "variable")}
    fields = {str(field.validation_alias): field.default for field in Settings.model_fields.values()}
    assert table.keys() == fields.keys()
    for name, default in fields.items():
        if default and not hasattr(default, "get_secret_value"):
            shown = f"{default:g}" if isinstance(default, float) else str(default)
            assert f"`{shown}`" in table[name][2], name


def test_every_variable_of_the_example_exists() -> None:
    names = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert set(names) <= known | {"POSTGRES_PASSWORD"}
    assert {"RETELL_API_KEY", "POSTGRES_PASSWORD"} <= set(names)


def test_every_profile_is_in_the_readme_and_said_not_to_be_legal_advice() -> None:
    section = README.split("## Calling rules")[1].split("\n## ")[0]
    assert section.strip().startswith("Not legal advice.")
    assert [ticked(row[0]) for row in rows(section, "profile")] == list(PROFILES)
    for name, profile in PROFILES.items():
        line = next(row for row in rows(section, "profile") if ticked(row[0]) == name)
        assert all(str(cap) in line[2] for cap in profile.caps)


def test_every_rule_is_in_the_page_of_calling_rules() -> None:
    page = (ROOT / "docs" / "calling-rules.md").read_text()
    assert page.splitlines()[2].startswith("**Not legal advice.**")
    listed = {ticked(row[0]): row for row in rows(page, "place")}
    assert set(listed) == set(the_book().rules)
    for code, rule in the_book().rules.items():
        shown = [_hours(rule.weekdays), _hours(rule.saturday), _hours(rule.sunday)]
        shown.append("" if rule.holidays is None else _hours(rule.holidays))
        shown.append("; ".join(map(str, rule.caps)))
        assert listed[code][2:] == [*shown, rule.confidence], code


def _hours(spans: Spans) -> str:
    return ", ".join(f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for a, b in spans) or "none"


def test_the_columns_of_the_results_are_in_the_readme() -> None:
    for column in RESULT_COLUMNS:
        assert f"`{column}`" in README, column


def _bound(found: Disposition) -> str:
    """How the table says what retries a reason may cause."""
    if not found.charged:
        return "not counted"
    if found.outcome in NEVER_RETRIED:
        return "never"
    return "by the policy" if found.max_retries is None else str(found.max_retries)


def test_the_table_of_outcomes_is_the_codes() -> None:
    *table, last = rows((ROOT / "docs" / "retry-policy.md").read_text(), "disconnection_reason")
    expected = [
        [f"`{reason}`", f"`{found.outcome}`", "yes" if found.charged else "no", _bound(found),
         "yes" if found.voicemail_decides else "", "yes" if found.pauses else ""]
        for reason, found in DISPOSITIONS.items()
    ]  # fmt: skip
    assert table == expected
    assert last[:2] == ["anything else", f"`{Outcome.UNKNOWN}`"]


def test_every_outcome_and_the_default_policy_are_explained() -> None:
    text = (ROOT / "docs" / "retry-policy.md").read_text()
    explained = {name for row in rows(text, "outcome") for name in re.findall(r"`(\w+)`", row[0])}
    assert explained == {outcome.value for outcome in Outcome}
    assert DEFAULT_RETRY in text
    retriable = re.search(r"^OUTCOME = (.+)$", text, re.MULTILINE)
    assert retriable is not None
    assert retriable[1].split(" | ") == sorted(set(Outcome) - NEVER_RETRIED)


def test_every_row_code_is_explained() -> None:
    text = (ROOT / "docs" / "lead-files.md").read_text()
    explained = {ticked(row[0]) for row in rows(text, "code")}
    assert {code.value for code in RowCode} <= explained


def test_the_numbers_of_the_reliability_page_are_the_codes() -> None:
    text = " ".join((ROOT / "docs" / "reliability.md").read_text().split())
    assert f"At least {EMPTY_SEARCHES} searches" in text
    assert f"whole HTTP time-out + {SEND_MARGIN:g} seconds" in text
    assert f"at most {KEY_SECONDS / 60:g} minutes ago" in text
    assert f"fewer than {MOST_SENDS} times" in text
    assert (
        f"at least {BREAKER_LEAST} dials in the last {BREAKER_WINDOW.total_seconds() / 60:g} minutes" in text
    )
    assert f"after {FIRST_PAUSE.total_seconds():g} seconds, then" in text
    assert f"at most {GENTLE_CALLS} calls of the campaign" in text
    assert f"until {GENTLE_SUCCESSES} dials" in text
    assert f"at least {INVALID_LEAST} finished calls" in text


def test_the_tests_named_in_the_documents_exist() -> None:
    named = [
        (path.name, *found)
        for path in DOCUMENTS
        for found in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", path.read_text())
    ]
    assert len(named) > 40
    for document, file, test in named:
        assert (ROOT / file).is_file(), f"{document}: {file}"
        assert not test or f"def {test}(" in (ROOT / file).read_text(), f"{document}: {file}::{test}"


def test_the_files_named_in_the_documents_exist() -> None:
    for path in DOCUMENTS:
        for name in re.findall(
            r"`((?:campaigns|workers|docs|sample_csvs)/[\w/.]+\.(?:py|md|csv))`", path.read_text()
        ):
            assert (ROOT / name).is_file(), f"{path.name}: {name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", path.read_text())):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), f"{path.name}: {target}"
        assert not anchor or anchor in anchors(linked), f"{path.name}: {target}"


def test_nothing_is_left_to_be_written() -> None:
    for path in [*DOCUMENTS, ROOT / "docker-compose.yml", ROOT / "Dockerfile", ROOT / ".env.example"]:
        for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X"):
            assert word not in path.read_text(), f"{path.name}: {word}"


def test_no_document_names_a_machine() -> None:
    somewhere = re.compile(r"(?<![\w.])/(?:home/(?!campaigns\b)|Users/|root/|tmp/|opt/)")
    for path in [*DOCUMENTS, ROOT / "docker-compose.yml", ROOT / "Dockerfile", ROOT / ".env.example"]:
        assert not somewhere.search(path.read_text()), path.name


def _services() -> dict[str, str]:
    """The services of the compose file, by its indentation: name -> block."""
    block = COMPOSE.split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    parts = re.split(r"^  (\w+):\n", block, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_compose_file_has_the_services_of_production() -> None:
    assert "\t" not in COMPOSE
    services = _services()
    assert set(services) == {"redis", "postgres", "dial", "control", "beat", "console", "cli"}
    assert '"--appendonly", "no"' in services["redis"]
    assert 'profiles: ["cli"]' in services["cli"]
    for name in ("redis", "postgres"):
        assert "healthcheck:" in services[name]
    assert "healthcheck:" in COMPOSE.split("\nservices:\n")[0]
    assert "ports:" not in COMPOSE
    # Queues: every one is taken by some worker.
    assert '"--no-control"' in services["dial"]
    assert '"--no-dial"' in services["control"]


def test_every_command_line_of_the_compose_file_exists() -> None:
    lines = [
        re.findall(r'"([^"]+)"', line)
        for name in ("dial", "control", "beat", "console", "cli")
        for line in re.findall(r"^    command: \[(.+)\]$", _services()[name], re.MULTILINE)
    ]
    assert len(lines) == 5
    check = re.search(r'test: \["CMD", "campaigns", (.+)\]', COMPOSE)
    assert check is not None
    for command, *given in [*lines, re.findall(r'"([^"]+)"', check[1])]:
        assert command in commands()
        assert {word for word in given if word.startswith("-")} <= options(command)


def test_the_variables_of_the_compose_file_exist() -> None:
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert set(re.findall(r"\bCAMPAIGNS_[A-Z_]+|\bRETELL_[A-Z_]+", COMPOSE)) <= known


def test_the_image_installs_what_the_constraints_pin_and_is_not_root() -> None:
    lines = (ROOT / "Dockerfile").read_text()
    assert "pip install . -c constraints.txt" in lines
    assert re.search(r"^USER (?!root)\w+$", lines, re.MULTILINE)
    for source in re.findall(r"^COPY (.+)$", lines, re.MULTILINE):
        for name in source.split()[:-1]:
            assert (ROOT / name).exists(), name
            assert f"!{name}" in (ROOT / ".dockerignore").read_text().split(), name
