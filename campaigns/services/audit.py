"""The closing proof: every row accounted for, every attempt joined to at most one call, every call within the rules.

From two independent sources: the database, and Retell's own list of the campaign's calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from campaigns.compliance import Rules, rules_for
from campaigns.domain.caps import released_at
from campaigns.domain.clock import from_ms
from campaigns.domain.entities import Callee, Campaign
from campaigns.domain.recovery import LONGEST_RING
from campaigns.domain.states import WITH_CALL, AttemptState
from campaigns.logs import mask
from campaigns.retell import Call, RetellClient
from campaigns.store import AuditedAttempt, Store

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Check:
    """One claim and what speaks against it; `found` is empty where it holds."""

    claim: str
    detail: str
    found: Sequence[str] = field(default_factory=tuple)

    @property
    def holds(self) -> bool:
        return not self.found


@dataclass(frozen=True, slots=True)
class Audit:
    campaign: str
    checks: Sequence[Check]

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)

    def document(self) -> dict[str, Any]:
        return {
            "campaign": self.campaign,
            "holds": self.holds,
            "checks": [
                {"claim": c.claim, "holds": c.holds, "detail": c.detail, "found": list(c.found)}
                for c in self.checks
            ],
        }


def audit(store: Store, retell: RetellClient, campaign: Campaign) -> Audit:
    """Hold the campaign's books against Retell's list. Raises RetellError when the list cannot be had."""
    attempts = store.recovery.audited(campaign.id)
    calls = retell.list_calls(metadata={"campaign_id": campaign.id})
    if calls.malformed:
        unreadable = [f"{calls.malformed} calls in Retell's list could not be read"]
    else:
        unreadable = []
    rules = rules_for(campaign.options.profile, campaign.options.windows)
    rang = [
        attempt for attempt in attempts if attempt.state != AttemptState.NOT_PLACED and attempt.dialing_at
    ]
    return Audit(
        campaign.name,
        [
            _rows(store, campaign),
            _tallies(store, campaign),
            _one_call_each(attempts, calls),
            _calls_known(attempts, calls, unreadable),
            _attempts_known(attempts, calls),
            _inside_windows(rang, rules),
            *_batches_inside_windows(store, campaign, rang, rules, calls),
            _within_caps(store, campaign, rang, rules),
            _budget(attempts, campaign.options.max_attempts),
            _not_suppressed(rang),
            _with_evidence(store, campaign, attempts),
        ],
    )


def _rows(store: Store, campaign: Campaign) -> Check:
    files = store.imports.files(campaign.id)
    rows = sum(int(str(file.counts.get("rows", 0))) for file in files)
    # Their leads were counted with the file that brought them first.
    mended = sum(int(str(file.counts.get("mended", 0))) for file in files)
    by_state = store.reports.lead_counts(campaign.id)
    leads, rejected = sum(by_state.values()), store.reports.rejected_rows(campaign.id)
    states = ", ".join(f"{count} {state}" for state, count in by_state.items() if count)
    detail = f"{rows} file rows = {rejected} rejected + {leads} leads ({states})"
    if mended:
        detail += f" + {mended} that mended a held lead"
    return Check("every row is in one account", detail, [] if rows == rejected + leads + mended else [detail])


def _tallies(store: Store, campaign: Campaign) -> Check:
    wrong = store.tallies.miscounted(campaign.id)
    return Check("what is shown is what is there", "the tallies are those of the rows", wrong)


def _one_call_each(attempts: Sequence[AuditedAttempt], calls: Sequence[Call]) -> Check:
    ids: dict[str, set[str]] = {}
    for call in calls:
        if call.attempt_id:
            ids.setdefault(call.attempt_id, set()).add(call.call_id)
    doubled = [f"attempt {a}: calls {', '.join(sorted(c))}" for a, c in ids.items() if len(c) > 1]
    return Check("nobody was rung twice for one attempt", f"{len(ids)} attempts with a call", doubled)


def _calls_known(
    attempts: Sequence[AuditedAttempt], calls: Sequence[Call], unreadable: Sequence[str]
) -> Check:
    known = {attempt.id: attempt for attempt in attempts}
    found = list(unreadable)
    for call in calls:
        attempt = known.get(call.attempt_id or "")
        if attempt is None:
            found.append(f"call {call.call_id} belongs to no attempt")
        elif attempt.call_id != call.call_id and attempt.state not in (
            AttemptState.AMBIGUOUS,
            AttemptState.DIALING,
        ):
            found.append(f"call {call.call_id}: attempt {attempt.id} is {attempt.state} and does not know it")
    return Check("every call at Retell is in the books", f"{len(calls)} calls listed", found)


def _attempts_known(attempts: Sequence[AuditedAttempt], calls: Sequence[Call]) -> Check:
    listed = {call.call_id for call in calls}
    with_call = [attempt for attempt in attempts if attempt.state in WITH_CALL]
    found = [
        f"attempt {a.id}: call {a.call_id} is not in Retell's list"
        for a in with_call
        if a.call_id not in listed
    ]
    found += [
        f"attempt {a.id} is unresolved: `campaigns resolve {a.id}`"
        for a in attempts
        if a.state == AttemptState.UNRESOLVED
    ]
    return Check(
        "every attempt in the books is a call at Retell", f"{len(with_call)} attempts with a call", found
    )


def _inside_windows(rang: Sequence[AuditedAttempt], rules: Rules) -> Check:
    found = []
    for attempt in rang:
        at = from_ms(attempt.dialing_at or 0)
        if rules.until(Callee.of(attempt.zones, attempt.jurisdictions), at) is None:
            found.append(
                f"attempt {attempt.id}: dialed at {at:%Y-%m-%d %H:%M:%S} UTC, {attempt.zones or 'no zone'}"
            )
    return Check("every dial was inside the callee's window", f"{len(rang)} dials", found)


def _batches_inside_windows(
    store: Store, campaign: Campaign, rang: Sequence[AuditedAttempt], rules: Rules, calls: Sequence[Call]
) -> list[Check]:
    """In batch mode Retell chooses the moment: within the window that it was given, which must lie in the callee's."""
    windows = {batch.id: batch for batch in store.batches.of_campaign(campaign.id)}
    if not windows:
        return []
    found: list[str] = []
    by_attempt = {attempt.id: attempt for attempt in rang if attempt.batch_id in windows}
    for attempt in by_attempt.values():
        batch = windows[attempt.batch_id or ""]
        callee = Callee.of(attempt.zones, attempt.jurisdictions)
        for start, end in batch.stretches:
            until = rules.until(callee, max(start, batch.begins_at or start))
            if until is None or until < end:
                found.append(
                    f"attempt {attempt.id}: batch {batch.id} may ring until {end:%Y-%m-%d %H:%M} UTC"
                )
    for call in calls:
        rung = by_attempt.get(call.attempt_id or "")
        if rung is None or call.start_timestamp is None:
            continue
        at, batch = from_ms(call.start_timestamp), windows[rung.batch_id or ""]
        if not any(start <= at < end + timedelta(seconds=LONGEST_RING) for start, end in batch.stretches):
            found.append(
                f"attempt {rung.id}: answered at {at:%Y-%m-%d %H:%M:%S} UTC, outside of batch {batch.id}"
            )
    return [Check("every batch stayed in the callees' windows", f"{len(windows)} batches", found)]


