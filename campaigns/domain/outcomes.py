"""What a call came to: Retell's `disconnection_reason` mapped to our few outcomes.

Source of the reasons: `disconnection_reason` of retell-sdk 6.2.13 (39 values); a test compares this table
with the installed SDK. A reason that is not in the table is `unknown`: held for a person, never retried.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    HUMAN = "human"
    MACHINE = "machine"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    DECLINED = "declined"
    CALLBACK = "callback"
    DO_NOT_CALL = "do_not_call"
    INVALID_NUMBER = "invalid_number"
    BLOCKED = "blocked"
    PLATFORM_ERROR = "platform_error"
    CONFIG_ERROR = "config_error"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


#: Outcomes in which a person was spoken to.
CONTACTS = frozenset({Outcome.HUMAN, Outcome.CALLBACK, Outcome.DO_NOT_CALL})


@dataclass(frozen=True, slots=True)
class Disposition:
    """The meaning of one disconnection reason.

    charged: whether it uses up one attempt of the lead's budget.
    max_retries: how many retries this reason may cause at most, whatever the policy allows; None = the policy.
    voicemail_decides: `in_voicemail` of the analysis turns it into a machine, so the analysis is worth waiting for.
    pauses: the trouble is ours (payment, permission): the campaign pauses with this reason.
    """

    outcome: Outcome
    charged: bool = True
    max_retries: int | None = None
    voicemail_decides: bool = False
    pauses: bool = False


_CONVERSATION = Disposition(Outcome.HUMAN, voicemail_decides=True)
_HUMAN = Disposition(Outcome.HUMAN)
_MACHINE = Disposition(Outcome.MACHINE)
_PLATFORM = Disposition(Outcome.PLATFORM_ERROR, charged=False)
_FAULT = Disposition(Outcome.PLATFORM_ERROR, max_retries=1)
_CONFIG = Disposition(Outcome.CONFIG_ERROR, charged=False, pauses=True)
_STOPPED = Disposition(Outcome.STOPPED)
_BLOCKED = Disposition(Outcome.BLOCKED, max_retries=1)

DISPOSITIONS: dict[str, Disposition] = {
    "user_hangup": _CONVERSATION,
    "agent_hangup": _CONVERSATION,
    "max_duration_reached": _CONVERSATION,
    "call_transfer": _HUMAN,
    "transfer_bridged": _HUMAN,
    "transfer_cancelled": _HUMAN,
    "call_take_over": _HUMAN,
    "user_requested_dnc": Disposition(Outcome.DO_NOT_CALL),
    "user_requested_callback": Disposition(Outcome.CALLBACK),
    "inactivity": Disposition(Outcome.MACHINE, max_retries=1),
    "voicemail_reached": _MACHINE,
    # Not in SDK 6.2.13, but named by Retell's documentation.
    "machine_detected": _MACHINE,
    "ivr_reached": _MACHINE,
    "dial_no_answer": Disposition(Outcome.NO_ANSWER),
    "dial_busy": Disposition(Outcome.BUSY),
    "user_declined": Disposition(Outcome.DECLINED, max_retries=1),
    "dial_failed": Disposition(Outcome.NO_ANSWER, max_retries=1),
    "invalid_destination": Disposition(Outcome.INVALID_NUMBER),
    "marked_as_spam": _BLOCKED,
    "network_blocked": _BLOCKED,
    "telephony_provider_permission_denied": _CONFIG,
    "telephony_provider_unavailable": _PLATFORM,
    "sip_routing_error": _PLATFORM,
    "concurrency_limit_reached": _PLATFORM,
    "no_valid_payment": _CONFIG,
    "credit_exhausted": _CONFIG,
    "budget_reached": _CONFIG,
    "scam_detected": _CONFIG,
    "error_llm_websocket_open": _FAULT,
    "error_llm_websocket_lost_connection": _FAULT,
    "error_llm_websocket_runtime": _FAULT,
    "error_llm_websocket_corrupt_payload": _FAULT,
    "error_no_audio_received": _FAULT,
    "error_asr": _FAULT,
    "error_retell": _FAULT,
    "error_unknown": _FAULT,
    "manual_stopped": _STOPPED,
    "registered_call_timeout": _STOPPED,
    "error_user_not_joined": _STOPPED,
    "no_concurrency_fallback": _STOPPED,
}

_UNKNOWN = Disposition(Outcome.UNKNOWN)
_VOICEMAIL = Disposition(Outcome.MACHINE)


def disposition(reason: str | None, in_voicemail: bool | None = None) -> Disposition:
    """The disposition of a call that is over.

    reason: Retell's `disconnection_reason`; None or a value not in the table is `unknown`.
    in_voicemail: of the call analysis; None while that is missing.
    """
    found = DISPOSITIONS.get(reason or "", _UNKNOWN)
    if found.voicemail_decides and in_voicemail:
        return _VOICEMAIL
    return found


def analysis_matters(reason: str | None, connected: bool) -> bool:
    """Whether to wait for the analysis before deciding the lead: only a call that connected has one."""
    return connected and disposition(reason).outcome in CONTACTS | {Outcome.MACHINE, Outcome.UNKNOWN}
