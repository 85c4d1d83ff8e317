"""`campaigns numbers`: the account's phone numbers, as campaigns need them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from campaigns.cli import options as given
from campaigns.cli.confirm import Yes, confirm
from campaigns.cli.documents.account import PhoneNumber, PhoneNumberDetail, PhoneNumberUse, ReleasedNumber
from campaigns.cli.output import Output
from campaigns.domain.caller_ids import cps_of
from campaigns.domain.entities import CampaignOptions
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.states import FINAL_CAMPAIGN
from campaigns.retell import PhoneNumber as Number
from campaigns.retell import RetellClient
from campaigns.retell.operations import OPERATIONS
from campaigns.runtime import clock_of, open_retell, open_store
from campaigns.services.account_numbers import note_numbers
from campaigns.services.report import iso
from campaigns.settings import Settings, load_settings

NumberArgument = Annotated[str, typer.Argument(metavar="NUMBER", help="E.164, as +14155550100.")]
OutboundAgents = Annotated[
    list[str] | None,
    typer.Option(
        "--outbound-agent", metavar="ID", help="Agent of its outbound calls. Several share them evenly."
    ),
]
Nickname = Annotated[
    str | None, typer.Option("--nickname", metavar="TEXT", help="A name of your own for it.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer()
    group.callback(invoke_without_command=True)(numbers)
    group.command("list")(list_numbers)
    group.command("show")(show)
    group.command("buy")(buy)
    group.command("import")(import_number)
    group.command("bind")(bind)
    group.command("rename")(rename)
    group.command("release")(release)
    app.add_typer(group, name="numbers")


def numbers(ctx: typer.Context, as_json: given.Json = False) -> None:
    """The account's phone numbers: list them, buy, bind, release. Without a command it lists them.

    Example: campaigns numbers
    """
    if ctx.invoked_subcommand is None:
        list_numbers(as_json)


def list_numbers(as_json: given.Json = False) -> None:
    """The account's phone numbers: their use in 24 hours, the cap, calls per second, and who rests.

    Example: campaigns numbers list
    """
    settings, out = load_settings(), Output(as_json)
    with open_retell(settings) as retell:
        listed = retell.list_phone_numbers()
    rows = _used(settings, listed)
    out.document(rows)
    if not as_json:
        out.table(
            "Numbers",
            ["number", "type", "nickname", "outbound agents", "24 hours", "cap", "calls/s", "state"],
            [
                [r.number, r.type, r.nickname, ", ".join(r.outbound_agents), r.used_24h, r.cap,
                 None if r.calls_per_second is None else f"{r.calls_per_second:g}",
                 _state(r)]
                for r in rows
            ],
        )  # fmt: skip


def _state(number: PhoneNumberUse) -> str | None:
    if not number.owned:
        return "not the account's"
    return f"rests until {number.resting_until}: {number.rest_reason}" if number.resting_until else None


def _used(settings: Settings, listed: Sequence[Number]) -> list[PhoneNumberUse]:
    """The account's numbers with their use, and numbers of campaigns that the account does not have."""
    store = open_store(settings)
    workspace = settings.workspace
    store.workspaces.ensure(workspace)
    note_numbers(store, workspace, listed)
    now = clock_of(settings, store, workspace).now()
    dialing: dict[str, list[CampaignOptions]] = {}
    for campaign in store.campaigns.listed(workspace):
        for number in campaign.options.from_numbers if campaign.state not in FINAL_CAMPAIGN else ():
            dialing.setdefault(number, []).append(campaign.options)
    lines = {number.phone_number: _line(number) for number in listed}
    for number in dialing:
        lines.setdefault(number, PhoneNumber(number=number, type=None, nickname=None, outbound_agents=[]))
    known, used = store.numbers.known(workspace), store.numbers.used(workspace, list(lines), now)
    ours = {number.phone_number for number in listed}
    found = []
    for number, line in lines.items():
        row, campaigns = known.get(number), dialing.get(number, [])
        rests = row and row.resting_until is not None and row.resting_until > now
        caps = [options.number_cap for options in campaigns if options.number_cap is not None]
        limits = [cps for options in campaigns if (cps := cps_of(line.type, options.cps)) is not None]
        found.append(
            PhoneNumberUse(
                **line.model_dump(),
                owned=number in ours,
                used_24h=used[number],
                cap=min(caps, default=None),
                calls_per_second=max(limits, default=None),
                resting_until=iso(row.resting_until) if rests and row and row.resting_until else None,
                rest_reason=row.rest_reason if rests and row else None,
            )
        )
    return found


