"""``/docs``: the OpenAPI description as a page, without a script from elsewhere; and as Markdown for ``docs/``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cxrd.web.rendering import render


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter or one key of a body."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    takes: tuple[Field, ...]
    gives: tuple[Field, ...]
    answers: tuple[tuple[str, str], ...]


def reference(request: Request, described: dict[str, Any]) -> Response:
    """Show every operation."""
    return render(request, "reference.html", operations=list(operations(described)), about=described["info"])


def operations(described: dict[str, Any]) -> Iterator[Operation]:
    """Every operation of an OpenAPI description."""
    schemas = described.get("components", {}).get("schemas", {})
    for path, methods in described["paths"].items():
        for method, told in methods.items():
            body = _schema(told.get("requestBody", {}), schemas)
            yield Operation(
                method=method.upper(),
                path=path,
                summary=told["summary"],
                takes=(*_parameters(told, schemas), *_fields(body, schemas)),
                gives=tuple(_fields(_schema(told["responses"]["200"], schemas), schemas)),
                answers=tuple((code, answer["description"]) for code, answer in sorted(told["responses"].items())),
            )


def markdown(described: dict[str, Any]) -> str:
    """The same as a document."""
    parts = []
    for one in operations(described):
        parts.append(f"## `{one.method} {one.path}`\n\n{one.summary}.\n")
        for title, fields in (("takes", one.takes), ("gives", one.gives)):
            if fields:
                rows = "\n".join(f"| `{f.name}` | {f.type} | {f.meaning} |" for f in fields)
                parts.append(f"| {title} | type | meaning |\n|---|---|---|\n{rows}\n")
        parts.append("\n".join(f"- {code}: {text}" for code, text in one.answers) + "\n")
    return "\n".join(parts)


def _parameters(told: dict[str, Any], schemas: dict[str, Any]) -> Iterator[Field]:
    for one in told.get("parameters", []):
        kind = f"{_type(one['schema'], schemas)} in {one['in']}"
        yield Field(one["name"], kind, one.get("description", ""))


def _schema(content: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    for media in content.get("content", {}).values():
        return _resolved(media.get("schema", {}), schemas)
    return {}


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[Field]:
    """Keys of an object, or of the objects in a list."""
    if schema.get("type") == "array":
        schema = _resolved(schema["items"], schemas)
    for name, one in schema.get("properties", {}).items():
        yield Field(name, _type(one, schemas), one.get("description", ""))


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return dict(schemas[name]) if name else schema


def _type(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    if "$ref" in schema:
        inner = _resolved(schema, schemas)
        return "object: " + ", ".join(inner.get("properties", {}))
    if "anyOf" in schema:
        return " or ".join(_type(one, schemas) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'], schemas)}"
    if schema.get("contentMediaType") or schema.get("format") == "binary":
        return "file"
    return str(schema.get("type", "any"))
