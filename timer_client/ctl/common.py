"""What commands share: their options, and the client that the global ones describe."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

import typer
import yaml

from timer_client.client import Client
from timer_client.ctl.config import Target
from timer_client.ctl.documents import check, read_one, value_of
from timer_client.ctl.faults import Fault
from timer_client.ctl.output import Form

_ARGUMENTS = frozenset({"idempotency_key", "timer_id", "count", "self"})
"""What calls of the client take besides fields."""
Output = Annotated[Form, typer.Option("--output", "-o", help="How to show it.")]
File = Annotated[
    str | None, typer.Option("--file", "-f", help="A YAML or JSON file with the fields; - is standard input.")
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="One field; the value is YAML. Can be given again."),
]
Selector = Annotated[
    str | None,
    typer.Option("--selector", "-l", help="Labels, as env=prod,tier!=free,zone in (a,b),!canary."),
]


def client_of(context: typer.Context) -> Client:
    """A client for the service that was chosen."""
    target: Target = context.obj
    try:
        return Client(target.url, key=target.key)
    except ValueError as error:
        raise Fault(str(error)) from None


def fields_of(file: str | None, assignments: list[str] | None, **flags: Any) -> dict[str, Any]:
    """The fields of a document: those of a file, then of flags, then of --set."""
    fields = read_one(file) if file else {}
    fields |= {name: value for name, value in flags.items() if value is not None}
    for assignment in assignments or ():
        name, mark, text = assignment.partition("=")
        if not mark or not name:
            raise Fault(f"--set {assignment}: it must read FIELD=VALUE, such as priority=7")
        try:
            value = value_of(text)
        except yaml.YAMLError as error:
            raise Fault(f"--set {name}: the value is no YAML: {str(error).splitlines()[0]}") from None
        _place(fields, name.split("."), value)
    check(fields, "--set")
    if not_a_field := fields.keys() & _ARGUMENTS:
        raise Fault(f"there is no field {min(not_a_field)}")
    return fields


def pairs(texts: list[str] | None, option: str, mark: str = "=") -> dict[str, str]:
    """`a=b` texts as a mapping."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, sign, value = text.partition(mark)
        if not sign or not name.strip():
            raise Fault(f"{option} {text}: it must read NAME{mark}VALUE")
        found[name.strip()] = value.strip()
    return found


def body_of(text: str) -> dict[str, Any]:
    """The fields that send it: JSON as such, any other text byte by byte, and null too, which is no body there."""
    try:
        body = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        body = None
    if body is None:
        return {"body_base64": base64.b64encode(text.encode()).decode()}
    return {"body": body}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _place(fields: dict[str, Any], path: list[str], value: Any) -> None:
    *outer, last = path
    for name in outer:
        inner = fields.setdefault(name, {})
        if not isinstance(inner, dict):
            raise Fault(f"--set {'.'.join(path)}: {name} holds no fields")
        fields = inner
    fields[last] = value
