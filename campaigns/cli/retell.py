"""`campaigns retell OPERATION`: every operation of Retell's API, as the table of operations says it."""

from __future__ import annotations

import inspect
import json
import mimetypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from campaigns.cli import options as given
from campaigns.cli.confirm import Yes, confirm
from campaigns.cli.documents.account import RetellOperation
from campaigns.cli.output import Output
from campaigns.domain.errors import UsageError
from campaigns.retell.operations import NOT_RAW, OPERATIONS, Danger, Operation, Parameter
from campaigns.runtime import open_retell
from campaigns.settings import load_settings

_FILES = "knowledge_base_files"
#: A value of each parameter, for the examples.
_SAMPLES = {
    "voice_id": "11labs-Adrian", "agent_id": "agent_abc123", "llm_id": "llm_abc123",
    "conversation_flow_id": "conversation_flow_abc123", "call_id": "call_abc123", "phone_number": "+14155550100",
    "knowledge_base_id": "knowledge_base_abc123", "source_id": "source_abc123",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    group = typer.Typer()
    group.callback(invoke_without_command=True)(retell)
    for operation in OPERATIONS.values():
        panel = operation.subject[0].upper() + operation.subject[1:]
        group.command(operation.name, help=_help(operation), rich_help_panel=panel)(_command(operation))
    app.add_typer(group, name="retell")


def retell(
    ctx: typer.Context,
    listed: Annotated[bool, typer.Option("--list", help="List the operations.")] = False,
    as_json: given.Json = False,
) -> None:
    """Any operation of Retell's API, by name: JSON in, JSON out. Nothing rings through it.

    Example: campaigns retell --list
    """
    if ctx.invoked_subcommand is not None:
        return
    if not (listed or as_json):
        sys.stdout.write(ctx.get_help() + "\n")
        return
    out = Output(as_json)
    rows = [_row(operation) for operation in OPERATIONS.values()]
    out.document(rows)
    if not as_json:
        out.table(
            "Operations",
            ["operation", "what", "danger"],
            [[row.operation, row.summary, row.danger] for row in rows],
        )


def _row(operation: Operation) -> RetellOperation:
    return RetellOperation(
        operation=operation.name,
        method=operation.method,
        path=operation.path,
        subject=operation.subject,
        summary=operation.summary,
        path_parameters=list(operation.in_path),
        query_parameters=[parameter.name for parameter in operation.in_query],
        body="form" if operation.form else "json" if operation.takes_body else "none",
        required=list(operation.required),
        paging=operation.paging is not None,
        danger=operation.danger,
    )


def _help(operation: Operation) -> str:
    parts = [operation.summary, f"{operation.method} {operation.path}"]
    if operation.required:
        parts.append(f"The body must have: {', '.join(operation.required)}.")
    sample = [f"{_option(name)} {_SAMPLES[name]}" for name in operation.in_path]
    if operation.takes_body and (operation.required or operation.method == "PATCH" or operation.form):
        sample.append("--data @body.json")
    parts.append("Example: " + " ".join(["campaigns retell", operation.name, *sample]))
    return "\n\n".join(parts)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _command(operation: Operation) -> Callable[..., None]:
    """A function with the operation's parameters as its own, for Typer to make a command of."""

    def run(**values: Any) -> None:
        _run(operation, values)

    def add(name: str, kind: Any, default: Any, option: Any) -> None:
        annotation = Annotated[kind, option]
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )

    parameters: list[inspect.Parameter] = []
    for name in operation.in_path:
        what = name.removesuffix("_id").replace("_", " ")
        add(name, str, inspect.Parameter.empty, typer.Option(_option(name), help=f"The {what}."))
    for parameter in operation.in_query:
        add(
            parameter.name, _kind(parameter), None, typer.Option(_option(parameter.name), help=parameter.help)
        )
    if operation.takes_body:
        help_text = "The body as JSON; @FILE reads a file, - standard input."
        add("data", str | None, None, typer.Option("--data", metavar="JSON|@FILE|-", help=help_text))
    if operation.form:
        add(
            "file",
            list[Path] | None,
            None,
            typer.Option("--file", metavar="PATH", help="A file to add. Repeatable."),
        )
    if operation.paging is not None:
        add("every_page", bool, False, typer.Option("--all", help="Follow the pages to the end."))
    if operation.danger is not None:
        add("yes", Yes.__origin__, False, Yes.__metadata__[0])  # type: ignore[attr-defined]
    add("as_json", bool, False, typer.Option("--json", help="Changes nothing: the output is JSON."))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _kind(parameter: Parameter) -> Any:
    if parameter.choices:
        return Literal[parameter.choices] | None
    return parameter.kind | None


