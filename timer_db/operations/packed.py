"""Timers as `statements.timers.packed` gives them: the decoding that every delivered timer pays for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from timer_db.domain.claim import Claim
from timer_db.domain.claimed_timer import ClaimedTimer
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.queue_entry import QueueEntry
from timer_db.domain.states import OnUnknown
from timer_db.statements.timers import FIELD, IS_LARGE, IS_NULL, ROW

_ON_UNKNOWN = {choice.value: choice for choice in OnUnknown}


def claims_of(packed: str, batch: int, entry_of: Callable[[bytes], QueueEntry]) -> list[Claim]:
    """The claims, in no order; `entry_of` gives the place in the queue by the key that was packed with a timer.
    Timers that are gone are left out."""
    return list(_decode(packed, batch, entry_of))


def keys_of(packed: str) -> list[bytes]:
    """Every key, also those of timers that are gone."""
    return [bytes.fromhex(row.partition(FIELD)[0]) for row in packed.split(ROW)]


# Many timers, few groups.
@lru_cache(maxsize=4096)
def _owner_of(text: str) -> Owner:
    owner = Owner(*map(int, text.split(",")))
    return BY_DEFAULT if owner == BY_DEFAULT else owner


def _decode(packed: str, batch: int, entry_of: Callable[[bytes], QueueEntry]) -> Iterator[Claim]:
    for row in packed.split(ROW):
        values = row.split(FIELD)
        if len(values) == 1:
            continue
        (
            hex_key, body, headers, meta, labels, name, priority, due_at_us, created_at_us, attempts_made,
            possible_duplicate, url, append_id, method, body_is_json, retry, timeout_ms, on_unknown, sealed_with,
            owner, on_failure_url, attempts_before, traceparent,
        ) = values  # fmt: skip
        key = bytes.fromhex(hex_key)
        low = key[-16:].hex()
        is_large = body == IS_LARGE
        made = int(attempts_made)
        # By position: see the note at `NewTimer`.
        timer = ClaimedTimer(
            f"{low[:8]}-{low[8:12]}-{low[12:16]}-{low[16:20]}-{low[20:]}",
            int(due_at_us),
            int(created_at_us),
            url,
            method,
            headers,
            None if body == IS_NULL or is_large else bytes.fromhex(body),
            body_is_json == "1",
            meta,
            bytes.fromhex(name).decode() if name else None,
            labels,
            int(priority),
            append_id == "1",
            retry,
            int(timeout_ms) / 1000,
            _ON_UNKNOWN[on_unknown],
            made,
            _owner_of(owner),
            on_failure_url,
            int(attempts_before),
            sealed_with,
            traceparent,
        )
        yield Claim(batch, entry_of(key), timer, made + 1, possible_duplicate == "1", is_large)
