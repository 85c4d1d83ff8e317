"""Every process may die at any instant, the broker may come back empty, answers may get lost: nobody is rung twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.rig import Rig, rig, torment, write_leads

#: The provider's trouble: answers lost after the call was made, errors after it, answers that never come, lagging
#: lists; and no help from idempotency keys.
TROUBLE = ("--faults", "drop_after=5%,500_after=3%,hang=2%,lag=3s", "--ignore-idempotency")


def assert_promises_kept(subject: Rig, leads: int, concurrency: int) -> None:
    ledger = subject.ledger()
    assert ledger["attempts_rung_twice"] == 0, ledger["doubled_attempts"]
    assert ledger["most_rings_of_a_number"] == 1
    assert ledger["rings_without_attempt_id"] == 0
    assert ledger["peak_concurrency"] <= concurrency
    status = subject.status()
    assert status["state"] == "completed"
    final = {state: count for state, count in status["leads"].items() if count and state != "total"}
    assert sum(final.values()) == leads
    assert set(final) <= {"reached", "exhausted", "held"}
    assert status["slots"]["own"] == 0
    assert ledger["rings"] == leads - final.get("held", 0)
    audited = subject.command("audit", "chaos", "--json")
    document = json.loads(audited.stdout)
    failed = {check["claim"]: check["found"] for check in document["checks"] if not check["holds"]}
    assert audited.returncode == 0, failed
    print(f"\n{leads} leads, {ledger['rings']} rings, 0 twice, leads {final}, kills {subject.kills}")
    print(f"faults {ledger['faults']}, peak {ledger['peak_concurrency']} of {concurrency}")


@pytest.mark.timeout(240)
def test_sixty_calls_under_kills_and_lost_answers(tmp_path: Path) -> None:
    simulator = ("--mean-call", "3", "--concurrency", "6", "--seed", "7", *TROUBLE)
    with rig(tmp_path, simulator, {"CAMPAIGNS_DIAL_TIMEOUT": "2"}) as subject:
        write_leads(subject.leads, 60)
        torment(subject, ["--concurrency", "6"], every=3, kills=7, flushes=1, limit=200, seed=1)
        assert_promises_kept(subject, 60, 6)
        assert {"runner", "control", "dial", "valkey"} <= set(subject.kills)


@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_two_thousand_calls_under_kills_and_lost_answers(tmp_path: Path) -> None:
    simulator = ("--mean-call", "3", "--concurrency", "30", "--seed", "11", *TROUBLE)
    with rig(tmp_path, simulator, {"CAMPAIGNS_DIAL_TIMEOUT": "2"}) as subject:
        write_leads(subject.leads, 2000)
        torment(subject, ["--concurrency", "30"], every=4, kills=200, flushes=2, limit=2700, seed=2)
        assert_promises_kept(subject, 2000, 30)
