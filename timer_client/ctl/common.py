"""What commands share: their options, and the client that the global ones describe."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import typer
import yaml

from timer_client.client import Client
from timer_client.ctl.config import Target
from timer_client.ctl.documents import check, read_one, value_of
from timer_client.ctl.faults import Fault
from timer_client.ctl.output import Form

_ARGUMENTS = frozenset({"idempotency_key", "timer_id", "count", "self"})
"""What calls of the client take besides fields."""
_MAPS = frozenset({"labels", "headers"})
_TEMPLATE = "timer"
"""Where a schedule has the fields of its timers."""
Output = Annotated[Form, typer.Option("--output", "-o", help="How to show it.")]
File = Annotated[
    str | None, typer.Option("--file", "-f", help="A YAML or JSON file with the fields; - is standard input.")
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="One field; the value is YAML. Can be given again."),
]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(help="The same again with the same key makes nothing twice, for a day."),
]
Selector = Annotated[
    str | None,
    typer.Option("--selector", "-l", help="Labels, as env=prod,tier!=free,zone in (a,b),!canary."),
]


def client_of(context: typer.Context) -> Client:
    """A client for the service that was chosen."""
    target: Target = context.obj
    try:
        # Without a key none is sent, whatever the environment has for another service.
        return Client(target.url, key=target.key or "")
    except ValueError as error:
        raise Fault(str(error)) from None


class Assignment(NamedTuple):
    """One `--set`: where its value goes."""

    path: tuple[str, ...]
    value: Any

    @property
    def is_inside(self) -> bool:
        """Whether it is about a part of a field."""
        return len(self.path) > 1


def assigned(texts: list[str] | None) -> list[Assignment]:
    """What `--set` says, in its order."""
    found: list[Assignment] = []
    for text in texts or ():
        name, mark, value_text = text.partition("=")
        if not mark or not name:
            raise Fault(f"--set {text}: it must read FIELD=VALUE, such as priority=7")
        try:
            value = value_of(value_text)
        except yaml.YAMLError as error:
            raise Fault(f"--set {name}: the value is no YAML: {str(error).splitlines()[0]}") from None
        check({name: value}, "--set")
        found.append(Assignment(_path(name), value))
    check_names(each.path[0] for each in found)
    return found


def place(fields: dict[str, Any], assignments: Iterable[Assignment]) -> None:
    """Put values where they belong; what is beside them stays."""
    for path, value in assignments:
        *outer, last = path
        where = fields
        for name in outer:
            inner = where.get(name)
            if inner is not None and not isinstance(inner, dict):
                raise Fault(f"--set {'.'.join(path)}: {name} holds no fields")
            # A copy, since YAML may have the same mapping in two places.
            where[name] = {} if inner is None else {**inner}
            where = where[name]
        where[last] = value


def check_names(names: Iterable[str], where: str = "") -> None:
    """Fault for what is no field of anything, but an argument of the client's calls."""
    if not_a_field := _ARGUMENTS.intersection(names):
        raise Fault(f"{where}{': ' if where else ''}there is no field {min(not_a_field)}")


def fields_of(file: str | None, assignments: list[str] | None, **flags: Any) -> dict[str, Any]:
    """The fields of a document: those of a file, then of flags, then of --set."""
    fields: dict[str, Any] = {}
    if file:
        document = read_one(file)
        check_names(document.fields, document.where)
        fields = document.fields
    fields |= {name: value for name, value in flags.items() if value is not None}
    place(fields, assigned(assignments))
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


def _path(name: str) -> tuple[str, ...]:
    """Where a value goes. Labels and headers have names with dots in them, and nothing inside."""
    parts = name.split(".")
    whole = 1 if parts[0] == _TEMPLATE else 0
    if parts[whole : whole + 1] and parts[whole] in _MAPS:
        inside = parts[whole + 1 :]
        return (*parts[: whole + 1], *([".".join(inside)] if inside else ()))
    return tuple(parts)