def show(number: NumberArgument, as_json: given.Json = False) -> None:
    """One number: its agents, the countries it may call, the campaigns that dial with it.

    Example: campaigns numbers show +14155550100
    """
    settings, out = load_settings(), Output(as_json)
    given.e164(number, "NUMBER")
    with open_retell(settings) as retell:
        found = retell.get_phone_number(number)
    detail = PhoneNumberDetail(
        **_line(found).model_dump(),
        allowed_outbound_countries=list(found.allowed_outbound_country_list or ()),
        campaigns=_campaigns_with(settings, number),
    )
    out.document(detail)
    if not as_json:
        out.fields(detail)


def buy(
    area_code: Annotated[
        int | None, typer.Option("--area-code", metavar="NNN", help="US area code, as 415.", min=200, max=999)
    ] = None,
    number: Annotated[
        str | None, typer.Option("--number", metavar="NUMBER", help="This very number, E.164.")
    ] = None,
    country: Annotated[
        str | None, typer.Option("--country", metavar="CC", help="Two letters; default US.")
    ] = None,
    toll_free: Annotated[
        bool, typer.Option("--toll-free", help="A toll-free number, at a higher price.")
    ] = False,
    provider: Annotated[
        Literal["twilio", "telnyx"] | None, typer.Option("--provider", help="Default: Retell's own choice.")
    ] = None,
    outbound_agents: OutboundAgents = None,
    nickname: Nickname = None,
    yes: Yes = False,
    as_json: given.Json = False,
) -> None:
    """Buy a phone number and bind its agents. Retell charges the account for it until it is released.

    Example: campaigns numbers buy --area-code 415 --outbound-agent agent_abc123
    """
    out = Output(as_json)
    if number is not None:
        given.e164(number, "--number")
    if country is not None and not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise UsageError(f"--country {country} is not a country", "write its two letters, as US or GB")
    body = _given(
        area_code=area_code, phone_number=number, country_code=country and country.upper(),
        toll_free=toll_free or None, number_provider=provider, nickname=nickname,
    )  # fmt: skip
    with open_retell(load_settings()) as retell:
        body |= _bound(retell, outbound_agents)
        wish = ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in body.items() if name != "outbound_agents"
        )
        confirm(f"buys a phone number ({wish or 'any'}) for the account to pay", yes)
        _change(out, retell, "create-phone-number", {}, body, "bought")


def import_number(
    number: NumberArgument,
    termination_uri: Annotated[
        str, typer.Option("--termination-uri", metavar="URI", help="Of your SIP trunk, as x.pstn.twilio.com.")
    ],
    username: Annotated[
        str | None, typer.Option("--sip-username", metavar="NAME", help="Of the SIP trunk.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--sip-password-file", metavar="FILE", help="Holds the trunk's password; - is standard input."
        ),
    ] = None,
    outbound_agents: OutboundAgents = None,
    nickname: Nickname = None,
    as_json: given.Json = False,
) -> None:
    """Bring a number of a SIP trunk of your own.

    Example: campaigns numbers import +14155550100 --termination-uri x.pstn.twilio.com
    """
    out = Output(as_json)
    given.e164(number, "NUMBER")
    body = _given(
        phone_number=number, termination_uri=termination_uri, sip_trunk_auth_username=username,
        sip_trunk_auth_password=_password(password_file), nickname=nickname, ignore_e164_validation=False,
    )  # fmt: skip
    with open_retell(load_settings()) as retell:
        _change(out, retell, "import-phone-number", {}, body | _bound(retell, outbound_agents), "imported")


