"""What collections, routes and schedules have in common: a name, a switch, and a row that stays when they go."""

from __future__ import annotations

from typing import Any, Literal

from timer_db.statements.literals import NOW_US

Kind = Literal["collections", "routes", "schedules"]
"""A table."""

_Statement = tuple[str, tuple[Any, ...]]


def by_name(table: Kind, columns: str, name: str) -> _Statement:
    """The one of this name, locked; no row when there is none. What was deleted has another name."""
    return f"SELECT {columns} FROM {table} WHERE name = %s AND deleted_at_us IS NULL FOR UPDATE", (name,)


def look_by_name(table: Kind, columns: str, name: str) -> _Statement:
    """The same without a lock."""
    return f"SELECT {columns} FROM {table} WHERE name = %s AND deleted_at_us IS NULL", (name,)


def page(table: Kind, columns: str, behind: str, limit: int) -> _Statement:
    """In the order of their names, from behind this one."""
    return (
        f"SELECT {columns} FROM {table} WHERE name > %s AND deleted_at_us IS NULL ORDER BY name LIMIT {limit}",
        (behind,),
    )


def changed_since(table: Kind, columns: str, from_us: int) -> str:
    """Every one, deleted or not, that was changed at that time or later."""
    return f"SELECT {columns} FROM {table} WHERE changed_at_us >= {from_us}"


def pause(table: Kind, number: int, is_paused: bool) -> str:
    """Count: 1."""
    return f"UPDATE {table} SET is_paused = {int(is_paused)}, changed_at_us = {NOW_US} WHERE id = {number}"


def bury(table: Kind, number: int) -> str:
    """Delete it, and free its name: the row stays for timers that have its number. Count: 1.

    It does not stay paused: one that was made in it at the last moment would wait for ever.
    """
    return (
        f"UPDATE {table} SET name = CONCAT(name, ' (deleted ', id, ')'), is_paused = 0, deleted_at_us = {NOW_US},"
        f" changed_at_us = {NOW_US} WHERE id = {number} AND deleted_at_us IS NULL"
    )
