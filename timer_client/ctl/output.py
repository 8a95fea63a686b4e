"""How answers are shown: as a table, as JSON, or as YAML."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from timer_client.ctl.documents import dump
from timer_client.reading import Shown

S = TypeVar("S", bound=Shown)
_PAGE = 200
"""Rows of one table: more come in another one below it, so that a long list begins to show at once."""
_PIPED_WIDTH = 2_000
"""What goes into a pipe is cut nowhere."""


class Form(StrEnum):
    """What `-o` takes."""

    table = "table"
    json = "json"
    yaml = "yaml"


class Columns(Generic[S]):
    """The columns of a table, each with how a cell is made."""

    def __init__(self, **cells: Callable[[S], object]) -> None:
        self._cells = cells

    def table(self, items: Iterable[S]) -> Table:
        """The items as a table."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for name in self._cells:
            table.add_column(name.upper().replace("_", " "), no_wrap=True, overflow="ellipsis")
        for item in items:
            table.add_row(*(_text(cell(item)) for cell in self._cells.values()))
        return table


def console() -> Console:
    """Where answers go."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False, soft_wrap=False)


def show_list(items: Iterable[S], columns: Columns[S], form: Form, nothing: str) -> None:
    """A list. `nothing` is said, on standard error, when it is empty."""
    if form is not Form.table:
        _write(form, [dict(item.raw) for item in items])
        return
    rest = iter(items)
    first = next(rest, None)
    if first is None:
        sys.stderr.write(f"{nothing}\n")
        return
    rest = chain([first], rest)
    while page := list(islice(rest, _PAGE)):
        console().print(columns.table(page))


def show_one(item: Shown, form: Form) -> None:
    """One thing, whole: as YAML also where a table was asked for, since it is the same to read."""
    _write(Form.yaml if form is Form.table else form, dict(item.raw))


def show_value(value: Any, form: Form) -> None:
    """Anything else."""
    _write(Form.yaml if form is Form.table else form, value)


def _write(form: Form, value: Any) -> None:
    text = dump(value) if form is Form.yaml else json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    sys.stdout.write(text)


def _text(value: object) -> Text:
    # As text: what clients chose may look like rich's markup.
    return Text(_printable(value))


def _printable(value: object) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case timedelta():
            return duration(value)
        case _:
            # No control character reaches the terminal.
            return "".join(c if c.isprintable() else "�" for c in str(value))


def duration(value: timedelta) -> str:
    """Two units are enough: 2d3h, 9m58s."""
    rest = max(0, round(value.total_seconds()))
    parts = []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"


def labels(value: Any) -> str:
    """Labels as a selector has them."""
    return ",".join(f"{key}={text}" for key, text in sorted(value.items())) or "–"


def words(values: Sequence[str] | None) -> str | None:
    """A list as words."""
    return None if values is None else ", ".join(values) or "–"
