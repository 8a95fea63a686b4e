"""Locks that belong to a connection and no table: who has one, does alone what many controllers could do."""

from __future__ import annotations

from typing import Literal

Purpose = Literal["partitions", "retention"]


def take(purpose: Purpose) -> str:
    """1 when it was to be had at once, else 0. A name holds for the whole server, so the database's is in it."""
    return f"SELECT GET_LOCK({_name(purpose)}, 0)"


def release(purpose: Purpose) -> str:
    """Give it back; a connection that ends does so too."""
    return f"SELECT RELEASE_LOCK({_name(purpose)})"


def _name(purpose: Purpose) -> str:
    # At most 64 characters, of which a database's name may have as many.
    # At most 64 characters, of which the name of a database may have as many.
    return f"CONCAT('timer_db.{purpose}.', LEFT(SHA2(DATABASE(), 256), 32))"
