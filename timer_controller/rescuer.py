"""Finds controllers that went silent, and takes their claims back."""

from __future__ import annotations

import logging
from collections.abc import Callable

from timer_controller.lease import Lease
from timer_db.engine import Engine
from timer_db.operations.rescue import Rescued, fence_silent, find_gone, rescue_batch

log = logging.getLogger(__name__)

LOOKS_PER_LEASE = 10


class Rescuer:
    """Looks ten times per lease. `on_rescued` is told of each batch that was taken over."""

    def __init__(self, engine: Engine, *, lease: Lease, on_rescued: Callable[[Rescued], None]) -> None:
        self._engine = engine
        self._lease = lease
        self._on_rescued = on_rescued

    async def run_once(self) -> float:
        """One look; gives the seconds until the next."""
        lease_us = round(self._lease.seconds * 1_000_000)
        if self._lease.may_judge():
            for controller_id in await fence_silent(self._engine, lease_us, self._lease.may_judge):
                log.warning(
                    "controller %d was silent for a whole lease: its claims are taken over",
                    controller_id,
                    extra={"gone_controller_id": controller_id},
                )
        for gone in await find_gone(self._engine, lease_us):
            while rescued := await rescue_batch(self._engine, gone):
                log.warning(
                    "rescued from controller %d: %d timers that were not sent, %d that may have been",
                    rescued.controller_id,
                    rescued.unsent,
                    rescued.unknown,
                    extra={
                        "gone_controller_id": rescued.controller_id,
                        "unsent": rescued.unsent,
                        "unknown": rescued.unknown,
                    },
                )
                self._on_rescued(rescued)
        return self._lease.seconds / LOOKS_PER_LEASE
