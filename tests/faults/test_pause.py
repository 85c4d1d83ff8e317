"""A pause stops the dialing of real processes within a second of the command's return."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.rig import Rig, Seen, rig, write_leads

pytestmark = pytest.mark.timeout(300)

SIMULATOR = ("--mean-call", "1", "--concurrency", "12", "--seed", "7")
#: So slow that at any moment some dials, claimed already, wait for their turn: for up to two seconds.
OPTIONS = ("--concurrency", "12", "--cps", "4")
RINGS = 16


def posts(subject: Rig) -> int:
    return int(subject.ledger()["requests"]["create-phone-call"])


def pausing(folder: Path) -> Seen:
    """A campaign is paused in mid-dialing, with dials on their way."""
    with rig(folder, SIMULATOR) as subject:
        write_leads(subject.leads, 200)
        subject.start(*OPTIONS)
        subject.until_rings(RINGS)
        said = subject.command("pause", "--all")
        assert said.returncode == 0, said.stderr
        time.sleep(1.0)
        a_second_after = posts(subject)
        time.sleep(2.5)
        facts = {"a second after": a_second_after, "later": posts(subject)}
        subject.wait(60)
        return Seen(facts, subject.said, subject.ledger(), subject.status())


@pytest.mark.scene(of=pausing)
def test_no_dial_leaves_later_than_a_second_after_a_pause(seen: Seen) -> None:
    assert seen.facts["a second after"] >= RINGS
    assert seen.facts["later"] == seen.facts["a second after"]
    assert seen.status["state"] == "paused"
    assert seen.status["leads"]["pending"] > 100, "there was somebody left to call"
    assert seen.status["attempts"]["not_placed"] > 0, "dials that waited for their turn were given back"
    assert seen.ledger["attempts_rung_twice"] == 0
