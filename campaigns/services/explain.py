"""Why is nobody calling this person? The whole gate of a number, line by line, and when it is next callable."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from campaigns.compliance import CONFIDENCES, Rule, Rules, Terms, may_call, remedy_for, rules_for
from campaigns.domain.caller_ids import Caller, NoneFree, cps_of
from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import Allowed, Blackout, Callee, Campaign, CampaignOptions, Refused
from campaigns.domain.pacing import CPS_MARGIN
from campaigns.domain.states import UNDERWAY, CampaignState, LeadState
from campaigns.domain.windows import Spans, zone
from campaigns.leads import place_of
from campaigns.services.callers import choice, pool
from campaigns.services.report import iso
from campaigns.store import Account, Store, Suppression

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the gate. passes: None where it only informs."""

    what: str
    says: str
    passes: bool | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that decides about one number in one campaign. campaign: "" where no campaign has the number.

    next_at: when it is next callable as things stand; None = not by itself. why: the first thing in the way.
    """

    phone: str
    campaign: str
    state: str
    callable_now: bool
    next_at: datetime | None
    why: str
    lines: tuple[Line, ...]

    def document(self) -> dict[str, Any]:
        return {
            "phone": self.phone,
            "campaign": self.campaign or None,
            "lead_state": self.state or None,
            "callable_now": self.callable_now,
            "next_callable_at": None if self.next_at is None else iso(self.next_at),
            "why": self.why,
            "lines": [{"what": one.what, "says": one.says, "passes": one.passes} for one in self.lines],
        }


def explain(
    store: Store, workspace: str, phone: str, now: datetime, campaign: Campaign | None = None
) -> list[Explanation]:
    """One explanation per lead of an E.164 number, in one campaign where given; of the bare number if there is none."""
    found = store.reports.leads_of_number(phone, None if campaign is None else campaign.id)
    blackouts = store.evidence.blackouts()
    explained = [
        _Gate(store, phone, owner, lead, blackouts, now).explained()
        for lead in found
        if (owner := store.campaigns.get(lead["campaign_id"])) is not None
    ]
    return explained or [_Gate(store, phone, campaign, None, blackouts, now, workspace).explained()]


class _Gate:
    def __init__(
        self,
        store: Store,
        phone: str,
        campaign: Campaign | None,
        lead: dict[str, Any] | None,
        blackouts: tuple[Blackout, ...],
        now: datetime,
        workspace: str = "",
    ) -> None:
        self._store, self._phone, self._campaign, self._lead, self._now = store, phone, campaign, lead, now
        self._workspace = campaign.workspace if campaign else workspace
        options = campaign.options if campaign else CampaignOptions()
        self._options = options
        self._rules: Rules = rules_for(options.profile, options.windows, blackouts)
        if lead is None:
            place = place_of(phone, option=options.timezone)
            self._callee, self._source = Callee(place.zones, place.jurisdictions), place.source
        else:
            self._callee = Callee.of(lead["zones"], lead["jurisdictions"])
            self._source = lead["zone_source"]
        self._lines: list[Line] = []
        #: What is in the way, and the instant from which it is not; None = not by itself.
        self._obstacles: list[tuple[str, datetime | None]] = []

    def explained(self) -> Explanation:
        dialed = self._store.attempts.dials_of_number(self._workspace, self._phone)
        listed = self._store.suppressions.find(self._phone)
        self._suppression(listed)
        self._of_lead()
        self._of_campaign()
        self._of_number()
        due = self._due()
        self._clock()
        terms = self._rules.terms(self._callee)
        self._law(terms)
        self._caps(terms, dialed)
        answer = may_call(self._callee, max(self._now, due), self._rules, dialed, listed is not None)
        self._answer(answer)
        self._from_number()
        self._account()
        return self._verdict(answer, due)

    def _say(self, what: str, says: str, passes: bool | None = None) -> None:
        self._lines.append(Line(what, says, passes))

    def _blocked(self, what: str, says: str, until: datetime | None = None) -> None:
        self._say(what, says, False)
        self._obstacles.append((says, until))

    def _suppression(self, listed: Suppression | None) -> None:
        if listed is None:
            self._say("do-not-call", "not on the list", True)
            return
        says = f"on the list since {iso(listed.added_at)}, from {listed.source}: {listed.reason}"
        self._blocked("do-not-call", says, listed.expires_at)

    def _of_campaign(self) -> None:
        campaign = self._campaign
        if campaign is None:
            self._blocked("campaign", "no campaign has this number")
        elif campaign.state == CampaignState.RUNNING and campaign.begins_after(self._now):
            self._blocked("campaign", f"{campaign.name} has not begun to dial", campaign.start_at)
        elif campaign.state == CampaignState.RUNNING:
            self._say("campaign", f"{campaign.name} is running, profile {campaign.options.profile}", True)
        else:
            reason = f": {campaign.reason}" if campaign.reason else ""
            self._blocked(
                "campaign", f"{campaign.name} is {campaign.state.value}{reason}", campaign.resume_at
            )

    def _of_lead(self) -> None:
        lead = self._lead
        if lead is None:
            if self._campaign is not None:
                self._blocked("lead", f"{self._campaign.name} has no lead of this number")
            return
        tried = f"{lead['attempts']} of {self._options.max_attempts} attempts used"
        if lead["outcome"]:
            tried += f", the last came to {lead['outcome']}"
        state = lead["state"]
        if state == LeadState.PENDING:
            self._say("lead", f"line {lead['line']} is pending; {tried}", True)
        elif state == LeadState.HELD:
            self._blocked("lead", f"line {lead['line']} is held, {lead['hold_code']}: {lead['hold_remedy']}")
        elif state == LeadState.IN_FLIGHT:
            self._blocked("lead", f"line {lead['line']} has an attempt in progress; {tried}")
        else:
            self._blocked("lead", f"line {lead['line']} is over, {state}; {tried}")

    def _of_number(self) -> None:
        elsewhere = self._store.reports.open_attempt_of(self._workspace, self._phone)
        if elsewhere is not None:
            attempt, name, state = elsewhere
            self._blocked("number", f"attempt {attempt} of {name} is {state}: one at a time")
            batch = self._store.batches.batch_of(self._workspace, self._phone)
            if batch is not None and state in UNDERWAY:
                until = (
                    "" if batch.ends_at is None else f"; Retell does not ring it after {iso(batch.ends_at)}"
                )
                self._say("batch", f"it waits in batch {batch.id[:8]}, {batch.state}{until}")

    def _due(self) -> datetime:
        if self._lead is None:
            return self._now
        due = from_ms(self._lead["next_attempt_at"])
        if self._lead["state"] == LeadState.PENDING:
            if due > self._now:
                what = "callback or retry" if self._lead["attempts"] else "first attempt"
                self._blocked("retry delay", f"{what} due at {iso(due)}", due)
            else:
                self._say("retry delay", f"due since {iso(due)}", True)
        return due

    def _clock(self) -> None:
        callee = self._callee
        source = f"from the {self._source}" if self._source else "from nothing that says where"
        zones = ", ".join(callee.zones) or "unknown"
        self._say("zones", f"{zones}, {source}", bool(callee.zones) or None)
        self._say("places", ", ".join(callee.jurisdictions) or "unknown", None)
        for name in callee.zones:
            self._say("local time", f"{self._now.astimezone(zone(name)):%a %Y-%m-%d %H:%M} in {name}")

    def _law(self, terms: Terms) -> None:
        if not terms.rules:
            self._say("rules", f"profile {self._rules.profile.name}: {self._rules.profile.what}")
        for rule in terms.rules:
            self._of_rule(rule)
        for blackout in terms.blackouts:
            where = [n for n in self._callee.zones or ("Etc/UTC",) if _within(blackout, self._date(n))]
            says = f"{blackout.jurisdiction} {blackout.first} to {blackout.last}: {blackout.reason}"
            self._say("blackout", says, not where)
        own = self._rules.own
        if own.windows is not None:
            shut = [n for n in self._callee.zones if not _inside(own.hours(self._date(n)), self._minute(n))]
            self._say("campaign's window", ", ".join(self._options.windows), not shut)

    def _of_rule(self, rule: Rule) -> None:
        shut = []
        for name in self._callee.zones:
            day = self._date(name)
            if not _inside(rule.hours(day), self._minute(name)):
                shut.append(name)
        days = sorted({self._date(name) for name in self._callee.zones} or {self._now.date()})
        today = "; ".join(
            f"{_DAYS[day.weekday()]} {_shown(rule.hours(day))} {rule.holiday(day) or ''}".rstrip()
            for day in days
        )
        says = (
            f"{today}. Confidence {CONFIDENCES[rule.confidence]}, as of {rule.as_of}. Source: {rule.source}"
            + (f". {rule.note}" if rule.note else "")
        )
        self._say(f"rule {rule.jurisdiction}", says, not shut)

    def _date(self, name: str) -> date:
        return self._now.astimezone(zone(name)).date()

    def _minute(self, name: str) -> int:
        there = self._now.astimezone(zone(name))
        return there.hour * 60 + there.minute

    def _caps(self, terms: Terms, dialed: list[int]) -> None:
        at = to_ms(self._now)
        for cap in terms.caps:
            used = cap.used(dialed, at)
            self._say("cap", f"{used} of {cap} used, over all campaigns", used < cap.calls)
        if not terms.caps:
            self._say("cap", "none applies")

    def _answer(self, answer: Allowed | Refused) -> None:
        if isinstance(answer, Allowed):
            until = "at any time" if self._rules.terms(self._callee).openings is None else iso(answer.until)
            self._say("gate", f"open until {until}" if until != "at any time" else "open at any time", True)
        elif answer.code != "suppressed":
            says = (
                remedy_for(answer) if answer.next_at is None else f"{answer.why}; opens {iso(answer.next_at)}"
            )
            self._blocked("gate", says, answer.next_at)

    def _from_number(self) -> None:
        """Which number it would be called from, or when one is free."""
        campaign, numbers = self._campaign, self._options.from_numbers
        if campaign is None or not numbers:
            return
        found = choice(self._store, campaign, self._phone, self._callee.jurisdictions, self._now)
        if isinstance(found, NoneFree):
            until = None if found.until is None else from_ms(found.until)
            says = found.why if until is None else f"{found.why}; the next one at {iso(until)}"
            self._blocked("from-number", says, until)
            return
        says = f"{found.number}, of {len(numbers)}" if len(numbers) > 1 else found.number
        if found.left is not None:
            says += f"; {found.left} of {self._options.number_cap} calls in 24 hours left"
        self._say("from-number", says, True)
        agents = self._options.variants()
        own = self._lead["agent_id"] if self._lead else ""
        if own or len(agents) > 1:
            shares = ", ".join(f"{one.agent} {one.weight}" for one in agents)
            self._say("agent", own or f"one of {shares}: at the first claim")

    def _account(self) -> None:
        account: Account = self._store.workspaces.account(self._workspace)
        own = self._store.own_lines(self._workspace)
        free = max(0, account.ceiling() - account.foreign - own)
        cap = self._options.concurrency
        says = f"{free} of {account.ceiling()} lines free ({own} ours, {account.foreign} of others)"
        if account.reserve:
            says += f"; {account.reserve} more are kept free by the operator"
        if cap is not None:
            says += f"; the campaign's own cap is {cap}"
        if account.trouble:
            says += f"; trouble: {account.trouble}"
        self._say("lines", says, free > 0 if self._campaign is not None else None)
        cps = self._options.cps
        by_type = {caller.type: cps_of(caller.type, cps) for caller in self._pool()}
        limits = ", ".join(
            f"{limit:g} from {kind or 'any'} numbers" for kind, limit in by_type.items() if limit
        )
        self._say(
            "calls per second",
            "no limit" if cps is None else f"{limits or f'{cps:g}'}, kept {CPS_MARGIN - 1:.0%} below it",
        )

    def _pool(self) -> list[Caller]:
        return pool(self._options, self._store.numbers.known(self._workspace))

    def _verdict(self, answer: Allowed | Refused, due: datetime) -> Explanation:
        lead = self._lead
        by_itself = all(until is not None for _, until in self._obstacles)
        next_at: datetime | None = None
        if by_itself:
            start = max([self._now, due, *(until for _, until in self._obstacles if until is not None)])
            dialed = self._store.attempts.dials_of_number(self._workspace, self._phone)
            again = may_call(self._callee, start, self._rules, dialed, False)
            next_at = start if isinstance(again, Allowed) else again.next_at
        now = by_itself and not self._obstacles and isinstance(answer, Allowed)
        lasting = [says for says, until in self._obstacles if until is None]
        why = (
            lasting or [says for says, _ in self._obstacles] or ["callable now: as soon as a line is free"]
        )[0]
        return Explanation(
            self._phone,
            self._campaign.name if self._campaign else "",
            lead["state"] if lead else "",
            now,
            next_at,
            why,
            tuple(self._lines),
        )


def _inside(spans: Spans, minute: int) -> bool:
    return any(start <= minute < end for start, end in spans)


def _within(blackout: Blackout, day: date) -> bool:
    return blackout.first <= day <= blackout.last


def _shown(spans: Spans) -> str:
    return ", ".join(f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for a, b in spans) or "no hours"
