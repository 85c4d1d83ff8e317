"""A figure: what was measured, beside its peer and its goal, as one JSON line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """`measure` is what stands in the line under `of`; it is at most, or at least, `limit`."""

    of: str
    measure: float | None
    limit: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        """A measure that is missing meets nothing."""
        if self.measure is None:
            return False
        return self.measure <= self.limit if self.at_most else self.measure >= self.limit

    def __str__(self) -> str:
        return f"{self.of} {'<=' if self.at_most else '>='} {self.limit:g}"


def at_most(of: str, measure: float | None, limit: float) -> Goal:
    return Goal(of, measure, limit)


def at_least(of: str, measure: float | None, limit: float) -> Goal:
    return Goal(of, measure, limit, at_most=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """peer: the same measured of something simpler in the same run. details: whatever explains the value."""

    name: str
    value: float | None
    unit: str
    goals: Sequence[Goal]
    peer: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def line(self, quick: bool, load: float) -> str:
        """load: of the machine before the figure, its 1-minute average; above 0 the machine was not ours alone."""
        document: dict[str, Any] = {
            "figure": self.name,
            "value": self.value,
            "unit": self.unit,
            "peer": dict(self.peer),
            "goal": [str(goal) for goal in self.goals],
            "met": bool(self.goals) and all(goal.met for goal in self.goals),
            "missed": [str(goal) for goal in self.goals if not goal.met],
            "command": f"python -m tests.benchmarks {self.name}{' --quick' if quick else ''}",
            "quick": quick,
            "load_before": round(load, 2),
            "processors": os.cpu_count(),
            **self.details,
        }
        return json.dumps(document, ensure_ascii=False)


def say(text: str) -> None:
    """Progress, for the person who waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
