"""Faults on request.

A specification is `NAME=VALUE[:ARG]`, separated by commas, as
`drop_after=5%,500_after=3%,slow=2%:1.5s,lag=3s`.

Faults of one request are `[ENDPOINT_]KIND[_before|_after]=PROBABILITY[:ARG]`. A probability is `5%` or
`0.05`.

    KIND       what the client sees                          without _before or _after
    500, 429…  that HTTP status (also `status_402`)          before: nothing was done
    drop       the connection is closed without an answer    after: the call was made
    reset      the connection is reset (TCP RST)             after
    hang       no answer, for ARG (until the client leaves)  after
    slow       the right answer, ARG late (default 1s)       after
    malformed  a 2xx whose body is cut in the middle         after
    ENDPOINT   none: create-phone-call; batch, get, list, concurrency, stop, numbers, agents, all

Faults of the world behind the API:

    analysis_never, never_ends                          a call's analysis never comes; a call never ends
    webhook_drop, webhook_duplicate, webhook_reorder    a webhook is lost; sent twice; sent late
    lag=3s                                              a call is listed only so long after its creation

A duration is `1.5s`, `200ms`, `2m`, or plain seconds. At most one fault strikes a request, so the
probabilities of one endpoint may add up to 100% at most. What comes after the work strikes only where there was work: a
request that is refused is answered so.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Literal

Kind = Literal["status", "drop", "reset", "hang", "slow", "malformed"]

SCOPES: dict[str, tuple[str, ...]] = {
    "": ("create-phone-call",),
    "batch": ("create-batch-call",),
    "get": ("get-call",),
    "list": ("list-calls",),
    "concurrency": ("get-concurrency",),
    "stop": ("stop-call",),
    "numbers": ("list-phone-numbers", "get-phone-number"),
    "agents": ("list-agents", "get-agent"),
}
SCOPES["all"] = tuple(endpoint for endpoints in SCOPES.values() for endpoint in endpoints)
ENDPOINTS = SCOPES["all"]
"""The names of the endpoints that faults can be set for."""
WORLD = ("analysis_never", "never_ends", "webhook_drop", "webhook_duplicate", "webhook_reorder")

_REQUEST = re.compile(
    r"(?:(?P<scope>batch|get|list|concurrency|stop|numbers|agents|all)_)?"
    r"(?:(?:status_)?(?P<status>[345][0-9]{2})|(?P<kind>drop|reset|hang|slow|malformed))"
    r"(?:_(?P<when>before|after))?"
)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|)")
_UNIT = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for a request to go wrong; `after`: only once the work was done."""

    kind: Kind
    after: bool = True
    status: int = 500
    seconds: float | None = None
    """Real seconds of a `hang` (None: for ever) or a `slow`."""


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A parsed specification."""

    requests: dict[str, tuple[tuple[float, Fault], ...]] = field(default_factory=dict)
    world: dict[str, float] = field(default_factory=dict)
    lag: float | None = None


def parse_faults(text: str) -> FaultSpec:
    """Read a specification in the grammar above. Raises ValueError, naming known faults or the remedy."""
    requests: dict[str, list[tuple[float, Fault]]] = {}
    world: dict[str, float] = {}
    lag: float | None = None
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ValueError(f"fault {part!r} has no value; write {name}=5%")
        if name == "lag":
            lag = _duration(value, part)
            continue
        probability_text, colon, argument = (piece.strip() for piece in value.partition(":"))
        probability = _probability(probability_text, part)
        if name in WORLD:
            if colon:
                raise ValueError(f"fault {part!r}: {name} takes no argument")
            world[name] = probability
            continue
        scope, fault = _request_fault(name, argument if colon else None, part)
        for endpoint in SCOPES[scope]:
            requests.setdefault(endpoint, []).append((probability, fault))
    for endpoint, faults in requests.items():
        if sum(probability for probability, _ in faults) > 1 + 1e-9:
            raise ValueError(f"the faults of {endpoint} add up to more than 100%")
    return FaultSpec({endpoint: tuple(faults) for endpoint, faults in requests.items()}, world, lag)


def _request_fault(name: str, argument: str | None, part: str) -> tuple[str, Fault]:
    match = _REQUEST.fullmatch(name)
    if match is None:
        scopes = ", ".join(scope for scope in SCOPES if scope)
        raise ValueError(
            f"unknown fault {name!r}; known: drop, reset, hang, slow, malformed, 500, 429, status_N, each "
            f"with _before or _after, and a prefix for another endpoint ({scopes}); {', '.join(WORLD)}; lag"
        )
    scope, status, when = match["scope"] or "", match["status"], match["when"]
    if status:
        if argument is not None:
            raise ValueError(f"fault {part!r}: a status takes no argument")
        return scope, Fault("status", after=when == "after", status=int(status))
    kind: Kind = match["kind"]  # type: ignore[assignment]
    if argument is not None and kind not in ("hang", "slow"):
        raise ValueError(f"fault {part!r}: {kind} takes no argument")
    if when == "before" and kind in ("slow", "malformed"):
        raise ValueError(f"fault {part!r}: {kind} is always after the work was done")
    seconds = _duration(argument, part) if argument is not None else (1.0 if kind == "slow" else None)
    return scope, Fault(kind, after=when != "before", seconds=seconds)


def _probability(text: str, part: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ValueError(f"fault {part!r}: {text!r} is not a probability, as 5% or 0.05") from None
    if not 0 <= value <= 1:
        raise ValueError(f"fault {part!r}: a probability lies between 0 and 100%")
    return value


def _duration(text: str, part: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"fault {part!r}: {text!r} is not a duration, as 1.5s or 200ms")
    return float(match[1]) * _UNIT[match[2]]


class Faults:
    """Decides which fault strikes a request: first what a test has scripted, then chance."""

    def __init__(self, spec: FaultSpec, seed: int) -> None:
        self.spec = spec
        self._seed = seed
        self._rngs: dict[str, Random] = {}
        self._scripted: dict[str, deque[Fault | None]] = {}

    def next(self, endpoint: str, *faults: Fault | None) -> None:
        """Queue one-shot faults for the coming requests of an endpoint, in order; None is an undisturbed
        answer.

        Raises ValueError for an unknown endpoint.
        """
        if endpoint not in ENDPOINTS:
            raise ValueError(f"unknown endpoint {endpoint!r}; known: {', '.join(ENDPOINTS)}")
        self._scripted.setdefault(endpoint, deque()).extend(faults)

    def draw(self, endpoint: str) -> Fault | None:
        """The fault for the request at hand, if any."""
        scripted = self._scripted.get(endpoint)
        if scripted:
            return scripted.popleft()
        faults = self.spec.requests.get(endpoint)
        if not faults:
            return None
        dice = self._dice(endpoint)
        for probability, fault in faults:
            dice -= probability
            if dice < 0:
                return fault
        return None

    def strikes(self, name: str) -> bool:
        """Whether a fault of the world (as `webhook_drop`) strikes now."""
        probability = self.spec.world.get(name, 0.0)
        return probability > 0 and self._dice(name) < probability

    def _dice(self, stream: str) -> float:
        # One stream per endpoint: polling more or less often must not change which dials fail.
        if stream not in self._rngs:
            self._rngs[stream] = Random(f"{self._seed}/{stream}")
        return self._rngs[stream].random()
