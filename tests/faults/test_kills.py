"""Every process may die at any instant, the broker may come back empty, answers may get lost: nobody is rung twice."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.rig import Seen, assert_promises_kept, closing, rig, torment, write_leads

#: The provider's trouble: answers lost after the call was made, errors after it, answers that never come, lagging
#: lists; and no help from idempotency keys.
TROUBLE = ("--faults", "drop_after=5%,500_after=3%,hang=2%,lag=3s", "--ignore-idempotency")
#: So that the lease of a killed dial is short.
QUICK = {"CAMPAIGNS_DIAL_TIMEOUT": "2"}


def sixty_calls_under_kills(folder: Path) -> Seen:
    simulator = ("--mean-call", "3", "--concurrency", "6", "--seed", "7", *TROUBLE)
    with rig(folder, simulator, QUICK) as subject:
        write_leads(subject.leads, 60)
        torment(subject, ["--concurrency", "6"], every=3, kills=7, flushes=1, limit=200, seed=1)
        return closing(subject, kills=dict(Counter(subject.kills)))


@pytest.mark.timeout(400)
@pytest.mark.scene(of=sixty_calls_under_kills)
def test_sixty_calls_under_kills_and_lost_answers(seen: Seen) -> None:
    assert_promises_kept(seen, 60, 6)
    assert {"runner", "control", "dial", "valkey"} <= set(seen.facts["kills"])


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_two_hundred_calls_in_batches_under_kills(tmp_path: Path) -> None:
    """On a fast clock, since the horizon of a batch is minutes: an attempt that nobody can prove is held in the end."""
    simulator = ("--mean-call", "60", "--concurrency", "6", "--seed", "7",
                 "--faults", "batch_drop_after=15%,batch_500_after=10%,lag=2s")  # fmt: skip
    clock = {"CAMPAIGNS_CLOCK": f"2026-12-01T15:00:00Z,20,{time.time()}"}
    with rig(tmp_path, simulator, QUICK | clock) as subject:
        write_leads(subject.leads, 200)
        options = ["--mode", "batch", "--batch-horizon", "10m"]
        torment(subject, options, every=8, kills=12, flushes=1, limit=700, seed=3)
        assert_promises_kept(closing(subject, kills=dict(Counter(subject.kills))), 200, 6)


@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_two_thousand_calls_under_kills_and_lost_answers(tmp_path: Path) -> None:
    simulator = ("--mean-call", "3", "--concurrency", "30", "--seed", "11", *TROUBLE)
    with rig(tmp_path, simulator, QUICK) as subject:
        write_leads(subject.leads, 2000)
        torment(subject, ["--concurrency", "30"], every=4, kills=200, flushes=2, limit=2700, seed=2)
        assert_promises_kept(closing(subject, kills=dict(Counter(subject.kills))), 2000, 30)
