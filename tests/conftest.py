"""Shared by all tests."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Without its groups, pytest-xdist would begin every scene of processes twice, and beside figures that are taken.

    It writes a test's group into `_nodeid`, which pytest 9.2 does not read any more (pytest-xdist issue 1386).
    """
    if config.getoption("dist", default="no") == "loadgroup" and not hasattr(pytest.Item, "_nodeid"):
        raise pytest.UsageError(
            "pytest-xdist ignores groups with this pytest: install what constraints.txt names"
        )
