"""States of a campaign, a lead and an attempt, and every transition that may happen.

These tables are the one source: the database's CHECK constraints are made from them, the store refuses
other transitions, and a test holds the diagram in docs/states.md equal to them.
"""

from __future__ import annotations

from enum import StrEnum


class CampaignState(StrEnum):
    DRAFT = "draft"  # leads may be imported; nothing is dialed
    SCHEDULED = "scheduled"  # launched, waits for its start
    RUNNING = "running"  # leads are dialed
    PAUSED = "paused"  # no new dials; polling and reconciling go on; `reason` says why
    COMPLETED = "completed"  # every lead is in a final state or held
    CANCELLED = "cancelled"  # given up by the operator; calls in progress still end in the books


class LeadState(StrEnum):
    PENDING = "pending"  # to be dialed at or after next_attempt_at
    IN_FLIGHT = "in_flight"  # has exactly one open attempt
    REACHED = "reached"  # final: somebody was spoken to
    EXHAUSTED = "exhausted"  # final: the retry policy or the budget has nothing left
    SUPPRESSED = "suppressed"  # final: on a do-not-call list
    EXPIRED = "expired"  # final: the campaign ended before it could be dialed
    CANCELLED = "cancelled"  # final: the campaign was cancelled
    HELD = "held"  # waits for a person; hold_code says why


class AttemptState(StrEnum):
    CLAIMED = "claimed"  # a slot is taken; nothing was sent
    DIALING = "dialing"  # committed before the first byte leaves
    PLACED = "placed"  # Retell gave a call id
    NOT_PLACED = "not_placed"  # final: never sent, or refused
    AMBIGUOUS = "ambiguous"  # it may be ringing: searched for, never repeated without proof
    ENDED = "ended"  # the provider says it is over; the slot is free
    SETTLED = "settled"  # final: outcome fixed, lead decided
    UNRESOLVED = "unresolved"  # nobody can say: the lead is held until a person does


CAMPAIGN_TRANSITIONS: dict[CampaignState, frozenset[CampaignState]] = {
    CampaignState.DRAFT: frozenset({CampaignState.SCHEDULED, CampaignState.RUNNING, CampaignState.CANCELLED}),
    CampaignState.SCHEDULED: frozenset(
        # Completed: its end came before anybody could start it.
        {CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.COMPLETED, CampaignState.CANCELLED}
    ),
    CampaignState.RUNNING: frozenset(
        {CampaignState.PAUSED, CampaignState.COMPLETED, CampaignState.CANCELLED}
    ),
    # Scheduled again when it is resumed before its start; completed when its end comes while it is paused.
    CampaignState.PAUSED: frozenset(
        {
            CampaignState.RUNNING,
            CampaignState.SCHEDULED,
            CampaignState.COMPLETED,
            CampaignState.CANCELLED,
        }
    ),
    # A later import or an operator's release of held leads gives a completed campaign work again.
    CampaignState.COMPLETED: frozenset({CampaignState.RUNNING, CampaignState.SCHEDULED}),
    CampaignState.CANCELLED: frozenset(),
}

LEAD_TRANSITIONS: dict[LeadState, frozenset[LeadState]] = {
    LeadState.PENDING: frozenset(
        {
            LeadState.IN_FLIGHT,
            LeadState.SUPPRESSED,
            LeadState.EXPIRED,
            LeadState.CANCELLED,
            LeadState.HELD,
        }
    ),
    LeadState.IN_FLIGHT: frozenset(
        {
            LeadState.PENDING,
            LeadState.REACHED,
            LeadState.EXHAUSTED,
            LeadState.HELD,
            LeadState.SUPPRESSED,
            LeadState.CANCELLED,
        }
    ),
    # In flight again when the call of its unresolved attempt turns up after all.
    LeadState.HELD: frozenset(
        {LeadState.PENDING, LeadState.IN_FLIGHT, LeadState.CANCELLED, LeadState.SUPPRESSED}
    ),
    # Again only by an operator's recycling.
    LeadState.REACHED: frozenset({LeadState.PENDING}),
    LeadState.EXHAUSTED: frozenset({LeadState.PENDING}),
    LeadState.SUPPRESSED: frozenset(),
    LeadState.EXPIRED: frozenset(),
    LeadState.CANCELLED: frozenset(),
}

ATTEMPT_TRANSITIONS: dict[AttemptState, frozenset[AttemptState]] = {
    AttemptState.CLAIMED: frozenset({AttemptState.DIALING, AttemptState.NOT_PLACED}),
    AttemptState.DIALING: frozenset({AttemptState.PLACED, AttemptState.NOT_PLACED, AttemptState.AMBIGUOUS}),
    AttemptState.AMBIGUOUS: frozenset(
        {AttemptState.PLACED, AttemptState.DIALING, AttemptState.NOT_PLACED, AttemptState.UNRESOLVED}
    ),
    AttemptState.PLACED: frozenset({AttemptState.ENDED, AttemptState.UNRESOLVED}),
    AttemptState.ENDED: frozenset({AttemptState.SETTLED}),
    # An operator's word (`campaigns resolve`) or the provider's late one still closes it properly.
    AttemptState.UNRESOLVED: frozenset({AttemptState.PLACED, AttemptState.NOT_PLACED}),
    AttemptState.NOT_PLACED: frozenset(),
    AttemptState.SETTLED: frozenset(),
}

#: Attempts that were sent, or may have been, and are not known to be calls.
UNDERWAY = frozenset({AttemptState.DIALING, AttemptState.AMBIGUOUS})
#: Attempts that are not known to be calls, and may become some: in a batch, its tasks that wait.
WAITING = UNDERWAY | {AttemptState.CLAIMED}
#: Attempts that occupy a line: an ambiguous one may be a live call.
SLOT_HOLDING = WAITING | {AttemptState.PLACED}
#: Attempts that keep their lead in flight and their number from being dialed by anyone else of ours.
OPEN_ATTEMPT = SLOT_HOLDING | {AttemptState.ENDED}
#: Attempts for which a call id must be known.
WITH_CALL = frozenset({AttemptState.PLACED, AttemptState.ENDED, AttemptState.SETTLED})

#: Nothing by itself dials these again.
FINAL_LEAD = frozenset(
    {
        LeadState.REACHED,
        LeadState.EXHAUSTED,
        LeadState.SUPPRESSED,
        LeadState.EXPIRED,
        LeadState.CANCELLED,
    }
)
FINAL_CAMPAIGN = frozenset({CampaignState.COMPLETED, CampaignState.CANCELLED})
#: Hold code of a lead whose attempt nobody can account for: `campaigns resolve` frees it, nothing else.
UNRESOLVED_CODE = "unresolved_attempt"
