"""Campaigns of different weights share the lines fairly, in the pacer's own claims: the benchmark's short version."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from campaigns.domain.fairness import jain
from tests.benchmarks.fairness import START, Entrant, share

WEIGHTS = (1.0, 1.0, 2.0, 4.0)


@pytest.mark.parametrize("lines", [5])
def test_line_seconds_follow_the_weights_and_no_line_idles(tmp_path: Path, lines: int) -> None:
    """Shares of 0.63, 0.63, 1.25 and 2.5 lines."""
    entrants = [Entrant(f"c{n}", round(24 * weight), weight) for n, weight in enumerate(WEIGHTS)]
    outcome = share(tmp_path, entrants, lines, timedelta(hours=6), mean_call=120, step=30)
    assert outcome.calls == sum(one.leads for one in entrants)
    assert outcome.together_seconds > 3000
    assert jain([outcome.together[one.name] / one.weight for one in entrants]) >= 0.98
    assert outcome.utilisation == pytest.approx(1.0, abs=0.02)


def test_what_a_closed_campaign_leaves_flows_to_the_others_at_once(tmp_path: Path) -> None:
    """The heavy one is closed for the first two hours: the light one has all the lines meanwhile."""
    light = Entrant("light", 90)
    heavy = Entrant("heavy", 40, 9.0, ("daily 12:00-20:00",))
    outcome = share(tmp_path, [light, heavy], 4, timedelta(hours=3), mean_call=400, step=40)
    assert outcome.first["heavy"] >= START + timedelta(hours=2)
    assert outcome.first["light"] == START
    assert outcome.utilisation == pytest.approx(1.0, abs=0.02)
    # From then on nine of ten lines are the heavy one's.
    assert outcome.together["heavy"] > 3 * outcome.together["light"]


def test_a_small_campaign_beside_a_large_one_gets_its_share_at_once(tmp_path: Path) -> None:
    large, small = Entrant("large", 100), Entrant("small", 10, 1.0, ("daily 10:05-20:00",))
    outcome = share(tmp_path, [large, small], 8, timedelta(minutes=15), mean_call=60, step=5)
    opened = START + timedelta(minutes=5)
    assert timedelta(0) <= outcome.first["small"] - opened <= timedelta(seconds=20)
    # Ten calls on four lines of its own: three of them one after the other.
    assert outcome.finished["small"] - opened <= timedelta(seconds=1.3 * 3 * 90)
