"""Checking the bodies of requests, as Retell does before it makes a call."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from campaigns.simulator.config import Agent, Number, SimulatorConfig

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
MAX_METADATA_BYTES = 50_000


class Refused(Exception):
    """The API refuses a request: an HTTP status, a message, and a word for the ledger."""

    def __init__(self, status: int, message: str, why: str) -> None:
        super().__init__(message)
        self.status, self.message, self.why = status, message, why


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A checked wish for one call."""

    from_number: str
    to_number: str
    agent: Agent
    metadata: dict[str, Any] | None
    dynamic_variables: dict[str, str] | None
    sip_headers: dict[str, str] | None


class Account:
    """The numbers and agents that requests may name."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.numbers = {number.number: number for number in config.numbers}
        self.agents = {agent.agent_id: agent for agent in config.agents}
        self._accept_any = config.accept_any

    def number(self, number: str) -> Number:
        """The number of ours; refused with 422 if it is not."""
        known = self.numbers.get(number)
        if known is not None:
            return known
        if self._accept_any:
            return Number(number, agent_id=next(iter(self.agents), "agent_simulator"))
        raise Refused(
            422, f"Cannot find requested asset under given api key: phone number {number}.", "unknown_number"
        )

    def agent(self, agent_id: str) -> Agent:
        """The agent; refused with 422 if there is none."""
        known = self.agents.get(agent_id)
        if known is not None:
            return known
        if self._accept_any:
            return Agent(agent_id, agent_id)
        raise Refused(
            422, f"Cannot find requested asset under given api key: agent {agent_id}.", "unknown_agent"
        )

    def check_call(self, body: dict[str, Any], from_number: str | None = None) -> CallRequest:
        """Check the fields that create-phone-call and a task of a batch share. Raises Refused."""
        own = self.number(from_number or _text(body, "from_number"))
        to_number = _text(body, "to_number")
        lenient = (
            body.get("ignore_e164_validation") is True and own.type == "custom" and to_number.isprintable()
        )
        if not lenient and not _E164.fullmatch(to_number):
            raise Refused(400, f"to_number {to_number!r} is not in E.164 format.", "invalid_number")
        agent_id = body.get("override_agent_id")
        if agent_id is not None and (not isinstance(agent_id, str) or not agent_id):
            raise bad("override_agent_id must be a string")
        version = body.get("override_agent_version")
        if version is not None and (isinstance(version, bool) or not isinstance(version, int | str)):
            raise bad("override_agent_version must be a whole number or a tag")
        if not isinstance(body.get("agent_override") or {}, dict):
            raise bad("agent_override must be an object")
        agent = self.agent(agent_id or own.agent_id)
        if type(version) is int:
            agent = Agent(agent.agent_id, agent.name, version)
        return CallRequest(
            own.number,
            to_number,
            agent,
            _metadata(body),
            _strings(body, "retell_llm_dynamic_variables"),
            _strings(body, "custom_sip_headers"),
        )


def bad(message: str, why: str = "bad_request") -> Refused:
    """A refusal with 400."""
    return Refused(400, f"Invalid request format, please check API reference. {message}.", why)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise bad(f"{name} is required and must be a string")
    return value


def _metadata(body: dict[str, Any]) -> dict[str, Any] | None:
    metadata = body.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise bad("metadata must be an object")
    if len(json.dumps(metadata, ensure_ascii=False).encode(errors="replace")) > MAX_METADATA_BYTES:
        raise bad("metadata must not be larger than 50 kB")
    return metadata


def _strings(body: dict[str, Any], name: str) -> dict[str, str] | None:
    values = body.get(name)
    if values is None:
        return None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise bad(f"{name} must be an object whose values are all strings")
    return values
