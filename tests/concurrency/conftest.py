"""The same empty database as in `tests/db`."""

from __future__ import annotations

from tests.db.conftest import desk

__all__ = ["desk"]
