"""The promises, judged from outside: by the simulator's ledger and by SQL of the test's own, after every commit.

Nothing here calls the store. What is broken is written down, since an error raised in the middle of the product's
code could be swallowed by it, and raised by `check`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from dial_cycle_chaos import Time

from campaigns.simulator.calls import Call
from campaigns.simulator.engine import Engine

HOLDING = {"claimed", "dialing", "ambiguous", "placed"}
OPEN = HOLDING | {"ended"}
DAY_MS = 86_400_000
#: Per number in any 24 hours, over all campaigns.
ROLLING_CAP = 3
#: Real seconds that a worker may be held up between the gate and the wire.
FENCE = 1.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What a campaign promised its callees: hours of their own working days, tries per lead, own lines."""

    opens: int
    closes: int
    max_attempts: int
    lines: int | None

    def open_at(self, zone: str, seconds: float) -> bool:
        local = datetime.fromtimestamp(seconds, ZoneInfo(zone))
        return local.weekday() < 5 and self.opens <= local.hour < self.closes


class Promises:
    """Looks at everything after every commit, every request and every step."""

    def __init__(self, path: Path, time: Time, engine: Engine) -> None:
        self._rows = sqlite3.connect(path, isolation_level=None)
        self._time, self._engine = time, engine
        self.rules: dict[str, Rules] = {}
        self.broken: list[str] = []
        self.resends = 0
        self._state: dict[tuple[str, object], str] = {}
        self._last_event = 0
        self._commits: Counter[str] = Counter()
        self._committed: dict[str, float] = {}
        self._sent: Counter[str] = Counter()
        self._limits = [0]
        self._calls = 0
        self._rung: Counter[str] = Counter()

    def close(self) -> None:
        self._rows.close()

    def query(self, sql: str, *values: object) -> list[tuple]:
        return self._rows.execute(sql, values).fetchall()

    def know(self, campaign_id: str, rules: Rules) -> None:
        """A campaign was made and its leads imported: an import has no events."""
        self.rules[campaign_id] = rules
        for (lead_id,) in self.query("SELECT id FROM leads WHERE campaign_id = ?", campaign_id):
            self._state["lead", lead_id] = "pending"

    def check(self) -> None:
        self.look()
        assert not self.broken, "; ".join(self.broken)

    def _blame(self, holds: bool, text: str) -> None:
        if not holds:
            self.broken.append(text)

    # -- on the wire

    def on_limit(self, limit: int) -> None:
        """Retell named its limit: a claim may rest on it, or on the one before if it overlapped."""
        self._limits = [*self._limits[-2:], limit]

    def on_start(self, attempt_id: str) -> None:
        """A worker turns to the wire: it must not have slept since its commit."""
        asleep = self._time.awake - self._committed.get(attempt_id, 0.0)
        self._blame(asleep <= FENCE, f"{attempt_id} is dialed {asleep} seconds after its commit")
        [(phone, campaign_id, zone)] = self.query(
            "SELECT a.phone, a.campaign_id, l.zones FROM attempts a JOIN leads l ON l.id = a.lead_id WHERE a.id = ?",
            attempt_id,
        )
        now, rules = self._time.business.timestamp(), self.rules[campaign_id]
        self._blame(
            rules.open_at(zone, now) or rules.open_at(zone, now - FENCE),
            f"{phone} is dialed outside its window, at {self._time.business:%a %H:%M:%S} UTC",
        )

    def on_send(self, attempt_id: str) -> None:
        self._sent[attempt_id] += 1
        self.resends += self._sent[attempt_id] > 1
        [(state,)] = self.query("SELECT state FROM attempts WHERE id = ?", attempt_id)
        self._blame(state == "dialing", f"{attempt_id} is sent while it is {state}")
        self._blame(self._sent[attempt_id] <= self._commits[attempt_id], f"{attempt_id}: sent without commit")

    def on_arrival(self) -> None:
        """The simulator is done with a dial: did a telephone ring, and may it have?"""
        calls = self._engine.calls
        for call in calls[self._calls :]:
            if not call.rang:
                continue
            attempt_id = call.attempt_id or "nobody"
            self._rung[attempt_id] += 1
            self._blame(self._rung[attempt_id] == 1, f"{attempt_id} is rung twice")
            # What was given up as unresolved does not keep its number from another campaign.
            alive = [c for c in calls if c.to_number == call.to_number and self._live(c)]
            alive = [c for c in alive if c.attempt_id not in self.unresolved()]
            self._blame(len(alive) <= 1, f"{call.to_number} has two live calls")
        self._calls = len(calls)

    def _live(self, call: Call) -> bool:
        return call.rang and not call.over(self._engine.advance())

    # -- in the books

    def look(self) -> None:
        """Everything that must be true between any two transactions."""
        self._read_events()
        now = {
            (subject, row_id): state
            for subject in ("attempt", "lead", "campaign")
            for row_id, state in self.query(f"SELECT id, state FROM {subject}s")
        }
        differ = {key for key in now | self._state if now.get(key) != self._state.get(key)}
        self._blame(not differ, f"the events do not lead to the rows of {differ}")
        for what in ("lead_id", "phone"):
            open_ones = self.query(
                f"SELECT {what} FROM attempts WHERE state IN ('claimed','dialing','ambiguous','placed','ended')"
                f" GROUP BY {what} HAVING count(*) > 1"
            )
            self._blame(not open_ones, f"two open attempts for {what} {open_ones}")
        for lead_id, campaign_id, charged in self.query(
            "SELECT lead_id, campaign_id, count(*) FROM attempts WHERE charged GROUP BY lead_id"
        ):
            most = self.rules[campaign_id].max_attempts
            self._blame(charged <= most, f"lead {lead_id} was dialed {charged} times of {most}")
        for call in self._engine.calls:
            if not call.rang:
                continue
            state = now.get(("attempt", call.attempt_id))
            self._blame(
                state not in (None, "claimed", "not_placed"), f"{call.attempt_id} rang, but is {state}"
            )
            # What was given up as unresolved is with the operator, by name.
            counted = state in HOLDING or state == "unresolved" or not self._live(call)
            self._blame(counted, f"{call.attempt_id} is a live call that no slot counts: {state}")

    def _read_events(self) -> None:
        claimed = set()
        for event, subject, campaign_id, lead_id, attempt_id, was, to in self.query(
            "SELECT id, subject, campaign_id, lead_id, attempt_id, from_state, to_state FROM events"
            " WHERE id > ? ORDER BY id",
            self._last_event,
        ):
            self._last_event = event
            key = (subject, {"attempt": attempt_id, "lead": lead_id, "campaign": campaign_id}[subject])
            known = self._state.get(key)
            self._blame(known == was, f"event {event} moves {key} from {was}, it was {known}")
            self._state[key] = to
            if subject == "attempt" and to == "claimed":
                claimed.add(campaign_id)
                self._judge_claim(attempt_id)
            elif subject == "attempt" and to == "dialing":
                self._judge_dial(attempt_id)
        if claimed:
            self._judge_slots(claimed)

    def _judge_claim(self, attempt_id: str) -> None:
        [(phone, at)] = self.query("SELECT phone, claimed_at FROM attempts WHERE id = ?", attempt_id)
        [(dials,)] = self.query(
            "SELECT count(*) FROM attempts WHERE phone = ? AND state <> 'not_placed' AND dialing_at > ?",
            phone,
            at - DAY_MS,
        )
        self._blame(dials < ROLLING_CAP, f"{phone} is claimed after {dials} dials in a day")

    def _judge_slots(self, claimed: set[str]) -> None:
        held = self.held()
        most = max(self._limits)
        self._blame(sum(held.values()) <= most, f"{held} attempts hold lines, of {most}")
        for campaign_id in claimed:
            lines = self.rules[campaign_id].lines
            fits = lines is None or held[campaign_id] <= lines
            self._blame(fits, f"{held[campaign_id]} attempts of {campaign_id}, of {lines}")

    def _judge_dial(self, attempt_id: str) -> None:
        """`dialing` was committed this very moment: from here on somebody may be rung."""
        self._commits[attempt_id] += 1
        self._committed[attempt_id] = self._time.awake
        [(phone, running, suppressed)] = self.query(
            "SELECT a.phone, c.state = 'running',"
            " EXISTS (SELECT 1 FROM suppressions s WHERE s.phone = a.phone)"
            " FROM attempts a JOIN campaigns c ON c.id = a.campaign_id WHERE a.id = ?",
            attempt_id,
        )
        self._blame(running, f"{attempt_id} is dialed while its campaign does not run")
        self._blame(not suppressed, f"{phone} is dialed after it was suppressed")

    # -- at the end

    def held(self) -> dict[str, int]:
        """Attempts that hold a line, by campaign."""
        return dict(
            self.query(
                "SELECT campaign_id, count(*) FROM attempts"
                " WHERE state IN ('claimed','dialing','ambiguous','placed') GROUP BY campaign_id"
            )
        )

    def left_open(self) -> Sequence[object]:
        """Whatever is not in a final account."""
        return [
            *self.query("SELECT id, state FROM attempts WHERE state IN (?,?,?,?,?)", *sorted(OPEN)),
            *self.query("SELECT id, state FROM leads WHERE state IN ('pending', 'in_flight', 'expired')"),
            *self.query("SELECT id, state FROM campaigns WHERE state NOT IN ('completed', 'cancelled')"),
        ]

    def unresolved(self) -> set[str]:
        return {row[0] for row in self.query("SELECT id FROM attempts WHERE state = 'unresolved'")}
