"""Every setting of the simulator, with its default.

The defaults describe an ordinary account that behaves: 20 concurrent calls, no faults, lists without lag.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from campaigns.simulator.faults import parse_faults
from campaigns.simulator.plans import parse_outcomes

NumberType = Literal["retell-twilio", "retell-telnyx", "custom"]
NUMBER_TYPES: tuple[NumberType, ...] = ("retell-twilio", "retell-telnyx", "custom")
BASE_CONCURRENCY = 20
PURCHASE_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Number:
    """A phone number of the simulated account; its calls use `agent_id` unless they override it."""

    number: str
    type: NumberType = "retell-twilio"
    agent_id: str = "agent_simulator_sales"
    nickname: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """A voice agent of the simulated account."""

    agent_id: str
    name: str
    version: int = 1


DEFAULT_NUMBERS = (
    Number("+14155550100", "retell-twilio", "agent_simulator_sales", "San Francisco"),
    Number("+12125550101", "retell-telnyx", "agent_simulator_sales", "New York"),
    Number("+13125550102", "custom", "agent_simulator_service", "Chicago trunk"),
)
DEFAULT_AGENTS = (
    Agent("agent_simulator_sales", "Simulated sales agent", 3),
    Agent("agent_simulator_service", "Simulated service agent", 1),
)


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """Settings of one simulator. Raises ValueError, naming the field, for a value that makes no sense.

    Real seconds are those of the wall clock; business seconds those of the injected clock.
    """

    concurrency: int = 20
    """The org's limit of concurrent calls."""
    burst: bool = False
    """Burst mode: calls are accepted up to min(3 x concurrency, concurrency + 300)."""
    reserved_inbound: int = 0
    """Slots of the limit that outbound calls never get."""
    foreign: int = 0
    """Concurrent calls of somebody else in the same org."""
    cps: int = 0
    """Calls accepted per sliding real second; 0 is no limit."""
    overflow: Literal["429", "error"] = "429"
    """Over the concurrency limit: refuse with 429, or answer 201 with a call that ends as
    `error`/`concurrency_limit_reached` without ringing anybody."""

    seed: int = 0
    """Of outcomes and faults. An outcome depends on (seed, to_number, how often it was called before)."""
    speed: float = 1.0
    """Divides every planned duration. For the wall clock; leave it 1 where the clock itself is scaled."""
    outcomes: str = ""
    """The mix of outcomes as `NAME=WEIGHT,...` (see `plans.parse_outcomes`); empty for a realistic mix."""
    mean_call: float | None = None
    """Business seconds a call holds its slot on average, for benches: every call is then answered by a human
    and lasts uniformly 0.5 to 1.5 times this, unless `outcomes` says otherwise."""
    analysis_delay: tuple[float, float] = (2.0, 6.0)
    """Business seconds from a call's end to its analysis, lowest and highest."""
    unconnected_end_timestamp: bool = False
    """Whether a call that never connected gets an `end_timestamp`. Undocumented; absent is harder."""

    listing_lag: float = 0.0
    """Real seconds until list-calls shows a new call; get-call shows it at once."""
    list_registered: bool = True
    """Whether list-calls shows calls that are still ringing."""
    ignore_idempotency: bool = False
    """Behave like a server that does not know `idempotency_key`."""
    accept_any: bool = False
    """Accept any from_number and any agent id."""
    batch_bad_task: Literal["refuse", "skip"] = "refuse"
    """What one invalid task does to its batch."""
    faults: str = ""
    """Faults on request; see `faults.parse_faults` for the grammar."""

    numbers: tuple[Number, ...] = DEFAULT_NUMBERS
    agents: tuple[Agent, ...] = DEFAULT_AGENTS
    api_key: str | None = None
    """The only key that is accepted; None accepts every key that is not empty."""
    webhook_url: str | None = None
    """Where call_started, call_ended and call_analyzed are sent; None sends nothing."""
    webhook_backoff: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Real seconds before each retry of a webhook; its length is the number of retries."""
    webhook_timeout: float = 10.0
    """Real seconds a receiver may take to answer a webhook."""
    ledger: Path | None = None
    """A file of JSON lines that is appended to, and read when the simulator starts again."""

    def __post_init__(self) -> None:
        for name in ("concurrency", "reserved_inbound", "foreign", "cps"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise ValueError(f"{name} must be a whole number of at least 0, not {value!r}")
        if not self.speed > 0:
            raise ValueError(f"speed must be above 0, not {self.speed!r}")
        if self.mean_call is not None and not self.mean_call > 0:
            raise ValueError(f"mean_call must be above 0, not {self.mean_call!r}")
        low, high = self.analysis_delay
        if not 0 <= low <= high:
            raise ValueError(f"analysis_delay must be LOW-HIGH with 0 <= LOW <= HIGH, not {low}-{high}")
        if not self.listing_lag >= 0:
            raise ValueError(f"listing_lag must be at least 0, not {self.listing_lag!r}")
        if self.overflow not in ("429", "error"):
            raise ValueError(f"overflow must be 429 or error, not {self.overflow!r}")
        if self.batch_bad_task not in ("refuse", "skip"):
            raise ValueError(f"batch_bad_task must be refuse or skip, not {self.batch_bad_task!r}")
        for number in self.numbers:
            if number.type not in NUMBER_TYPES:
                raise ValueError(f"{number.type!r} is not a number type; known: {', '.join(NUMBER_TYPES)}")
        if self.api_key == "":
            raise ValueError("api_key must not be empty")
        parse_outcomes(self.outcomes)
        parse_faults(self.faults)

    @property
    def burst_limit(self) -> int:
        """As get-concurrency reports it: 0 while burst is off."""
        return min(3 * self.concurrency, self.concurrency + 300) if self.burst else 0

    @property
    def outbound_limit(self) -> int:
        """Concurrent calls of the org, foreign ones included, up to which an outbound call is accepted."""
        return max(self.concurrency, self.burst_limit) - self.reserved_inbound

    def changed(self, changes: dict[str, Any]) -> SimulatorConfig:
        """A copy with some settings replaced, for the control endpoint.

        Raises ValueError for an unknown setting, for one that is fixed while the simulator runs, or a bad
        value.
        """
        unknown = changes.keys() - CHANGEABLE
        if unknown:
            known = ", ".join(sorted(CHANGEABLE))
            raise ValueError(
                f"{', '.join(sorted(unknown))}: not a setting that can change; those are {known}"
            )
        changes = dict(changes)
        if "analysis_delay" in changes:
            changes["analysis_delay"] = tuple(changes["analysis_delay"])
        try:
            return replace(self, **changes)
        except TypeError as error:
            raise ValueError(f"a setting has the wrong type: {error}") from None


_FIXED = {
    "seed",
    "accept_any",
    "numbers",
    "agents",
    "api_key",
    "ledger",
    "webhook_backoff",
    "webhook_timeout",
}
CHANGEABLE = frozenset(field.name for field in fields(SimulatorConfig)) - _FIXED
"""Settings that POST /_simulator/settings may change while the simulator runs."""
