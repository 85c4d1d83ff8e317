"""Commands about campaign files: validate, schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from campaigns.cli import options as given
from campaigns.cli.output import Output
from campaigns.services.campaign_config import json_schema
from campaigns.services.campaign_file import read_campaign_file
from campaigns.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("validate")(validate)
    app.command("schema")(schema)


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A campaign.toml.")],
    as_json: given.Json = False,
) -> None:
    """Check a campaign file: everything that is wrong with it, with line and remedy.

    Exit code 2 if anything is. Nothing is asked of Retell.

    Example: campaigns validate campaign.toml
    """
    out = Output(as_json)
    checked = read_campaign_file(file, load_settings().clock().now())
    out.document(
        {
            "file": str(file),
            "valid": not checked.problems,
            "problems": [problem.document() for problem in checked.problems],
        }
    )
    for problem in checked.problems:
        line = f":{problem.line}" if problem.line else ""
        key = f"{problem.key}: " if problem.key else ""
        out.line(f"{file}{line}: {key}{problem.message}; {problem.remedy}")
    out.line(f"{file}: {len(checked.problems)} problems" if checked.problems else f"{file}: ok")
    raise typer.Exit(2 if checked.problems else 0)


def schema() -> None:
    """JSON Schema of a campaign file, for editors that complete and check TOML.

    Example: campaigns schema
    """
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
