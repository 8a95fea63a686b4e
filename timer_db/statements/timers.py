"""`timers`: what users asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from timer_db.statements.literals import FORCE_KEY, MYSQL_ROW, of_bytes, of_list, of_value

_NEW = (
    "id, name, priority, due_at_us, next_at_us, created_at_us, url, append_id, method, headers,"
    " body, body_is_json, meta, labels, retry, timeout_ms, on_unknown, sealed_with,"
    " collection_id, route_id, schedule_id, on_failure_url, traceparent"
)
COLUMNS = tuple(_NEW.split(", "))
"""The same one by one."""
_ALIKE_FROM_ROWS = 32
"""With fewer rows, the table that the list becomes costs more than the values that it spares."""

ASKED = (
    "t.id, t.name, t.priority, t.due_at_us, t.next_at_us, t.created_at_us, t.cancelled_at_us, t.attempts_made,"
    " t.possible_duplicate, t.url, t.append_id, t.method, t.headers, t.body, t.body_is_json, t.meta, t.labels,"
    " t.retry, t.timeout_ms, t.on_unknown, t.sealed_with,"
    " t.collection_id, t.route_id, t.schedule_id, t.on_failure_url, t.attempts_before, t.traceparent"
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
_TEXTS = ", ".join(
    [f"IFNULL(HEX(t.body), '{IS_NULL}')", *[f"IFNULL(t.{c}, '')" for c in ("headers", "meta", "labels")]]
)
_TEXTS_UNLESS_LARGE = (
    f"IF({_IS_LARGE}, CONCAT_WS('{FIELD}', '{IS_LARGE}', '', '', ''), CONCAT_WS('{FIELD}', {_TEXTS}))"
)


def _packed(key: str, texts: str) -> str:
    columns = [
        f"HEX({key})",
        texts,
        "IFNULL(HEX(t.name), '')",
        "t.priority",
        "t.due_at_us",
        "t.created_at_us",
        "t.attempts_made",
        "t.possible_duplicate",
        "IFNULL(t.url, '')",
        "t.append_id",
        "t.method",
        "t.body_is_json",
        "IFNULL(t.retry, '')",
        "t.timeout_ms",
        "t.on_unknown",
        "IFNULL(t.sealed_with, '')",
        "CONCAT(t.collection_id, ',', IFNULL(t.route_id, 0), ',', IFNULL(t.schedule_id, 0))",
        "IFNULL(t.on_failure_url, '')",
        "t.attempts_before",
        "IFNULL(t.traceparent, '')",
    ]
    return f"CONCAT_WS('{FIELD}', {', '.join(columns)})"


def _list_of(value: str) -> str:
    return f"SELECT COUNT(*), GROUP_CONCAT({value} SEPARATOR '{ROW}')"


_WHOLE = _list_of(_packed("t.id", _TEXTS))
_CUT = _list_of(_packed("t.id", _TEXTS_UNLESS_LARGE))
_CLAIMED = _list_of(f"IF(t.id IS NULL, HEX(q.due_key), {_packed('q.due_key', _TEXTS_UNLESS_LARGE)})")


def insert(rows: Sequence[tuple[str | int | bytes | None, ...]]) -> str:
    """New timers; each row has the values of `_NEW`, in that order.

    Timers of one batch differ in few columns. Of many rows only those columns are listed, and what is the same in
    all of them is said once: that spares the server a quarter of its work, and more when values are long.
    """
    columns = list(zip(*rows, strict=True))
    cells = [_cells(column) for column in columns]
    if len(rows) < _ALIKE_FROM_ROWS:
        return f"INSERT INTO timers ({_NEW}) VALUES {_rows(cells)}"
    varying = [number for number, column in enumerate(columns) if column.count(column[0]) < len(column)]
    names = ",".join([f"c{number}" for number in varying])
    said = ",".join([f"c{number}" if number in varying else cell[0] for number, cell in enumerate(cells)])
    listed = _rows([cells[number] for number in varying], MYSQL_ROW)
    return f"INSERT INTO timers ({_NEW}) WITH listed ({names}) AS (VALUES {listed}) SELECT {said} FROM listed"


def _cells(column: tuple[str | int | bytes | None, ...]) -> list[str]:
    """A column's literals; what is the same in all rows is made once."""
    first = column[0]
    if column.count(first) == len(column):
        return [of_value(first)] * len(column)
    return [of_value(value) for value in column]


def _rows(columns: Sequence[Sequence[str]], mark: str = "") -> str:
    return ",".join([f"{mark}({','.join(row)})" for row in zip(*columns, strict=True)])


def existing(timer_ids: Iterable[bytes]) -> str:
    """Those of the ids that are there."""
    return f"SELECT id FROM timers WHERE id IN ({of_list(timer_ids)})"


