"""`timers`: what users asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from timer_db.statements.literals import FORCE_KEY, of_bytes, of_list, of_value

_NEW = (
    "id, name, priority, due_at_us, next_at_us, created_at_us, url, append_id, method, headers,"
    " body, body_is_json, meta, labels, retry, timeout_ms, on_unknown"
)

ASKED = (
    "t.id, t.name, t.priority, t.due_at_us, t.next_at_us, t.created_at_us, t.cancelled_at_us, t.attempts_made,"
    " t.possible_duplicate, t.url, t.append_id, t.method, t.headers, t.body, t.body_is_json, t.meta, t.labels,"
    " t.retry, t.timeout_ms, t.on_unknown"
)
"""What `operations.rows.timer_of` reads, in its order."""

LARGE_BYTES = 4096
"""A timer with more than this in body, meta, headers and labels is read by itself, right before its call: so
a batch of 900 is at most 11 MB here, which fits any server's max_allowed_packet."""
FIELD, ROW = "\x1f", "\x1e"
"""What separates fields and rows of `packed`. Neither is in a value: JSON escapes them, names come in
hexadecimal, and URLs are printable."""
IS_LARGE, IS_NULL = "L", "-"
"""In the place of a body that is large, and of one that is null."""
_SIZE = " + ".join([f"IFNULL(OCTET_LENGTH(t.{column}), 0)" for column in ("body", "meta", "headers", "labels")])
_IS_LARGE = f"{_SIZE} > {LARGE_BYTES}"
_PACKED = ", ".join(
    [
        "HEX(t.id)",
        f"IF({_IS_LARGE}, '{IS_LARGE}', IFNULL(HEX(t.body), '{IS_NULL}'))",
        "IFNULL(HEX(t.name), '')",
        "t.priority",
        "t.due_at_us",
        "t.created_at_us",
        "t.attempts_made",
        "t.possible_duplicate",
        "t.url",
        "t.append_id",
        "t.method",
        f"IF({_IS_LARGE}, '', IFNULL(t.headers, ''))",
        "t.body_is_json",
        f"IF({_IS_LARGE}, '', IFNULL(t.meta, ''))",
        f"IF({_IS_LARGE}, '', IFNULL(t.labels, ''))",
        "IFNULL(t.retry, '')",
        "t.timeout_ms",
        "t.on_unknown",
    ]
)


def insert(rows: Iterable[tuple[str | int | bytes | None, ...]]) -> str:
    """New timers; each row has the values of `_NEW`, in that order."""
    values = ",".join([f"({','.join(map(of_value, row))})" for row in rows])
    return f"INSERT INTO timers ({_NEW}) VALUES {values}"


def existing(timer_ids: Iterable[bytes]) -> str:
    """Those of the ids that are there."""
    return f"SELECT id FROM timers WHERE id IN ({of_list(timer_ids)})"


def asked(timer_ids: Iterable[bytes]) -> str:
    """What was asked for, whole, without the state: for those who hold the claims."""
    return f"SELECT {ASKED} FROM timers t WHERE t.id IN ({of_list(timer_ids)})"


def packed(timer_ids: Iterable[bytes]) -> str:
    """The columns of `_PACKED` of many timers as one value, and how many there are.

    The driver's decoding costs 0.7 µs a value, and splitting one text next to nothing: 2 µs a timer where rows
    cost 14. What is large stays out: `IS_LARGE` stands in the place of the body then.
    """
    return (
        f"SELECT COUNT(*), GROUP_CONCAT(CONCAT_WS('{FIELD}', {_PACKED}) SEPARATOR '{ROW}')"
        f" FROM timers t WHERE t.id IN ({of_list(timer_ids)})"
    )


def retry(rows: Mapping[bytes, tuple[int, bool]]) -> str:
    """For each id: when to try again, and whether the attempt may have arrived. Count: one per id."""
    times = " ".join([f"WHEN {of_bytes(i)} THEN {at_us}" for i, (at_us, _) in sorted(rows.items())])
    doubtful = of_list([i for i, (_, may_have_arrived) in rows.items() if may_have_arrived] or [b""])
    return (
        f"UPDATE timers {FORCE_KEY} SET attempts_made = attempts_made + 1, next_at_us = CASE id {times} END,"
        f" possible_duplicate = possible_duplicate OR id IN ({doubtful}) WHERE id IN ({of_list(rows)})"
    )


def cancel(timer_id: bytes, now_us: int) -> str:
    """For a timer that was just taken out of the queue. Count: 1."""
    return f"UPDATE timers SET cancelled_at_us = {now_us} WHERE id = {of_bytes(timer_id)}"
