"""What timers, collections and keys may be called."""

from __future__ import annotations

NAME_MAX = 200
GROUP_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Of collections, routes and schedules, whose names stand in paths."""


def check_name(name: str) -> str:
    """The name, which has at most `NAME_MAX` characters. ValueError says what is wrong with it."""
    if not name.isprintable():
        raise ValueError("it must hold printable characters only")
    if name != name.strip():
        raise ValueError("it must not begin or end with a space")
    if name in (".", ".."):
        raise ValueError("it would be lost in a path")
    return name
