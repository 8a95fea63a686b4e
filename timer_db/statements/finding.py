"""Which timers are meant by a filter: pages of ids, newest first, each as one packed value.

What is looked through for a page is bounded, whatever is found in it. So each page says where it ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from timer_db.domain.filter import Filter
from timer_db.domain.states import TimerState
from timer_db.statements.literals import of_bytes, of_list
from timer_db.statements.reading import STATE_OF_TIMER, WAITS

_FIRST_ID, _LAST_ID = bytes(16), b"\xff" * 16

_STATE = f"COALESCE(a.state, IF(t.cancelled_at_us IS NOT NULL, 'cancelled', IF({WAITS}, 'scheduled', 'firing')))"
_DUE = f"IF({WAITS}, t.next_at_us, t.due_at_us)"


def bearing(
    marks: Sequence[bytes],
    others: Iterable[Sequence[bytes]],
    never: Iterable[bytes],
    before: bytes | None,
    examined: int,
) -> str:
    """The newest timers before an id that bear one of `marks`: how many were looked at, the id of the last, and,
    in hexadecimal, the ids of those that also bear one of each of the `others`, and none of `never`."""
    pages = [
        f"(SELECT SUBSTR(entry, 9) AS id FROM label_index WHERE {_between(mark, before)}"
        f" ORDER BY entry DESC LIMIT {examined})"
        for mark in marks
    ]
    page = pages[0] if len(pages) == 1 else f"({' UNION ALL '.join(pages)} ORDER BY id DESC LIMIT {examined})"
    fits = " AND ".join(_mark_conditions("c.id", others, never)) or "TRUE"
    return f"SELECT COUNT(*), MIN(c.id), GROUP_CONCAT(IF({fits}, HEX(c.id), NULL) SEPARATOR '') FROM {page} c"


def packed(ids: str) -> str:
    """What a statement of ids gives, as one value in hexadecimal, in no order: rows cost the driver more than all
    else. Null when there are none."""
    return f"SELECT GROUP_CONCAT(HEX(c.id) SEPARATOR '') FROM ({ids}) c"


def packed_places(entries: str) -> str:
    """The same for entries of the queue, each packed as `domain.queue_entry` does."""
    place = "LPAD(HEX(c.priority_rank), 4, '0'), HEX(c.due_key)"
    return f"SELECT GROUP_CONCAT({place} SEPARATOR '') FROM ({entries}) c"


def count_of(statement: str) -> str:
    """How many rows it gives."""
    return f"SELECT COUNT(*) FROM ({statement}) c"


def count_bearing(marks: Iterable[bytes], limit: int) -> str:
    """How many timers bear one of these marks; of each mark, no more than `limit` are counted."""
    counts = [
        f"(SELECT COUNT(*) FROM (SELECT 1 FROM label_index WHERE {_between(mark, None)} LIMIT {limit}) c)"
        for mark in marks
    ]
    return f"SELECT {' + '.join(counts)}"


def count_ended(states: Iterable[TimerState], limit: int) -> str:
    """How many timers failed, are unknown or were cancelled, counted no further than that."""
    counts = [
        f"(SELECT COUNT(*) FROM (SELECT 1 FROM endings WHERE state = '{state}' LIMIT {limit}) c)"
        for state in sorted(states)
    ]
    return f"SELECT {' + '.join(counts)}"


def fitting(timer_ids: Iterable[bytes], rest: Filter) -> str:
    """Those of the timers that a filter means, in hexadecimal, as one value; null when there are none."""
    joins = STATE_OF_TIMER if rest.states is not None or rest.has_due_bounds else ""
    conditions = [f"t.id IN ({of_list(timer_ids)})", *_mark_conditions("t.id", rest.borne, rest.not_borne)]
    if rest.states is not None:
        listed = ",".join([f"'{state}'" for state in sorted(rest.states)])
        conditions.append(f"{_STATE} IN ({listed})")
    if rest.collection_ids is not None and rest.reads_collections:
        conditions.append(f"t.collection_id IN ({','.join(map(str, sorted(rest.collection_ids)))})")
    if rest.due_from_us is not None:
        conditions.append(f"{_DUE} >= {rest.due_from_us}")
    if rest.due_until_us is not None:
        conditions.append(f"{_DUE} < {rest.due_until_us}")
    return f"SELECT GROUP_CONCAT(HEX(t.id) SEPARATOR '') FROM timers t {joins} WHERE {' AND '.join(conditions)}"


def _between(mark: bytes, before: bytes | None) -> str:
    """Entries of a mark, up to the id `before`, which no entry has when it is not given."""
    return f"entry > {of_bytes(mark + _FIRST_ID)} AND entry < {of_bytes(mark + (before or _LAST_ID))}"


def _mark_conditions(timer_id: str, borne: Iterable[Sequence[bytes]], never: Iterable[bytes]) -> list[str]:
    def bears(mark: bytes) -> str:
        # A scalar subquery is one look by key; EXISTS may be turned into a join, with tables read as a whole.
        return f"(SELECT 1 FROM label_index m WHERE m.entry = CONCAT({of_bytes(mark)}, {timer_id}))"

    one_of = [f"({' OR '.join(f'{bears(mark)} IS NOT NULL' for mark in marks)})" for marks in borne]
    return [*one_of, *(f"{bears(mark)} IS NULL" for mark in never)]
