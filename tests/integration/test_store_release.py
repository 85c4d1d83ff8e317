"""An operator's release of held leads: guarded, recorded, and never for a lead that may have been rung."""

from __future__ import annotations

from datetime import timedelta

from campaigns.domain.states import UNRESOLVED_CODE, LeadState
from tests.integration.store_steps import NOW, Steps, new_lead, phone


def test_only_leads_held_with_that_code_wait_again(steps: Steps) -> None:
    campaign_id = steps.draft()
    later = NOW + timedelta(hours=1)
    with steps.store.imports.writer(campaign_id, NOW) as writer:
        writer.begin("leads.csv", "digest", 1, ["phone"], "tester")
        writer.add_leads(
            [
                new_lead(1, phone(101), state=LeadState.HELD, hold=("unknown_timezone", "name it"), zones=""),
                new_lead(2, phone(102), state=LeadState.HELD, hold=("invalid_phone", "mend it")),
                new_lead(3, phone(103), state=LeadState.HELD, hold=(UNRESOLVED_CODE, "resolve it")),
                new_lead(4, phone(104)),
            ]
        )
    store = steps.store
    assert store.returns.release(campaign_id, "unknown_timezone", "America/Denver", later) == 1
    assert store.returns.release(campaign_id, "unknown_timezone", "America/Denver", later) == 0
    assert store.returns.release(campaign_id, UNRESOLVED_CODE, None, later) == 0
    assert store.reports.lead_counts(campaign_id)["held"] == 2
    [released] = [
        lead for lead in store.reports.leads(campaign_id, "pending") if lead["zones"] == "America/Denver"
    ]
    assert released["zone_source"] == "operator"
    assert released["hold_code"] is None
    assert ("America/Denver", "US-NY", released["priority"]) in store.campaigns.segments([campaign_id])[
        campaign_id
    ]
    [event] = store.listings.events(campaign_id, 1)
    assert (event["from_state"], event["to_state"], event["detail"]) == (
        "held", "pending", "released: unknown_timezone",
    )  # fmt: skip
