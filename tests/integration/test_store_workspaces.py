"""The account as last seen, and whose turn it is to poll."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from store_steps import NOW, WORKSPACE, Steps, phone

from campaigns.domain.entities import CampaignOptions
from campaigns.store import Account
from campaigns.store.events import real_ms


def test_an_account_that_was_never_seen_has_no_lines(steps: Steps) -> None:
    rows = steps.store.workspaces
    never = Account(None, 0, 0, None, None, None, 0.0)
    assert rows.account(WORKSPACE) == never
    rows.ensure(WORKSPACE)
    before = steps.everything()
    rows.ensure(WORKSPACE)
    assert steps.everything() == before
    assert rows.account(WORKSPACE) == never
    assert never.ceiling() == 0
    assert not never.all_reserved


def test_a_snapshot_is_kept_with_its_age(steps: Steps) -> None:
    rows = steps.store.workspaces
    rows.ensure(WORKSPACE)
    rows.note_trouble(WORKSPACE, "timed out")
    assert rows.account(WORKSPACE).trouble == "timed out"
    rows.observe(WORKSPACE, 20, 4, 3)
    account = rows.account(WORKSPACE)
    assert (account.limit, account.reserved_inbound, account.foreign) == (20, 4, 3)
    assert (account.ceiling(), account.trouble) == (16, None)
    assert account.age_ms is not None
    assert 0 <= account.age_ms < 10_000
    steps.execute("UPDATE workspaces SET observed_real = observed_real - 60000")
    rows.note_trouble(WORKSPACE, "timed out")
    later = rows.account(WORKSPACE)
    assert later.age_ms is not None
    assert later.age_ms >= 60_000, "trouble does not make a snapshot younger"
    assert (later.limit, later.foreign, later.trouble) == (20, 3, "timed out")


def test_calls_of_others_are_the_most_of_the_last_few_snapshots(steps: Steps) -> None:
    rows = steps.store.workspaces
    rows.ensure(WORKSPACE)
    seen = []
    for excess in (-2, 4, 1, 0, 0, 0, 0):
        rows.observe(WORKSPACE, 20, 0, excess)
        seen.append(rows.account(WORKSPACE).foreign)
    assert seen == [0, 4, 4, 4, 4, 4, 1]


def test_a_refusal_shrinks_the_ceiling_for_a_while_and_asks_anew(steps: Steps) -> None:
    rows = steps.store.workspaces
    rows.ensure(WORKSPACE)
    rows.observe(WORKSPACE, 20, 2, 0)
    rows.shrink(WORKSPACE, 5, 30.0)
    account = rows.account(WORKSPACE)
    assert (account.shrunk_to, account.ceiling(), account.age_ms) == (5, 5, None)
    rows.observe(WORKSPACE, 20, 2, 0)
    assert rows.account(WORKSPACE).ceiling() == 5, "a snapshot does not lift it"
    steps.execute("UPDATE workspaces SET shrunk_until_real = :past", {"past": real_ms() - 1})
    assert (rows.account(WORKSPACE).shrunk_to, rows.account(WORKSPACE).ceiling()) == (None, 18)


def test_the_operators_reserve_is_no_line_of_campaigns(steps: Steps) -> None:
    rows = steps.store.workspaces
    running, draft = steps.campaign("spring", phone(1)), steps.draft("summer", WORKSPACE)
    rows.observe(WORKSPACE, 20, 4, 3)
    assert rows.set_reserve(WORKSPACE, 6, NOW) == 0
    assert rows.set_reserve(WORKSPACE, 6, NOW) == 6
    assert (rows.account(WORKSPACE).reserve, rows.account(WORKSPACE).ceiling()) == (6, 10)
    assert rows.account(WORKSPACE).reserved_for(10) == 10, (
        "a batch leaves free what is kept, and the inbound reserve"
    )
    assert not rows.account(WORKSPACE).all_reserved
    rows.shrink(WORKSPACE, 8, 60.0)
    assert rows.account(WORKSPACE).ceiling() == 8
    assert rows.set_reserve(WORKSPACE, 16, NOW) == 6
    assert (rows.account(WORKSPACE).ceiling(), rows.account(WORKSPACE).all_reserved) == (0, True)
    told = [[event["detail"] for event in steps.store.listings.events(one, 100)] for one in (running, draft)]
    assert [text for text in told[0] if text and "kept free" in text] == [
        "lines of the account kept free: 0 -> 6", "lines of the account kept free: 6 -> 16",
    ]  # fmt: skip
    assert not any("kept free" in (text or "") for text in told[1])
    with pytest.raises(sa.exc.IntegrityError):
        rows.set_reserve(WORKSPACE, -1, NOW)


def test_one_poller_at_a_time(steps: Steps) -> None:
    rows = steps.store.workspaces
    assert rows.take_poll_turn(WORKSPACE) is False, "an account that nobody made"
    rows.ensure(WORKSPACE)
    assert rows.take_poll_turn(WORKSPACE) is True
    assert rows.take_poll_turn(WORKSPACE) is False
    rows.end_poll_turn(WORKSPACE, 1.5, 0.0)
    assert rows.account(WORKSPACE).poll_credit == 1.5
    assert rows.take_poll_turn(WORKSPACE) is True
    rows.end_poll_turn(WORKSPACE, 0.0, 30.0)
    assert rows.take_poll_turn(WORKSPACE) is False


def test_a_poller_that_died_and_a_clock_set_back_do_not_stop_the_polling(steps: Steps) -> None:
    rows = steps.store.workspaces
    rows.ensure(WORKSPACE)
    assert rows.take_poll_turn(WORKSPACE)
    steps.execute("UPDATE workspaces SET next_poll_real = next_poll_real - 10001")
    assert rows.take_poll_turn(WORKSPACE) is True
    steps.execute("UPDATE workspaces SET next_poll_real = :far", {"far": real_ms() + 3_600_000})
    assert rows.take_poll_turn(WORKSPACE) is True


def test_accounts_do_not_mix(steps: Steps) -> None:
    rows = steps.store.workspaces
    for name in (WORKSPACE, "globex"):
        rows.ensure(name)
    rows.observe("globex", 50, 0, 9)
    rows.shrink("globex", 1, 60.0)
    assert rows.take_poll_turn("globex")
    assert rows.account(WORKSPACE).limit is None
    assert rows.take_poll_turn(WORKSPACE)
    assert steps.store.campaigns.create("spring", "initech", CampaignOptions(), NOW)
    assert rows.account("initech").limit is None
