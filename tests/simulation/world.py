"""One run: controllers, clients and receivers, what goes wrong, and when. All of it follows from the seed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock
from uuid import UUID

from tests.simulation import model, wiring
from tests.simulation.history import History
from tests.simulation.loop import Machine, SeededLoop, here
from tests.simulation.receivers import CALM, DOWN, ROUGH, Host, Receivers, SimulatedSender
from tests.simulation.server import EPOCH_US, Server, Trouble, Wire
from timer_controller import shelf
from timer_controller.loops import Outage
from timer_controller.service import Controller
from timer_controller.session import Session
from timer_controller.settings import ControllerSettings
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.collection import Collection
from timer_db.domain.directory import ONLY_DEFAULT, Directory
from timer_db.domain.errors import DatabaseUnavailable, NotCancellable, TimerNotFound
from timer_db.domain.ids import new_id
from timer_db.domain.states import ENDED, OnUnknown
from timer_db.domain.timer import NewTimer
from timer_db.operations.directory import DirectoryKeeper
from timer_db.shards import Shards

LEASE_SECONDS = 1.0
TROUBLED_SECONDS = 4.0
"""Then everything is mended."""
PATIENCE_SECONDS = 90.0
"""By then everything must have ended."""
_STEP_SECONDS = 0.05


PAUSED = Directory({1: Collection(1, "default", is_paused=True)})


class Controlling:
    """One controller process on a machine of its own."""

    def __init__(self, world: World, machine: Machine, settings: ControllerSettings) -> None:
        self.machine = machine
        self.wire = Wire(world.server, machine, lambda: machine.local(world.loop.now))
        self._world = world
        self._controller = Controller(settings, SimulatedSender(world.receivers, self.wire))
        self._shards = Shards([self.wire])  # type: ignore[list-item]
        self.directory = self.wire.directory = DirectoryKeeper(self._shards)
        self.directory.current = world.directory
        self.serving = world.loop.begin(machine, self._serve())
        self.is_stopping = False
        self.gave_up = False
        """It said that it could not write everything down in time."""

    @property
    def stopped_in_order(self) -> bool:
        """Its last membership ended because it was told to stop, and in time."""
        return self.is_stopping and not self.gave_up and not self.machine.is_dead and self.serving.done()

    @property
    def is_alive(self) -> bool:
        """It runs, or is paused."""
        return not self.machine.is_dead and not self.serving.done()

    @property
    def session(self) -> Session | None:
        """The last one."""
        return self._controller._sessions.get(0)

    def stop(self) -> None:
        """SIGTERM."""
        self.is_stopping = True
        self._world.note(self.machine, "is told to stop")
        self._world.loop.at(self.machine, 0, self._controller.stop)

    def kill(self) -> None:
        """SIGKILL, or the power is gone."""
        self._world.note(self.machine, "is killed")
        self.machine.is_dead = True
        self.machine.ready.clear()
        self._world.server.lose_client(self.machine)
        self._world.receivers.lose_caller(self.machine)

    async def _serve(self) -> None:
        await self._controller._serve(next(iter(self._shards)), self.directory, Outage())
        self._world.note(self.machine, "has stopped")


@dataclass
class World:
    """Drawn from the seed; every fourth one is calm: nothing is killed, cut or lost in it."""

    seed: int
    created: dict[bytes, NewTimer] = field(default_factory=dict)
    """Of which somebody was told, or may have been, that they are stored."""
    cancelled_us: dict[bytes, int] = field(default_factory=dict)
    """When a cancel was answered with yes."""
    maybe_cancelled: set[bytes] = field(default_factory=set)
    """Nobody knows what came of the cancel."""
    controllers: list[Controlling] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    directory: Directory = ONLY_DEFAULT
    """As it stands; controllers hear of a change within a second."""
    has_ended: bool = False
    is_closing: bool = False

    def __post_init__(self) -> None:
        self.loop = SeededLoop(self.seed)
        self.dice = random.Random(f"{self.seed} world")
        self.history = History()
        self.is_calm = self.seed % 4 == 0
        dice = self.dice
        self.server = Server(
            self.loop,
            self.history,
            random.Random(f"{self.seed} server"),
            usual_seconds=dice.choice([0.001, 0.005, 0.03, 0.1]),
            trouble=Trouble() if self.is_calm else _draw_trouble(dice),
        )
        ways = CALM if self.is_calm else ROUGH
        self.receivers = Receivers(
            self.loop,
            self.server,
            self.history,
            random.Random(f"{self.seed} receivers"),
            {
                "a.test": Host(ways, 0.05),
                "slow.test": Host(ways, dice.choice([0.2, 0.8, 3.0])),
                "sick.test": Host(dice.choice([ways, DOWN]), 0.05),
            },
        )
        if self.is_calm:
            # Nothing may be `unknown` here, so no call may take longer than its timeout.
            self.receivers.hosts["slow.test"].slowness_seconds = 0.4
        self.ahead_max = dice.choice([2, 6, 512])
        """Runs are small: so few released claims may wait."""
        self.settings = ControllerSettings(
            db_url="mysql://nobody@nowhere/timer",
            poll_seconds=dice.choice([0.1, 0.5]),
            lease_seconds=LEASE_SECONDS,
            calls_max=dice.choice([2, 8, 100]),
            destination_calls_max=dice.choice([1, 2, 8]),
            hands_max=dice.choice([2, 6, 20, 400]),
            breaker_failures=dice.choice([2, 3, 1000]),
            breaker_seconds=0.1,
            breaker_patience_seconds=dice.choice([0.5, 3600]),
            drain_seconds=3.0 if self.is_calm else dice.choice([0.3, 3.0]),
            retention_days=0,
        )

    def note(self, machine: Machine, what: str, *values: object) -> None:
        """For the history."""
        self.history.note(self.loop.now, machine.name, what, *values)

    def live(self) -> None:
        """From the first timer to the last controller's end."""
        main = self.loop.begin(self.loop.world, self._live())
        self.loop.world.context.copy().run(self.loop.run_until_complete, main)

    def close(self) -> None:
        """Sweep up, and listen to nothing that is said about it."""
        logging.disable()
        try:
            with wiring.operations_of_the_model():
                self.loop.bury()
        finally:
            logging.disable(logging.NOTSET)
        self.loop.close()

    async def _live(self) -> None:
        for _ in range(self.dice.choice([1, 2, 2, 3])):
            self._start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clients())
            group.create_task(self._fate())
        until = self.loop.now + PATIENCE_SECONDS
        while self.loop.now < until and not self._is_done():  # noqa: ASYNC110 - time is virtual, and it is cheap
            await asyncio.sleep(_STEP_SECONDS)
        self.has_ended = self._is_done()
        self.is_closing = True
        for controller in self.controllers:
            if controller.is_alive:
                controller.stop()
        alive = [controller.serving for controller in self.controllers if controller.is_alive]
        if alive:
            _, running = await asyncio.wait(alive, timeout=30)
            self.faults += [f"{len(running)} controllers do not stop"] if running else []
        self._look_at_tasks()

    def _is_done(self) -> bool:
        tables = self.server.tables
        return not tables.batches and all(
            model.state_of(tables, timer_id)[0] in ENDED for timer_id in tables.timers
        )

    def _look_at_tasks(self) -> None:
        for controller in self.controllers:
            task = controller.serving
            if task.done() and not task.cancelled() and (error := task.exception()):
                self.faults.append(f"{controller.machine.name} ended by itself: {_innermost(error)!r}")

    # Controllers

    def _start(self) -> None:
        if self.is_closing:
            return
        number = len(self.controllers) + 1
        machine = Machine(
            f"c{number}", booted_at=-self.dice.random() * 1e5, rate=1 + self.dice.uniform(-5e-5, 5e-5)
        )
        self.loop.add(machine)
        self.note(machine, "starts")
        self.controllers.append(Controlling(self, machine, self.settings))

    def _alive(self) -> list[Controlling]:
        return [c for c in self.controllers if c.is_alive and not c.is_stopping]

    # What goes wrong

    async def _fate(self) -> None:
        dice = self.dice
        events = sorted(dice.random() * TROUBLED_SECONDS for _ in range(dice.randrange(6)))
        for at in events:
            await self._until(at)
            self._strike()
        await self._until(TROUBLED_SECONDS)
        self.server.trouble = Trouble()
        self.server.is_away = False
        self.server.cut_off.clear()
        self.receivers.heal()
        self._show(ONLY_DEFAULT)
        for controller in self.controllers:
            self._go_on(controller)
        self.note(self.loop.world, "everything is mended")
        if not self._alive():
            self._start()

    def _strike(self) -> None:
        dice = self.dice
        alive = self._alive()
        kinds = [self._replace, self._hiccup, self._pause_timers]
        if not self.is_calm:
            kinds += [self._kill, self._kill, self._pause, self._pause, self._take_database, self._cut_off]
        strike = dice.choice(kinds)
        if strike in (self._take_database, self._pause_timers):
            strike()  # type: ignore[call-arg]
        elif alive:
            strike(dice.choice(alive))  # type: ignore[call-arg]
        else:
            self._start()

    def _replace(self, controller: Controlling) -> None:
        controller.stop()
        self._later(self.dice.random(), self._start)

    def _hiccup(self, controller: Controlling) -> None:
        self._pause(controller, 0.2)

    def _kill(self, controller: Controlling) -> None:
        controller.kill()
        if self.dice.random() < 0.7:
            self._later(self.dice.random() * 2, self._start)

    def _pause(self, controller: Controlling, longest: float = 3.0) -> None:
        seconds = self.dice.random() * longest
        self.note(controller.machine, "is paused for %.2f s", seconds)
        controller.machine.is_paused = True
        self._later(seconds, self._go_on, controller)

    def _go_on(self, controller: Controlling) -> None:
        if controller.machine.is_paused:
            self.note(controller.machine, "goes on")
            controller.machine.is_paused = False

    def _take_database(self) -> None:
        seconds = self.dice.random() * 2.5
        self.note(self.loop.world, "the database is away for %.2f s", seconds)
        self.server.is_away = True
        self._later(seconds, setattr, self.server, "is_away", False)

    def _pause_timers(self) -> None:
        seconds = self.dice.random() * 2.5
        self.note(self.loop.world, "the collection is paused for %.2f s", seconds)
        self._show(PAUSED)
        self._later(seconds, self._show, ONLY_DEFAULT)

    def _show(self, directory: Directory) -> None:
        self.directory = directory
        for controller in self.controllers:
            self._later(self.dice.random(), self._tell, controller)

    def _tell(self, controller: Controlling) -> None:
        """It reads what is there by now."""
        controller.directory.learn(self.directory)

    def _cut_off(self, controller: Controlling) -> None:
        seconds = self.dice.random() * 3
        self.note(controller.machine, "is cut off from the database for %.2f s", seconds)
        self.server.cut_off.add(controller.machine)
        self._later(seconds, self.server.cut_off.discard, controller.machine)

    def _later(self, seconds: float, what: object, *values: object) -> None:
        self.loop.at(self.loop.world, seconds, what, *values)  # type: ignore[arg-type]

    async def _until(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, 1000 + seconds - self.loop.now))

    # Clients

    async def _clients(self) -> None:
        dice = self.dice
        count = dice.choice([3, 8, 20, 40])
        number = 0
        wire = Wire(self.server, self.loop.world, lambda: self.loop.now)
        async with asyncio.TaskGroup() as group:
            while number < count:
                batch = [self._draw_timer(number + n) for n in range(min(dice.randrange(1, 6), count - number))]
                number += len(batch)
                at = dice.choice([0.0, dice.random() * (TROUBLED_SECONDS - 0.5)])
                group.create_task(self._create(wire, at, batch))

    def _draw_timer(self, number: int) -> NewTimer:
        dice = self.dice
        return NewTimer(
            id=new_id(EPOCH_US, random=number.to_bytes(8, "big")),
            due_at_us=0,
            created_at_us=0,
            url=f"https://{dice.choice(['a.test', 'slow.test', 'sick.test'])}/hook",
            body=dice.choice([None, f"{number}".encode(), f"{number:05}".encode() * 1000]),
            priority=dice.choice([0, 0, 0, 7]),
            retry=RetryPolicy(
                max_attempts=dice.choice([1, 3, 6]),
                initial_seconds=dice.choice([0.0, 0.05, 0.5]),
                factor=2.0,
                max_seconds=1.0,
            ),
            timeout_seconds=dice.choice([0.5, 2.0]),
            on_unknown=dice.choice(list(OnUnknown)),
        )

    async def _create(self, wire: Wire, at: float, batch: list[NewTimer]) -> None:
        dice = self.dice
        await self._until(at)
        now_us = self.server.now_us()
        is_close = dice.random() < 0.5
        together = dice.random() * 3
        for number, timer in enumerate(batch):
            # Some are due less than a millisecond apart, where waking up for one is too early for the next.
            after = dice.choice([-1.0, 0.0, dice.random() * 0.02, dice.random() * 3, dice.random() * 3])
            timer.created_at_us = now_us
            timer.due_at_us = now_us + round((together + number * 0.0003 if is_close else after) * 1_000_000)
        ids = [timer.id.bytes for timer in batch]
        self.created.update(zip(ids, batch, strict=True))
        for is_repeat in (False, True):
            try:
                await wire.run("create", lambda t, now: model.schedule(t, batch))
            except DatabaseUnavailable:
                self.note(self.loop.world, "nobody knows whether %s are stored", ids)
            else:
                self.note(self.loop.world, "%s are stored%s", ids, ", at last" if is_repeat else "")
                break
        if dice.random() < 0.2:
            await asyncio.sleep(dice.random() * 2)
            await self._cancel(wire, dice.choice(batch).id)

    async def _cancel(self, wire: Wire, timer_id: UUID) -> None:
        try:
            await wire.run("cancel", lambda t, now: self._note_cancel(model.cancel(t, now, timer_id).id.bytes))
        except DatabaseUnavailable:
            self.maybe_cancelled.add(timer_id.bytes)
            self.note(self.loop.world, "nobody knows whether %s is cancelled", timer_id.bytes)
        except (NotCancellable, TimerNotFound):
            pass

    def _note_cancel(self, timer_id: bytes) -> None:
        self.note(self.loop.world, "%s is cancelled", timer_id)
        self.cancelled_us[timer_id] = self.server.now_us()


def _draw_trouble(dice: random.Random) -> Trouble:
    kinds = [dice.choice([0.0, 0.01, 0.05]) for _ in range(4)]
    return Trouble(*kinds)


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


def live_through(seed: int) -> World:
    """The whole run of a seed."""
    world = World(seed)
    # Jitter is drawn from Python's own dice.
    state = random.getstate()
    random.seed(f"{seed} jitter")
    try:
        ahead = mock.patch.object(shelf, "AHEAD_MAX", world.ahead_max)
        with wiring.operations_of_the_model(), ahead, _logged(world):
            world.live()
    finally:
        random.setstate(state)
    return world
