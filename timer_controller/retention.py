"""Looks after the log of attempts."""

from __future__ import annotations

import logging

from timer_db.engine import Engine
from timer_db.operations import partitions

log = logging.getLogger(__name__)

LOOK_SECONDS = 3600.0


class Retention:
    """Keeps a partition ready for each of the next days."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run_once(self) -> float:
        """One look; gives the seconds until the next."""
        made = await partitions.keep(self._engine)
        if made:
            log.info("made partitions of the log of attempts: %s", ", ".join(made))
        return LOOK_SECONDS
