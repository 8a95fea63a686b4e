"""What a timer is found by besides its id: marks of 8 bytes, for each label, each label's key and each group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b

from timer_db.domain.owner import DEFAULT_COLLECTION_ID, Owner

MARK_BYTES = 8


# Many timers, few labels.
@lru_cache(maxsize=4096)
def _mark(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=MARK_BYTES).digest()


def of_label(key: str, value: str) -> bytes:
    """Of timers with this label. Two labels may share a mark, once in 10^19: who reads by it compares."""
    return _mark(f"{key}={value}")


def of_key(key: str) -> bytes:
    """Of timers with any label of this key."""
    return _mark(key)


def of_collection(collection_id: int) -> bytes:
    """Of timers of a collection other than the default one, whose timers bear no mark."""
    # No key of a label begins so.
    return _mark(f"/collection/{collection_id}")


def of_route(route_id: int) -> bytes:
    """Of timers of a route."""
    return _mark(f"/route/{route_id}")


def of_schedule(schedule_id: int) -> bytes:
    """Of runs of a schedule."""
    return _mark(f"/schedule/{schedule_id}")


def marks_of(labels: Mapping[str, str], owner: Owner) -> Iterator[bytes]:
    """Every mark of a timer."""
    for key, value in labels.items():
        yield of_key(key)
        yield of_label(key, value)
    if owner.collection_id != DEFAULT_COLLECTION_ID:
        yield of_collection(owner.collection_id)
    if owner.route_id:
        yield of_route(owner.route_id)
    if owner.schedule_id:
        yield of_schedule(owner.schedule_id)
