"""What goes wrong in a world, and when."""

from __future__ import annotations

from tests.simulation.server import Trouble
from tests.simulation.world import TROUBLED_SECONDS, Controlling, World
from timer_db.domain.collection import Collection
from timer_db.domain.directory import ONLY_DEFAULT, Directory

PAUSED = Directory({1: Collection(1, "default", is_paused=True)})


class Fate:
    """Kills, pauses and cuts off, as the dice say."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = world.dice

    async def strike(self) -> None:
        """At some moments something goes wrong; then everything is mended."""
        dice = self._dice
        events = sorted(dice.random() * TROUBLED_SECONDS for _ in range(dice.randrange(6)))
        for at in events:
            await self._world.until(at)
            self._strike_once()
        await self._world.until(TROUBLED_SECONDS)
        self._world.server.trouble = Trouble()
        self._world.server.is_away = False
        self._world.server.cut_off.clear()
        self._world.receivers.heal()
        self._show(ONLY_DEFAULT)
        for controller in self._world.controllers:
            self._go_on(controller)
        self._world.note(self._world.loop.world, "everything is mended")
        if not self._world.alive():
            self._world.start()

    def _strike_once(self) -> None:
        dice = self._dice
        alive = self._world.alive()
        kinds = [self._replace, self._hiccup, self._pause_timers]
        if not self._world.is_calm:
            kinds += [self._kill, self._kill, self._pause, self._pause, self._take_database, self._cut_off]
        strike = dice.choice(kinds)
        if strike in (self._take_database, self._pause_timers):
            strike()  # type: ignore[call-arg]
        elif alive:
            strike(dice.choice(alive))  # type: ignore[call-arg]
        else:
            self._world.start()

    def _replace(self, controller: Controlling) -> None:
        controller.stop()
        self._world.later(self._dice.random(), self._world.start)

    def _hiccup(self, controller: Controlling) -> None:
        self._pause(controller, 0.2)

    def _kill(self, controller: Controlling) -> None:
        controller.kill()
        if self._dice.random() < 0.7:
            self._world.later(self._dice.random() * 2, self._world.start)

    def _pause(self, controller: Controlling, longest: float = 3.0) -> None:
        seconds = self._dice.random() * longest
        self._world.note(controller.machine, "is paused for %.2f s", seconds)
        controller.machine.is_paused = True
        self._world.later(seconds, self._go_on, controller)

    def _go_on(self, controller: Controlling) -> None:
        if controller.machine.is_paused:
            self._world.note(controller.machine, "goes on")
            controller.machine.is_paused = False

    def _take_database(self) -> None:
        seconds = self._dice.random() * 2.5
        self._world.note(self._world.loop.world, "the database is away for %.2f s", seconds)
        self._world.server.is_away = True
        self._world.later(seconds, setattr, self._world.server, "is_away", False)

    def _pause_timers(self) -> None:
        seconds = self._dice.random() * 2.5
        self._world.note(self._world.loop.world, "the collection is paused for %.2f s", seconds)
        self._show(PAUSED)
        self._world.later(seconds, self._show, ONLY_DEFAULT)

    def _show(self, directory: Directory) -> None:
        self._world.directory = directory
        for controller in self._world.controllers:
            self._world.later(self._dice.random(), self._tell, controller)

    def _tell(self, controller: Controlling) -> None:
        """It reads what is there by now."""
        controller.directory.learn(self._world.directory)

    def _cut_off(self, controller: Controlling) -> None:
        seconds = self._dice.random() * 3
        self._world.note(controller.machine, "is cut off from the database for %.2f s", seconds)
        self._world.server.cut_off.add(controller.machine)
        self._world.later(seconds, self._world.server.cut_off.discard, controller.machine)
