"""Reading a campaign file: what can be used of it, and everything that is wrong with it, each with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from campaigns.domain.entities import CampaignOptions
from campaigns.domain.errors import UsageError
from campaigns.services.campaign_config import CampaignConfig, Problem, check_options, check_values

#: Larger is not a campaign.
_LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A campaign file as read: what can be used of it, and what is wrong, by line."""

    path: Path
    config: CampaignConfig
    problems: list[Problem]

    def usable(self) -> CampaignConfig:
        """The whole of it. Raises UsageError with the first problem, and how many there are."""
        if not self.problems:
            return self.config
        first, more = self.problems[0], len(self.problems) - 1
        line = f":{first.line}" if first.line else ""
        key = f"{first.key}: " if first.key else ""
        rest = f" (and {more} more: see `campaigns validate {self.path}`)" if more else ""
        raise UsageError(f"{self.path}{line}: {key}{first.message}", f"{first.remedy}{rest}")


def read_campaign_file(path: Path, now: datetime | None = None) -> CheckedFile:
    """Read and check a campaign file. Raises UsageError for a file that cannot be read at all."""
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(
                f"{path} is too large for a campaign file", "name a file like docs/campaign.toml"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check the path") from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = str(error), None
        if at := re.search(r" \(at line (\d+), column \d+\)$", message):
            message, line = message[: at.start()], int(at[1])
        elif message.endswith("(at end of document)"):
            line = len(text.splitlines())
        remedy = "write it as TOML: key = value, text in quotes"
        return CheckedFile(path, CampaignConfig(), [Problem("", message, remedy, line)])
    config, problems = check_values(values)
    bad = {problem.key.split(".")[0] for problem in problems}
    for together in check_options(config.over(CampaignOptions()), now):
        # What else is wrong with a zone that is wrong is nobody's concern yet.
        concerned = {"window", "profile"} if together.key == "window" else {"start_at", "end_at", "timezone"}
        problems += [] if concerned & bad else [together]
    lines = text.splitlines(keepends=True)
    located = [replace(one, line=_line_of(lines, one.key)) for one in problems]
    return CheckedFile(path, config, sorted(located, key=lambda one: (one.line or 0, one.key)))


def _line_of(lines: Sequence[str], key: str) -> int | None:
    """The line at which a dotted key, or an item of a list (`window.1`), stands.

    The parser tells: it is where the shortest beginning of the file ends that has it.
    """
    path = key.split(".")
    started = 0
    for end in range(1, len(lines) + 1):
        try:
            have = tomllib.loads("".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        if not _has(have, path):
            started = end
            continue
        for inner in range(started + 1, end):
            # Inside a list over several lines: closed early, it has the item or it has not.
            try:
                if _has(tomllib.loads("".join(lines[:inner]) + "]"), path):
                    return inner
            except tomllib.TOMLDecodeError:
                continue
        return end if path[-1].isdigit() else _first_of(lines, started, end)
    return None


def _first_of(lines: Sequence[str], started: int, end: int) -> int:
    return next(
        (n + 1 for n in range(started, end) if lines[n].strip() and not lines[n].lstrip().startswith("#")),
        end,
    )


def _has(value: Any, path: Sequence[str]) -> bool:
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return isinstance(value, str) and part == "0"  # one text where a list may stand
    return True
