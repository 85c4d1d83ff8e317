"""How results and errors are shown: tables for people, one JSON document for programs."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from typer.exceptions import Abort, Exit, TyperException

from campaigns.domain.errors import CampaignsError

# With --json nothing is drawn.
if TYPE_CHECKING:
    from rich.console import Console

#: People's output of commands that also know `--json` goes to standard error then; see `Output`.
NEEDS_A_PERSON = 3

STATE_STYLES = {
    "pending": "cyan",
    "in_flight": "bold blue",
    "reached": "bold green",
    "exhausted": "yellow",
    "suppressed": "magenta",
    "expired": "dim",
    "cancelled": "dim",
    "held": "bold red",
    "running": "bold green",
    "paused": "bold yellow",
    "completed": "green",
    "draft": "cyan",
    "holds": "green",
    "FAILS": "bold red",
    "ok": "green",
    "warning": "bold yellow",
    "failure": "bold red",
    "passes": "green",
    "in the way": "bold red",
}


_quiet = False


def be_quiet(quiet: bool) -> None:
    """Whether this process shows progress and notes; errors and what was asked for are always shown."""
    global _quiet
    _quiet = quiet


class Output:
    """One command's output. With `as_json`, standard output carries one document and nothing else."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    @functools.cached_property
    def console(self) -> Console:
        from rich.console import Console

        return Console(stderr=self.as_json, highlight=False, emoji=False)

    def document(self, document: Any) -> None:
        """Write the document, a model of `documents`, a list of them, or what is one already as plain values."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, default=_plain) + "\n")

    @property
    def shows_progress(self) -> bool:
        return not _quiet

    @property
    def progress_console(self) -> Console:
        """Where a live view is drawn: nowhere with `--quiet`."""
        from rich.console import Console

        return Console(quiet=True) if _quiet else self.console

    def note(self, text: str) -> None:
        """What was done, where the command was not asked to tell anything; `--quiet` hides it."""
        if not _quiet:
            self.line(text)

    def line(self, text: str) -> None:
        self.console.print(printable(text), markup=False, soft_wrap=True)

    def headline(self, name: str, text: str) -> None:
        self.console.print(f"[bold]{_escaped(name)}[/]  {_escaped(text)}")

    def spoken(self, speaker: str, words: str) -> None:
        """A line of a conversation."""
        style = "bold cyan" if speaker == "Agent" else "bold"
        self.console.print(f"[{style}]{_escaped(f'{speaker:>5}')}[/]:  {_escaped(words)}", soft_wrap=True)

    def fields(self, document: Any, leave_out: Sequence[str] = ()) -> None:
        """A document as a list of its fields."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name in type(document).model_fields:
            if name not in leave_out:
                value = getattr(document, name)
                text = ", ".join(map(str, value)) if isinstance(value, list) else _cell(value)
                table.add_row(name.replace("_", " "), str(text))
        self.console.print(table)

    def table(self, title: str, columns: list[str], rows: list[list[Any]], whole: Sequence[str] = ()) -> None:
        """whole: columns that are never broken into lines, the others are folded."""
        from rich.table import Table

        if title:
            # Not as the table's own: it would be broken at the width of a narrow one.
            self.console.print(f"[bold]{_escaped(title)}[/]")
        table = Table(box=None, pad_edge=False, show_header=any(columns))
        for number, column in enumerate(columns):
            # What a person copies stays in one line.
            table.add_column(
                _escaped(column),
                overflow="fold",
                no_wrap=number == 0 or column in ("to", "phone", *whole),
            )
        for row in rows:
            table.add_row(
                *(value if not isinstance(value, int | float) else f"{value:,}" for value in map(_cell, row))
            )
        self.console.print(table)


def printable(text: str) -> str:
    """What a file or a provider wrote, without what a terminal would obey: escape codes, direction marks."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def _escaped(text: str) -> str:
    """Text that Rich shows as it is."""
    from rich.markup import escape

    return escape(printable(text))


def event_words(event: Mapping[str, Any]) -> str:
    """What changed in an event of the database, numbers masked."""
    from campaigns.logs import mask

    which = {"lead": f"lead {event['lead_id']}", "attempt": f"attempt {str(event['attempt_id'])[-8:]}"}
    way = f"{event['from_state']} > {event['to_state']}" if event["from_state"] else event["to_state"]
    why = f"  {mask(event['detail'])}" if event["detail"] else ""
    return f"{which.get(event['subject'], event['subject'])}  {way}{why}"


def short(instant: str | None) -> str:
    """Month, day and minute of an instant as `iso` writes it: what fits into a table."""
    return "" if instant is None else instant[5:16].replace("T", " ")


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_unset=True)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str):
        return value
    # What a file or a provider wrote must not be read as markup.
    style, text = STATE_STYLES.get(value), _escaped(value)
    return f"[{style}]{text}[/]" if style else text


def errors_to(stream: TextIO, command: Callable[[], Any]) -> int:
    """Run a command and turn what goes wrong into one clear line and an exit code."""
    try:
        result = command()
        return result if isinstance(result, int) else 0
    except Exit as error:
        return error.exit_code
    except (Abort, KeyboardInterrupt):
        return _tell(stream, "stopped by Ctrl-C", "", 1)
    except TyperException as error:
        code = int(getattr(error, "exit_code", 2))
        if not error.format_message():
            return code  # a group without a command: its help was shown
        return _tell(stream, error.format_message().rstrip("."), "see --help" if code == 2 else "", code)
    except CampaignsError as error:
        return _tell(stream, str(error), error.remedy, error.exit_code)
    except BrokenPipeError:
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _tell(
            stream, f"{where}{error.strerror or error}", "check the path, the disk and its permissions", 1
        )
    except Exception as error:
        told = _known(error)
        if told is None:
            raise
        return _tell(stream, *told)


def _known(error: Exception) -> tuple[str, str, int] | None:
    """Message, remedy and exit code of an error whose class is imported only now that there is one."""
    from campaigns.leads import LeadFileError
    from campaigns.retell import RetellError

    if isinstance(error, LeadFileError):
        return error.message, error.remedy[:1].lower() + error.remedy[1:], 2
    if isinstance(error, RetellError):
        return error.message, error.remedy, 1
    if isinstance(error, UnicodeEncodeError):
        if error.encoding != "utf-8":  # what is written; what is read is UTF-8 always
            return (
                f"this terminal's {error.encoding} cannot show all letters",
                "use a UTF-8 locale, or PYTHONUTF8=1",
                1,
            )
        return "an argument is not UTF-8 text", "write it in UTF-8", 2
    if type(error).__module__.startswith(("sqlalchemy", "sqlite3", "psycopg")):
        words = str(getattr(error, "orig", error)).strip().splitlines()[0]
        return f"the database refused: {words}", "free disk space, or check the database", 1
    return None


def _tell(stream: TextIO, message: str, remedy: str, code: int) -> int:
    # One line, whatever a library put into its message.
    text = " ".join(f"{message}{'; ' + remedy if remedy else ''}".split())
    stream.write(f"error: {printable(text)}\n")
    return code
