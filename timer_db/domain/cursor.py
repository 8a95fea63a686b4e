"""Where a list goes on. A cursor says everything about that by itself, and goes with one filter only."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import NamedTuple

from timer_db.domain.filter import DIGEST_BYTES, Filter

UNDECIDED, BY_STATE, BY_ID = 255, 254, 253
"""In the place of a driver: it is chosen when a server is come to; no mark, but the states drive; or the ids of
what waits and is in hand, whatever becomes of it meanwhile."""
_HEAD = struct.Struct(f">B{DIGEST_BYTES}sHBB")
_VERSION = 1
CHARACTERS_MAX = 200


class Place(NamedTuple):
    """What was shown ends here."""

    shard: int = 0
    driver: int = UNDECIDED
    """Which of the filter's lists of marks (`Filter.borne`) is walked through."""
    leg: int = 0
    """Which of the states, when they are walked through one after the other."""
    behind: bytes = b""
    """The id, or the entry of the queue, of the last timer; empty at the beginning."""


def write(place: Place, wanted: Filter) -> str:
    """The cursor of a place in the list of a filter."""
    head = _HEAD.pack(_VERSION, wanted.digest(), place.shard, place.driver, place.leg)
    return base64.urlsafe_b64encode(head + place.behind).decode().rstrip("=")


def read(cursor: str, wanted: Filter) -> Place:
    """The place that `write` wrote down. ValueError says what is wrong with it."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        version, digest, shard, driver, leg = _HEAD.unpack_from(raw)
    except (binascii.Error, struct.error, ValueError):
        version, raw = 0, b""
    if version != _VERSION:
        raise ValueError("it is not a cursor of this service")
    if digest != wanted.digest():
        raise ValueError("it comes from a list with other filters: use it with those that it came from")
    return Place(shard, driver, leg, raw[_HEAD.size :])
