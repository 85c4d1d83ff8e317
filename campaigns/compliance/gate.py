"""The gate: may this lead be called now? Pure; asked in the claiming transaction and again right before the POST."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from campaigns.compliance.profiles import AT_ANY_TIME, Rules
from campaigns.domain.caps import released_at
from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import Allowed, Callee, Refused


def may_call(
    lead: Callee,
    now: datetime,
    rules: Rules,
    history: Sequence[int] | None,
    suppression: bool | None,
) -> Allowed | Refused:
    """The whole answer, for one lead at one instant.

    history: when the number was dialed over all campaigns (business ms), as far back as the longest cap.
    suppression: whether it is on a do-not-call list. None for either: nobody looked. Fails closed: what is unknown is
    refused, unless the profile asks for nothing that depends on it; do-not-call is never lifted.
    """
    if suppression is None:
        return Refused("suppression_unknown", None, "nobody looked into the do-not-call list")
    if suppression:
        return Refused("suppressed", None, "the number is on a do-not-call list")
    terms = rules.terms(lead)
    if terms.problem is not None:
        code, why = terms.problem
        return Refused(code, None, why)
    free_at: int | None = None
    if terms.caps:
        if history is None:
            return Refused("history_unknown", None, "nobody looked how often the number was dialed")
        free_at = released_at(terms.caps, history, to_ms(now))
    openings = terms.openings
    until = now + AT_ANY_TIME if openings is None else openings.until(now)
    if until is not None and free_at is None:
        return Allowed(until)
    earliest = now if free_at is None else from_ms(free_at)
    opening = earliest if openings is None else openings.next(earliest)
    zones = ", ".join(lead.zones)
    if opening is None:
        return Refused("window_never_opens", None, f"no window is open in {zones} at the same time")
    if free_at is not None:
        caps = " and ".join(map(str, terms.caps))
        return Refused("over_cap", opening, f"the number was dialed often enough: at most {caps}")
    return Refused("window_closed", opening, f"outside the calling window in {zones}")


def remedy_for(refused: Refused) -> str:
    """What an operator can do about a lead that is refused for good: why it is held, in one line."""
    remedy = {
        "unknown_timezone": "correct the lead's time zone, then release it",
        "window_never_opens": "give the lead its one time zone",
        "no_rules": "dial it with --profile none and a --window of your own, or cancel it",
    }.get(refused.code, "look with `campaigns explain`")
    return f"{refused.why}: {remedy}"