def _run(operation: Operation, values: dict[str, Any]) -> None:
    if operation.danger is Danger.RINGS:
        raise UsageError(f"{operation.name} would ring people past do-not-call, windows and records", NOT_RAW)
    arguments = {
        name: values[name] for name in (*operation.in_path, *(one.name for one in operation.in_query))
    }
    for name in operation.in_path:
        if not arguments[name].strip("."):
            raise UsageError(
                f"{_option(name)} {arguments[name]!r} is not an id", "give it as Retell shows it"
            )
    files = [_part(path) for path in values.get("file") or ()]
    body = _body(operation, values.get("data"), bool(files))
    with open_retell(load_settings()) as client:
        if operation.danger is not None:
            confirm(f"{operation.danger} {' '.join(arguments[name] for name in operation.in_path)}".rstrip()
                    + f" ({operation.name})", values["yes"])  # fmt: skip
        if values.get("every_page"):
            answer = client.perform_all(operation, arguments, body)
        else:
            answer = client.perform(operation, arguments, body, files)
    sys.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2) + "\n")


def _body(operation: Operation, data: str | None, has_files: bool) -> dict[str, Any] | None:
    """The object to send. Raises UsageError before anything is sent."""
    if not operation.takes_body:
        return None
    pointless = operation.method == "PATCH" or (operation.form and not has_files)
    if data is None and (operation.required or pointless):
        fields = f" with {', '.join(operation.required)}" if operation.required else ""
        raise UsageError(f"{operation.name} needs a body{fields}", "give it with --data, as JSON, @FILE or -")
    body = {} if data is None else read_object(data)
    missing = [name for name in operation.required if name not in body]
    if missing:
        raise UsageError(f"--data has no {', '.join(missing)}", f"{operation.name} needs them: add them")
    return body


def read_object(data: str) -> dict[str, Any]:
    """The JSON object that `--data` means. Raises UsageError that says where it cannot be read."""
    try:
        if data == "-":
            text, where = sys.stdin.read(), "standard input"
        elif data.startswith("@"):
            text, where = Path(data[1:]).read_text(encoding="utf-8"), data[1:]
        else:
            text, where = data, "--data"
    except OSError as error:
        raise UsageError(f"--data {data}: {error.strerror}", "check the path") from None
    except UnicodeDecodeError:
        raise UsageError(f"--data {data}: not UTF-8 text", "save it as UTF-8") from None
    try:
        value = json.loads(text, parse_constant=_no_constant)
        json.dumps(value, allow_nan=False)  # 1e999 is read as infinite, and cannot be written
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply", "write a simpler object") from None
    except ValueError as error:
        raise UsageError(f"{where} is not JSON: {error}", 'write an object, as {"limit": 5}') from None
    if not isinstance(value, dict):
        raise UsageError(f"{where} is JSON, but no object", 'write an object, as {"limit": 5}')
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _part(path: Path) -> tuple[str, tuple[str | None, bytes, str | None]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--file {path}: {error.strerror}", "check the path") from None
    return _FILES, (path.name, content, mimetypes.guess_type(path.name)[0] or "application/octet-stream")
