"""The record that every dial leaves behind: what was known when it was made. Pure."""

from __future__ import annotations

import importlib.metadata
import re
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib.resources import files

from campaigns.compliance.profiles import Rules
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Allowed, DialOrder, Evidence
from campaigns.domain.windows import zone


@lru_cache(maxsize=1)
def tzdata_version() -> str:
    """Release of the packaged time-zone data, which wins over the system's."""
    return importlib.metadata.version("tzdata")


@lru_cache(maxsize=1)
def tzdata_date() -> date:
    """A day on or before the release of the packaged time-zone data: when its list of leap seconds was last looked at.

    That is done every half year, and no release carries its own date.
    """
    text = (files("tzdata") / "zoneinfo" / "leapseconds").read_text(encoding="ascii")
    found = re.search(r"^#updated (\d+)", text, re.MULTILINE)
    year = int(tzdata_version().partition(".")[0])
    return datetime.fromtimestamp(int(found[1]), UTC).date() if found else date(year, 1, 1)


def evidence_of(order: DialOrder, answer: Allowed, rules: Rules, now: datetime) -> Evidence:
    """What the gate let an attempt through on. now: the instant for which it was asked."""
    callee, at_ms = order.callee, to_ms(now)
    return Evidence(
        at=now,
        local_times={name: now.astimezone(zone(name)).isoformat(timespec="seconds") for name in callee.zones},
        callee=callee,
        zone_source=order.zone_source,
        profile=rules.profile.name,
        rules_version=rules.version,
        tzdata_version=tzdata_version(),
        window_until=answer.until,
        caps=[
            {"calls": cap.calls, "hours": cap.hours, "used": cap.used(order.dialed_ms, at_ms)}
            for cap in rules.terms(callee).caps
        ],
        dnc_checked_at=now,
        consent=order.consent,
    )
