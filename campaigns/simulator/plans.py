"""A call's whole life, decided when it is created.

A `Plan` says what will happen and how long it takes; where the call stands at an instant is then a pure
function of the plan and the clock. The random numbers are seeded by (seed, to_number, nth call to that
number), so the same lead meets the same fate in every run, whatever the order or the timing of the dials.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Literal

FinalStatus = Literal["ended", "not_connected", "error"]

# Reasons of a call nobody answered, and the status it ends with.
UNANSWERED: dict[str, FinalStatus] = {
    "dial_no_answer": "not_connected",
    "dial_busy": "not_connected",
    "dial_failed": "not_connected",
    "user_declined": "not_connected",
    "invalid_destination": "not_connected",
    "marked_as_spam": "not_connected",
    "network_blocked": "not_connected",
    "telephony_provider_permission_denied": "error",
    "telephony_provider_unavailable": "error",
    "sip_routing_error": "error",
    "concurrency_limit_reached": "error",
    "no_concurrency_fallback": "error",
    "no_valid_payment": "error",
    "credit_exhausted": "error",
    "budget_reached": "error",
    "scam_detected": "error",
    "registered_call_timeout": "error",
    "error_user_not_joined": "error",
}
# Reasons of a call that was answered, and the status it ends with.
ANSWERED: dict[str, FinalStatus] = {
    "user_hangup": "ended",
    "agent_hangup": "ended",
    "user_requested_dnc": "ended",
    "user_requested_callback": "ended",
    "call_transfer": "ended",
    "transfer_bridged": "ended",
    "transfer_cancelled": "ended",
    "call_take_over": "ended",
    "voicemail_reached": "ended",
    "ivr_reached": "ended",
    "inactivity": "ended",
    "max_duration_reached": "ended",
    "manual_stopped": "ended",
    "error_llm_websocket_open": "error",
    "error_llm_websocket_lost_connection": "error",
    "error_llm_websocket_runtime": "error",
    "error_llm_websocket_corrupt_payload": "error",
    "error_no_audio_received": "error",
    "error_asr": "error",
    "error_retell": "error",
    "error_unknown": "error",
}
REASONS = UNANSWERED.keys() | ANSWERED.keys()
"""Every `disconnection_reason` the simulator can produce: those of the official SDK."""

# Two names that are not reasons: `human` is either side hanging up, `hidden_voicemail` a user_hangup that
# only the analysis reveals to have been a machine.
HUMAN, HIDDEN_VOICEMAIL = "human", "hidden_voicemail"

DEFAULT_OUTCOMES: dict[str, float] = {
    "human": 38,
    "dial_no_answer": 22,
    "voicemail_reached": 16,
    "hidden_voicemail": 4,
    "dial_busy": 4,
    "user_declined": 3.5,
    "dial_failed": 2.5,
    "inactivity": 2,
    "user_requested_callback": 2,
    "ivr_reached": 1.5,
    "invalid_destination": 1.5,
    "call_transfer": 1.2,
    "user_requested_dnc": 0.8,
    "marked_as_spam": 0.2,
    "network_blocked": 0.1,
    "telephony_provider_unavailable": 0.2,
    "error_llm_websocket_open": 0.15,
    "error_no_audio_received": 0.15,
    "error_unknown": 0.2,
}
BENCH_OUTCOMES: dict[str, float] = {"human": 1}

_INSTANT = {
    "concurrency_limit_reached",
    "no_valid_payment",
    "credit_exhausted",
    "budget_reached",
    "scam_detected",
}
_MACHINE = {"voicemail_reached", "ivr_reached"}
MAX_CALL_SECONDS = 3600.0
RING_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What will become of a call. Durations are business milliseconds, already divided by the speed."""

    ring_ms: int
    talk_ms: int | None
    """None: never connected."""
    reason: str
    status: FinalStatus
    in_voicemail: bool
    analysis_ms: int | None
    """From the end to the analysis; None: it never comes."""
    sentiment: Literal["Negative", "Positive", "Neutral", "Unknown"]
    successful: bool
    interested: bool
    callback_after_ms: int | None = None
    """From the end to the moment the callee asked to be called back."""
    endless: bool = False
    """A stuck call: it rings or talks for ever."""

    @property
    def end_ms(self) -> int | None:
        """From the dial to the end; None: never."""
        return None if self.endless else self.ring_ms + (self.talk_ms or 0)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, in business seconds before `speed` divides them."""

    mean_call: float | None = None
    analysis_delay: tuple[float, float] = (2.0, 6.0)
    speed: float = 1.0


def parse_outcomes(spec: str) -> dict[str, float]:
    """Read a mix of outcomes as `human=40,dial_busy=10,...`; weights need not add up to anything. Empty: no
    mix.

    Names are disconnection reasons, `human`, and `hidden_voicemail` (a user_hangup that the analysis
    unmasks). Raises ValueError for an unknown name or a bad weight.
    """
    mix: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in spec.split(","))):
        name, _, weight = (piece.strip() for piece in part.partition("="))
        check_outcome(name)
        try:
            mix[name] = float(weight)
        except ValueError:
            raise ValueError(f"{part!r} is not NAME=WEIGHT, as human=40") from None
        if not 0 <= mix[name] < math.inf:
            raise ValueError(f"{part!r}: a weight is a number of at least 0")
    if mix and not sum(mix.values()) > 0:
        raise ValueError("at least one outcome needs a weight above 0")
    return mix


def default_outcomes(mean_call: float | None) -> dict[str, float]:
    """The mix where none is asked for: a realistic one, or for benches (with a mean call) only humans."""
    return DEFAULT_OUTCOMES if mean_call is None else BENCH_OUTCOMES


def check_outcome(name: str) -> None:
    """Raise ValueError, naming the known ones, if there is no such outcome."""
    if name not in REASONS and name not in (HUMAN, HIDDEN_VOICEMAIL):
        raise ValueError(
            f"unknown outcome {name!r}; known: human, hidden_voicemail, {', '.join(sorted(REASONS))}"
        )


def plan_call(
    seed: int,
    to_number: str,
    nth: int,
    mix: dict[str, float],
    pace: Pace,
    *,
    outcome: str | None = None,
    analysis_never: float = 0.0,
    never_ends: float = 0.0,
) -> Plan:
    """Decide the life of the nth call (from 0) to a number.

    `outcome` overrules the mix; `analysis_never` and `never_ends` are probabilities of those two faults.
    """
    rng = Random(f"{seed}/{to_number}/{nth}")
    drawn = rng.choices(list(mix), list(mix.values()))[0]
    name = outcome or drawn
    hidden = name == HIDDEN_VOICEMAIL
    if name == HUMAN:
        reason = "user_hangup" if rng.random() < 0.6 else "agent_hangup"
    else:
        reason = "user_hangup" if hidden else name
    answered = reason in ANSWERED
    ring, talk = _durations(rng, reason, hidden, pace.mean_call)
    machine = hidden or reason == "voicemail_reached"
    human = answered and not machine and ANSWERED[reason] == "ended" and reason not in _MACHINE
    interested = human and reason not in ("user_requested_dnc", "inactivity") and rng.random() < 0.3
    sentiment: Literal["Negative", "Positive", "Neutral", "Unknown"] = "Unknown"
    if human:
        sentiment = "Positive" if interested else rng.choice(["Neutral", "Neutral", "Negative"])
    if reason == "user_requested_dnc":
        sentiment = "Negative"
    # Every draw is made whether or not it is used, so that switching a fault on changes nothing else.
    analysis = rng.uniform(*pace.analysis_delay)
    callback = rng.randint(2, 48) * 1800
    analysis_lost, endless = rng.random() < analysis_never, rng.random() < never_ends
    return Plan(
        ring_ms=_ms(ring, pace.speed),
        talk_ms=_ms(talk, pace.speed) if answered else None,
        reason=reason,
        status=ANSWERED[reason] if answered else UNANSWERED[reason],
        in_voicemail=machine,
        analysis_ms=None if analysis_lost else _ms(analysis, pace.speed),
        sentiment=sentiment,
        successful=human and reason != "inactivity",
        interested=interested,
        callback_after_ms=_ms(callback, pace.speed) if reason == "user_requested_callback" else None,
        endless=endless and reason not in _INSTANT,
    )


def _durations(rng: Random, reason: str, hidden: bool, mean_call: float | None) -> tuple[float, float]:
    """Seconds of ringing and of talking."""
    if reason in _INSTANT:
        return 0.0, 0.0
    if mean_call is not None:
        total = mean_call * rng.uniform(0.5, 1.5)
        ring = total * rng.uniform(0.05, 0.2)
        return (ring, total - ring) if reason in ANSWERED else (total, 0.0)
    if reason not in ANSWERED:
        if reason == "dial_no_answer":
            return RING_SECONDS, 0.0
        if reason == "user_declined":
            return rng.uniform(3, 15), 0.0
        return rng.uniform(0.5, 4), 0.0
    ring = rng.uniform(5, 28)
    if reason == "max_duration_reached":
        return ring, MAX_CALL_SECONDS
    if hidden or reason in _MACHINE:
        return ring, rng.uniform(12, 40)
    if reason == "inactivity":
        return ring, rng.uniform(30, 60)
    if reason == "user_requested_dnc" or ANSWERED[reason] == "error":
        return ring, rng.uniform(4, 30)
    # exp(mu + sigma^2 / 2) is the mean of a lognormal: 100 s here, with a median of 72 s.
    sigma = 0.8
    return ring, min(max(rng.lognormvariate(math.log(100) - sigma**2 / 2, sigma), 3.0), MAX_CALL_SECONDS)


def _ms(seconds: float, speed: float) -> int:
    return round(seconds * 1000 / speed)
