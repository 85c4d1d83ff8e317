"""The claim's fast path in SQL and the pure gate: for random numbers and instants they agree in every case."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from services_world import FROM, WORKSPACE, World
from store_steps import new_lead

from campaigns.compliance import may_call, rules_for
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Allowed, Callee
from campaigns.leads import place_of
from campaigns.leads.places import regions_of_country
from campaigns.services import dispatch
from campaigns.store.schema import attempts, leads

_NUMBERS = 500


def numbers(dice: random.Random, count: int) -> list[str]:
    """Random numbers of the North American plan: of places mostly, some of nowhere."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[f"+1{dice.randint(200, 989)}{dice.randint(200, 999)}{dice.randint(0, 9999):04}"] = None
    return list(found)


def filled(world: World, dice: random.Random, phones: list[str], now: datetime) -> str:
    """A running campaign of these numbers, some with a state, some listed, some dialed lately; its id."""
    made = world.campaign(
        "random", launch=False, windows=dice.choice([(), ("Mon-Fri 09:00-18:30",), ("daily 10-22",)])
    )
    states = [region.code[3:] for region in regions_of_country("US")]
    rows = []
    for line, phone in enumerate(phones, start=2):
        place = place_of(phone, state=dice.choice(states) if dice.random() < 0.3 else "")
        rows.append(
            new_lead(
                line, phone, zones="|".join(place.zones), jurisdictions="|".join(place.jurisdictions),
                priority=dice.choice([0, 5, 5, 9]), next_attempt_at=now - timedelta(seconds=dice.randint(-5, 5)),
            )
        )  # fmt: skip
    with world.store.imports.writer(made.id, now) as writer:
        writer.begin("list.csv", "0" * 64, 100, ["phone"], "test")
        writer.add_leads(rows)
        writer.finish({"accepted": len(rows)})
    assert world.store.campaigns.launch(made.id, now)
    world.store.imports.suppress(dice.sample(phones, len(phones) // 20), "test", "asked", now)
    with world.store.database.write() as connection:
        ids = dict(connection.execute(sa.select(leads.c.phone, leads.c.id)).all())
        history = [
            {
                "id": f"{phone}{n}", "workspace": WORKSPACE, "campaign_id": made.id, "lead_id": ids[phone],
                "phone": phone, "from_number": FROM, "agent_id": "", "agent_version": "", "state": "unresolved",
                "charged": True, "claimed_at": 0, "call_id": f"c{phone}{n}",
                "dialing_at": to_ms(now) - dice.choice([1, 3_600_000, 28_800_000, 86_399_999, 86_400_000, 10**9]),
            }
            for phone in dice.sample(phones, len(phones) // 4)
            for n in range(dice.randint(1, 4))
        ]  # fmt: skip
        connection.execute(sa.insert(attempts), history)
        # The past is over: what is unresolved would keep its number for itself.
        connection.execute(sa.update(attempts).values(state="settled", outcome="no_answer"))
    return made.id


def agree(world: World, campaign_id: str, now: datetime) -> tuple[int, int]:
    """Claim all that may be claimed at an instant, and hold it against the gate; (claimed, not claimed)."""
    store = world.store
    campaign = store.campaigns.get(campaign_id)
    assert campaign is not None
    rules = rules_for(campaign.options.profile, campaign.options.windows, store.evidence.blackouts())
    with store.database.read() as connection:
        rows = connection.execute(sa.select(leads).where(leads.c.state == "pending")).all()
    may = set()
    for row in rows:
        dialed = store.attempts.dials_of_number(WORKSPACE, row.phone)
        listed = store.suppressions.find(row.phone) is not None
        answer = may_call(Callee.of(row.zones, row.jurisdictions), now, rules, dialed, listed)
        if isinstance(answer, Allowed) and row.next_attempt_at <= to_ms(now):
            may.add(row.phone)
    world.clock.at = now
    plans = dispatch.claim_plans(world.context, [campaign])
    plans = [dispatch.replace(plan, room=len(rows)) for plan in plans]
    claimed = store.claims.claim(WORKSPACE, len(rows), 0, plans, now, 60_000)
    with store.database.read() as connection:
        took = set(
            connection.execute(
                sa.select(attempts.c.phone).where(attempts.c.id.in_(claimed.attempt_ids or [""]))
            ).scalars()
        )
    assert took == may, (now, took ^ may)
    # What the ranges let through, the gate refused for nothing that ranges can say.
    assert set(claimed.refused) <= {"over_cap", "suppressed"}
    return len(took), len(rows) - len(took)


def check(folder: Path, empty: Path, rounds: int, seed: int) -> None:
    dice = random.Random(seed)
    claimed = left = 0
    for number in range(rounds):
        now = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=dice.randint(0, 6 * 525_600))
        if dice.random() < 0.5:  # as often by day as at random
            now = now.replace(hour=dice.randint(13, 23))
        where = folder / str(number)
        where.mkdir()
        with World.made(where, empty) as world:
            if dice.random() < 0.3:
                day = now.date()
                world.store.evidence.add_blackout("US-TX", day, day + timedelta(days=1), "storm", "test", now)
            world.clock.at = now
            campaign_id = filled(world, dice, numbers(dice, _NUMBERS), now)
            took, rest = agree(world, campaign_id, now)
        claimed, left = claimed + took, left + rest
        shutil.rmtree(where)
    assert claimed + left > 0.9 * rounds * _NUMBERS
    assert min(claimed, left) > rounds * _NUMBERS / 20, "both answers must come up"


def test_the_claim_and_the_gate_agree(tmp_path: Path, migrated_sqlite: Path) -> None:
    check(tmp_path, migrated_sqlite, rounds=6, seed=20261120)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_the_claim_and_the_gate_agree_for_a_hundred_thousand_numbers(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    check(tmp_path, migrated_sqlite, rounds=200, seed=1)


def test_nobody_is_claimed_where_a_blackout_holds(tmp_path: Path, migrated_sqlite: Path) -> None:
    with World.made(tmp_path, migrated_sqlite) as world:
        world.campaign("spring", 1)
        days = date(2026, 12, 1), date(2026, 12, 1)
        number = world.store.evidence.add_blackout("US", *days, "storm", "test", world.clock.now())
        assert world.pace() == []
        assert world.lead(1)["state"] == "pending"
        assert world.store.evidence.lift_blackout(number, "test", world.clock.now())
        assert len(world.pace()) == 1


def test_a_blackout_set_after_the_claim_still_stops_the_dial(tmp_path: Path, migrated_sqlite: Path) -> None:
    with World.made(tmp_path, migrated_sqlite) as world:
        world.campaign("spring", 1)
        attempt_id = world.claim()
        world.store.evidence.add_blackout(
            "US-NY", date(2026, 12, 1), date(2026, 12, 2), "storm", "test", world.clock.now()
        )
        world.dial(attempt_id)
        assert world.wire.dials == 0
        assert (world.attempt(attempt_id)["state"], world.attempt(attempt_id)["charged"]) == (
            "not_placed",
            False,
        )
        # Thursday 09:00 in New York: the next opening, at no cost of an attempt.
        assert world.lead(1)["next_attempt_at"] == to_ms(datetime(2026, 12, 3, 14, tzinfo=UTC))
