"""What an operator sees at a glance, in bounded reads: none grows with the timers that there are."""

from __future__ import annotations

from collections.abc import Iterable

from timer_db.domain.queue_entry import ENTRY_BYTES, HEAD_KEY, QueueEntry, time_bound
from timer_db.statements.literals import FORCE_KEY, of_bytes, of_list

SAMPLES_PER_BATCH = 8
BATCHES_MAX = 200
HOLDERS_MAX = 20
HELD_FIRSTS_MAX = 2000

# Evenly spaced, so that neither those that are sent first nor those that are sent last count for more.
_SAMPLES = ", ".join(
    f"SUBSTR(entries, 1 + {ENTRY_BYTES} * (LENGTH(entries) DIV {ENTRY_BYTES} * {n} DIV {SAMPLES_PER_BATCH}),"
    f" {ENTRY_BYTES})"
    for n in range(SAMPLES_PER_BATCH)
)
SAMPLED = f"SELECT CONCAT({_SAMPLES}) FROM claim_batches LIMIT {BATCHES_MAX}"
"""Some timers of each batch in hand, as packed entries; one stands there more than once when there are few."""

DEFERRED_FIRSTS = "SELECT priority_rank, MIN(due_key) FROM deferred_queue GROUP BY priority_rank"
"""For each priority, the first of those that wait for a receiver in trouble: a hop through the key each."""

HELD_FIRSTS = (
    f"SELECT destination, priority_rank, MIN(due_key) FROM deferred_queue {FORCE_KEY}"
    f" GROUP BY destination, priority_rank LIMIT {HELD_FIRSTS_MAX}"
)
"""(what it waits for, rank, due key): the same for each receiver, route and collection; of very many, some."""


def totals(collection_ids: Iterable[int] | None) -> str:
    """(state, slot, timers) of some collections, or of all.

    By slot, since timers that are forgotten count backwards, and that is on a connection of its own: what rises
    in one slot while it falls in another is seen as both.
    """
    where = "" if collection_ids is None else f" WHERE collection_id IN ({_numbers(collection_ids)})"
    return f"SELECT state, slot, SUM(timers) FROM timer_counts{where} GROUP BY state, slot"


def overdue(ranks: Iterable[int], now_us: int, limit: int) -> str:
    """How many timers of these priorities should have been called before `now_us` and are in nobody's hands; of
    all together no more than `limit` are counted. At most `LIST_MAX` priorities."""
    return (
        f"SELECT COUNT(*) FROM (SELECT 1 FROM due_queue {FORCE_KEY} WHERE priority_rank IN ({_numbers(ranks)})"
        f" AND due_key > {of_bytes(HEAD_KEY)} AND due_key < {of_bytes(time_bound(now_us))} LIMIT {limit}) counted"
    )


def deferred(limit: int) -> str:
    """How many timers wait for receivers in trouble; no more than `limit` are counted."""
    return f"SELECT COUNT(*) FROM (SELECT 1 FROM deferred_queue {FORCE_KEY} LIMIT {limit}) counted"


def waiting_for(destinations: Iterable[bytes]) -> str:
    """(what it waits for, due key, URL) of the first timer that waits for each of these."""
    firsts = " UNION ALL ".join(
        f"(SELECT destination, priority_rank, due_key FROM deferred_queue {FORCE_KEY}"
        f" WHERE destination = {of_bytes(key)} ORDER BY priority_rank, due_key LIMIT 1)"
        for key in sorted(destinations)
    )
    return f"SELECT d.destination, d.due_key, t.url FROM ({firsts}) d JOIN timers t ON t.id = SUBSTR(d.due_key, 9)"


_ATTEMPT = (
    "a.timer_id, a.started_at_us - t.next_at_us, a.finished_at_us, a.latency_us, a.outcome, t.collection_id,"
    " t.route_id, t.url"
    " FROM {attempts} STRAIGHT_JOIN timers t ON t.id = a.timer_id"
)
"""An attempt, with how late it began: right for the one that ended its timer, whose time `next_at_us` then is."""


def newest_attempts(since_us: int, limit: int) -> str:
    """Attempts that ended timers: those of the newest timers, whenever they were made.

    The bound on the time chooses partitions, so it should be the beginning of a day: with another one, rows would
    be passed over.
    """
    newest = (
        f"(SELECT timer_id, attempt, started_at_us, finished_at_us, latency_us, outcome FROM attempts {FORCE_KEY}"
        f" WHERE finished_at_us >= {since_us} ORDER BY timer_id DESC LIMIT {limit}) a"
    )
    return f"SELECT {_ATTEMPT.format(attempts=newest)} WHERE a.attempt = t.attempts_made + 1"


def attempts_of(timer_ids: Iterable[bytes], since_us: int) -> str:
    """The same of these timers, as far as they finished since then."""
    return (
        f"SELECT {_ATTEMPT.format(attempts=f'attempts a {FORCE_KEY}')} WHERE a.timer_id IN ({of_list(timer_ids)})"
        f" AND a.finished_at_us >= {since_us} AND a.attempt = t.attempts_made + 1"
    )


def holding(timer_id: bytes) -> str:
    """(controller, host, pid, since) of the batch that has this timer: reads all that are in hand, some dozens."""
    return (
        "SELECT b.controller_id, c.host, c.pid, b.claimed_at_us FROM claim_batches b"
        " LEFT JOIN controllers c ON c.id = b.controller_id"
        f" WHERE LOCATE({of_bytes(timer_id)}, b.entries) > 0 LIMIT 1"
    )


def held_by(entry: QueueEntry) -> str:
    """What this timer waits for; no row when nothing holds it up."""
    return (
        f"SELECT destination FROM deferred_queue WHERE priority_rank = {entry.rank}"
        f" AND due_key = {of_bytes(entry.due_key)}"
    )


def _numbers(numbers: Iterable[int]) -> str:
    return ",".join(str(number) for number in sorted(numbers)) or "NULL"
