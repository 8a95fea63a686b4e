"""Controllers in hundreds of seeded worlds: every promise is kept in each of them.

A controller here is the real one, from `Controller._serve` down to the calls. What is not real is around it: an
event loop in virtual time, machines with clocks of their own, receivers, and a model of the database
(`model`, which `test_model.py` holds to MySQL and MariaDB). Everything follows from the seed: what is delayed,
refused or lost, who is killed, paused past its lease, cut off or told to stop, and whose turn it is.

A failure names its seed. This shows everything that happened in it, and this tries many more:

    python -m tests.simulation 17
    python -m tests.simulation 0 10000
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.checker import broken_promises
from tests.simulation.life import live_through

SEEDS = 800
_PER_TEST = 100

_MUST_HAPPEN = {
    # What goes wrong
    "is killed",
    "is paused for %.2f s",
    "is told to stop",
    "is cut off from the database for %.2f s",
    "the database is away for %.2f s",
    "%s is refused",
    "the answer to %s is lost",
    "%s is lost on the way, and goes on at the server",
    "%s is rolled back",
    "nobody knows whether %s are stored",
    # What controllers do about it
    "ends the membership of %s",
    "rescues %s/%s: %s unsent, %s unknown",
    "[warning] adopted batch %d with %d timers: its claim's answer was lost",
    "[warning] lost the place among the controllers: %s; joining again",
    "[error] timer %s: %s, but the claim had been taken over",
    "gives back %s",
    "releases all but the last of %s: %s",
    "%s is cancelled",
    "[warning] %s is not called for now: %d calls in a row failed, the last one: %s",
    "[info] %s answers again, after %s",
    "[warning] %s is backed up: it takes %.0f calls a second, and %d timers are due; they wait in the database",
    "[info] %s has caught up",
}
_happened: set[str] = set()


@pytest.mark.parametrize("first", range(0, SEEDS, _PER_TEST))
def test_every_promise_is_kept(first: int) -> None:
    for seed in range(first, first + _PER_TEST):
        world = live_through(seed)
        promises = broken_promises(world)
        world.close()
        _happened.update(world.history.kinds())
        if promises:
            lines = "\n".join([*world.history.lines(), "", *promises])
            pytest.fail(f"{lines}\nseed {seed}; again: python -m tests.simulation {seed}", pytrace=False)


def test_what_can_go_wrong_did() -> None:
    """Else the promises above were kept for want of trouble."""
    if not _happened:
        pytest.skip("it looks at what the other tests of this file did")
    assert not _MUST_HAPPEN - _happened


def test_a_seed_is_one_history() -> None:
    """Also in another process, where nothing that is hashed has its old order."""
    told = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "277"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count(b"\n") > 50
