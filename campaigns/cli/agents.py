"""`campaigns agents` and `campaigns web-call`: the account's voice agents, as campaigns need them."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError

from campaigns.cli import options as given
from campaigns.cli.documents.account import Agent, AgentDetail, PublishedAgent, WebCall
from campaigns.cli.output import Output
from campaigns.domain.clock import from_ms
from campaigns.domain.errors import CampaignsError
from campaigns.retell import Agent as VoiceAgent
from campaigns.retell import RetellClient
from campaigns.retell.operations import OPERATIONS
from campaigns.runtime import open_retell
from campaigns.services.report import iso
from campaigns.settings import load_settings

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer()
    group.callback(invoke_without_command=True)(agents)
    group.command("list")(list_agents)
    group.command("show")(show)
    group.command("publish")(publish)
    app.add_typer(group, name="agents")
    app.command("web-call")(web_call)


def agents(ctx: typer.Context, as_json: given.Json = False) -> None:
    """The account's voice agents: list, show, publish. Without a command it lists them.

    Example: campaigns agents
    """
    if ctx.invoked_subcommand is None:
        list_agents(as_json)


def list_agents(as_json: given.Json = False) -> None:
    """The account's voice agents.

    Example: campaigns agents list
    """
    out = Output(as_json)
    with open_retell(load_settings()) as retell:
        rows = [Agent(**_line(agent)) for agent in retell.list_agents()]
    out.document(rows)
    if not as_json:
        out.table("Agents", ["agent", "name", "version"], [[r.agent, r.name, r.version] for r in rows])


def _line(agent: VoiceAgent) -> dict[str, Any]:
    return {
        "agent": agent.agent_id,
        "name": agent.agent_name,
        "version": agent.version,
        "channel": agent.channel,
        "suspended": agent.is_suspended,
    }


def show(agent: AgentArgument, as_json: given.Json = False) -> None:
    """One agent: whether it is published, how long it rings and talks, what it extracts, its numbers.

    Example: campaigns agents show agent_abc123
    """
    out = Output(as_json)
    with open_retell(load_settings()) as retell:
        found = retell.get_agent(agent)
        numbers = [n.phone_number for n in retell.list_phone_numbers() if agent in n.outbound_agent_ids]
    languages = [found.language] if isinstance(found.language, str) else found.language or []
    detail = AgentDetail(
        **_line(found),
        published=found.is_published,
        voice=found.voice_id,
        language=", ".join(languages) or None,
        ring_seconds=_seconds(found.ring_duration_ms),
        max_call_seconds=_seconds(found.max_call_duration_ms),
        webhook_url=found.webhook_url,
        dnc_detection=found.enable_dnc_detection,
        analysis_fields=[str(field.get("name")) for field in found.post_call_analysis_data or ()],
        numbers=numbers,
    )
    out.document(detail)
    if not as_json:
        out.fields(detail)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def publish(
    agent: AgentArgument,
    version: Annotated[
        int | None,
        typer.Option("--version", metavar="N", help="Default: its newest version.", min=0, max=given.MOST),
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Publish a draft version of an agent: what callers hear from now on.

    Example: campaigns agents publish agent_abc123
    """
    out = Output(as_json)
    with open_retell(load_settings()) as retell:
        found = retell.get_agent(agent)
        wanted = found.version if version is None else version
        if wanted == found.version and found.is_published:
            out.note(f"version {wanted} of {agent} is published already")
        else:
            if wanted is None:
                raise CampaignsError(f"Retell does not tell the version of {agent}", "name it with --version")
            retell.perform(OPERATIONS["publish-agent-version"], {"agent_id": agent}, {"version": wanted})
            out.note(f"version {wanted} of {agent} is published")
    out.document(PublishedAgent(agent=agent, version=wanted, published=True))


class _Token(BaseModel):
    call_id: str
    access_token: str
    expires_at: int | None = None


def web_call(
    agent: AgentArgument,
    variables: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="NAME=VALUE", help="A dynamic variable of the prompt. Repeatable."),
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="V", help="A number, or a tag as latest.")
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Make a web call, to try an agent from a browser before a campaign. It rings nobody.

    Example: campaigns web-call agent_abc123 --var first_name=Ann
    """
    out = Output(as_json)
    body: dict[str, object] = {"agent_id": agent}
    if version is not None:
        body["agent_version"] = int(version) if version.isdecimal() else version
    if variables:
        body["retell_llm_dynamic_variables"] = given.pairs(variables, "--var", "first_name=Ann")
    with open_retell(load_settings()) as retell:
        token = _token(retell, body)
    call = WebCall(
        agent=agent,
        call_id=token.call_id,
        access_token=token.access_token,
        expires_at=None if token.expires_at is None else iso(from_ms(token.expires_at)),
    )
    out.document(call)
    if not as_json:
        sys.stdout.write(f"{call.access_token}\n")
        until = f" until {call.expires_at}" if call.expires_at else ""
        out.note(f"web call {call.call_id}: start it with this access token in Retell's web client{until}")


def _token(retell: RetellClient, body: dict[str, object]) -> _Token:
    try:
        return _Token.model_validate(retell.perform(OPERATIONS["create-web-call"], {}, body))
    except ValidationError:
        raise CampaignsError(
            "Retell's answer holds no access token", "look at it with `campaigns retell create-web-call`"
        ) from None
