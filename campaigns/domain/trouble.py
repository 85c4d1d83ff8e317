"""When a campaign should pause itself: failures that are ours, and that the next dial would meet as well."""

from __future__ import annotations

from collections.abc import Sequence

#: Key, payment, permission: one refusal is enough, since every dial meets it.
ACCOUNT_REFUSALS = frozenset({401, 402, 403})
#: Refused dials in a row, with none in between that passed, after which the campaign pauses.
REFUSALS_IN_A_ROW = 5


def pause_reason(latest: Sequence[tuple[int | None, str]], leads: int) -> str | None:
    """The reason to pause, or None.

    latest: the campaign's dials, newest first, each as (status, why): the HTTP status of a refusal, 0 = could not
    be sent, None = it was placed or may have been. leads: how many the campaign has; a short list has no five.
    An unreachable Retell is no reason: dialing stops by itself while the concurrency is unknown, and goes on after.
    """
    if latest and latest[0][0] in ACCOUNT_REFUSALS:
        return latest[0][1]
    enough = max(1, min(REFUSALS_IN_A_ROW, leads))
    row = [entry for entry in latest[:enough] if entry[0] not in (None, 0, 429)]
    if len(row) == enough:
        return f"the last {enough} dials failed: {row[0][1]}" if enough > 1 else row[0][1]
    return None
