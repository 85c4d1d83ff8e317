"""The gate: may this lead be called now? Pure, asked by the claim and again right before the POST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from campaigns.compliance.profiles import Rules
from campaigns.domain.windows import callable_until, next_opening


@dataclass(frozen=True, slots=True)
class Allowed:
    """Yes, and without a break until `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """No. next_at: when to ask again; None = never by itself."""

    code: str
    next_at: datetime | None
    why: str


def may_call(zones: Sequence[str], suppressed: bool, rules: Rules, now: datetime) -> Allowed | Refused:
    """Fails closed: a lead whose time zone is unknown is refused wherever a window applies."""
    if suppressed:
        return Refused("suppressed", None, "the number is on a do-not-call list")
    until = callable_until(rules.schedule, zones, now)
    if until is not None:
        return Allowed(until)
    if not zones:
        return Refused("unknown_timezone", None, "the callee's time zone is unknown")
    opening = next_opening(rules.schedule, zones, now)
    if opening is None:
        return Refused(
            "window_never_opens", None, f"no window is open in {', '.join(zones)} at the same time"
        )
    return Refused("window_closed", opening, f"outside the calling window in {', '.join(zones)}")
