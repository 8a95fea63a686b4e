"""The model does what the real operations do on MySQL and MariaDB: the same steps at random on both, and every
answer and every table compared after each.

The server's clock is set for each step (`SET timestamp`), so that times are the same to the microsecond.
Steps follow from a seed, and a failure ends with them. `HYPOTHESIS_PROFILE=long` makes it twenty times as many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from tests.profiles import examples
from tests.simulation.claim_steps import ClaimSteps

SEEDS, STEPS = 14, 60

_MUST_HAPPEN = {
    "claimed",
    "cancelled",
    "rescued unsent ",
    "rescued  unknown",
    "rescued unsent unknown",
    "finished",
    "finished, lost, lost batches",
    "finished, lost batches",
    "Fenced",
    "NotCancellable",
    "TimerNotFound",
    "UnexpectedCount",
}

_WEIGHTS: Mapping[Callable[[ClaimSteps], None], int] = {
    ClaimSteps.time_passes: 4,
    ClaimSteps.join: 2,
    ClaimSteps.beat: 4,
    ClaimSteps.leave: 1,
    ClaimSteps.fence_silent: 2,
    ClaimSteps.rescue: 3,
    ClaimSteps.lose: 4,
    ClaimSteps.schedule: 6,
    ClaimSteps.cancel: 3,
    ClaimSteps.cancel_nothing: 1,
    ClaimSteps.look: 3,
    ClaimSteps.claim: 10,
    ClaimSteps.claim_deferred: 6,
    ClaimSteps.release: 4,
    ClaimSteps.finish: 10,
    ClaimSteps.finish_again: 4,
    ClaimSteps.give_back_what_is_not_there: 1,
}


def test_the_model_does_what_the_database_does(database_url: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(examples(SEEDS)):
        worlds = ClaimSteps(database_url, seed, seen)
        steps = ["begin"]
        try:
            worlds.begin()
            for step in worlds.dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=STEPS):
                steps.append(step.__name__)
                step(worlds)
                worlds.compare()
        except BaseException as error:
            error.add_note(f"seed {seed}: {', '.join(steps)}")
            raise
        finally:
            worlds.close()
    assert not _MUST_HAPPEN - seen.keys(), seen
