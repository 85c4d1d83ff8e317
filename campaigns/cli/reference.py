"""`docs/cli.md`, made from the commands themselves: `python -m campaigns.cli.reference > docs/cli.md`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import typer

from campaigns.cli.app import PANELS, app
from campaigns.cli.documents.base import Document
from campaigns.cli.documents.table import DOCUMENTS
from campaigns.retell.operations import OPERATIONS, Danger

_HEAD = """# Command reference

Made from the commands by `python -m campaigns.cli.reference > docs/cli.md`; a test fails when it is stale.
`campaigns COMMAND --help` says the same. Exit codes: 0 done, 1 failure, 2 usage, 3 done, but something needs a person.
With `--json` standard output is one [document](#json-documents); everything else is on standard error.
"""
_RETELL = """Each operation takes its path and query parameters as options, and `--data` where it has a body: JSON,
`@FILE`, or `-` for standard input. Listing ones take `--all`. What deletes, buys or hangs up asks first; `--yes`
answers for a script, and without it and without a terminal it is refused (exit code 2). What only reads is repeated
when it fails for a moment; everything else is sent once. **Operations that ring are refused**: `campaigns run` is the
way to dial, since it asks do-not-call, windows and caps, and keeps records.
"""


def leaves() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, groups that act on their own included, as (its words, the command)."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        yield from _below((name,), command)


def _below(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if children is None or command.invoke_without_command:
        yield words, command
    for name, child in (children or {}).items():
        yield from _below((*words, name), child)


def reference() -> str:
    """The whole page."""
    top = typer.main.get_command(app)
    parts = [_HEAD, "## Options of every command\n", _options(("campaigns",), top)]
    by_name: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
    for words, command in leaves():
        by_name.setdefault(words[0], []).append((words, command))
    for panel, commands in PANELS.items():
        parts.append(f"## {panel}\n")
        for name in commands:
            for words, command in by_name[name]:
                if words[0] != "retell" or len(words) == 1:
                    parts.append(_section(words, command))
            if name == "retell":
                parts += [_RETELL, _operations()]
    return "\n".join([*parts, _documents()])


def _section(words: tuple[str, ...], command: Any) -> str:
    full = " ".join(("campaigns", *words))
    text, _, example = (command.help or "").partition("\n\nExample: ")
    context = typer.Context(command, info_name=full)
    usage = " ".join([full, *command.collect_usage_pieces(context)]).translate(
        {ord("{"): None, ord("}"): None}
    )
    parts = [f"### `{full}`\n", f"{_escaped(text)}\n", f"```sh\n{usage}\n```\n", _options(words, command)]
    if example:
        parts.append(f"Example: `{example.strip()}`\n")
    document = DOCUMENTS.get(" ".join(words))
    if document is not None:
        parts.append(f"`--json`: {_type(document)}\n")
    return "\n".join(part for part in parts if part)


def _options(words: tuple[str, ...], command: Any) -> str:
    rows = []
    context = typer.Context(command, info_name=" ".join(words))
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name in ("install_completion", "show_completion"):
            continue
        argument = parameter.param_type_name == "argument"
        spellings = [parameter.metavar or parameter.name] if argument else parameter.opts
        name = ", ".join(f"`{one}`" for one in spellings)
        if parameter.secondary_opts:
            name += " / " + ", ".join(f"`{one}`" for one in parameter.secondary_opts)
        if not argument and not parameter.is_flag:
            kind = parameter.metavar or parameter.display_type(context).strip("<>")
            name += f" `{kind}`"
        name = name.replace("|", r"\|")
        rows.append(f"| {name} | {_cell(parameter.help or '')} | {_default(parameter)} |")
    if not rows:
        return ""
    return "\n".join(["| argument, option | meaning | default |", "|---|---|---|", *rows, ""])


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default is None or parameter.default is False or parameter.default == []:
        return ""
    return "yes" if parameter.default is True else f"`{parameter.default}`"


def _operations() -> str:
    lines = ["| operation | request | parameters | body | danger |", "|---|---|---|---|---|"]
    for one in OPERATIONS.values():
        names = [*one.in_path, *(parameter.name for parameter in one.in_query)]
        options = " ".join("`--" + name.replace("_", "-") + "`" for name in names)
        body = ""
        if one.takes_body:
            body = ("form" if one.form else "JSON") + (f": {', '.join(one.required)}" if one.required else "")
        danger = "rings: refused" if one.danger is Danger.RINGS else one.danger or ""
        lines.append(f"| `{one.name}` | {one.method} {one.path} | {options} | {body} | {danger} |")
    return "\n".join([*lines, ""])


def _documents() -> str:
    models: dict[str, type[Document]] = {}
    for document in DOCUMENTS.values():
        _collect(document, models)
    parts = ["## JSON documents\n"]
    for name, model in models.items():
        parts += [
            f"### {name}\n",
            f"{(model.__doc__ or name).strip()}\n",
            "| field | type | meaning |",
            "|---|---|---|",
        ]
        for field, info in model.model_fields.items():
            parts.append(f"| `{field}` | {_cell(_type(info.annotation))} | {_cell(info.description or '')} |")
        parts.append("")
    return "\n".join(parts)


def _collect(kind: Any, models: dict[str, type[Document]]) -> None:
    if isinstance(kind, type) and issubclass(kind, Document):
        if kind.__name__ not in models:
            models[kind.__name__] = kind
            for info in kind.model_fields.values():
                _collect(info.annotation, models)
        return
    for part in get_args(kind):
        _collect(part, models)


def _type(kind: Any) -> str:
    if kind is None or kind is NoneType:
        return "null"
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        return " or ".join(_type(part) for part in parts)
    if origin is list:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"object of {_type(parts[1])}"
    if isinstance(kind, type) and issubclass(kind, Document):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    if parts:
        return " or ".join(f"`{part}`" for part in parts)
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(
        getattr(kind, "__name__", ""), "any"
    )


def _cell(text: str) -> str:
    return _escaped(re.sub(r"\s+", " ", text)).replace("|", r"\|")


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")


if __name__ == "__main__":
    sys.stdout.write(reference())
