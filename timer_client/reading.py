"""From the API's JSON to frozen dataclasses: by their annotations, with datetimes for times."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

S = TypeVar("S", bound="Shown")
_Convert = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """Something as the API showed it. `raw` is the JSON, with members that this version does not know."""

    raw: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)


def read(kind: type[S], document: Any) -> S:
    """The document as such a dataclass. ValueError when it is none."""
    # For mypy, a class whose instances have a hash of their own has none.
    plan = _plan(cast(Hashable, kind))
    try:
        values = {name: convert(document[name]) for name, convert in plan.items() if name in document}
        return kind(raw=document, **values)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"this is no {kind.__name__}: {error}") from error


def reader(kind: type[S]) -> Callable[[Any], S]:
    """`read` for this kind."""
    return functools.partial(read, kind)


@functools.cache
def _plan(kind: Any) -> Mapping[str, _Convert]:
    hints = typing.get_type_hints(kind)
    names = [name for name in hints if name != "raw"]
    return {name: _converter(hints[name]) for name in names}


def _converter(hint: Any) -> _Convert:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        convert, *others = [_converter(each) for each in arguments if each is not types.NoneType]
        assert not others, f"{hint} can be read in two ways"
        return lambda value: None if value is None else convert(value)
    if origin is tuple:
        each_item = _converter(arguments[0])
        return lambda values: tuple(each_item(value) for value in values)
    if hint is datetime:
        return datetime.fromisoformat
    if hint is timedelta:
        return lambda seconds: timedelta(seconds=seconds)
    if isinstance(hint, type) and issubclass(hint, Shown):
        return reader(hint)
    return lambda value: value
