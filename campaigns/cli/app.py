"""The command's entry: which commands there are, and how an error reaches a person.

A command's module is imported when the command is used, so that `--help` and a key press of the shell's completion
do not wait for the database, the message server and everything else that some command needs.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from campaigns.cli.output import be_quiet, errors_to

#: Panel -> command -> (its module below `campaigns.cli`, its summary: the first line of its help).
PANELS: dict[str, dict[str, tuple[str, str]]] = {
    "Campaigns": {
        "run": (
            "run",
            "Import a lead list, dial it, and write the results; resumes where it was if it is run again.",
        ),
        "create": ("steering", "Make a campaign as a draft."),
        "validate": (
            "files",
            "Check a campaign file: everything that is wrong with it, with line and remedy.",
        ),
        "schema": ("files", "JSON Schema of a campaign file, for editors that complete and check TOML."),
        "import": (
            "lists",
            "Import a lead list: .csv, .tsv, .csv.gz, .zip with one of them, .xlsx, or - for standard input.",
        ),
        "files": ("lists", "The files that were imported into a campaign."),
        "dnc": ("dnc", "The do-not-call list: import, add, remove, check, export."),
        "launch": (
            "steering",
            "Start dialing a campaign, at its start; `campaigns worker` and `campaigns beat` do the work.",
        ),
        "pause": (
            "steering",
            "Stop dialing; calls in progress go on and their results are collected, unless --stop-calls hangs them up.",
        ),
        "resume": ("steering", "Go on dialing a paused campaign."),
        "cancel": (
            "steering",
            "Give a campaign up: its waiting leads end as cancelled, calls in progress finish, unless --stop-calls ends"
            " them.",
        ),
        "call": (
            "call",
            "Make one test call, now or never: do-not-call, calling window, caps and records are those of a campaign.",
        ),
        "archive": (
            "keeping",
            "Put a finished campaign out of sight; everything of it is kept, and `status --all` shows it.",
        ),
        "delete": (
            "keeping",
            "Delete a campaign with its leads and calls. Refused while they are evidence; do-not-call requests stay.",
        ),
        "recycle": (
            "steering",
            "Start a further pass over the leads whose last call came to these outcomes; history and caps are kept.",
        ),
        "release": (
            "steering",
            "Let held leads be dialed after all; `campaigns status NAME` names the codes.",
        ),
    },
    "Schedule": {
        "jobs": ("jobs", "Import and launch the new files of a folder at set times."),
    },
    "Results": {
        "status": ("reading", "Where campaigns stand. Exit code 3 when something needs a person."),
        "watch": (
            "watch",
            "Watch campaigns live: leads, lines, calls in progress, outcomes, cost, when they will be done.",
        ),
        "batches": (
            "batches",
            "The batches of a campaign in batch mode, the latest first, and what became of their tasks.",
        ),
        "leads": ("rows", "The leads of a campaign, in file order."),
        "attempts": ("rows", "The attempts of a campaign, the latest first."),
        "events": ("rows", "What happened in a campaign, oldest first."),
        "export": ("reading", "Write the results: the file's own columns, then what became of each lead."),
        "report": (
            "reports",
            "The figures of a campaign: penetration, contacts, outcomes, when people answer, cost.",
        ),
        "forecast": (
            "reports",
            "When a campaign will be done at its present pace, how many calls that takes, and what they cost.",
        ),
        "audit": (
            "auditing",
            "Prove that every row is accounted for and every attempt is one call. Exit code 0 only if all holds.",
        ),
        "reconcile": (
            "auditing",
            "One pass by hand over what waits for an answer: ended calls, lost claims, dials nobody knows of.",
        ),
        "resolve": (
            "auditing",
            "Say what became of an unresolved attempt: its lead goes on with the call's result, or is dialed again.",
        ),
    },
    "When to call": {
        "explain": (
            "rules",
            "Why is nobody calling this person? Every rule and limit for a number, and when it is next callable.",
        ),
        "windows": (
            "rules",
            "When its waiting leads may be called: hours by day, darker where more of them are callable.",
        ),
        "evidence": (
            "rules",
            "Write what was known at each dial: local time, zones, rules, caps, do-not-call check, consent.",
        ),
        "blackout": (
            "rules",
            "Dates on which nobody is called in a place, such as a declared emergency: add, list, remove.",
        ),
    },
    "Retell account": {
        "concurrency": (
            "account",
            "The account's lines: limit, burst, inbound reserve, the operator's own, calls of others, ours, free.",
        ),
        "numbers": (
            "numbers",
            "The account's phone numbers: list them, buy, bind, release. Without a command it lists them.",
        ),
        "agents": (
            "agents",
            "The account's voice agents: list, show, publish. Without a command it lists them.",
        ),
        "calls": ("calls", "Single calls: list them, read one, hang one up."),
        "web-call": (
            "agents",
            "Make a web call, to try an agent from a browser before a campaign. It rings nobody.",
        ),
        "retell": (
            "retell",
            "Any operation of Retell's API, by name: JSON in, JSON out. Nothing rings through it.",
        ),
    },
    "Installation": {
        "doctor": ("doctor", "Check all that a campaign needs. Exit code 1 on a failure, 3 on a warning."),
        "worker": ("processes", "A Celery worker. For more throughput start more of them, not more threads."),
        "beat": (
            "processes",
            "Celery beat: the tick that makes sure that nothing ever stops. Two at once do no harm.",
        ),
        "console": (
            "console",
            "Receive Retell's webhooks at /webhooks/retell, so that ends and analyses need not wait for a poll.",
        ),
        "simulator": (
            "processes",
            "A stand-in for Retell's API on this machine (`python -m campaigns.simulator --help` has every setting).",
        ),
    },
}
_MODULES = {name: module for commands in PANELS.values() for name, (module, _) in commands.items()}
_CONTEXT = {"help_option_names": ["-h", "--help"]}


@functools.cache
def commands_of(module: str) -> Mapping[str, Any]:
    """The commands that a module of the command line registers, by name."""
    group = typer.Typer(context_settings=_CONTEXT)
    group.callback()(lambda: None)
    importlib.import_module(f"campaigns.cli.{module}").register(group)
    found: Mapping[str, Any] = typer.main.get_group(group).commands
    return found


class _Loaded(Mapping[str, Any]):
    """All commands by name; each is loaded when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        return commands_of(_MODULES[name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


_SUMMARIES: dict[str, Any] = {
    name: TyperCommand(name, help=summary, rich_help_panel=panel)
    for panel, commands in PANELS.items()
    for name, (_, summary) in commands.items()
}


class Commands(TyperGroup):
    """The group of all commands. Where only their summaries are shown, none is loaded."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Loaded()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._with_summaries(lambda: super(Commands, self).format_help(ctx, formatter))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        return list(self._with_summaries(lambda: super(Commands, self).shell_complete(ctx, incomplete)))

    def _with_summaries(self, show: Any) -> Any:
        self.commands = _SUMMARIES
        try:
            return show()
        finally:
            self.commands = _Loaded()


app = typer.Typer(
    name="campaigns",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_CONTEXT,
)


def _version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        sys.stdout.write(f"campaigns {importlib.metadata.version('campaigns')}\n")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Tell on standard error what is done; numbers are masked."),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="No progress and no notes: only what was asked for, and errors."),
    ] = False,
) -> None:
    """Batch outbound campaigns for Retell AI voice agents.

    Example: campaigns run leads.csv --simulate
    """
    be_quiet(quiet)
    if verbose:
        import logging

        from campaigns.logs import configure_logs

        configure_logs(logging.DEBUG)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; never a traceback for a user's mistake. Exit codes: 0, 1 failure, 2 usage, 3 needs a person."""
    given = None if arguments is None else list(arguments)
    # Named, so that help and completion are the same however it was started.
    return errors_to(sys.stderr, lambda: app(given, "campaigns", standalone_mode=False))


def entry() -> None:
    # Modules make half a million objects that live to the end. Looking through them for garbage again and again, and
    # once more at the exit, took a short command a fifth of its time.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    sys.exit(main())


if __name__ == "__main__":
    entry()