def bind(
    number: NumberArgument,
    outbound_agents: OutboundAgents = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="Take its outbound agents away.")] = False,
    as_json: given.Json = False,
) -> None:
    """Say which agents speak on a number's outbound calls.

    Example: campaigns numbers bind +14155550100 --outbound-agent agent_abc123
    """
    out = Output(as_json)
    given.e164(number, "NUMBER")
    if bool(outbound_agents) == nobody:
        raise UsageError("bind needs an agent", "give --outbound-agent ID, or --nobody to take them away")
    with open_retell(load_settings()) as retell:
        body = {"outbound_agents": []} if nobody else _bound(retell, outbound_agents)
        _change(out, retell, "update-phone-number", {"phone_number": number}, body, "bound")


def rename(
    number: NumberArgument,
    nickname: Annotated[str, typer.Argument(metavar="NICKNAME", help="A name of your own for it.")],
    as_json: given.Json = False,
) -> None:
    """Give a number a nickname.

    Example: campaigns numbers rename +14155550100 "front desk"
    """
    out = Output(as_json)
    given.e164(number, "NUMBER")
    with open_retell(load_settings()) as retell:
        _change(
            out, retell, "update-phone-number", {"phone_number": number}, {"nickname": nickname}, "renamed"
        )


def release(number: NumberArgument, yes: Yes = False, as_json: given.Json = False) -> None:
    """Give a number up. Somebody else may get it; refused while a campaign that is not over dials with it.

    Example: campaigns numbers release +14155550100
    """
    settings, out = load_settings(), Output(as_json)
    given.e164(number, "NUMBER")
    using = _campaigns_with(settings, number)
    if using:
        raise CampaignsError(
            f"{number} is what {', '.join(using)} dials with",
            "cancel the campaign, or wait until it is completed",
        )
    with open_retell(settings) as retell:
        found = retell.get_phone_number(number)
        confirm(f"gives up {found.phone_number} for good: Retell may give it to somebody else", yes)
        retell.perform(OPERATIONS["delete-phone-number"], {"phone_number": number})
    out.note(f"{number} is released")
    out.document(ReleasedNumber(number=number, released=True))


def _line(number: Number) -> PhoneNumber:
    return PhoneNumber(
        number=number.phone_number,
        type=number.phone_number_type,
        nickname=number.nickname,
        outbound_agents=list(number.outbound_agent_ids),
    )


def _campaigns_with(settings: Settings, number: str) -> list[str]:
    """Names of the campaigns of this home that are not over and dial with the number."""
    return [
        campaign.name
        for campaign in open_store(settings).campaigns.listed(settings.workspace)
        if campaign.state not in FINAL_CAMPAIGN and number in campaign.options.from_numbers
    ]


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _bound(retell: RetellClient, agents: Sequence[str] | None) -> dict[str, Any]:
    """The body's part that binds agents, each looked up first: a slip must not cost a number that cannot speak."""
    if not agents:
        return {}
    for agent in agents:
        retell.get_agent(agent)
    share = round(1 / len(agents), 4)
    weights = [share] * (len(agents) - 1)
    # Retell asks for weights that add up to 1.
    weights.append(round(1 - sum(weights), 4))
    return {
        "outbound_agents": [
            {"agent_id": agent, "weight": weight} for agent, weight in zip(agents, weights, strict=True)
        ]
    }


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"--sip-password-file {path} cannot be read", "check the path") from None
    return text.strip()


def _change(
    out: Output,
    retell: RetellClient,
    operation: str,
    arguments: dict[str, str],
    body: dict[str, Any],
    done: str,
) -> None:
    answer = retell.perform(OPERATIONS[operation], arguments, body)
    try:
        line = _line(Number.model_validate(answer))
    except ValidationError:
        raise CampaignsError(
            f"the number is {done}, but Retell's answer does not name it", "find it with `campaigns numbers`"
        ) from None
    if operation == "create-phone-number":
        out.line(line.number)  # which one it is is what the command was asked for
    else:
        out.note(f"{line.number} is {done}")
    out.document(line)
