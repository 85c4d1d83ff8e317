"""What the gate costs per lead: every lead of a list over all places asked once, as a claim or a dial asks it."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta

from campaigns.compliance import may_call, rules_for
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Callee
from campaigns.leads import place_of
from tests.benchmarks.figure import Figure, at_most, say

_NOW = datetime(2026, 12, 1, 14, 30, tzinfo=UTC)


def gate(quick: bool) -> Figure:
    leads, rounds = (2_000, 2) if quick else (20_000, 7)
    dice = random.Random(1)
    callees: list[Callee] = []
    while len(callees) < leads:
        place = place_of(f"+1{dice.randint(201, 989)}{dice.randint(200, 999)}0123")
        if place.zones:
            callees.append(Callee(place.zones, place.jurisdictions))
    histories = [
        [to_ms(_NOW) - dice.randint(0, 100_000_000) for _ in range(dice.randint(0, 4))] for _ in callees
    ]
    say(f"gate: {leads:,} leads of {len(set(callees))} kinds of places, {rounds} times")
    costs: list[float] = []
    first: list[float] = []
    for number in range(rounds):
        rules_for.cache_clear()
        rules = rules_for("us-sales", ("Mon-Sat 09:00-20:00",))
        now = _NOW + timedelta(days=7 * number)
        for costs_of in (first, costs):  # the first pass finds out each kind's windows of the week
            started = time.process_time()
            for callee, history in zip(callees, histories, strict=True):
                may_call(callee, now, rules, history, False)
            costs_of.append((time.process_time() - started) / leads * 1e6)
    value = round(sorted(costs)[len(costs) // 2], 2)
    cold = round(sorted(first)[len(first) // 2], 2)
    return Figure(
        "gate",
        value,
        "microseconds of CPU per lead, median",
        [at_most("us_per_lead", value, 50.0), at_most("us_per_lead_in_a_new_week", cold, 50.0)],
        {"what": "the same leads, the first time in a week that nobody asked about", "us": cold},
        {"leads": leads, "kinds": len(set(callees)), "us_per_lead_in_a_new_week": cold},
    )
