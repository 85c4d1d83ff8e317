"""Options that several commands share, checked before anything is touched."""

from __future__ import annotations

import errno
import getpass
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from campaigns.cli.completion import campaign_names
from campaigns.domain.errors import CampaignsError, UsageError

if TYPE_CHECKING:
    from campaigns.domain.entities import Campaign
    from campaigns.store import Store

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The campaign's name.", autocompletion=campaign_names)
]
#: Rows that people are shown where they do not say how many.
SHOWN = 50
#: More than there are rows of anything; what is greater still no database takes.
MOST = 1_000_000_000
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        max=MOST,
        help=f"At most so many rows; default {SHOWN} for people, else all.",
    ),
]


def _writable(path: Path | None) -> Path | None:
    """Before anything is done: an import that cannot write its rejects must not have happened. Raises OSError."""
    if path is not None:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return path


def out_file(*names: str, **what: Any) -> Any:
    """The option of a file that the command writes; an argument where it has no name."""
    return (
        typer.Option(*names, callback=_writable, **what)
        if names
        else typer.Argument(callback=_writable, **what)
    )


def apart(option: str, path: Path | None, other: Path, what: str) -> None:
    """Raise UsageError where a command would write its file over another one, which is `what`."""
    if path is not None and path.resolve() == other.resolve():
        raise UsageError(f"{option} {path} is {what}", "name another file")


LeadFileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The lead list, a CSV file.")]


def e164(number: str, named: str) -> None:
    """Raise UsageError unless it is written as +14155550100; `named`: what it was given as."""
    # Only commands that are given a number wait for the model of all options.
    from campaigns.services.campaign_config import check_values

    _, problems = check_values({"from": [number]})
    if problems:
        raise UsageError(f"{named} {number} is not an E.164 number", problems[0].remedy)


def pairs(given: Sequence[str], option: str, sample: str) -> dict[str, str]:
    """NAME=VALUE, repeated. Raises UsageError that shows `sample`."""
    found: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(f"{option} {pair} is not NAME=VALUE", f"write it as {option} {sample}")
        found[name.strip()] = value.strip()
    return found


def find_campaign(store: Store, name: str) -> Campaign:
    """The campaign of that name. Raises CampaignsError that lists the ones there are."""
    found = store.campaigns.by_name(name)
    if found is None:
        known = [campaign.name for campaign in store.campaigns.listed()]
        there = f"there are: {', '.join(known[:10])}" if known else "there is none in this home yet"
        raise CampaignsError(f"no campaign is named {name!r}", there)
    return found


def operator() -> str:
    """Who gives the command, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
