"""`timer_names`: which timer a name belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timer_db.statements.literals import FORCE_KEY


def take(rows: Sequence[tuple[int, str, bytes, bytes]]) -> tuple[str, tuple[Any, ...]]:
    """Names for new timers (collection, name, timer, content); one that is taken stays as it is."""
    values = ",".join(["(%s,%s,%s,%s)"] * len(rows))
    return (
        f"INSERT INTO timer_names (collection_id, name, timer_id, content_sha256) VALUES {values}"
        " ON DUPLICATE KEY UPDATE timer_id = timer_names.timer_id",
        tuple([value for row in rows for value in row]),
    )


def holders(collection_id: int, names: Sequence[str]) -> tuple[str, tuple[Any, ...]]:
    """Who has these names, locked, so that a decision about them holds until the commit."""
    listed = ",".join(["%s"] * len(names))
    return (
        f"SELECT name, timer_id, content_sha256 FROM timer_names {FORCE_KEY}"
        f" WHERE collection_id = %s AND name IN ({listed}) ORDER BY name FOR UPDATE",
        (collection_id, *names),
    )


def holder(collection_id: int, name: str) -> tuple[str, tuple[Any, ...]]:
    """Whose name it is: a timer that lives, or the last one that did."""
    return "SELECT timer_id FROM timer_names WHERE collection_id = %s AND name = %s", (collection_id, name)


def renew(collection_id: int, name: str, timer_id: bytes, content: bytes) -> tuple[str, tuple[Any, ...]]:
    """What its timer was made with is otherwise now. Count: 1."""
    return (
        "UPDATE timer_names SET content_sha256 = %s WHERE collection_id = %s AND name = %s AND timer_id = %s",
        (content, collection_id, name, timer_id),
    )


def hand_over(
    collection_id: int, name: str, old: bytes, new: bytes, content: bytes
) -> tuple[str, tuple[Any, ...]]:
    """A name whose timer has ended goes to a new timer. Count: 1."""
    return (
        "UPDATE timer_names SET timer_id = %s, content_sha256 = %s"
        " WHERE collection_id = %s AND name = %s AND timer_id = %s",
        (new, content, collection_id, name, old),
    )
