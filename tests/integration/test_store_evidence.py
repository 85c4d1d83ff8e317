"""Evidence that nobody can change, and blackouts that are never forgotten; on both databases."""

from __future__ import annotations

from datetime import date

import pytest
import sqlalchemy as sa
from store_steps import EAST, EVIDENCE, NOW, Steps, phone

from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Blackout
from campaigns.domain.states import AttemptState as A
from campaigns.store.schema import evidence


def written(steps: Steps) -> list[dict[str, object]]:
    return steps.rows(sa.select(evidence).order_by(evidence.c.id))


def test_a_dial_leaves_its_evidence_in_the_same_transaction(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    attempt_id = steps.attempt(campaign_id, A.DIALING)
    [row] = written(steps)
    assert (row["attempt_id"], row["send"], row["campaign_id"], row["phone"]) == (
        attempt_id, 1, campaign_id, steps.attempt_row(attempt_id)["phone"],
    )  # fmt: skip
    assert (row["at"], row["dnc_checked_at"], row["zones"]) == (to_ms(NOW), to_ms(NOW), EAST)
    assert (row["rules_version"], row["tzdata_version"], row["profile"]) == ("r1", "2026.6", "us-sales")
    [told] = steps.store.evidence.of_campaign(campaign_id)
    assert told["local_times"] == EVIDENCE.local_times
    assert told["caps"] == EVIDENCE.caps
    assert steps.store.evidence.sends_with_evidence(campaign_id) == {(attempt_id, 1)}


def test_a_dial_that_is_not_committed_leaves_none(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    attempt_id = steps.attempt(campaign_id)
    order = steps.store.attempts.dial_order(attempt_id)
    assert order is not None
    steps.store.imports.suppress([phone(1)], "test", "asked", NOW)
    assert not steps.store.attempts.begin_dial(order, EVIDENCE, NOW, 1000)
    assert written(steps) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE evidence SET consent = 'yes'",
        "UPDATE evidence SET at = at + 1 WHERE id > 0",
        "DELETE FROM evidence",
        "TRUNCATE evidence",
        "INSERT OR REPLACE INTO evidence SELECT * FROM evidence",
        "REPLACE INTO evidence SELECT * FROM evidence",
    ],
)
def test_the_database_refuses_to_change_it(steps: Steps, change: str) -> None:
    steps.attempt(steps.campaign("spring", phone(1)), A.DIALING)
    before = written(steps)
    with pytest.raises(sa.exc.DBAPIError) as refused:
        steps.execute(change)
    sqlite = steps.store.database.is_sqlite
    if ("REPLACE" in change) == sqlite or change.startswith(("UPDATE", "DELETE")):
        assert "evidence is final" in str(refused.value)
    assert written(steps) == before
    assert len(before) == 1


def refused_by_the_guard(steps: Steps) -> None:
    for change in ("DELETE FROM evidence", "UPDATE evidence SET consent = 'yes'"):
        with pytest.raises(sa.exc.DBAPIError, match="evidence is final"):
            steps.execute(change)


def test_deleting_a_campaign_takes_its_own_evidence_and_leaves_the_guard_up(steps: Steps) -> None:
    gone, kept = steps.campaign("spring", phone(1)), steps.campaign("fall", phone(2))
    for campaign_id in (gone, kept):
        steps.attempt(campaign_id, A.SETTLED)
    [_, other] = written(steps)
    steps.store.campaigns.cancel(gone, NOW)
    removed = steps.store.removals.delete(gone, "spring: for the test", NOW)
    assert removed > 4
    assert written(steps) == [other]
    assert steps.store.campaigns.get(gone) is None
    assert ("campaign", None, "deleted") in steps.happened()
    assert steps.store.tallies.miscounted(kept) == []
    refused_by_the_guard(steps)
    assert written(steps) == [other]


def test_a_deletion_that_breaks_off_leaves_the_guard_up(steps: Steps) -> None:
    """In the very transaction in which the guard was lifted."""
    steps.attempt(steps.campaign("spring", phone(1)), A.DIALING)
    before, store = written(steps), steps.store

    def break_off() -> None:
        with store.database.write() as connection, store.removals._unguarded(connection, evidence):
            assert connection.exec_driver_sql("DELETE FROM evidence").rowcount == 1
            raise OSError("the plug is pulled")

    with pytest.raises(OSError, match="pulled"):
        break_off()
    assert written(steps) == before
    refused_by_the_guard(steps)


def test_while_one_campaign_is_deleted_nobody_else_may_delete_evidence(steps: Steps) -> None:
    steps.attempt(steps.campaign("spring", phone(1)), A.DIALING)
    before, store = written(steps), steps.store
    wait = "PRAGMA busy_timeout = 50" if store.database.is_sqlite else "SET lock_timeout = '50ms'"
    engine = sa.create_engine(store.database.engine.url, poolclass=sa.NullPool)
    with engine.connect() as other:
        other.exec_driver_sql(wait)
        with (
            store.database.write() as connection,
            store.removals._unguarded(connection, evidence),
            pytest.raises(sa.exc.DBAPIError, match="lock"),
        ):
            other.exec_driver_sql("DELETE FROM evidence")
    assert written(steps) == before
    refused_by_the_guard(steps)


def test_blackouts_are_in_force_until_lifted_and_stay_on_record(steps: Steps) -> None:
    rows = steps.store.evidence
    first, last = date(2026, 8, 29), date(2026, 9, 5)
    number = rows.add_blackout("US-LA", first, last, "hurricane", "ann", NOW)
    other = rows.add_blackout("US", first, first, "strike", "ann", NOW)
    storm = Blackout(number, "US-LA", first, last, "hurricane")
    assert rows.blackouts() == (storm, Blackout(other, "US", first, first, "strike"))
    assert rows.lift_blackout(other, "bob", NOW)
    assert not rows.lift_blackout(other, "bob", NOW)
    assert not rows.lift_blackout(999, "bob", NOW)
    assert rows.blackouts() == (storm,)
    kept = rows.recorded_blackouts()
    assert [(one.blackout.id, one.lifted_by) for one in kept] == [(number, None), (other, "bob")]
    assert (kept[1].added_by, kept[1].added_at, kept[1].lifted_at) == ("ann", NOW, NOW)
