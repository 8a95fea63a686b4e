"""From the text of a form's fields to a document of the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from timer_api import json_value
from timer_api.console.client import Document
from timer_api.console.visit import Visit
from timer_api.errors import FieldError, Problem, invalid


class Reader:
    """Puts fields that were filled in into `document`. `done` raises a Problem that names each that is wrong."""

    def __init__(self, visit: Visit, document: Document | None = None) -> None:
        self._visit = visit
        self._wrong: list[FieldError] = []
        self.document: Document = document or {}

    def put(self, name: str, read: Callable[[str], Any] = str, *, into: str = "", to: str = "") -> None:
        """One field, read by `read`, under its own name or another, in the document or in an object within it."""
        text = self._visit.field(name)
        if not text:
            return
        try:
            value = read(text)
        except Problem as problem:
            self._wrong.append(FieldError(name, problem.errors[0].message if problem.errors else problem.detail))
        except ValueError as error:
            self._wrong.append(FieldError(name, str(error)))
        else:
            place = self.document.setdefault(into, {}) if into else self.document
            place[to or name] = value

    def done(self) -> Document:
        """The whole."""
        if self._wrong:
            raise invalid(self._wrong)
        return self.document


def pairs(text: str, between: str) -> dict[str, str]:
    """One pair a line. ValueError for a line that is none."""
    found: dict[str, str] = {}
    for line in lines(text):
        name, mark, value = line.partition(between)
        if not mark:
            raise ValueError(f"each line needs a {between!r} between name and value")
        found[name.strip()] = value.strip()
    return found


def lines(text: str) -> list[str]:
    """Those in which something stands."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def json_of(text: str) -> Any:
    """Any JSON. Raises Problem."""
    value, is_suspect = json_value.parse(text.encode())
    if is_suspect and (found := json_value.flaws(value)):
        raise invalid(found)
    return value


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("it must be a whole number") from None


def fraction(text: str) -> float:
    """A number."""
    try:
        return float(json.loads(text))
    except (TypeError, ValueError):
        raise ValueError("it must be a number") from None


def faults(problem: Document | None, names: Mapping[str, str] | None = None) -> dict[str, str]:
    """What is wrong, by the form's field: `labels.env` is a fault of `labels`, unless `names` has the whole."""
    found: dict[str, str] = {}
    for fault in (problem or {}).get("errors", ()):
        name = (names or {}).get(fault["field"], fault["field"].partition(".")[0])
        found.setdefault(name, fault["message"])
    return found
