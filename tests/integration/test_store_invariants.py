"""What the database itself refuses, with all the checks of the code out of the way."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from store_steps import NOW, WORKSPACE, Steps, phone

from campaigns.domain.states import AttemptState
from campaigns.store import Store
from campaigns.store.schema import attempts, leads

S = AttemptState

#: name -> (state of the attempt before, UPDATE). `:id` is the attempt, `:lead` its lead, `:campaign` the campaign.
FORBIDDEN_UPDATES = {
    "placed_without_call_id": (S.DIALING, "UPDATE attempts SET state = 'placed' WHERE id = :id"),
    "call_id_lost_while_placed": (S.PLACED, "UPDATE attempts SET call_id = NULL WHERE id = :id"),
    "ended_without_call_id": (S.ENDED, "UPDATE attempts SET call_id = NULL WHERE id = :id"),
    "settled_without_call_id": (S.SETTLED, "UPDATE attempts SET call_id = NULL WHERE id = :id"),
    "settled_without_outcome": (S.ENDED, "UPDATE attempts SET state = 'settled' WHERE id = :id"),
    "outcome_before_settled": (S.ENDED, "UPDATE attempts SET outcome = 'human' WHERE id = :id"),
    "unknown_outcome_of_attempt": (
        S.ENDED,
        "UPDATE attempts SET state = 'settled', outcome = 'sold' WHERE id = :id",
    ),
    "not_placed_without_refusal": (S.CLAIMED, "UPDATE attempts SET state = 'not_placed' WHERE id = :id"),
    "not_placed_but_charged": (S.NOT_PLACED, "UPDATE attempts SET charged = :yes WHERE id = :id"),
    "dialing_without_time": (S.CLAIMED, "UPDATE attempts SET state = 'dialing' WHERE id = :id"),
    "unknown_attempt_state": (S.CLAIMED, "UPDATE attempts SET state = 'ringing' WHERE id = :id"),
    "held_without_code": (
        S.CLAIMED,
        "UPDATE leads SET state = 'held', hold_remedy = 'look' WHERE id = :lead",
    ),
    "held_without_remedy": (S.CLAIMED, "UPDATE leads SET state = 'held', hold_code = 'x' WHERE id = :lead"),
    "code_without_held": (
        S.CLAIMED,
        "UPDATE leads SET hold_code = 'x', hold_remedy = 'look' WHERE id = :lead",
    ),
    "unknown_lead_state": (S.CLAIMED, "UPDATE leads SET state = 'done' WHERE id = :lead"),
    "unknown_outcome_of_lead": (S.CLAIMED, "UPDATE leads SET outcome = 'sold' WHERE id = :lead"),
    "phone_not_e164": (S.CLAIMED, "UPDATE leads SET phone = 12 WHERE id = :lead"),
    "paused_without_reason": (S.CLAIMED, "UPDATE campaigns SET state = 'paused' WHERE id = :campaign"),
    "completed_without_time": (S.CLAIMED, "UPDATE campaigns SET state = 'completed' WHERE id = :campaign"),
    "time_without_completed": (S.CLAIMED, "UPDATE campaigns SET finished_at = 1 WHERE id = :campaign"),
    "unknown_campaign_state": (S.CLAIMED, "UPDATE campaigns SET state = 'stopped' WHERE id = :campaign"),
    "unknown_event_subject": (S.CLAIMED, "UPDATE events SET subject = 'call' WHERE attempt_id = :id"),
    "lead_of_no_campaign": (S.CLAIMED, "UPDATE leads SET campaign_id = 'none' WHERE id = :lead"),
    "attempt_of_no_lead": (S.CLAIMED, "UPDATE attempts SET lead_id = 999999 WHERE id = :id"),
    "campaign_of_no_workspace": (S.CLAIMED, "UPDATE campaigns SET workspace = 'x' WHERE id = :campaign"),
    "lead_removed_under_its_attempt": (S.CLAIMED, "DELETE FROM leads WHERE id = :lead"),
}


@pytest.mark.parametrize("name", FORBIDDEN_UPDATES)
def test_the_database_refuses(steps: Steps, name: str) -> None:
    state, sql = FORBIDDEN_UPDATES[name]
    campaign_id = steps.campaign("spring", phone(1))
    attempt_id = steps.attempt(campaign_id, state)
    values = {
        "id": attempt_id,
        "lead": steps.lead_of(attempt_id)["id"],
        "campaign": campaign_id,
        "yes": True,
    }
    before = steps.everything()
    with pytest.raises(sa.exc.IntegrityError):
        steps.execute(sql, {key: value for key, value in values.items() if f":{key}" in sql})
    assert steps.everything() == before


OPEN = ("claimed", "dialing", "ambiguous", "placed", "ended")


def _insert(store: Store, like: dict[str, object], **changes: object) -> None:
    with store.database.write() as connection:
        connection.execute(sa.insert(attempts).values(**like | changes))


@pytest.mark.parametrize("state", OPEN)
def test_a_lead_never_has_two_open_attempts(steps: Steps, state: str) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), AttemptState(state))
    # Another number, so that only the index on the lead can object.
    copied = steps.attempt_row(attempt_id) | {"id": "second", "call_id": "call_second", "phone": phone(2)}
    for second in OPEN:
        with pytest.raises(sa.exc.IntegrityError):
            _insert(steps.store, copied, state=second, dialing_at=1)
    _insert(steps.store, copied, state="unresolved", dialing_at=1)
    with pytest.raises(sa.exc.IntegrityError):
        steps.execute("UPDATE attempts SET state = 'placed' WHERE id = 'second'")


@pytest.mark.parametrize("state", OPEN)
def test_a_number_never_has_two_open_attempts_over_all_campaigns(steps: Steps, state: str) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)), AttemptState(state))
    other_campaign = steps.campaign("autumn", phone(1))
    other = steps.lead_row(phone(1), other_campaign)
    copied = steps.attempt_row(attempt_id) | {
        "id": "second",
        "call_id": "call_second",
        "campaign_id": other_campaign,
        "lead_id": other["id"],
    }
    for second in OPEN:
        with pytest.raises(sa.exc.IntegrityError):
            _insert(steps.store, copied, state=second, dialing_at=1)
    _insert(steps.store, copied, state="unresolved", dialing_at=1)
    with pytest.raises(sa.exc.IntegrityError):
        steps.execute("UPDATE attempts SET state = 'placed' WHERE id = 'second'")


def test_another_account_may_have_the_same_number_in_progress(steps: Steps) -> None:
    attempt_id = steps.attempt(steps.campaign("spring", phone(1)))
    other_campaign = steps.campaign("autumn", phone(1), workspace="globex")
    other = steps.lead_row(phone(1), other_campaign)
    _insert(
        steps.store,
        steps.attempt_row(attempt_id),
        id="second",
        workspace="globex",
        campaign_id=other_campaign,
        lead_id=other["id"],
    )
    assert steps.store.attempts.holding_ids(WORKSPACE) == {attempt_id}
    assert steps.store.attempts.holding_ids("globex") == {"second"}


def test_a_call_belongs_to_one_attempt(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1), phone(2))
    first = steps.attempt(campaign_id, AttemptState.PLACED)
    second = steps.attempt(campaign_id, AttemptState.DIALING)
    call_id = steps.attempt_row(first)["call_id"]
    with pytest.raises(sa.exc.IntegrityError):
        steps.store.attempts.place(second, AttemptState.DIALING, call_id, NOW)
    assert steps.attempt_row(second)["state"] == "dialing"


def test_a_number_stands_once_in_a_campaign(steps: Steps) -> None:
    campaign_id = steps.campaign("spring", phone(1))
    steps.load(campaign_id, phone(2))
    with pytest.raises(sa.exc.IntegrityError):
        steps.execute(f"UPDATE leads SET phone = {int(phone(1))} WHERE phone = {int(phone(2))}")
    assert sorted(row["phone"] for row in steps.rows(sa.select(leads))) == [phone(1), phone(2)]
