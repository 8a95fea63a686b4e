"""One seed with everything that happened in it, or many, and which of them broke a promise.

python -m tests.simulation 17
python -m tests.simulation 0 10000
"""

from __future__ import annotations

import sys

from tests.simulation.checker import broken_promises
from tests.simulation.life import live_through


def main() -> int:
    """How many seeds broke a promise, as the exit status."""
    numbers = [int(argument) for argument in sys.argv[1:]]
    if len(numbers) not in (1, 2):
        sys.exit(__doc__)
    broken = 0
    for seed in range(numbers[0], numbers[-1] + (len(numbers) == 1)):
        world = live_through(seed)
        promises = broken_promises(world)
        world.close()
        if len(numbers) == 1:
            sys.stdout.writelines(f"{line}\n" for line in world.history.lines())
        for promise in promises:
            sys.stdout.write(f"seed {seed}{' (calm)' if world.is_calm else ''}: {promise}\n")
        broken += bool(promises)
    return min(broken, 100)


if __name__ == "__main__":
    sys.exit(main())
