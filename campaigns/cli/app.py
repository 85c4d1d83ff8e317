"""The command's entry: its groups, and how an error reaches a person."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from campaigns.cli import account, auditing, processes, reading, run, steering
from campaigns.cli.output import errors_to

app = typer.Typer(
    name="campaigns",
    help="Batch outbound campaigns for Retell AI voice agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (run, steering, reading, auditing, account, processes):
    group.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; never a traceback for a user's mistake. Exit codes: 0, 1 failure, 2 usage, 3 needs a person."""
    return errors_to(
        sys.stderr, lambda: app(args=None if arguments is None else list(arguments), standalone_mode=False)
    )


def entry() -> None:
    sys.exit(main())


if __name__ == "__main__":
    entry()
