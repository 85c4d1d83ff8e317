"""Numbers as people are told them, in the terminal and on the report's page."""

from __future__ import annotations


def percent(share: float | None) -> str:
    """A share of 1."""
    return "-" if share is None else f"{share:.1%}"


def money(cents: float | None) -> str:
    return "-" if cents is None else f"{cents / 100:,.2f} USD"


def span(seconds: float) -> str:
    """A length of time."""
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86400:.1f} days"
