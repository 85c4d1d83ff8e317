"""The audit holds on books that are right, and names the culprit when they are cooked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from services_world import FROM, START, WORKSPACE, World

from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.logs import mask
from campaigns.retell import RetellError
from campaigns.services.audit import Audit, audit
from campaigns.services.imports import import_file
from campaigns.simulator.faults import Fault

LEADS = 8
ROWS_ADD_UP = "every row is in one account"
ONE_CALL = "nobody was rung twice for one attempt"
CALLS_KNOWN = "every call at Retell is in the books"
ATTEMPTS_KNOWN = "every attempt in the books is a call at Retell"
IN_WINDOW = "every dial was inside the callee's window"
UNDER_CAP = "no number was dialed above the rolling cap"
IN_BUDGET = "no lead was dialed above its budget"
NOT_SUPPRESSED = "nobody was dialed after a do-not-call request"


def number(line: int) -> str:
    return f"+12125550{100 + line}"


@dataclass
class Books:
    world: World
    campaign: Campaign

    @property
    def ids(self) -> list[str]:
        """Attempts in the order of their leads."""
        attempts = self.world.store.recovery.audited(self.campaign.id)
        return [one.id for one in sorted(attempts, key=lambda one: one.lead_id)]

    def call(self, attempt_id: str, to: str = number(0)) -> str:
        """A call at Retell that nobody of ours wrote down."""
        metadata = {"attempt_id": attempt_id, "campaign_id": self.campaign.id}
        request = {"from_number": FROM, "to_number": to, "metadata": metadata}
        return str(self.world.engine.create_phone_call(request)["call_id"])

    def audit(self) -> Audit:
        return audit(self.world.store, self.world.context.retell, self.world.campaign_now(self.campaign))

    def failures(self) -> dict[str, list[str]]:
        return {check.claim: list(check.found) for check in self.audit().checks if not check.holds}


@pytest.fixture
def books(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Books]:
    """A finished campaign: eight leads dialed, a duplicate, a bad number, a suppressed one."""
    with World.made(tmp_path, migrated_sqlite) as world:
        world.store.imports.suppress([number(50)], "test", "asked", START - timedelta(days=9))
        options = CampaignOptions(from_numbers=(FROM,), retry="none", max_attempts=2)
        campaign = world.store.campaigns.create("spring", WORKSPACE, options, world.clock.now())
        assert campaign is not None
        phones = [*map(number, range(LEADS)), number(0), "+1212", number(50)]
        path = tmp_path / "list.csv"
        path.write_text("phone\n" + "\n".join(phones) + "\n")
        import_file(world.store, campaign, path, world.clock.now(), "test")
        assert world.store.campaigns.launch(campaign.id, world.clock.now())
        assert len(world.dial_all()) == LEADS
        world.after(hours=1)
        assert world.poll_and_settle() == LEADS
        yield Books(world, campaign)


def test_right_books_hold(books: Books) -> None:
    found = books.audit()
    assert found.holds
    assert len(found.checks) == 10
    assert books.failures() == {}
    document = found.document()
    assert (document["campaign"], document["holds"]) == ("spring", True)
    assert all(check["holds"] and check["found"] == [] for check in document["checks"])
    assert "11 file rows = 2 rejected + 9 leads" in document["checks"][0]["detail"]
    json.dumps(document)


def test_an_adopted_call_and_one_in_progress_hold(books: Books) -> None:
    world = books.world
    world.campaign("summer", 101, 102)
    first, second = world.pace()
    world.engine.faults.next("create-phone-call", Fault("drop"))
    world.dial(first)
    summer = world.store.campaigns.by_name("summer")
    assert summer is not None
    world.sql(f"""UPDATE files SET counts = '{{"rows": 2}}' WHERE campaign_id = '{summer.id}'""")
    found = audit(world.store, world.context.retell, summer)
    assert found.holds, found  # rang, and still being looked for: no contradiction
    world.reconcile()
    world.dial(second)
    assert audit(world.store, world.context.retell, summer).holds


# -- cooked: each returns the claim that fails, and a part of what it says


def reject_deleted(books: Books) -> tuple[str, str]:
    books.world.sql("DELETE FROM rejects WHERE id = (SELECT max(id) FROM rejects)")
    return ROWS_ADD_UP, "11 file rows = 1 rejected + 9 leads"


def second_call_for_an_attempt(books: Books) -> tuple[str, str]:
    attempt_id = books.ids[2]
    return ONE_CALL, f"attempt {attempt_id}: calls " and books.call(attempt_id)


def call_of_an_unknown_attempt(books: Books) -> tuple[str, str]:
    return CALLS_KNOWN, f"call {books.call('nobody-knows-it')} belongs to no attempt"


def call_of_an_attempt_that_was_given_back(books: Books) -> tuple[str, str]:
    world, attempt_id = books.world, books.ids[3]
    world.sql(
        "UPDATE attempts SET state = 'not_placed', outcome = NULL, call_id = NULL, charged = false,"
        f" refusal = 'lost' WHERE id = '{attempt_id}'"
    )
    return CALLS_KNOWN, f"attempt {attempt_id} is not_placed and does not know it"


def unreadable_call(books: Books) -> tuple[str, str]:
    wire = books.world.wire
    inner = wire._inner

    class Spoiled(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            page = json.loads(inner.handle_request(request).read())
            return httpx.Response(200, json={**page, "items": [*page["items"], {"call_id": None}]})

    wire._inner = Spoiled()  # type: ignore[assignment]
    return CALLS_KNOWN, "1 calls in Retell's list could not be read"


def call_id_changed(books: Books) -> tuple[str, str]:
    attempt_id = books.ids[1]
    books.world.sql(f"UPDATE attempts SET call_id = 'call_x' WHERE id = '{attempt_id}'")
    return ATTEMPTS_KNOWN, f"attempt {attempt_id}: call call_x is not in Retell's list"


def unresolved(books: Books) -> tuple[str, str]:
    attempt_id = books.ids[1]
    books.world.sql(
        f"UPDATE attempts SET state = 'unresolved', outcome = NULL, refusal = '?' WHERE id = '{attempt_id}'"
    )
    return ATTEMPTS_KNOWN, f"attempt {attempt_id} is unresolved: `campaigns resolve {attempt_id}`"


def dialed_at_night(books: Books) -> tuple[str, str]:
    attempt_id, night = books.ids[4], START - timedelta(hours=7)
    books.world.sql(f"UPDATE attempts SET dialing_at = {to_ms(night)} WHERE id = '{attempt_id}'")
    return IN_WINDOW, f"attempt {attempt_id}: dialed at 2026-12-01 08:00:00 UTC, America/New_York"


def dialed_without_a_zone(books: Books) -> tuple[str, str]:
    attempt_id = books.ids[4]
    books.world.sql(
        f"UPDATE leads SET zones = '' WHERE id = (SELECT lead_id FROM attempts WHERE id = '{attempt_id}')"
    )
    return IN_WINDOW, f"attempt {attempt_id}: dialed at 2026-12-01 15:00:00 UTC, no zone"


def dialed_above_the_cap(books: Books) -> tuple[str, str]:
    ids = ", ".join(f"'{one}'" for one in books.ids[:4])
    books.world.sql(f"UPDATE attempts SET phone = '{number(7)}' WHERE id IN ({ids})")
    return UNDER_CAP, f"{mask(number(7))}: dialed above 3 in any 24 hours"


def dialed_above_the_budget(books: Books) -> tuple[str, str]:
    ids = ", ".join(f"'{one}'" for one in books.ids[:3])
    books.world.sql(f"UPDATE attempts SET lead_id = 1, claimed_at = claimed_at + 1 WHERE id IN ({ids})")
    return IN_BUDGET, "lead 1: 3 attempts"


def dialed_after_a_request(books: Books) -> tuple[str, str]:
    books.world.store.imports.suppress([number(5)], "test", "asked", START - timedelta(seconds=1))
    return NOT_SUPPRESSED, f"attempt {books.ids[5]}: dialed after the number was suppressed"


COOKED = [
    reject_deleted, second_call_for_an_attempt, call_of_an_unknown_attempt,
    call_of_an_attempt_that_was_given_back, unreadable_call, call_id_changed, unresolved, dialed_at_night,
    dialed_without_a_zone, dialed_above_the_cap, dialed_above_the_budget, dialed_after_a_request,
]  # fmt: skip


#: Those that hurt one claim and no other.
ALONE = {
    reject_deleted, call_of_an_unknown_attempt, dialed_at_night, dialed_without_a_zone, dialed_above_the_cap,
    dialed_above_the_budget, dialed_after_a_request,
}  # fmt: skip


@pytest.mark.parametrize("cook", COOKED)
def test_cooked_books_fail_and_name_the_culprit(
    books: Books, cook: Callable[[Books], tuple[str, str]]
) -> None:
    claim, culprit = cook(books)
    failures = books.failures()
    assert any(culprit in found for found in failures[claim]), failures
    if cook in ALONE:
        assert set(failures) == {claim}


def test_a_request_after_the_dial_is_no_offence(books: Books) -> None:
    books.world.store.imports.suppress([number(5)], "test", "asked", START + timedelta(seconds=1))
    assert books.audit().holds


def test_a_profile_without_a_cap_has_none(books: Books) -> None:
    dialed_above_the_cap(books)
    changed = replace(books.campaign.options, profile="none")
    books.world.store.campaigns.set_options(books.campaign.id, changed, books.world.clock.now())
    assert UNDER_CAP not in books.failures()


def test_calls_of_another_campaign_are_not_in_the_list(books: Books) -> None:
    request: dict[str, Any] = {"from_number": FROM, "to_number": number(1), "metadata": {"campaign_id": "x"}}
    books.world.engine.create_phone_call(request)
    assert books.audit().holds


def test_without_the_list_there_is_no_verdict(books: Books) -> None:
    books.world.engine.configure({"faults": "list_500=1"})
    with pytest.raises(RetellError):
        books.audit()
