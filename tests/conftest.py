"""Shared by all tests."""

from __future__ import annotations

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that are not kept together would run every scene of processes twice, and side by side with figures."""
    if not session.config.getoption("loadgroup", default=False):
        return
    for item in session.items:
        if item.get_closest_marker("xdist_group") is not None and "@" not in item.nodeid.rpartition("]")[2]:
            raise pytest.UsageError("this pytest-xdist ignores xdist_group: install what constraints.txt names")
