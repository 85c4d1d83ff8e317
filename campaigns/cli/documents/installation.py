"""What `campaigns doctor` finds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from campaigns.cli.documents.base import Document


class Check(Document):
    """A check of `campaigns doctor`."""

    check: str
    result: Literal["ok", "warning", "failure"]
    detail: str
    remedy: str = Field(description="empty where the result is ok")
