"""Reference pages that are read off the code: every command of the tree, every key of the settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from inspect import cleandoc
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.main import get_command

from cxrd.settings import Settings

_ENTRY = re.compile(r"^(?P<names>\w+(?:, \w+)*)(?: : (?P<type>.+))?$")

_COMMANDS = """\
# Commands

Printed by `cxrd reference cli`; `make reference` writes it, and a test holds it equal to the program.

Exit codes: 0 done; 1 it did not work, and standard error says what, why and what to do; 2 the command or the
configuration is wrong. `--json` prints one object a line instead of a table. Progress bars are left out where the
output is no terminal, and so are colours; `NO_COLOR=1` leaves colours out everywhere. `cxrd --install-completion`
completes commands and options in bash, zsh and fish, and studies, destinations, archives, sources and model versions,
as the configuration and its database have them."""
_CONFIGURATION = """\
# Configuration

Printed by `cxrd reference configuration`; `make reference` writes it, and a test holds it equal to the program.
`config/cxrd.toml` says the same as a file to start from (`cxrd init`).

The file is `--config`, else `config/cxrd.toml`, else `/etc/cxrd/cxrd.toml`. A key can also be set by environment,
`CXRD_<SECTION>__<KEY>`. Relative paths are relative to where cxrd is started. Names that end in `_s`
are seconds, in `_mb` MiB."""


class Page(StrEnum):
    """What there is to print."""

    CLI = "cli"
    CONFIGURATION = "configuration"


def register(app: typer.Typer) -> None:
    """Add the command; it prints the tree that it stands in."""

    @app.command()
    def reference(page: Annotated[Page, typer.Argument(help="Which page.")]) -> None:
        """Print a reference page in Markdown: every command with its options, or every key of the configuration.

        Example: cxrd reference configuration
        """
        typer.echo(commands(app) if page is Page.CLI else settings(), nl=False)


def commands(app: typer.Typer) -> str:
    """Every command of the tree, in Markdown."""
    return "\n".join([_COMMANDS, *_tree(get_command(app), "cxrd"), ""])


def _tree(command: Any, name: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for part in sorted(command.commands):
            if not command.commands[part].hidden:
                yield from _tree(command.commands[part], f"{name} {part}")
        return
    text, _, example = cleandoc(command.help or "").partition("Example: ")
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    shown = " ".join([name, *(_argument(p) for p in arguments), *(["[OPTIONS]"] if options else [])])
    yield from ("", f"## {name}", "", f"`{shown}`", "", " ".join(text.split()))
    for one in example.split("Example: "):
        if one.strip():
            yield from ("", "```sh", " ".join(one.split()), "```")
    if options or arguments:
        yield from ("", "| | meaning | default |", "|---|---|---|")
    for p in (*arguments, *options):
        names = _argument(p) if p in arguments else ", ".join(sorted(p.opts, key=len, reverse=True))
        yield f"| `{names}` | {(p.help or '').strip()} | {_default(p.default)} |"


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()).replace("|", " or ")
    return f"{name}{'...' if parameter.nargs == -1 else ''}"


def settings() -> str:
    """Every key of the settings, in Markdown."""
    return "\n".join([_CONFIGURATION, *_sections(Settings, ""), ""])


def _sections(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """A table of a section's keys, then the sections inside it."""
    doc = cleandoc(model.__doc__ or "").split("\nAttributes\n")
    meanings = dict(_meanings(doc[1])) if len(doc) > 1 else {}
    inner = {name: (found, many) for name, field in model.model_fields.items() for found, many in _models(field)}
    plain = {name: field for name, field in model.model_fields.items() if name not in inner}
    if prefix:
        yield from ("", f"## {prefix}", "", " ".join(doc[0].replace("``", "`").split()))
    if plain:
        yield from ("", "| key | default | meaning |", "|---|---|---|")
    for name, field in plain.items():
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        yield f"| `{name}` | {default} | {meanings.get(name, '').replace('``', '`').replace('|', '/')} |"
    for name, (found, many) in inner.items():
        key = f"{prefix.strip('[]')}.{name}".lstrip(".")
        yield from _sections(found, f"[[{key}]]" if many else f"[{key}]")


def _models(field: FieldInfo) -> Iterator[tuple[type[BaseModel], bool]]:
    """Return the section that a key holds, if any, and whether it holds several."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind, get_origin(field.annotation) is tuple


def _meanings(attributes: str) -> Iterator[tuple[str, str]]:
    """Read numpydoc's Attributes: a line of names, and the indented text below it."""
    names: list[str] = []
    text: list[str] = []
    for line in [*attributes.splitlines(), "end"]:
        if line.startswith(" ") or not line.strip():
            text.append(line.strip())
        elif entry := _ENTRY.match(line):
            yield from ((name, " ".join(text).strip()) for name in names)
            names, text = entry["names"].split(", "), []


def _default(value: Any) -> str:
    match value:
        case None | () | [] | {}:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case tuple():
            return f"`[{', '.join(repr(str(v)) for v in value)}]`".replace("'", '"')
        case str():
            return f'`"{value}"`'
    return f"`{value}`" if isinstance(value, int | float) else f'`"{value}"`'
