"""What the document says in words, because JSON Schema has none for it. schemathesis reads this before it begins.

Formats make values that should be taken; what should be refused, it makes up by itself.
"""

from __future__ import annotations

import os
import re
import uuid
import zoneinfo
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import schemathesis
from hypothesis import strategies as st

from tests.api.keyed import KEY_ID
from tests.contract.rules import is_refused
from timer_api.idempotency import HEADER
from timer_db.domain import cursor as cursors
from timer_db.domain.cursor import Place
from timer_db.domain.filter import Filter

_CENTURY_SECONDS = 3_155_760_000
_RETRY = {"initial_seconds": 5, "max_seconds": 3600}
_DEPTH_MAX = 64
_HOST_MAX = 253
_WHOLE = frozenset(
    {"hours", "minutes", "seconds", "priority", "rate_per_second", "burst", "max_attempts", "retention_days"}
    | {"waiting_max", "calls_max", "disable_after_seconds", "overlap_seconds"}
)

_HAS_OFFSET = re.compile(r"(Z|[+-]\d\d:\d\d)$")
_PARTS = frozenset({"timers", "retry", "defaults", "timer"})
"""What holds objects with rules of their own."""

_name = st.text(max_size=200).map(lambda text: "".join(filter(str.isprintable, text)).strip())
_label = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", fullmatch=True)
_host = st.one_of(
    st.lists(_label, max_size=2).map(lambda labels: ".".join([*labels, "example"])),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
_port = st.one_of(st.just(""), st.integers(1, 65_535).map(lambda port: f":{port}"))
_target = st.from_regex(r"([/?]([!$&'()*+,\-./0-9:;=?@A-Z\[\]_a-z|~]|%[0-9A-Fa-f]{2}){0,200})?", fullmatch=True)
_number = st.decimals(0, 10_000, allow_nan=False, places=3).map(lambda number: f"{number:f}")


def _some_of(units: str) -> st.SearchStrategy[str]:
    """Numbers with units, in their order."""
    chosen = st.lists(st.sampled_from(units.split()), min_size=1, max_size=2, unique=True)
    return chosen.flatmap(
        lambda some: st.tuples(
            *(_number.map(lambda n, unit=unit: n + unit) for unit in sorted(some, key=units.index))
        )
    ).map("".join)


@st.composite
def _due_time(draw: st.DrawFn) -> str:
    """Of every form, and up to some ninety years ahead."""
    text = draw(st.datetimes(datetime(1, 1, 3), datetime(2110, 1, 1))).isoformat(sep=draw(st.sampled_from("Tt ")))
    hours, minutes = divmod(draw(st.integers(0, 1439)), 60)
    return text + draw(st.sampled_from(["", "Z", "z", f"+{hours:02}:{minutes:02}", f"-{hours:02}:{minutes:02}"]))


_FORMATS = {
    "printable-name": _name.filter(lambda name: name not in ("", ".", "..")),
    "receiver-url": st.builds("{}://{}{}{}".format, st.sampled_from(["http", "HTTPS"]), _host, _port, _target),
    "due-time": _due_time(),
    "iana-time-zone": st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime"})),
    "short-duration": _some_of("d h m s"),
    "iso-duration": _some_of("H M S").map("PT{}".format),
    "name-of-a-group": st.just("default"),
    "cron": st.sampled_from(["0 9 * * 1-5", "*/10 * * * * *", "15,45 0-6/2 L JAN-mar *", "0 0 29 2 */7"]),
    "schedule-period": st.sampled_from(["90s", "1h30m", "PT15M", "P1DT12H"]),
    # A page begins behind any name, whether it is there or not.
    "name-cursor": st.sampled_from(["a", "default", "zz"]),
    "ip-range": st.ip_addresses().map(lambda address: f"{address}/{address.max_prefixlen}"),
    # The place before the first timer, which is one in every list.
    "timers-cursor": st.just(cursors.write(Place(), Filter())),
    "label-selector": st.sampled_from(["env=prod,tier!=free", "zone in (a,b),!canary", "old,phase notin (x)"]),
    "moment": _due_time().filter(lambda text: _HAS_OFFSET.search(text) and "T" in text and text[:3] != "000"),
    "shift": _some_of("d h m s").map("-{}".format),
    "api-keys-cursor": st.just(os.environ.get(KEY_ID, "")),
}
for name, strategy in _FORMATS.items():
    schemathesis.openapi.format(name, strategy)


@schemathesis.hook
def filter_case(_context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Leaves out what is refused by rules about numbers, or for its size, but would count as valid."""
    # What stands in the document as an example has no such mark, and is meant to be valid.
    if case.meta is not None and not case.meta.generation.mode.is_positive:
        return True
    query = dict(case.query or {})
    if is_refused(case.operation.method.upper(), case.operation.path, query, case.body):
        return False
    return _fits(case.body) and not any(map(_is_refused, _objects_in(case.body)))


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case, _options: dict[str, Any]) -> None:
    """A key belongs to one request: what was drawn twice would be refused."""
    if case.meta is not None and case.meta.generation.mode.is_positive and HEADER in (case.headers or {}):
        case.headers[HEADER] = str(uuid.uuid4())


def _objects_in(body: Any) -> Iterator[dict[str, Any]]:
    """The body and what is in it, but not what clients may fill as they like."""
    if isinstance(body, list):
        for item in body:
            yield from _objects_in(item)
    elif isinstance(body, dict):
        yield body
        for name in _PARTS & body.keys():
            yield from _objects_in(body[name])


def _is_refused(asked: dict[str, Any]) -> bool:
    url = asked.get("url")
    if isinstance(url, str) and len(re.split("[/?]", url)[2]) > _HOST_MAX:
        return True
    # Of two moments of a schedule, one comes first; and its runs are made again for what is over.
    if {"start_at", "end_at"} <= asked.keys() or {"from", "to"} <= asked.keys():
        return True
    # There is a collection of that name, and no route.
    if "route" in asked:
        return True
    # To JSON Schema 1.0 is an integer. Here whole numbers are written without a point.
    if any(isinstance(number, float) for name, number in asked.items() if name in _WHOLE):
        return True
    numbers = [asked.get(unit, 0) for unit in ("hours", "minutes", "seconds")]
    if all(isinstance(number, int) for number in numbers):
        hours, minutes, seconds = numbers
        if hours * 3600 + minutes * 60 + seconds > _CENTURY_SECONDS:
            return True
    if asked.keys() & _RETRY.keys():
        first, longest = (asked.get(name, usual) for name, usual in _RETRY.items())
        return isinstance(first, int | float) and isinstance(longest, int | float) and first > longest
    return False


def _fits(value: Any, depth: int = 0) -> bool:
    """Whether numbers have 64 bits, and nothing is nested too deep."""
    match value:
        case bool() | None | str():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case dict():
            return depth < _DEPTH_MAX and all(_fits(item, depth + 1) for item in value.values())
        case list():
            return depth < _DEPTH_MAX and all(_fits(item, depth + 1) for item in value)
        case _:
            return True
