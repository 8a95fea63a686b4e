"""The body of a batch: its list of timers, read in slices, so that the loop is never held up for long."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import orjson

from timer_api import json_value
from timer_api.errors import FieldError, Problem, invalid
from timer_api.timers.schemas import BATCH_MAX

FIELD = "timers"
# A half to a whole millisecond of work.
_SLICE_BYTES = 65_536
_SLICE_BYTES_MAX = 1_048_576
_HEAD = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"timers"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*')
_SPACE = b" \t\r\n"


@dataclass(slots=True)
class Items:
    """What stands in the list, one value per timer that is asked for."""

    values: list[Any]
    is_suspect: bool
    """Whether `json_value.flaws` may find something in one of them."""
    is_measured: bool = False
    """Whether the size of each matters."""

    def size_bytes(self, value: object) -> int:
        """How long a value is as JSON without spaces; 0 when all of them together are small."""
        if not self.is_measured:
            return 0
        try:
            return len(orjson.dumps(value))
        except orjson.JSONEncodeError:
            # A flaw, which is found as such.
            return 0


async def read(raw: bytes, unmeasured_bytes: int) -> Items:
    """The list of a body; of one that is longer than `unmeasured_bytes`, the size of each timer matters.

    Raises Problem when the body as a whole is wrong. What is wrong with one timer is found later.
    """
    pieces = _pieces(raw)
    found = await _read_pieces(pieces) if pieces else None
    if found is None:
        if len(raw) <= _SLICE_BYTES:
            value, is_suspect = json_value.parse(raw)
        else:
            # Python's own reader lets go of the interpreter every few milliseconds.
            value, is_suspect = await asyncio.to_thread(json_value.parse, raw)
        found = Items(_list_of(value), is_suspect)
    if not found.values:
        raise _wrong("it is empty; give at least one")
    found.is_measured = len(raw) > unmeasured_bytes
    if len(found.values) > BATCH_MAX:
        raise _wrong(f"there are {len(found.values):,}; {BATCH_MAX:,} are possible in one call")
    return found


def _pieces(raw: bytes) -> list[bytes] | None:
    """The inside of a long list, cut where one timer ends and the next begins; None when that cannot be seen.

    A cut in the wrong place leaves a bracket or a quote open on both sides, so that neither is JSON: when all
    pieces can be read, together they are the list.
    """
    head = _HEAD.match(raw)
    end = raw.rfind(b"]")
    if len(raw) <= _SLICE_BYTES or not head or raw[end:].translate(None, _SPACE) != b"]}":
        return None
    position = head.end()
    # Programs write one timer like the other.
    opening = raw[position : raw.find(b":", position) + 1]
    if not opening.startswith(b"{"):
        return None
    pieces: list[bytes] = []
    while end - position > _SLICE_BYTES:
        cut = raw.find(opening, position + _SLICE_BYTES, end)
        if cut < 0:
            break
        comma = raw.rfind(b",", position, cut)
        if raw[comma + 1 : cut].strip(_SPACE) or comma - position > _SLICE_BYTES_MAX:
            return None
        pieces.append(raw[position:comma])
        position = cut
    return [*pieces, raw[position:end]] if end - position <= _SLICE_BYTES_MAX else None


async def _read_pieces(pieces: list[bytes]) -> Items | None:
    found = Items([], is_suspect=False)
    for piece in pieces:
        parsed = json_value.parse_plain(b"[" + piece + b"]")
        if parsed is None:
            return None
        found.values += parsed[0]
        found.is_suspect |= parsed[1]
        await asyncio.sleep(0)
    return found


def _list_of(value: object) -> list[Any]:
    if not isinstance(value, dict):
        raise invalid([FieldError("", 'the body must be a JSON object: {"timers": […]}')])
    faults = [FieldError(name, "there is no such field") for name in value if name != FIELD]
    if FIELD not in value:
        faults.append(FieldError(FIELD, "it is required"))
    timers = value.get(FIELD)
    if FIELD in value and not isinstance(timers, list):
        faults += json_value.flaws({FIELD: timers}) or [FieldError(FIELD, "it must be a list")]
    if faults or not isinstance(timers, list):
        raise invalid(faults)
    return timers


def _wrong(message: str) -> Problem:
    return invalid([FieldError(FIELD, message)])
