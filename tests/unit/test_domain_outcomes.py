"""Retell's disconnection reasons and what each means for a lead."""

from __future__ import annotations

from typing import get_args

import pytest
from retell.types.phone_call_response import PhoneCallResponse

from campaigns.domain.outcomes import DISPOSITIONS, Disposition, Outcome, analysis_matters, disposition

HUMAN_UNLESS_VOICEMAIL = ("user_hangup", "agent_hangup", "max_duration_reached")
HUMAN = ("call_transfer", "transfer_bridged", "transfer_cancelled", "call_take_over")
MACHINE = ("voicemail_reached", "machine_detected", "ivr_reached")
BLOCKED = ("marked_as_spam", "network_blocked")
PLATFORM = ("telephony_provider_unavailable", "sip_routing_error", "concurrency_limit_reached")
CONFIG = (
    "no_valid_payment",
    "credit_exhausted",
    "budget_reached",
    "scam_detected",
    "telephony_provider_permission_denied",
)
FAULT = (
    "error_llm_websocket_open",
    "error_llm_websocket_lost_connection",
    "error_llm_websocket_runtime",
    "error_llm_websocket_corrupt_payload",
    "error_no_audio_received",
    "error_asr",
    "error_retell",
    "error_unknown",
)
STOPPED = ("manual_stopped", "registered_call_timeout", "error_user_not_joined", "no_concurrency_fallback")

EXPECTED: dict[str, Disposition] = {
    **dict.fromkeys(HUMAN_UNLESS_VOICEMAIL, Disposition(Outcome.HUMAN, voicemail_decides=True)),
    **dict.fromkeys(HUMAN, Disposition(Outcome.HUMAN)),
    "user_requested_dnc": Disposition(Outcome.DO_NOT_CALL),
    "user_requested_callback": Disposition(Outcome.CALLBACK),
    "inactivity": Disposition(Outcome.MACHINE, max_retries=1),
    **dict.fromkeys(MACHINE, Disposition(Outcome.MACHINE)),
    "dial_no_answer": Disposition(Outcome.NO_ANSWER),
    "dial_busy": Disposition(Outcome.BUSY),
    "user_declined": Disposition(Outcome.DECLINED, max_retries=1),
    "dial_failed": Disposition(Outcome.NO_ANSWER, max_retries=1),
    "invalid_destination": Disposition(Outcome.INVALID_NUMBER),
    **dict.fromkeys(BLOCKED, Disposition(Outcome.BLOCKED, max_retries=1)),
    **dict.fromkeys(PLATFORM, Disposition(Outcome.PLATFORM_ERROR, charged=False)),
    **dict.fromkeys(CONFIG, Disposition(Outcome.CONFIG_ERROR, charged=False, pauses=True)),
    **dict.fromkeys(FAULT, Disposition(Outcome.PLATFORM_ERROR, max_retries=1)),
    **dict.fromkeys(STOPPED, Disposition(Outcome.STOPPED)),
}


def sdk_reasons() -> set[str]:
    """The values of the installed SDK's Literal, out of its Optional."""
    annotation = PhoneCallResponse.model_fields["disconnection_reason"].annotation
    return {value for part in get_args(annotation) for value in get_args(part)}


def test_every_reason_of_the_installed_sdk_is_known() -> None:
    reasons = sdk_reasons()
    assert len(reasons) >= 39
    assert reasons - DISPOSITIONS.keys() == set()


def test_beyond_the_sdk_only_the_documented_one_is_known() -> None:
    assert DISPOSITIONS.keys() - sdk_reasons() <= {"machine_detected"}


def test_the_table_is_the_one_of_the_facts() -> None:
    assert DISPOSITIONS == EXPECTED


@pytest.mark.parametrize("reason", sorted(EXPECTED))
def test_each_reason_has_its_class(reason: str) -> None:
    assert disposition(reason) == EXPECTED[reason]


@pytest.mark.parametrize("reason", [None, "", "something_new", "USER_HANGUP"])
@pytest.mark.parametrize("voicemail", [None, True, False])
def test_an_unknown_reason_is_unknown_whatever_the_analysis_says(
    reason: str | None, voicemail: bool | None
) -> None:
    found = disposition(reason, voicemail)
    assert found.outcome is Outcome.UNKNOWN
    assert found.charged


@pytest.mark.parametrize("reason", sorted(EXPECTED))
def test_voicemail_turns_only_a_conversation_into_a_machine(reason: str) -> None:
    heard = disposition(reason, in_voicemail=True)
    if reason in HUMAN_UNLESS_VOICEMAIL:
        assert heard.outcome is Outcome.MACHINE
        assert heard.charged
        assert heard.max_retries is None
    else:
        assert heard == EXPECTED[reason]
    assert disposition(reason, in_voicemail=False) == EXPECTED[reason]


def test_the_analysis_is_waited_for_only_where_a_call_connected() -> None:
    assert analysis_matters("user_hangup", connected=True)
    assert analysis_matters("something_new", connected=True)
    assert analysis_matters("voicemail_reached", connected=True)
    assert not analysis_matters("user_hangup", connected=False)
    assert not analysis_matters("dial_no_answer", connected=False)
    assert not analysis_matters("no_valid_payment", connected=True)
