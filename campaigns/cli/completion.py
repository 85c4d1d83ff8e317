"""What the shell offers for a value when Tab is pressed. It only reads, and says nothing when it cannot."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from campaigns.domain.errors import CampaignsError

#: What every shell takes as one word without quotes.
_ONE_WORD = re.compile(r"[\w.@%+=,/-]+")


def campaign_names(incomplete: str) -> list[str]:
    """Campaigns that begin so, newest first; those whose names would have to be quoted are left to be typed."""
    from campaigns.settings import load_settings
    from campaigns.store.names import campaign_names

    try:
        url = load_settings().store_url()
    except CampaignsError:
        return []
    return [name for name in campaign_names(url) if name.startswith(incomplete) and _ONE_WORD.fullmatch(name)]


def one_of(values: Iterable[str]) -> Callable[[str], list[str]]:
    """One of the values."""
    allowed = list(map(str, values))

    def offered(incomplete: str) -> list[str]:
        return [value for value in allowed if value.startswith(incomplete)]

    return offered


def some_of(values: Iterable[str]) -> Callable[[str], list[str]]:
    """Values with commas between them: the last one is completed, and none is offered twice."""
    allowed = list(map(str, values))

    def offered(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [
            f"{before}{comma}{value}"
            for value in allowed
            if value.startswith(last) and value not in before.split(",")
        ]

    return offered
