"""Waits until everything that fell due was called, once the clock of `timerctl dev` has moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime

from timer_client.answers import Timer
from timer_client.client import Client

CALLED_SECONDS = 60.0
"""How long that takes at most."""
_LOOK_SECONDS = 0.1
Now = Callable[[], datetime]


def settle(client: Client, now: Now) -> dict[str, list[Timer]]:
    """What was not delivered by then: timers that are tried again (`retrying`), that were not called yet
    (`uncalled`), and that wait since their collection or route is paused (`held`)."""
    ends_at = time.monotonic() + CALLED_SECONDS
    while not _is_planned(client, now()) and time.monotonic() < ends_at:
        time.sleep(_LOOK_SECONDS)
    while True:
        held, free = _due(client, now())
        firing = next(iter(client.timers.list(status="firing")), None)
        if (not free and firing is None) or time.monotonic() > ends_at:
            retrying = [timer for timer in _retrying(client, now()) if timer not in held]
            return {
                "retrying": retrying,
                "uncalled": [timer for timer in free if not timer.attempts],
                "held": held,
            }
        time.sleep(_LOOK_SECONDS)


def _is_planned(client: Client, now: datetime) -> bool:
    """Whether a controller is at work, and has made the runs of schedules that fell due."""
    if not client.controllers.list():
        return False
    return all(
        each.paused or each.next_run_at is None or each.next_run_at > now for each in client.schedules.list()
    )


def _due(client: Client, now: datetime) -> tuple[list[Timer], list[Timer]]:
    """Timers that should be called now: those that a pause holds up, and the others."""
    paused = {each.name for each in client.collections.list() if each.paused}
    stopped = {each.name for each in client.routes.list() if each.paused or each.disabled_at}
    held: list[Timer] = []
    free: list[Timer] = []
    for timer in client.timers.list(status="scheduled", due_before=now):
        is_held = timer.collection in paused or timer.route in stopped
        (held if is_held else free).append(timer)
    return held, free


def _retrying(client: Client, now: datetime) -> Iterator[Timer]:
    """Timers that were due and called, and wait for another attempt: filters go by the time of that."""
    for timer in client.timers.list(status="scheduled", page_size=1000):
        if timer.attempts and timer.due_at <= now:
            yield timer