def packed(timer_ids: Iterable[bytes], *, whole: bool = False) -> str:
    """What was asked for, of many timers as one value, and how many there are: for those who hold the claims.

    The driver's decoding costs 0.7 µs a value, and splitting one text next to nothing: 2 µs a timer where rows
    cost 14. What is large stays out: `IS_LARGE` stands in the place of the body then, unless `whole`.
    """
    return f"{_WHOLE if whole else _CUT} FROM timers t WHERE t.id IN ({of_list(timer_ids)})"


def packed_of(due_keys: str) -> str:
    """The same for the timers of the due keys that the statement `due_keys` gives; the keys stand in the place of
    ids. That of a timer that is gone stands alone.

    One statement where two had to send and parse 900 keys: 2 µs of the server's time and 2 of ours per timer.
    """
    return f"{_CLAIMED} FROM ({due_keys}) q LEFT JOIN timers t ON t.id = SUBSTR(q.due_key, 9)"


def retry(rows: Mapping[bytes, tuple[int, bool]]) -> str:
    """For each id: when to try again, and whether the attempt may have arrived. Count: one per id."""
    times = " ".join([f"WHEN {of_bytes(i)} THEN {at_us}" for i, (at_us, _) in sorted(rows.items())])
    doubtful = of_list([i for i, (_, may_have_arrived) in rows.items() if may_have_arrived] or [b""])
    return (
        f"UPDATE timers {FORCE_KEY} SET attempts_made = attempts_made + 1, next_at_us = CASE id {times} END,"
        f" possible_duplicate = possible_duplicate OR id IN ({doubtful}) WHERE id IN ({of_list(rows)})"
    )


def cancel(timer_ids: Iterable[bytes], now_us: int) -> str:
    """For timers that were just taken out of the queue. Count: one per id."""
    return f"UPDATE timers {FORCE_KEY} SET cancelled_at_us = {now_us} WHERE id IN ({of_list(timer_ids)})"


def move_to(timer_ids: Iterable[bytes], at_us: int) -> str:
    """Timers that are due at another time. Count: one per id."""
    return (
        f"UPDATE timers {FORCE_KEY} SET due_at_us = {at_us}, next_at_us = {at_us}"
        f" WHERE id IN ({of_list(timer_ids)})"
    )


def move_by(timer_ids: Iterable[bytes], shift_us: int, now_us: int) -> str:
    """Timers that are due and called so much later, or earlier, but not before now. Count: one per id."""
    return (
        f"UPDATE timers {FORCE_KEY} SET due_at_us = GREATEST(due_at_us + {shift_us}, {now_us}),"
        f" next_at_us = GREATEST(next_at_us + {shift_us}, {now_us}) WHERE id IN ({of_list(timer_ids)})"
    )


def replay(timer_ids: Collection[bytes], doubtful: Iterable[bytes], now_us: int) -> str:
    """Ended timers that are due again: the attempt that ended them is one that another follows, and their retry
    policy begins anew. Those that may have arrived are named. Count: one per id."""
    return (
        f"UPDATE timers {FORCE_KEY} SET possible_duplicate = possible_duplicate OR id IN"
        f" ({of_list(doubtful) or of_bytes(b'')}), attempts_before = attempts_made + 1,"
        f" attempts_made = attempts_made + 1, due_at_us = {now_us}, next_at_us = {now_us}"
        f" WHERE id IN ({of_list(timer_ids)})"
    )


def change(timer_id: bytes, values: Mapping[str, str | int | bytes | None]) -> str:
    """Other values for these columns of one timer. Count: 1."""
    assigned = ", ".join([f"{column} = {of_value(value)}" for column, value in values.items()])
    return f"UPDATE timers SET {assigned} WHERE id = {of_bytes(timer_id)}"


def asked(timer_id: bytes) -> str:
    """What was asked for, as it stands: who has taken it out of the queue reads the last version."""
    return f"SELECT {ASKED} FROM timers t WHERE t.id = {of_bytes(timer_id)}"


def owners(timer_ids: Iterable[bytes]) -> str:
    """How many of the timers belong to each owner: (collection, route, schedule, timers)."""
    return (
        "SELECT collection_id, IFNULL(route_id, 0), IFNULL(schedule_id, 0), COUNT(*)"
        f" FROM timers WHERE id IN ({of_list(timer_ids)})"
        " GROUP BY collection_id, IFNULL(route_id, 0), IFNULL(schedule_id, 0)"
    )


def lock(timer_ids: Iterable[bytes]) -> str:
    """Timers as they stand, locked: (id, name, priority, attempts that another followed, collection, route,
    schedule)."""
    return (
        "SELECT id, name, priority, attempts_made, collection_id, IFNULL(route_id, 0), IFNULL(schedule_id, 0)"
        f" FROM timers {FORCE_KEY} WHERE id IN ({of_list(timer_ids)}) ORDER BY id FOR UPDATE"
    )
