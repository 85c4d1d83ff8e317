"""Campaign options on the command line: the fields of a campaign file, and the file itself."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from campaigns.cli.options import pairs
from campaigns.domain.entities import CampaignOptions
from campaigns.domain.errors import UsageError
from campaigns.services.campaign_config import (
    FLAGS,
    CampaignConfig,
    check_options,
    check_values,
    description_of,
    key_of,
)
from campaigns.services.campaign_file import read_campaign_file


@dataclass(frozen=True)
class Changes:
    """Campaign options as given: a campaign file, and over it the command line."""

    line: CampaignConfig
    file: CampaignConfig | None = None

    @property
    def name(self) -> str | None:
        """The campaign's name, where the file gives one."""
        return (self.file and self.file.name) or None

    def over(self, base: CampaignOptions) -> CampaignOptions:
        """`base` with what was given. Raises UsageError that names the remedy."""
        if self.file is not None:
            base = self.file.over(base)
        options = self.line.over(base)
        for problem in check_options(options):
            raise UsageError(problem.message, problem.remedy)
        return options


def changes(config: Path | None = None, **given: Any) -> Changes:
    """Options by attribute of CampaignOptions, None = not given. Raises UsageError that names the remedy."""
    file = read_campaign_file(config).usable() if config is not None else None
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None and value != []:
            values[key_of(name)] = (
                pairs(value, flag_of(key_of(name)), "phone='Mobile no'") if FLAGS[name].pairs else value
            )
    line, problems = check_values(values)
    for problem in problems:
        key, _, item = problem.key.partition(".")
        value = values[key][int(item)] if item.isdigit() else values[key]
        named = "" if str(value) in problem.message else f" {value}"
        raise UsageError(f"{flag_of(key)}{named}: {problem.message}", problem.remedy)
    return Changes(line, file)


def region_of(region: str | None) -> str:
    """The country of numbers without one: as given, or the default. Raises UsageError that names the remedy."""
    return changes(region=region).over(CampaignOptions()).region


def flag_of(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def campaign_options(
    *names: str, config: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of the campaign file (all, or these), and `--config`; it gets them as `changes`."""
    chosen = names or tuple(FLAGS)

    def give(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in chosen}
            path = arguments.pop("config") if config else None
            command(**arguments, changes=changes(path, **given))

        own = [
            parameter.replace(kind=Parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
            if name != "changes"
        ]
        added = [_option(name) for name in chosen] + ([_CONFIG] if config else [])
        called.__signature__ = inspect.Signature([*own[:-1], *added, own[-1]])  # type: ignore[attr-defined]
        called.__annotations__ = {}
        return called

    return give


def _option(name: str) -> Parameter:
    flag = FLAGS[name]
    kind: Any = list[str] | None if flag.many else flag.kind | None
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option_of(name)])


def option_of(name: str) -> Any:
    """The command line's option of an attribute of CampaignOptions."""
    flag = FLAGS[name]
    repeatable = " Repeatable." if flag.many else ""
    return typer.Option(
        flag_of(key_of(name)), metavar=flag.metavar, help=f"{description_of(name)}{repeatable}"
    )


Timezone = Annotated[str | None, option_of("timezone")]
Region = Annotated[str | None, option_of("region")]
Map = Annotated[list[str] | None, option_of("mapping")]


_CONFIG = Parameter(
    "config",
    Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="A campaign.toml; options given beside it go before what it says.",
        ),
    ],
)
