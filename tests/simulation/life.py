"""One run: from the first timer to the last controller's end."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from tests.simulation import model, wiring
from tests.simulation.clients import Clients
from tests.simulation.fate import Fate
from tests.simulation.loop import here
from tests.simulation.world import World
from timer_controller import shelf
from timer_db.domain.states import ENDED

PATIENCE_SECONDS = 90.0
"""By then everything must have ended."""
_STEP_SECONDS = 0.05


def live_through(seed: int) -> World:
    """The whole run of a seed."""
    world = World(seed)
    # Jitter is drawn from Python's own dice.
    state = random.getstate()
    random.seed(f"{seed} jitter")
    try:
        ahead = mock.patch.object(shelf, "AHEAD_MAX", world.ahead_max)
        with wiring.operations_of_the_model(), ahead, _logged(world):
            main = world.loop.begin(world.loop.world, _live(world))
            world.loop.world.context.copy().run(world.loop.run_until_complete, main)
    finally:
        random.setstate(state)
    return world


async def _live(world: World) -> None:
    for _ in range(world.dice.choice([1, 2, 2, 3])):
        world.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(Clients(world).call())
        group.create_task(Fate(world).strike())
    until = world.loop.now + PATIENCE_SECONDS
    while world.loop.now < until and not _is_done(world):  # noqa: ASYNC110 - time is virtual, and it is cheap
        await asyncio.sleep(_STEP_SECONDS)
    world.has_ended = _is_done(world)
    world.is_closing = True
    for controller in world.controllers:
        if controller.is_alive:
            controller.stop()
    alive = [controller.serving for controller in world.controllers if controller.is_alive]
    if alive:
        _, running = await asyncio.wait(alive, timeout=30)
        world.faults += [f"{len(running)} controllers do not stop"] if running else []
    _look_at_tasks(world)


def _is_done(world: World) -> bool:
    tables = world.server.tables
    return not tables.batches and all(model.state_of(tables, timer_id)[0] in ENDED for timer_id in tables.timers)


def _look_at_tasks(world: World) -> None:
    for controller in world.controllers:
        task = controller.serving
        if task.done() and not task.cancelled() and (error := task.exception()):
            world.faults.append(f"{controller.machine.name} ended by itself: {_innermost(error)!r}")


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Log(logging.Handler):
    """What the controllers log goes into the history; a fault that somebody caught counts as one."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if not record.msg.startswith("joined as"):  # which says this process's number
            self._world.note(here(), f"[{record.levelname.lower()}] {record.msg}", *(record.args or ()))
        if record.msg.startswith("stopped after"):
            for controller in self._world.controllers:
                controller.gave_up |= controller.machine is here()
        if record.exc_info or (self._world.is_calm and record.levelno >= logging.ERROR):
            self._world.faults.append(f"{record.getMessage()} {record.exc_info or ''}")


@contextmanager
def _logged(world: World) -> Iterator[None]:
    log = logging.getLogger("timer_controller")
    before = log.level, log.propagate, log.handlers
    log.handlers, log.propagate = [_Log(world)], False
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.handlers, log.propagate = before[2], before[1]
        log.setLevel(before[0])
