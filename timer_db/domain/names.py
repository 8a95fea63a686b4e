"""What timers, collections and keys may be called."""

from __future__ import annotations

NAME_MAX = 200


def check_name(name: str) -> str:
    """The name, which has at most `NAME_MAX` characters. ValueError says what is wrong with it."""
    if not name.isprintable():
        raise ValueError("it must hold printable characters only")
    if name != name.strip():
        raise ValueError("it must not begin or end with a space")
    if name in (".", ".."):
        raise ValueError("it would be lost in a path")
    return name
