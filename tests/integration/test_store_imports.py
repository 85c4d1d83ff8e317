"""Files, leads, rejects and the do-not-call list."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from store_steps import EAST, NOW, WEST, Steps, new_lead, phone, plan

from campaigns.domain.states import AttemptState, LeadState
from campaigns.store import Reject
from campaigns.store.schema import suppressions

LATER = NOW + timedelta(minutes=5)


def test_a_file_keeps_its_header_its_counts_and_its_rejects(steps: Steps) -> None:
    campaign_id = steps.draft()
    rejected = [
        Reject(3, "invalid_phone", "not a number", "Phone", "abc", ("Ann", "abc")),
        Reject(4, "duplicate_in_file", "as line 2", "Phone", phone(1), ("Zoë", phone(1))),
    ]
    with steps.store.imports.writer(campaign_id, NOW) as writer:
        writer.begin("List März.csv", "ab" * 32, 1234, ["Name", "Phone"], "ann")
        assert writer.file_id == 0
        writer.add_leads([new_lead(2, phone(1))])
        writer.add_leads([])
        writer.add_rejects(rejected)
        writer.add_rejects([])
        writer.finish({"rows": 3, "by_code": {"invalid_phone": 1}})
    steps.load(campaign_id, phone(2))
    first, second = steps.store.imports.files(campaign_id)
    assert (first.name, first.sha256, first.header) == ("List März.csv", "ab" * 32, ("Name", "Phone"))
    assert first.counts == {"rows": 3, "by_code": {"invalid_phone": 1}}
    assert list(steps.store.imports.rejects(campaign_id)) == rejected
    assert list(steps.store.imports.rejects(campaign_id, first.id)) == rejected
    assert list(steps.store.imports.rejects(campaign_id, second.id)) == []
    assert steps.store.imports.files("none") == []


def test_a_lead_is_kept_as_it_was_read(steps: Steps) -> None:
    campaign_id = steps.draft()
    hold = ("unknown_timezone", "give the zone")
    steps.load_leads(
        campaign_id,
        [
            new_lead(2, phone(1), state=LeadState.HELD, hold=hold, zones="", cells=(phone(1), " Zoë ")),
            new_lead(3, phone(2), zones=f"{EAST}|{WEST}", priority=1, external_id="x-1", ignore_e164=True,
                     metadata={"crm": {"id": 7}}, sip_headers={"X-A": "1"}, consent="web", extension="12"),
            new_lead(4, phone(3), state=LeadState.SUPPRESSED),
        ],
    )  # fmt: skip
    held, plain, suppressed = steps.store.reports.leads(campaign_id)
    assert (held["state"], held["hold_code"], held["hold_remedy"]) == ("held", *hold)
    assert held["variables"] == {"name": "Zoë"}
    assert (plain["zones"], plain["priority"], plain["external_id"]) == (f"{EAST}|{WEST}", 1, "x-1")
    assert (plain["ignore_e164"], plain["consent"], plain["extension"]) == (True, "web", "12")
    assert (plain["metadata"], plain["sip_headers"]) == ('{"crm": {"id": 7}}', '{"X-A": "1"}')
    assert (plain["cells"], plain["attempts"], plain["outcome"]) == ([phone(2)], 0, None)
    assert suppressed["state"] == "suppressed"


def test_known_and_suppressed_numbers_are_found_in_long_lists(steps: Steps) -> None:
    campaign_id, other = steps.draft("one"), steps.draft("two")
    steps.load(campaign_id, phone(1), phone(1203))
    steps.load(other, phone(2))
    steps.store.imports.suppress([phone(3), phone(1204)], "import", "asked", NOW)
    many = [phone(number) for number in range(1, 1300)]
    steps.load(campaign_id, phone(9), state=LeadState.HELD, hold=("unknown_timezone", "name it"))
    with steps.store.imports.writer(campaign_id, NOW) as writer:
        writer.begin("list.csv", "0" * 64, 100, ["phone"], "test")
        known, mendable = writer.known(list(map(int, many)))
        assert {f"+{number}" for number in known} == {phone(1), phone(9), phone(1203)}
        assert mendable == {int(phone(9)): steps.lead_row(phone(9))["id"]}
        assert {f"+{number}" for number in writer.suppressed(list(map(int, many)))} == {phone(3), phone(1204)}
        assert writer.known([]) == ([], {})
        assert writer.suppressed([]) == []


def test_suppressing_ends_waiting_leads_everywhere_and_counts_new_numbers(steps: Steps) -> None:
    one = steps.campaign("one", phone(1), phone(2))
    two = steps.campaign("two", phone(3))
    steps.load_leads(two, [new_lead(9, phone(1), state=LeadState.HELD, hold=("x", "look"))])
    before = len(steps.happened())
    assert steps.store.imports.suppress([phone(1), phone(8)], "import", "asked", LATER) == 2
    assert steps.lead_row(phone(1), one)["state"] == "suppressed"
    held = steps.lead_row(phone(1), two)
    assert (held["state"], held["hold_code"], held["hold_remedy"]) == ("suppressed", None, None)
    assert steps.lead_row(phone(2))["state"] == steps.lead_row(phone(3))["state"] == "pending"
    assert sorted(steps.happened()[before:]) == [
        ("lead", "held", "suppressed"),
        ("lead", "pending", "suppressed"),
    ]
    unchanged = steps.everything()
    assert steps.store.imports.suppress([phone(1)], "import", "asked again", LATER) == 0
    assert steps.everything() == unchanged
    kept = steps.rows(sa.select(suppressions).where(suppressions.c.phone == phone(8)))
    assert [(row["source"], row["reason"]) for row in kept] == [("import", "asked")]


def test_suppressing_leaves_a_call_in_progress_to_its_end(steps: Steps) -> None:
    campaign_id = steps.campaign("one", phone(1))
    attempt_id = steps.attempt(campaign_id, AttemptState.PLACED)
    before = steps.happened()
    assert steps.store.imports.suppress([phone(1)], "import", "asked", LATER) == 1
    assert steps.happened() == before
    assert steps.lead_row(phone(1))["state"] == "in_flight"
    assert steps.attempt_row(attempt_id)["state"] == "placed"


def test_a_listed_number_that_slipped_in_is_screened_at_the_claim(steps: Steps) -> None:
    campaign_id = steps.campaign("one")
    steps.store.imports.suppress([phone(1)], "import", "asked", NOW)
    steps.load(campaign_id, phone(1), phone(2))
    before = len(steps.happened())
    claimed = steps.claim(plan(campaign_id))
    assert (steps.dialed_numbers(claimed.attempt_ids), claimed.refused) == ([phone(2)], {"suppressed": 1})
    assert steps.lead_row(phone(1))["state"] == "suppressed"
    assert steps.happened()[before] == ("lead", "pending", "suppressed")
    assert steps.claim(plan(campaign_id)).refused == {}


def test_a_long_do_not_call_list_is_one_transaction(steps: Steps) -> None:
    numbers = [phone(number) for number in range(300)]
    assert steps.store.imports.suppress(iter(numbers), "import", "list", NOW) == 300
    assert steps.store.imports.suppress(numbers, "import", "list", NOW) == 0
