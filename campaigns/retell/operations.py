"""Every operation of Retell's API that the program knows: one row each, nothing but data.

Method, path and query parameters are those of Retell's SDK (a test holds the table against it). `perform` of the
client sends any row; `campaigns retell` makes a command of each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Danger(StrEnum):
    """What an operation does that cannot be taken back; its word completes "this ..."."""

    DELETES = "deletes"
    BUYS = "buys"
    HANGS_UP = "hangs up"
    RINGS = "rings"


class Paging(StrEnum):
    """Where the page of a list is named: `limit`, `sort_order` and `pagination_key`."""

    QUERY = "query"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the path or the query. `kind`: str, int or bool; `choices` where there are only these."""

    name: str
    help: str
    kind: type = str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `path` names its parameters in braces; `in_query` those of the query.

    `takes_body`: a JSON object, or with `form` a multipart form. `required` names the fields that its body must
    have. `reads`: asking twice changes nothing, whatever the method. `subject` is what it is about, in the plural.
    """

    name: str
    method: str
    path: str
    subject: str
    summary: str
    in_query: tuple[Parameter, ...] = ()
    takes_body: bool = False
    required: tuple[str, ...] = ()
    form: bool = False
    paging: Paging | None = None
    danger: Danger | None = None
    reads: bool = False

    @property
    def in_path(self) -> tuple[str, ...]:
        """The names of the parameters in the path, in its order."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def repeatable(self) -> bool:
        """Whether a try that failed may be repeated: reading, and hanging up, which does no harm twice."""
        return self.method == "GET" or self.reads or self.danger is Danger.HANGS_UP


#: What to do instead of a raw operation that rings.
NOT_RAW = (
    "dial with `campaigns run FILE`, which asks do-not-call, windows and caps first and records every call"
)

_PAGES = (
    Parameter("limit", "Items of a page, 1 to 1000.", int),
    Parameter("pagination_key", "Where the page begins: the key that the page before gave."),
    Parameter("sort_order", "Order of the items.", choices=("ascending", "descending")),
)
_VERSION = Parameter("version", "A version: its number, or a tag as latest or latest_published.")
_FORCE = Parameter("force_delete", "Even where an agent uses it.", bool)

