"""Whether the account can do what the campaigns want of it: its key, its lines, its numbers, its agents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from campaigns.domain.entities import Campaign
from campaigns.domain.states import FINAL_CAMPAIGN
from campaigns.retell import Agent, Concurrency, PhoneNumber, RetellClient, RetellNotFound
from campaigns.store import Store

#: Seconds by which the clock may differ from Retell's. Nothing is dialed in the last five minutes of a window, so a
#: minute still harms nobody; a machine that is off by more is not kept in time at all.
SKEW_SEEN, SKEW_BAD = 5.0, 60.0
#: Agents that are looked up one by one, at most.
_MOST_AGENTS = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. A warning or a failure has a remedy."""

    result: Literal["ok", "warning", "failure"]
    detail: str
    remedy: str = ""


def worst(findings: Sequence[Finding], fine: str) -> Finding:
    """All of the worst kind as one, their details and remedies joined; `fine` where there are none."""
    for result in ("failure", "warning"):
        found = [finding for finding in findings if finding.result == result]
        if found:
            remedies = dict.fromkeys(finding.remedy for finding in found)
            return Finding(result, "; ".join(one.detail for one in found), "; ".join(remedies))
    return Finding("ok", fine)


def skew(ahead: float | None) -> Finding:
    """Whether this machine's clock, so many seconds ahead of Retell's, can be trusted with windows."""
    if ahead is None:
        return Finding(
            "warning", "Retell's answer has no Date", "compare this machine's clock with another one"
        )
    way = "ahead of" if ahead > 0 else "behind"
    detail = f"{abs(ahead):.0f} s {way} Retell's" if abs(ahead) >= 1.5 else "as Retell's, to a second"
    if abs(ahead) > SKEW_BAD:
        return Finding("failure", detail, "set the clock before anybody is called; let NTP keep it")
    if abs(ahead) > SKEW_SEEN:
        return Finding("warning", detail, "let NTP keep this machine's clock")
    return Finding("ok", detail)


def lines(seen: Concurrency, own: int, reserve: int) -> Finding:
    """Whether any line is left for campaigns. `own`: attempts of ours that hold one. `reserve`: the operator's."""
    ceiling, current = seen.ceiling(reserve=reserve), seen.current_concurrency or 0
    if ceiling is None:
        return Finding("failure", "Retell does not tell the account's limit", "check RETELL_BASE_URL")
    foreign = max(0, current - own)
    detail = f"{current} of {seen.concurrency_limit} lines in use, {foreign} by others; {ceiling} for outbound calls"
    if reserve:
        detail += f", {reserve} kept free"
    if ceiling == 0 and seen.ceiling():
        return Finding("warning", detail, "set a smaller reserve: `campaigns concurrency --reserve N`")
    if ceiling == 0:
        return Finding("failure", detail, "lower the inbound reserve, or buy concurrency at Retell")
    if foreign >= ceiling:
        return Finding("warning", detail, "wait until others hang up, or buy concurrency at Retell")
    return Finding("ok", detail)


def numbers(owned: Sequence[PhoneNumber], campaigns: Iterable[Campaign]) -> Finding:
    """Whether every number that a campaign dials with is the account's, and knows who speaks."""
    if not owned:
        return Finding(
            "warning", "the account has no phone number", "buy one: `campaigns numbers buy --area-code 415`"
        )
    known = {number.phone_number: number for number in owned}
    found: list[Finding] = []
    used: set[str] = set()
    for campaign in campaigns:
        for number in campaign.options.from_numbers:
            used.add(number)
            if number not in known:
                found.append(
                    Finding(
                        "failure",
                        f"{number} of {campaign.name} is not a number of the account",
                        "name another one with `campaigns run ... --from`, or buy or import it",
                    )
                )
            elif not campaign.options.agents and not known[number].outbound_agent_ids:
                found.append(
                    Finding(
                        "failure",
                        f"{number} of {campaign.name} has no outbound agent",
                        f"`campaigns numbers bind {number} --outbound-agent ID`, or give the campaign an --agent",
                    )
                )
    bound = sum(bool(number.outbound_agent_ids) for number in owned)
    return worst(found, f"{len(owned)} numbers, {bound} with an outbound agent, {len(used)} in campaigns")


def speaking(
    retell: RetellClient, owned: Sequence[PhoneNumber], campaigns: Sequence[Campaign]
) -> dict[str, Agent | None]:
    """The agents that will speak for the campaigns (without campaigns: on all numbers), None for one that there is
    not. Raises RetellError.
    """
    used = {number for campaign in campaigns for number in campaign.options.from_numbers}
    wanted = dict.fromkeys(agent for campaign in campaigns for agent in campaign.options.agent_ids)
    for number in owned:
        if not used or number.phone_number in used:
            wanted |= dict.fromkeys(number.outbound_agent_ids)
    found: dict[str, Agent | None] = {}
    for agent_id in list(wanted)[:_MOST_AGENTS]:
        try:
            found[agent_id] = retell.get_agent(agent_id)
        except RetellNotFound:
            found[agent_id] = None
    return found


def agents(speakers: Mapping[str, Agent | None]) -> Finding:
    """Whether the agents that will speak exist, are published and not suspended."""
    found: list[Finding] = []
    for agent_id, agent in speakers.items():
        if agent is None:
            there = "`campaigns agents` lists those there are"
            found.append(Finding("failure", f"there is no agent {agent_id}", there))
        elif agent.is_suspended:
            found.append(
                Finding("failure", f"{agent_id} is suspended", "look at the agent in Retell's dashboard")
            )
        elif agent.is_published is False:
            found.append(
                Finding(
                    "warning",
                    f"version {agent.version} of {agent_id} is a draft: people may hear what is still being written",
                    f"`campaigns agents publish {agent_id}`",
                )
            )
    return worst(found, f"speaking: {len(speakers)}, all of them published")


def webhooks(speakers: Mapping[str, Agent | None], reach: Callable[[str], str | None]) -> Finding:
    """Whether something answers where the agents send webhooks. `reach`: URL -> what is wrong, None for nothing."""
    urls = dict.fromkeys(agent.webhook_url for agent in speakers.values() if agent and agent.webhook_url)
    if not urls:
        return Finding("ok", "none set: results are polled")
    found = [
        Finding(
            "warning",
            f"{url.partition('?')[0]}: {wrong}",
            "start the receiver, or correct the agent's webhook URL; until then results are polled",
        )
        for url in urls
        if (wrong := reach(url)) is not None
    ]
    return worst(found, f"answered: {', '.join(url.partition('?')[0] for url in urls)}")


def open_campaigns(store: Store, workspace: str) -> list[Campaign]:
    """The campaigns that are not over."""
    return [
        campaign for campaign in store.campaigns.listed(workspace) if campaign.state not in FINAL_CAMPAIGN
    ]
