"""The heat strip of a campaign: how many of its waiting leads are callable, hour by hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.compliance import NOT_LEGAL_ADVICE, rules_for
from campaigns.domain.entities import Campaign
from campaigns.domain.errors import CampaignsError
from campaigns.store import Store

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Strip:
    """callable[day][hour]: leads that may be dialed at some time of that hour, by the clock of `zone`.

    starts[day][hour]: the instant at which the hour begins, None where the clock skips it. waiting: all pending leads.
    """

    campaign: str
    zone: str
    waiting: int
    starts: Sequence[Sequence[datetime | None]]
    callable: Sequence[Sequence[int]]

    def document(self) -> dict[str, Any]:
        return {
            "campaign": self.campaign,
            "zone": self.zone,
            "waiting": self.waiting,
            "days": [
                {"date": _day(starts).isoformat(), "callable": list(counts)}
                for starts, counts in zip(self.starts, self.callable, strict=True)
            ],
        }

    def days(self) -> list[str]:
        return [f"{_day(starts):%a %m-%d}" for starts in self.starts]


def _day(starts: Sequence[datetime | None]) -> datetime | Any:
    return next(start for start in starts if start is not None).date()


def strip(store: Store, campaign: Campaign, now: datetime, zone: ZoneInfo, days: int = 7) -> Strip:
    """Count the pending leads whose window is open in each hour of the next days, retries and caps left aside."""
    options = campaign.options
    rules = rules_for(options.profile, options.windows, store.evidence.blackouts())
    waiting = [(callee, count) for callee, _, count in store.reports.earliest_pending(campaign.id)]
    first = now.astimezone(zone).date()
    starts: list[list[datetime | None]] = []
    for step in range(days):
        day = first + timedelta(days=step)
        starts.append(
            [_hour(datetime(day.year, day.month, day.day, hour, tzinfo=zone)) for hour in range(24)]
        )
    counts = [[0] * 24 for _ in starts]
    begin = min(start for row in starts for start in row if start is not None)
    end = max(start for row in starts for start in row if start is not None) + 2 * _HOUR
    for callee, count in waiting:
        terms = rules.terms(callee)
        if terms.problem is not None:
            continue
        stretches = [(begin, end)] if terms.openings is None else terms.openings.within(begin, end)
        for day_starts, row in zip(starts, counts, strict=True):
            for hour, start in enumerate(day_starts):
                if start is not None and any(low < start + _HOUR and high > start for low, high in stretches):
                    row[hour] += count
    return Strip(campaign.name, zone.key, sum(count for _, count in waiting), starts, counts)


def _hour(local: datetime) -> datetime | None:
    """The instant of a wall-clock hour; None where the clock jumps over it."""
    from datetime import UTC

    instant = local.astimezone(UTC)
    return instant if instant.astimezone(local.tzinfo).hour == local.hour else None


def plot(found: Strip, path: Path) -> None:
    """The strip as a PNG. Raises CampaignsError where matplotlib is not installed, or the file cannot be written."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        raise CampaignsError(
            "--plot needs matplotlib", "install it with `pip install campaigns[plot]`, or leave --plot out"
        ) from None
    figure, axes = plt.subplots(figsize=(11, 0.45 * len(found.starts) + 1.8), layout="constrained")
    image = axes.imshow(found.callable, aspect="auto", cmap="Blues", vmin=0, vmax=max(1, found.waiting))
    axes.set_xticks(range(24), [f"{hour:02}" for hour in range(24)])
    axes.set_yticks(range(len(found.starts)), found.days())
    axes.set_xlabel(f"hour, {found.zone}. {NOT_LEGAL_ADVICE}")
    axes.set_title(f"{found.campaign}: leads callable, of {found.waiting:,} waiting")
    figure.colorbar(image, ax=axes, label="leads")
    try:
        figure.savefig(path, dpi=110, format="png")
    finally:
        plt.close(figure)
