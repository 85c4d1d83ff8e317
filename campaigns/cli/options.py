"""Options that several commands share, checked before anything is touched."""

from __future__ import annotations

import getpass
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from campaigns.compliance import PROFILES, rules_for
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.retry import DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY, RetryError, RetryPolicy
from campaigns.domain.windows import WindowError, zone

if TYPE_CHECKING:
    from campaigns.store import Store

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")]
LeadFileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The lead list, a CSV file.")]

From = Annotated[
    list[str] | None, typer.Option("--from", metavar="NUMBER", help="Number to call from, E.164. Repeatable.")
]
Agent = Annotated[
    str | None, typer.Option("--agent", metavar="ID", help="Retell agent; default: the number's own.")
]
Mode = Annotated[str | None, typer.Option("--mode", help="phone (create-phone-call).")]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", metavar="N", help="Calls in progress at most; default: the account's."),
]
Cps = Annotated[
    float | None,
    typer.Option(
        "--cps", metavar="N", help="Calls per second; default 1, and no limit against a local stand-in."
    ),
]
Profile = Annotated[
    str | None, typer.Option("--profile", help=f"Calling rules: {', '.join(PROFILES)}. Default us-sales.")
]
WindowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--window", metavar="SPEC", help="As 'Mon-Fri 09:00-20:00', by the callee's clock. Repeatable."
    ),
]
Timezone = Annotated[
    str | None, typer.Option("--timezone", metavar="ZONE", help="IANA zone of the leads that name none.")
]
Region = Annotated[
    str | None, typer.Option("--region", metavar="CC", help="Country of the numbers, default US.")
]
Retry = Annotated[
    str | None,
    typer.Option(
        "--retry", metavar="SPEC", help=f"none, or as no_answer:30m,2h;busy:10m. Default {DEFAULT_RETRY}"
    ),
]
MaxAttempts = Annotated[
    int | None,
    typer.Option("--max-attempts", metavar="N", help=f"Attempts per lead, default {DEFAULT_MAX_ATTEMPTS}."),
]
DncField = Annotated[
    str | None,
    typer.Option("--dnc-field", metavar="FIELD", help="Analysis field that says: never call again."),
]
CallbackField = Annotated[
    str | None,
    typer.Option(
        "--callback-field", metavar="FIELD", help="Analysis field with the time at which to call back."
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN", help="Name a column, as phone='Mobile no'. Repeatable."),
]


def changed_options(
    base: CampaignOptions,
    *,
    from_numbers: Sequence[str] | None = None,
    agent: str | None = None,
    mode: str | None = None,
    concurrency: int | None = None,
    cps: float | None = None,
    profile: str | None = None,
    windows: Sequence[str] | None = None,
    timezone: str | None = None,
    region: str | None = None,
    retry: str | None = None,
    max_attempts: int | None = None,
    mapping: Sequence[str] | None = None,
    dnc_field: str | None = None,
    callback_field: str | None = None,
) -> CampaignOptions:
    """`base` with what was given on the command line. Raises UsageError that names the remedy."""
    if mode not in (None, "phone"):
        raise UsageError(f"--mode {mode} is not available", "use --mode phone, which dials call by call")
    if concurrency is not None and concurrency < 1:
        raise UsageError("--concurrency must be at least 1", "use `campaigns pause` to stop dialing")
    if cps is not None and not 0 < cps <= 1000:
        raise UsageError("--cps must be above 0 and at most 1000", "leave it out for the default")
    if max_attempts is not None and max_attempts < 1:
        raise UsageError("--max-attempts must be at least 1", "leave it out for the default")
    if region is not None and not _is_region(region):
        raise UsageError(f"--region {region} is not a country", "write its two letters, as US or GB")
    for number in from_numbers or ():
        e164(number, "--from")
    given: dict[str, Any] = {
        "from_numbers": tuple(from_numbers) if from_numbers else None,
        "agent": agent,
        "mode": mode,
        "concurrency": concurrency,
        "cps": cps,
        "profile": profile,
        "windows": tuple(windows) if windows else None,
        "timezone": timezone,
        "region": region,
        "retry": retry,
        "max_attempts": max_attempts,
        "mapping": pairs(mapping, "--map", "phone='Mobile no'") if mapping else None,
        "dnc_field": dnc_field,
        "callback_field": callback_field,
    }
    options = replace(base, **{key: value for key, value in given.items() if value is not None})
    try:
        if options.timezone:
            zone(options.timezone)
        RetryPolicy.parse(options.retry, options.max_attempts)
    except (WindowError, RetryError) as error:
        raise UsageError(str(error)) from None
    rules_for(options.profile, options.windows)
    return options


def _is_region(region: str) -> bool:
    from campaigns.leads import is_region  # phone numbers take a tenth of a second to import

    return is_region(region)


def e164(number: str, named: str) -> None:
    """Raise UsageError unless it is written as +14155550100; `named`: what it was given as."""
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise UsageError(f"{named} {number} is not an E.164 number", "write it as +14155550100")


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
