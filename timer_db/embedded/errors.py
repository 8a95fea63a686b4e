"""The one error of the embedded server."""

from __future__ import annotations

from timer_db.domain.errors import DatabaseError


class EmbeddedError(DatabaseError):
    """What is missing or wrong with the embedded server, and how to mend it, in one line."""
