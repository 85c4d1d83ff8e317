"""A question before what cannot be taken back."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from campaigns.domain.errors import CampaignsError, UsageError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking; for scripts.")]


def confirm(what: str, yes: bool) -> None:
    """Go on only if a person, or `--yes`, agrees. `what` completes "this ...".

    Raises UsageError where nobody can be asked, and CampaignsError when the answer is no.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"this {what}, and nobody is at a terminal to agree", "add --yes to do it all the same"
        )
    sys.stderr.write(f"This {what}. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CampaignsError("nothing was done", "answer y, or add --yes")
