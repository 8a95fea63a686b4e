"""The page about the API, made from its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

_BEGINNING = """# The API

Every call, as the service's own OpenAPI document has it. A running service shows the same at `/docs`, to be tried
out, and as JSON at `/openapi.json`. What each field of a timer means stands in
[What a timer can be](index.md#what-a-timer-can-be).

Every answer that is no success is a problem as in RFC 9457, with `Content-Type: application/problem+json`: `type`
is for programs, `detail` for people, and `errors` has the path of each field that is wrong.
"""


def page(document: Json) -> str:
    """Markdown, a section for each tag and in it one for each operation."""
    parts = [_BEGINNING]
    for tag in document["tags"]:
        name = tag["name"]
        parts.append(f"## {name[0].upper()}{name[1:]}\n")
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if name in operation["tags"]:
                    parts += _operation(document, method.upper(), path, operation)
    parts.append("## What receivers get\n")
    for item in document["webhooks"].values():
        for method, operation in item.items():
            parts += _operation(document, method.upper(), "your URL", operation)
    return "\n".join(parts)


def _operation(document: Json, method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"### {operation['summary']}\n"
    yield f"`{method} {path}`\n"
    yield f"{operation.get('description', '')}\n"
    scopes = [scope for way in operation.get("security", []) for needed in way.values() for scope in needed]
    if scopes:
        yield f"Needs the scope {' or '.join(f'`{scope}`' for scope in scopes)}.\n"
    if parameters := operation.get("parameters"):
        yield "| parameter | in | meaning |\n| --- | --- | --- |"
        for each in parameters:
            meaning = each.get("description") or each["schema"].get("description", "")
            yield f"| `{each['name']}` | {each['in']} | {_cell(meaning)} |"
        yield ""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content:
        yield from _fields(document, content["schema"])
        yield from _examples("A request", content)
    for status, answer in operation["responses"].items():
        for media_type, shown in answer.get("content", {}).items():
            if int(status) < 300:
                yield from _examples(f"{status}: {answer['description']}", shown)
            elif media_type == "application/problem+json":
                yield f"- **{status}** {answer['description']}"
    yield ""


def _fields(document: Json, schema: Json) -> Iterator[str]:
    named = _named(document, schema)
    if not named.get("properties"):
        return
    required = named.get("required", [])
    yield "| field | type | meaning |\n| --- | --- | --- |"
    for name, field in named["properties"].items():
        must = ", required" if name in required else ""
        yield f"| `{name}` | {_cell(_kind(document, field))}{must} | {_cell(field.get('description', ''))} |"
    yield ""


def _named(document: Json, schema: Json) -> Json:
    if "$ref" in schema:
        found: Json = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def _kind(document: Json, field: Json) -> str:
    """The type of a field in words."""
    field = _named(document, field)
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            kinds = dict.fromkeys(_kind(document, one) for one in field[several])
            return " or ".join(filter(None, kinds))
    kind = field.get("type", "any JSON")
    kinds = [kind] if isinstance(kind, str) else kind
    if "items" in field:
        kinds = [f"array of {_kind(document, field['items'])}" if each == "array" else each for each in kinds]
    return " or ".join(kinds)


def _examples(title: str, content: Json) -> Iterator[str]:
    several = content.get("examples")
    examples = (
        [(each.get("summary", ""), each["value"]) for each in several.values()]
        if several
        else [("", content["example"])]
        if "example" in content
        else []
    )
    for summary, value in examples:
        text = json.dumps(value, indent=2, ensure_ascii=False)
        heading = f"{title}: {summary}" if summary else title
        yield f"**{heading}**\n\n```json\n{text}\n```\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
