"""Whatever Retell does wrong, at once, with real processes: nobody is rung twice, every lead ends in one account."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from campaigns.domain.clock import ScaledClock
from tests.faults.rig import Seen, assert_promises_kept, closing, rig, write_leads

pytestmark = pytest.mark.timeout(400)

LINES = 8
#: Business seconds per second: a call that never ends is stuck after 9 s.
SPEED = 900.0
READS = (
    "list_500=10%,list_malformed=5%,list_slow=10%:1s,get_500=10%,get_malformed=5%,get_429=5%,"
    "concurrency_500=10%,concurrency_malformed=10%,analysis_never=10%,never_ends=4%,lag=4s"
)
#: A dial that fails has rung, unless it was refused. (One that never came about is sent again on proof alone, and on a
#: clock as fast as this one no list shows a call while it still rings.)
DIALS = "500_after=4%,drop_after=4%,malformed=4%,hang=3%,reset=3%,429_before=6%,slow=12%:1s"
BURST = "500_after=50%,429_before=50%,list_500=60%,concurrency_500=90%"
NEVER_OVER = "every attempt in the books is a call at Retell"


def everything_at_once(folder: Path) -> Seen:
    clock = ScaledClock(datetime(2026, 3, 9, 15, 0, tzinfo=UTC), SPEED, time.time()).spec()
    simulator = (
        "--mean-call", "1500", "--concurrency", str(LINES), "--seed", "4", "--ignore-idempotency",
        "--faults", f"{DIALS},{READS}",
    )  # fmt: skip
    environment = {"CAMPAIGNS_CLOCK": clock, "CAMPAIGNS_DIAL_TIMEOUT": "1"}
    with rig(folder, simulator, environment) as subject:
        write_leads(subject.leads, 70)
        subject.start("--concurrency", str(LINES))
        subject.until_rings(15)
        subject.trouble(f"{DIALS},{READS}")
        subject.until_rings(30)
        subject.trouble(BURST)
        time.sleep(2)
        subject.trouble(f"{DIALS},{READS}")
        return closing(subject)


@pytest.mark.scene(of=everything_at_once)
def test_errors_refusals_slow_and_broken_answers_lag_and_calls_without_an_end(seen: Seen) -> None:
    assert_promises_kept(seen, 70, LINES, broken=[NEVER_OVER])
    stuck = seen.status["attempts"]["unresolved"]
    assert seen.facts["code"] == 3
    assert 0 < stuck == seen.ledger["open"] == seen.status["leads"]["held"]
    struck = {
        name.removesuffix("_after").removesuffix("_before") for name in map(_fault, seen.ledger["faults"])
    }
    assert {"500", "429", "malformed", "slow"} <= struck
    assert {"drop", "hang", "reset"} & struck


def _fault(counted: str) -> str:
    """The kind of fault in a name of the ledger's, as `get-call:500_before`."""
    return counted.split(":")[1]