_ROWS = (
    Operation("list-voices", "GET", "/list-voices", "voices", "All voices."),
    Operation("get-voice", "GET", "/get-voice/{voice_id}", "voices", "One voice."),
    Operation(
        "list-agents", "POST", "/v2/list-agents", "agents", "The agents.",
        in_query=_PAGES, takes_body=True, paging=Paging.QUERY, reads=True,
    ),
    Operation("get-agent", "GET", "/get-agent/{agent_id}", "agents", "One agent.", in_query=(_VERSION,)),
    Operation(
        "create-agent", "POST", "/create-agent", "agents", "Make an agent.",
        takes_body=True, required=("response_engine", "voice_id"),
    ),
    Operation(
        "update-agent", "PATCH", "/update-agent/{agent_id}", "agents", "Change the draft of an agent.",
        in_query=(_VERSION,), takes_body=True,
    ),
    Operation(
        "publish-agent-version", "POST", "/publish-agent-version/{agent_id}", "agents",
        "Publish a draft version of an agent.", takes_body=True, required=("version",),
    ),
    Operation(
        "delete-agent", "DELETE", "/delete-agent/{agent_id}", "agents", "Delete an agent, with all versions.",
        danger=Danger.DELETES,
    ),
    Operation(
        "list-retell-llms", "GET", "/v2/list-retell-llms", "LLMs", "The Retell LLM response engines.",
        in_query=_PAGES, paging=Paging.QUERY,
    ),
    Operation("get-retell-llm", "GET", "/get-retell-llm/{llm_id}", "LLMs", "One LLM.", in_query=(_VERSION,)),
    Operation("create-retell-llm", "POST", "/create-retell-llm", "LLMs", "Make an LLM.", takes_body=True),
    Operation(
        "update-retell-llm", "PATCH", "/update-retell-llm/{llm_id}", "LLMs", "Change an LLM.",
        in_query=(_VERSION,), takes_body=True,
    ),
    Operation(
        "delete-retell-llm", "DELETE", "/delete-retell-llm/{llm_id}", "LLMs", "Delete an LLM.",
        in_query=(_FORCE,), danger=Danger.DELETES,
    ),
    Operation(
        "list-conversation-flows", "GET", "/v2/list-conversation-flows", "conversation flows",
        "The conversation flows.", in_query=_PAGES, paging=Paging.QUERY,
    ),
    Operation(
        "get-conversation-flow", "GET", "/get-conversation-flow/{conversation_flow_id}", "conversation flows",
        "One conversation flow.", in_query=(_VERSION,),
    ),
    Operation(
        "create-conversation-flow", "POST", "/create-conversation-flow", "conversation flows",
        "Make a conversation flow.", takes_body=True, required=("nodes", "start_speaker"),
    ),
    Operation(
        "update-conversation-flow", "PATCH", "/update-conversation-flow/{conversation_flow_id}",
        "conversation flows", "Change a conversation flow.", in_query=(_VERSION,), takes_body=True,
    ),
    Operation(
        "delete-conversation-flow", "DELETE", "/delete-conversation-flow/{conversation_flow_id}",
        "conversation flows", "Delete a conversation flow.", in_query=(_FORCE,), danger=Danger.DELETES,
    ),
    Operation(
        "list-calls", "POST", "/v3/list-calls", "calls", "Calls, by filters; without transcripts.",
        takes_body=True, paging=Paging.BODY, reads=True,
    ),
    Operation("get-call", "GET", "/v2/get-call/{call_id}", "calls", "One call, with its transcript."),
    Operation(
        "update-call", "PATCH", "/v2/update-call/{call_id}", "calls",
        "Change what is stored about a call.", takes_body=True,
    ),
    Operation(
        "delete-call", "DELETE", "/v2/delete-call/{call_id}", "calls",
        "Delete a call with its transcript and recording: the evidence of it.", danger=Danger.DELETES,
    ),
    Operation(
        "stop-call", "POST", "/v2/stop-call/{call_id}", "calls", "Hang up a call in progress.",
        danger=Danger.HANGS_UP,
    ),
    Operation(
        "create-phone-call", "POST", "/v2/create-phone-call", "calls",
        "Ring a number. Refused here: campaigns dial, and nothing else does.",
        takes_body=True, required=("from_number", "to_number"), danger=Danger.RINGS,
    ),
    Operation(
        "create-batch-call", "POST", "/create-batch-call", "calls",
        "Ring many numbers. Refused here: campaigns dial, and nothing else does.",
        takes_body=True, required=("from_number", "tasks"), danger=Danger.RINGS,
    ),
    Operation(
        "create-web-call", "POST", "/v3/create-web-call", "calls",
        "A token with which a browser talks to an agent; rings nobody.", takes_body=True, required=("agent_id",),
    ),
    Operation(
        "list-phone-numbers", "GET", "/v2/list-phone-numbers", "phone numbers", "The phone numbers.",
        in_query=_PAGES, paging=Paging.QUERY,
    ),
    Operation(
        "get-phone-number", "GET", "/get-phone-number/{phone_number}", "phone numbers", "One phone number."
    ),
    Operation(
        "create-phone-number", "POST", "/create-phone-number", "phone numbers", "Buy a phone number.",
        takes_body=True, danger=Danger.BUYS,
    ),
    Operation(
        "import-phone-number", "POST", "/import-phone-number", "phone numbers",
        "Bring a number of a SIP trunk of your own.",
        takes_body=True, required=("phone_number", "termination_uri"),
    ),
    Operation(
        "update-phone-number", "PATCH", "/update-phone-number/{phone_number}", "phone numbers",
        "Change a phone number: its agents, its name.", takes_body=True,
    ),
    Operation(
        "delete-phone-number", "DELETE", "/delete-phone-number/{phone_number}", "phone numbers",
        "Give a phone number up; somebody else may get it.", danger=Danger.DELETES,
    ),
    Operation(
        "list-knowledge-bases", "GET", "/list-knowledge-bases", "knowledge bases", "All knowledge bases."
    ),
    Operation(
        "get-knowledge-base", "GET", "/get-knowledge-base/{knowledge_base_id}", "knowledge bases",
        "One knowledge base, with its sources.",
    ),
    Operation(
        "create-knowledge-base", "POST", "/create-knowledge-base", "knowledge bases", "Make a knowledge base.",
        takes_body=True, required=("knowledge_base_name",), form=True,
    ),
    Operation(
        "delete-knowledge-base", "DELETE", "/delete-knowledge-base/{knowledge_base_id}", "knowledge bases",
        "Delete a knowledge base with its sources.", danger=Danger.DELETES,
    ),
    Operation(
        "add-knowledge-base-sources", "POST", "/add-knowledge-base-sources/{knowledge_base_id}",
        "knowledge bases", "Add texts, addresses and files to a knowledge base.", takes_body=True, form=True,
    ),
    Operation(
        "delete-knowledge-base-source", "DELETE",
        "/delete-knowledge-base-source/{knowledge_base_id}/source/{source_id}", "knowledge bases",
        "Delete one source of a knowledge base.", danger=Danger.DELETES,
    ),
    Operation(
        "get-concurrency", "GET", "/get-concurrency", "account", "The account's limit of calls, and those in progress."
    ),
)  # fmt: skip

OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _ROWS}
"""By name; the name is that of the path."""
