"""Fair shares of the lines over time: what whole lines round away at one moment is made up for at the next.

Lines are whole, and fair shares are not: of 20 lines a campaign of one thirtieth of the weights has 0.67. Dealt each
moment for itself, that always rounds the same way, and a small campaign keeps half as much again as its share. So every
campaign has a debt: the line-seconds that it had above its share, in units of DEBT_SECONDS, which count as lines in
progress at the next deal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from campaigns.domain.pacing import Demand

#: Line-seconds (business) above the share that count as one line in progress: as long as a long call, since with less
#: a single call would use up all the memory there is.
DEBT_SECONDS = 300.0
#: Lines: nobody is paid back more, or kept waiting longer, than this.
MOST_DEBT = 4.0
#: Shares are kept by thousandths of a line.
_PLACES = 3


def fair_shares(free: int, demands: Sequence[Demand]) -> dict[str, float]:
    """Everybody's lines by weight, in fractions: nobody more than they can use, and what they leave to the others.

    Of the lines in progress and the free ones. Who could use every free line could use any number of lines.
    """
    lines = float(free + sum(demand.own for demand in demands))
    needs = {
        demand.campaign_id: demand.own + demand.room
        if demand.room < free
        else max(demand.own, demand.cap if demand.cap is not None else lines)
        for demand in demands
    }
    shares: dict[str, float] = {}
    weights = {demand.campaign_id: demand.share_weight for demand in demands}
    # Whoever needs least for its weight first: what it leaves is there for the rest.
    for name in sorted(needs, key=lambda name: needs[name] / weights[name]):
        total = sum(weight for other, weight in weights.items() if other not in shares)
        share = min(float(needs[name]), lines * weights[name] / total)
        shares[name] = share
        lines -= share
    return shares


@dataclass(frozen=True, slots=True)
class Shares:
    """Who had how much more than its share at `at` (business milliseconds), and by how many lines that grows since.

    debts: lines, below 0 = was short of its share. surplus: lines above the share since `at`.
    """

    at: int = 0
    debts: Mapping[str, float] = field(default_factory=dict)
    surplus: Mapping[str, float] = field(default_factory=dict)

    def debts_at(self, now: int) -> dict[str, float]:
        """Debts at a later instant."""
        gone = max(0, now - self.at) / 1000 / DEBT_SECONDS
        return {
            name: max(-MOST_DEBT, min(MOST_DEBT, debt + gone * self.surplus.get(name, 0.0)))
            for name, debt in self.debts.items()
        }

    def after(self, free: int, demands: Sequence[Demand], dealt: Mapping[str, int], now: int) -> Shares:
        """What is remembered when `free` lines were dealt like this. Who wants nothing and has nothing is forgotten."""
        wanting = [demand for demand in demands if demand.own or demand.room]
        if len(wanting) < 2:
            return NO_SHARES
        before = self.debts_at(now)
        fair = fair_shares(free, wanting)
        return Shares(
            now,
            {one.campaign_id: round(before.get(one.campaign_id, 0.0), _PLACES) for one in wanting},
            {
                one.campaign_id: round(
                    one.own + dealt.get(one.campaign_id, 0) - fair[one.campaign_id], _PLACES
                )
                for one in wanting
            },
        )

    def to_json(self) -> str:
        if not self.debts:
            return "{}"
        both = {name: [debt, self.surplus.get(name, 0.0)] for name, debt in self.debts.items()}
        return json.dumps({"at": self.at, "of": both}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Shares:
        """Inverse of `to_json`."""
        loaded = json.loads(text)
        both = loaded.get("of", {})
        return cls(
            loaded.get("at", 0),
            {name: debt for name, (debt, _) in both.items()},
            {name: surplus for name, (_, surplus) in both.items()},
        )


NO_SHARES = Shares()


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index of shares over weight: 1 = all alike, 1/n = one has all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
