"""Errors meant for the operator: one line of what is wrong, one of what to do.

CampaignsError            exit code 1
└── UsageError            exit code 2: an option or a file that cannot be used as given
"""

from __future__ import annotations


class CampaignsError(Exception):
    """`str(error)` says what is wrong, `remedy` what to do about it."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class UsageError(CampaignsError):
    exit_code = 2
