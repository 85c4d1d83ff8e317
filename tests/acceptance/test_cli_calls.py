"""`campaigns calls`: a call as it is read in a terminal, hung up, listed; ours joined to our rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.conftest import Cli, Retell
from tests.acceptance.dialing import AT_ONCE, dial_to_the_end
from tests.recording import Recorder

CALL: dict[str, Any] = {
    "call_id": "call_1", "call_type": "phone_call", "call_status": "ended", "direction": "outbound",
    "from_number": "+14155550100", "to_number": "+12125550101", "agent_id": "agent_a", "agent_version": 3,
    "start_timestamp": 1735718400000, "end_timestamp": 1735718442500, "duration_ms": 42500,
    "disconnection_reason": "user_hangup", "call_cost": {"combined_cost": 12.5},
    "transcript": "Agent: Hello [bold]Ann[/], " + "would you like a new roof? " * 6 + "\nUser: No\n",
    "recording_url": "https://example.com/recording.wav",
    "call_analysis": {
        "call_summary": "A short talk.", "user_sentiment": "Negative", "call_successful": False,
        "custom_analysis_data": {"wants_roof": "no"},
    },
}  # fmt: skip


def test_a_call_is_shown_with_everything(cli: Cli, api: Recorder) -> None:
    api.by_path({"/v2/get-call/call_1": CALL})
    shown = cli.ok("calls", "show", "call_1")
    assert shown["transcript"] == CALL["transcript"]
    assert shown["recording_url"] == CALL["recording_url"]
    assert (shown["duration_seconds"], shown["cost_cents"]) == (42.5, 12.5)
    assert (shown["started_at"], shown["ended_at"]) == ("2025-01-01T08:00:00Z", "2025-01-01T08:00:42Z")
    assert shown["analysis"] == CALL["call_analysis"]
    assert (shown["campaign"], shown["attempt"]) == (None, None)


def test_the_transcript_is_readable_in_a_terminal(cli: Cli, api: Recorder) -> None:
    api.by_path({"/v2/get-call/call_1": CALL})
    lines = cli("calls", "show", "call_1").out.splitlines()
    spoken = lines[lines.index(next(line for line in lines if line.startswith("Agent:"))) :]
    assert spoken[0].startswith("Agent:  Hello [bold]Ann[/], would")
    assert all(len(line) <= 100 for line in spoken)
    assert all(line.startswith("        ") for line in spoken[1:-1])
    assert spoken[-1] == " User:  No"
    text = "\n".join(lines)
    for words in ("user_hangup", "12.5", "recording.wav", "A short talk.", "wants roof"):
        assert words in text


def test_a_call_that_has_nothing_yet(cli: Cli, api: Recorder) -> None:
    api.by_path({"/v2/get-call/call_1": {"call_id": "call_1", "call_status": "registered"}})
    shown = cli.ok("calls", "show", "call_1")
    assert (shown["analysis"], shown["transcript"], shown["started_at"]) == (None, None, None)
    assert "no transcript" in cli("calls", "show", "call_1").out


def test_hung_up_once_a_person_agrees(cli: Cli, api: Recorder) -> None:
    api.by_path({"/v2/get-call/call_1": {**CALL, "call_status": "ongoing"}, "/v2/stop-call/call_1": None})
    assert "--yes" in cli.refused("calls", "stop", "call_1", code=2)
    assert [sent.path for sent in api.sent] == ["/v2/get-call/call_1"]
    stopped = cli.ok("calls", "stop", "call_1", "--yes")
    assert stopped == {"call_id": "call_1", "stopped": True}
    assert (api.sent[-1].method, api.sent[-1].path) == ("POST", "/v2/stop-call/call_1")


@pytest.mark.parametrize("status", ["ended", "error", "not_connected"])
def test_a_call_that_is_over_cannot_be_hung_up(cli: Cli, api: Recorder, status: str) -> None:
    api.by_path({"/v2/get-call/call_1": {**CALL, "call_status": status}})
    assert "over already" in cli.refused("calls", "stop", "call_1", "--yes")
    assert len(api.sent) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("show", "call_x"), 1),
        (("stop", "call_x", "--yes"), 1),
        (("list", "--campaign", "nobody"), 1),
        (("show", ".."), 1),
        (("show",), 2),
        (("stop",), 2),
        (("list", "--limit", "0"), 2),
        (("list", "--limit", "many"), 2),
        (("dial", "+14155550100"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done(cli: Cli, api: Recorder, arguments: tuple[str, ...], code: int) -> None:
    api.by_path({})
    cli.refused("calls", *arguments, code=code)


def test_ours_are_joined_to_our_rows(cli: Cli, retell: Retell) -> None:
    simulator = retell.start(speed=2000.0, analysis_delay=(0.0, 0.0))
    cli.draft("spring", ["+12125550100,Ann"], *AT_ONCE)
    cli.ok("create", "fall", "--from", "+14155550100")
    cli.ok("launch", "spring")
    dial_to_the_end("spring")
    [call] = simulator.engine.calls
    [line] = cli.ok("calls", "list", "--campaign", "spring")
    assert (line["call_id"], line["to_number"], line["status"]) == (call.call_id, "+12125550100", "ended")
    assert cli.ok("calls", "list", "--campaign", "fall") == []
    assert cli.ok("calls", "list", "--limit", "1") == [line]
    shown = cli.ok("calls", "show", call.call_id)
    assert (shown["campaign"], shown["lead_line"], shown["attempt_state"]) == ("spring", 2, "settled")
    assert shown["outcome"] == "human"
    assert shown["transcript"]
    assert call.call_id in cli("calls", "list").out
