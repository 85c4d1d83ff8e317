"""Results of a campaign's agents side by side: rates of leads with their intervals, and what a success costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaigns.domain.intervals import Interval, verdict, wilson


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One agent's leads: those with a settled call, with whom somebody spoke, won over as the agent judged.

    Leads and not calls: calls of one lead are not independent of each other, and an interval takes them to be.
    """

    agent: str
    leads: int
    contacted: int
    succeeded: int
    cost_cents: float

    @property
    def contact(self) -> Interval:
        return wilson(self.contacted, self.leads)

    @property
    def success(self) -> Interval:
        return wilson(self.succeeded, self.leads)

    @property
    def cost_per_success(self) -> float | None:
        """Cents of all its calls for each lead won over."""
        return self.cost_cents / self.succeeded if self.succeeded else None

    def document(self) -> dict[str, Any]:
        cost = self.cost_per_success
        return {
            "agent": self.agent,
            "leads": self.leads,
            "contacted": self.contacted,
            "contact_rate": _places(self.contact.rate),
            "contact_interval": [_places(self.contact.low), _places(self.contact.high)],
            "succeeded": self.succeeded,
            "success_rate": _places(self.success.rate),
            "success_interval": [_places(self.success.low), _places(self.success.high)],
            "cost_cents": round(self.cost_cents, 4),
            "cost_per_success_cents": _places(cost),
        }


def variant_results(
    names: Sequence[str], costs: Mapping[str, float], agents: Any, leads: Any, contact: Any, success: Any
) -> list[VariantResult]:
    """One result per agent, in the order of their names; none for a single agent.

    agents, leads, contact, success: arrays with an entry per call: position in `names`, lead id, 1 or 0. costs: cents
    by name. A lead that two agents called counts for both, with the calls of each.
    """
    if len(names) < 2 or not len(leads):
        return []
    order = np.lexsort((leads, agents))
    its, who = agents[order], leads[order]
    begins = np.flatnonzero(np.r_[True, (its[1:] != its[:-1]) | (who[1:] != who[:-1])])
    spoken, won = np.maximum.reduceat(contact[order], begins), np.maximum.reduceat(success[order], begins)
    found = []
    for position, name in enumerate(names):
        mine = its[begins] == position
        counts = int(mine.sum()), int(spoken[mine].sum()), int(won[mine].sum())
        found.append(VariantResult(name, *counts, costs.get(name, 0.0)))
    return sorted(found, key=lambda one: one.agent)


def comparison(found: Sequence[VariantResult]) -> list[str]:
    """What the intervals show, in a sentence for each rate."""
    if not found:
        return []
    return [
        verdict("contact rate", [(one.agent, one.contact) for one in found]),
        verdict("success rate", [(one.agent, one.success) for one in found]),
    ]


def _places(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
