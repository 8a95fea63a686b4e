"""Several machines in one event loop: each with its own clock and its own line of callbacks, and dice that say
whose turn it is."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any

from tests.unit.virtual_time import VirtualLoop

CALLBACK_SECONDS = 1e-6
"""What each callback takes: without it, a loop that asks again until a moment has come would ask for ever."""


class Machine:
    """What runs on it shares a clock, is paused together, and dies together.

    Its monotonic clock began at another moment than that of others, and runs at `rate` (1.0001 gains 0.1 ms a
    second). A machine that is dead does nothing more: no `finally`, no `except`.
    """

    def __init__(self, name: str, *, booted_at: float = 0.0, rate: float = 1.0) -> None:
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        self.is_dead = False
        self.is_paused = False
        self.is_buried = False
        """The run is over, and what is left of it is only swept up."""
        self._booted_at = booted_at
        self._rate = rate
        self.context = copy_context()
        self.context.run(_HERE.set, self)

    def local(self, now: float) -> float:
        """The world's time (seconds) by the clock of this machine."""
        return (now - self._booted_at) * self._rate

    def of_the_world(self, local: float) -> float:
        """The other way round."""
        return local / self._rate + self._booted_at


_HERE: ContextVar[Machine] = ContextVar("machine")


def here() -> Machine:
    """The machine that the caller runs on."""
    return _HERE.get()


class _Lines:
    """Where the loop puts what is ready: each handle goes to its machine."""

    def __init__(self) -> None:
        self.machines: list[Machine] = []

    def append(self, handle: asyncio.Handle) -> None:
        machine = handle._context[_HERE]
        if not machine.is_dead:
            machine.ready.append(handle)

    def clear(self) -> None:
        for machine in self.machines:
            machine.ready.clear()


class SeededLoop(VirtualLoop):
    """Runs one callback at a time, of a machine that the dice choose. Each machine's own callbacks keep their
    order, which asyncio promises; timers of one moment do not. So a seed is one interleaving, always the same."""

    def __init__(self, seed: object) -> None:
        self._dice = random.Random(f"{seed} order")
        self._lines = _Lines()
        super().__init__()
        self._ready = self._lines
        self._timers: list[tuple[float, float, asyncio.TimerHandle]] = []
        self.world = self.add(Machine("world"))
        self.faults: list[str] = []
        """What no callback and no task may raise."""
        self.set_task_factory(_kept)
        self.set_exception_handler(self._note)

    def add(self, machine: Machine) -> Machine:
        """From now on it has its turns."""
        self._lines.machines.append(machine)
        return machine

    def time(self) -> float:
        """By the clock of whoever asks."""
        machine = _HERE.get(None)
        return self.now if machine is None else machine.local(self.now)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """`when` is by the clock of the machine that asks."""
        context = context or copy_context()
        return self._push(context[_HERE].of_the_world(when), callback, args, context)

    def at(
        self, machine: Machine, seconds: float, callback: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        """Do something on this machine, in so many seconds of the world."""
        return self._push(self.now + seconds, callback, args, machine.context)

    def begin(self, machine: Machine, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task on this machine."""
        return machine.context.copy().run(self.create_task, work)

    def bury(self) -> None:
        """The run is over: end whatever is left, and listen to none of it."""
        self.set_exception_handler(lambda *_: None)
        left = []
        for machine in self._lines.machines:
            machine.is_dead, machine.is_paused, machine.is_buried = False, False, True
            machine.ready.clear()
            left += [task for task in machine.tasks if not task.done()]
        self._timers.clear()
        for task in left:
            task.cancel()
        while not all(task.done() for task in left):
            self._run_once()

    def _push(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, self._dice.random(), timer))
        return timer

    def _run_once(self) -> None:
        timers = self._timers
        while True:
            while timers and timers[0][0] <= self.now:
                self._lines.append(heappop(timers)[2])
            able = [machine for machine in self._lines.machines if machine.ready and not machine.is_paused]
            if able:
                break
            assert timers, "nothing is left that could happen"
            self.now = timers[0][0]
        machine = able[0] if len(able) == 1 else able[int(self._dice.random() * len(able))]
        handle = machine.ready.popleft()
        if not handle._cancelled:
            self.now += CALLBACK_SECONDS
            handle._run()

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")


def _kept(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], context: Context | None = None
) -> asyncio.Task[Any]:
    # A task that nobody holds would be closed by the collector, and run its `finally` on a dead machine.
    task = asyncio.Task(work, loop=loop, context=context)
    (context or copy_context())[_HERE].tasks.append(task)
    return task
