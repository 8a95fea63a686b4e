"""`label_index`: which timers bear a mark (`domain.marks`)."""

from __future__ import annotations

from collections.abc import Iterable

from timer_db.statements.literals import delete_from, of_list


def put(entries: Iterable[bytes]) -> str:
    """Entries of new timers: a mark and an id each. Count: one each."""
    values = ",".join([f"(x'{entry.hex()}')" for entry in sorted(entries)])
    return f"INSERT INTO label_index (entry) VALUES {values}"


def remove(entries: Iterable[bytes]) -> str:
    """Take entries out. Count: one per entry that is there."""
    return f"{delete_from('label_index')} WHERE entry IN ({of_list(entries)})"
