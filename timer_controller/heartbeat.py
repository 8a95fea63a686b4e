"""Tells the others that this controller lives, and keeps its lease and its clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from timer_controller.lease import BEATS_PER_LEASE, Lease
from timer_db.clock import DatabaseClock
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.engine import Engine
from timer_db.operations.membership import Beat, beat

log = logging.getLogger(__name__)


class Heartbeat:
    """Beats five times per lease. `settled_at_us` is told to the others each time; `on_renewed` is called when the
    lease runs again, with who they are."""

    def __init__(
        self,
        engine: Engine,
        controller_id: int,
        *,
        clock: DatabaseClock,
        lease: Lease,
        settled_at_us: Callable[[], int],
        on_renewed: Callable[[Beat], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._controller_id = controller_id
        self._clock = clock
        self._lease = lease
        self._settled_at_us = settled_at_us
        self._on_renewed = on_renewed
        self._monotonic = monotonic
        self._has_lease: bool | None = None
        """As the log knows it; None before the first beat."""

    async def run_once(self) -> float:
        """One beat; gives the seconds until the next. Raises Fenced when others ended this membership."""
        try:
            told = await beat(
                self._engine,
                self._controller_id,
                self._clock,
                self._monotonic,
                settled_at_us=self._settled_at_us(),
            )
        except DatabaseUnavailable:
            self._lease.note_failed_beat()
            self._tell()
            raise
        self._lease.renew(told.asked_at)
        self._tell()
        self._on_renewed(told)
        # Counted from when it began: after a slow beat the next one is due.
        return max(0.0, told.asked_at + self._lease.seconds / BEATS_PER_LEASE - self._monotonic())

    def _tell(self) -> None:
        has_lease = self._lease.may_send()
        if self._has_lease and not has_lease:
            log.warning("the lease has run out: no call begins until the database takes a beat again")
        elif self._has_lease is False and has_lease:
            log.info("the lease runs again: calls begin again")
        if has_lease or self._has_lease:
            self._has_lease = has_lease
