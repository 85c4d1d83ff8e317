"""One call: what was asked for, its plan, and how the API shows it at an instant.

Nothing here changes as time passes, except that a call can be stopped: everything else is a function of the
record and the business time in milliseconds that is handed in.

    registered -> ongoing -> ended | error          the callee answered
    registered -> not_connected | error             nobody did
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from campaigns.simulator.plans import Plan

CallStatus = Literal["registered", "ongoing", "ended", "not_connected", "error"]
EVENTS = ("call_started", "call_ended", "call_analyzed")

# Cents per second, of the order of Retell's price list.
_PRICES = {"retell_engine": 7.0 / 60, "gpt_4_1": 4.5 / 60, "us_telephony": 1.5 / 60}


@dataclass(slots=True)
class Call:
    """A call of the simulated account."""

    call_id: str
    seq: int
    """Position in the order of creation, from 0."""
    from_number: str
    to_number: str
    agent_id: str
    agent_version: int
    agent_name: str
    created_ms: int
    """Business time of the dial."""
    created_real: float
    """Unix time of the dial, in seconds."""
    plan: Plan
    metadata: dict[str, Any] | None = None
    dynamic_variables: dict[str, str] | None = None
    sip_headers: dict[str, str] | None = None
    batch_call_id: str | None = None
    idempotency_key: str | None = None
    stopped_ms: int | None = None

    @property
    def rang(self) -> bool:
        """Whether a phone can have rung: not if the org was full and the call ended before it was dialed."""
        return self.plan.reason != "concurrency_limit_reached"

    @property
    def attempt_id(self) -> str | None:
        """The runner's own id of the attempt, from the metadata."""
        value = (self.metadata or {}).get("attempt_id")
        return None if value is None else str(value)

    def connected_ms(self) -> int | None:
        """When the callee answers; None: never (also if it is stopped before)."""
        if self.plan.talk_ms is None:
            return None
        at = self.created_ms + self.plan.ring_ms
        return None if self.stopped_ms is not None and self.stopped_ms <= at else at

    def ends_ms(self) -> int | None:
        """When it is over; None: never, as it is stuck."""
        if self.stopped_ms is not None:
            return self.stopped_ms
        length = self.plan.end_ms
        return None if length is None else self.created_ms + length

    def event_ms(self, event: str) -> int | None:
        """When a webhook event comes about; None: never."""
        if event == "call_started":
            return self.connected_ms()
        end = self.ends_ms()
        if event == "call_ended" or end is None:
            return end
        return None if self.plan.analysis_ms is None else end + self.plan.analysis_ms

    def over(self, now_ms: int) -> bool:
        """Whether it has ended, so that its slot is free."""
        end = self.ends_ms()
        return end is not None and end <= now_ms

    def status(self, now_ms: int) -> CallStatus:
        """The `call_status` at an instant."""
        connected = self.connected_ms()
        if self.over(now_ms):
            if self.stopped_ms is None:
                return self.plan.status
            return "not_connected" if connected is None else "ended"
        return "ongoing" if connected is not None and connected <= now_ms else "registered"

    def analyzed(self, now_ms: int) -> bool:
        """Whether the analysis has come."""
        at = self.event_ms("call_analyzed")
        return at is not None and at <= now_ms

    def start_timestamp(self, now_ms: int) -> int | None:
        """When the conversation began, if it did."""
        connected = self.connected_ms()
        return connected if connected is not None and connected <= now_ms else None

    def disconnection_reason(self, now_ms: int) -> str | None:
        """Why it ended, once it has."""
        if not self.over(now_ms):
            return None
        return self.plan.reason if self.stopped_ms is None else "manual_stopped"

    def duration_ms(self, now_ms: int) -> int | None:
        """How long they talked, once it is over; None if they never did."""
        start, end = self.start_timestamp(now_ms), self.ends_ms()
        return end - start if start is not None and end is not None and end <= now_ms else None

    def cost(self, now_ms: int) -> dict[str, Any] | None:
        """`call_cost`, in cents, once the call is over; a call that never connected costs nothing."""
        if not self.over(now_ms):
            return None
        seconds = -(-(self.duration_ms(now_ms) or 0) // 1000)
        products = [
            {"product": name, "unit_price": round(price, 7), "cost": round(price * seconds, 4)}
            for name, price in _PRICES.items()
            if seconds
        ]
        return {
            "product_costs": products,
            "total_duration_seconds": seconds,
            "total_duration_unit_price": round(sum(_PRICES.values()), 7) if seconds else 0,
            "combined_cost": round(sum(price * seconds for price in _PRICES.values()), 4),
        }

    def analysis(self, now_ms: int) -> dict[str, Any] | None:
        """`call_analysis`, once it has come."""
        if not self.analyzed(now_ms):
            return None
        plan, talked = self.plan, self.connected_ms() is not None
        stopped = self.stopped_ms is not None
        custom: dict[str, Any] = {}
        if talked:
            end = self.ends_ms() or 0
            after = None if stopped else plan.callback_after_ms
            custom = {
                "interested": plan.interested and not stopped,
                "do_not_call": plan.reason == "user_requested_dnc" and not stopped,
                "callback_time": None if after is None else _iso(end + after),
            }
        return {
            "call_summary": _summary(self.disconnection_reason(now_ms) or "", plan, talked),
            "in_voicemail": plan.in_voicemail and talked,
            "user_sentiment": plan.sentiment if talked else "Unknown",
            "call_successful": plan.successful and talked and not stopped,
            "custom_analysis_data": custom,
        }

    def show(self, now_ms: int, *, transcript: bool = True, unconnected_end: bool = False) -> dict[str, Any]:
        """The call object of the API. A list of API version 3 leaves the transcript out.

        `unconnected_end`: whether a call that never connected has an `end_timestamp`.
        """
        shown: dict[str, Any] = {
            "call_id": self.call_id,
            "call_type": "phone_call",
            "agent_id": self.agent_id,
            "agent_version": self.agent_version,
            "agent_name": self.agent_name,
            "call_status": self.status(now_ms),
            "direction": "outbound",
            "from_number": self.from_number,
            "to_number": self.to_number,
            "data_storage_setting": "everything",
            "opt_in_signed_url": False,
        }
        for name, value in (
            ("metadata", self.metadata),
            ("retell_llm_dynamic_variables", self.dynamic_variables),
            ("custom_sip_headers", self.sip_headers),
        ):
            if value is not None:
                shown[name] = value
        start = self.start_timestamp(now_ms)
        if start is not None:
            shown["start_timestamp"] = start
            shown["telephony_identifier"] = {
                "twilio_call_sid": "CA" + self.call_id.removeprefix("call_")[:27]
            }
        if not self.over(now_ms):
            return shown
        shown["disconnection_reason"] = self.disconnection_reason(now_ms)
        shown["call_cost"] = self.cost(now_ms)
        if start is not None:
            shown["end_timestamp"] = self.ends_ms()
            shown["duration_ms"] = self.duration_ms(now_ms)
            shown["recording_url"] = f"https://simulator.invalid/{self.call_id}/recording.wav"
            shown["public_log_url"] = f"https://simulator.invalid/{self.call_id}/public.log"
            if shown["disconnection_reason"] == "call_transfer":
                shown["transfer_destination"] = "+14155550199"
            if transcript:
                shown["transcript"], shown["transcript_object"] = _transcript(
                    self.plan, self.duration_ms(now_ms) or 0
                )
        elif unconnected_end:
            shown["end_timestamp"] = self.ends_ms()
        analysis = self.analysis(now_ms)
        if analysis is not None:
            shown["call_analysis"] = analysis
        return shown

    def to_json(self) -> dict[str, Any]:
        """The whole record, for the ledger's file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Call:
        """The record that `to_json` wrote."""
        return cls(**{**data, "plan": Plan(**data["plan"])})


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _summary(reason: str, plan: Plan, talked: bool) -> str:
    if not talked:
        return f"The call was not connected ({reason})."
    if plan.in_voicemail:
        return "The call reached a voicemail greeting; no conversation took place."
    if reason == "user_requested_dnc":
        return "The user asked not to be called again."
    if reason == "user_requested_callback":
        return "The user had no time and asked to be called back later."
    interest = "showed interest in the offer" if plan.interested else "was not interested"
    return f"The agent presented the offer; the user {interest}. The call ended with {reason}."


def _transcript(plan: Plan, duration_ms: int) -> tuple[str, list[dict[str, Any]]]:
    """The text, and the same as utterances with the time of every word, in seconds."""
    lines: list[tuple[str, str]] = [
        ("agent", "Hi, this is an automated assistant calling about your request.")
    ]
    if plan.in_voicemail:
        lines = [("user", "Please leave a message after the tone.")]
    elif plan.reason == "user_requested_dnc":
        lines += [("user", "Take me off your list and do not call again."), ("agent", "Understood, goodbye.")]
    elif plan.reason == "user_requested_callback":
        lines += [
            ("user", "I am busy, can you call me back later?"),
            ("agent", "Of course, talk to you then."),
        ]
    elif plan.sentiment != "Unknown":
        reply = "Yes, tell me more." if plan.interested else "No, thank you."
        lines += [("user", reply), ("agent", "Thank you for your time, goodbye.")]
    total = sum(len(text.split()) for _, text in lines)
    pace = min(0.4, duration_ms / 1000 / total)
    spoken, clock = [], 0.0
    for role, text in lines:
        words = []
        for word in text.split():
            words.append({"word": word, "start": round(clock, 3), "end": round(clock + pace, 3)})
            clock += pace
        spoken.append({"role": role, "content": text, "words": words})
    return "\n".join(f"{role.title()}: {text}" for role, text in lines) + "\n", spoken