def _within_caps(store: Store, campaign: Campaign, rang: Sequence[AuditedAttempt], rules: Rules) -> Check:
    claim = "no number was dialed above the rolling cap"
    capped = {
        attempt.phone: caps
        for attempt in rang
        if (caps := rules.terms(Callee.of(attempt.zones, attempt.jurisdictions)).caps)
    }
    if not capped:
        return Check(claim, "no cap applies")
    longest = max(cap.span_ms for caps in capped.values() for cap in caps)
    first = from_ms(min(attempt.dialing_at or 0 for attempt in rang) - longest)
    dialed = store.recovery.dials_of_numbers(campaign.workspace, first)
    own = {(attempt.phone, attempt.dialing_at) for attempt in rang}
    found = []
    for phone, caps in capped.items():
        times = dialed.get(phone, [])
        for index, at in enumerate(times):
            # A dial of another campaign is held against that one's rules, by its own audit.
            if (phone, at) in own and released_at(caps, times[:index], at) is not None:
                found.append(f"{mask(phone)}: dialed above {' and '.join(map(str, caps))}")
                break
    kinds = sorted({str(cap) for caps in capped.values() for cap in caps})
    return Check(claim, f"{'; '.join(kinds)}, over all campaigns", found)


def _with_evidence(store: Store, campaign: Campaign, attempts: Sequence[AuditedAttempt]) -> Check:
    known = store.evidence.sends_with_evidence(campaign.id)
    sent = [(a.id, send) for a in attempts for send in range(1, a.sends + 1)]
    found = [
        f"attempt {attempt}, send {send}: no evidence"
        for attempt, send in sent
        if (attempt, send) not in known
    ]
    return Check("every dial left its evidence", f"{len(sent)} sends", found)


def _budget(attempts: Sequence[AuditedAttempt], max_attempts: int) -> Check:
    charged: dict[int, int] = {}
    for attempt in attempts:
        if attempt.charged:
            charged[attempt.lead_id] = charged.get(attempt.lead_id, 0) + 1
    over = [f"lead {lead}: {count} attempts" for lead, count in charged.items() if count > max_attempts]
    return Check("no lead was dialed above its budget", f"{max_attempts} attempts per lead", over)


def _not_suppressed(rang: Sequence[AuditedAttempt]) -> Check:
    found = [
        f"attempt {a.id}: dialed after the number was suppressed"
        for a in rang
        if a.suppressed_at is not None and (a.dialing_at or 0) > a.suppressed_at
    ]
    return Check("nobody was dialed after a do-not-call request", f"{len(rang)} dials", found)
