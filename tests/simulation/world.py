"""A world: its database, receivers, controllers, and what clients were told. All of it follows from the seed."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field

from tests.simulation import wiring
from tests.simulation.history import History
from tests.simulation.loop import Machine, SeededLoop
from tests.simulation.receivers import CALM, DOWN, ROUGH, Host, Receivers, SimulatedSender
from tests.simulation.server import Server, Trouble, Wire
from timer_controller.loops import Outage
from timer_controller.service import Controller
from timer_controller.session import Session
from timer_controller.settings import ControllerSettings
from timer_db.domain.directory import ONLY_DEFAULT, Directory
from timer_db.domain.timer import NewTimer
from timer_db.operations.directory import DirectoryKeeper
from timer_db.shards import Shards

LEASE_SECONDS = 1.0
TROUBLED_SECONDS = 4.0
"""Then everything is mended."""


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

    def close(self) -> None:
        """Sweep up, and listen to nothing that is said about it."""
        logging.disable()
        try:
            with wiring.operations_of_the_model():
                self.loop.bury()
        finally:
            logging.disable(logging.NOTSET)
        self.loop.close()

    def start(self) -> None:
        """One more controller, on a new machine."""
        if self.is_closing:
            return
        number = len(self.controllers) + 1
        machine = Machine(
            f"c{number}", booted_at=-self.dice.random() * 1e5, rate=1 + self.dice.uniform(-5e-5, 5e-5)
        )
        self.loop.add(machine)
        self.note(machine, "starts")
        self.controllers.append(Controlling(self, machine, self.settings))

    def alive(self) -> list[Controlling]:
        """Those that were not told to stop."""
        return [c for c in self.controllers if c.is_alive and not c.is_stopping]

    def later(self, seconds: float, what: object, *values: object) -> None:
        """Do it in so many seconds."""
        self.loop.at(self.loop.world, seconds, what, *values)  # type: ignore[arg-type]

    async def until(self, seconds: float) -> None:
        """Sleep until so long after the beginning."""
        await asyncio.sleep(max(0.0, 1000 + seconds - self.loop.now))


def _draw_trouble(dice: random.Random) -> Trouble:
    kinds = [dice.choice([0.0, 0.01, 0.05]) for _ in range(4)]
    return Trouble(*kinds)
