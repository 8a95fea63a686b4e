"""What the operations of `timer_db` do, as functions on plain Python values: a second, simpler telling of them.

The simulation makes thousands of runs on it, where a real server would make one. The product has no such stand-in,
and this one is worth only what ties it to the real thing: `test_model.py` does the same at random on MySQL, on
MariaDB and here, and compares every answer and every table.

Each function is a whole transaction: it happens at one moment, `now_us`, and changes nothing when it raises.
Not modelled: names, more than 32 priorities in use, rows that are missing in `timers`, retention.

`tables` is what is stored. `timers`, `claims`, `outcomes` and `members` are what is done with it.
"""

from tests.simulation.model.claims import (
    adopt,
    claim,
    claim_deferred,
    destinations,
    first_entries,
    load,
    load_whole,
    put_heads,
    release,
)
from tests.simulation.model.members import beat, fence, find_gone, join, leave, rescue_batch, settled, silent
from tests.simulation.model.outcomes import finish, has_logged
from tests.simulation.model.tables import Attempted, DuplicateKey, Tables
from tests.simulation.model.timers import cancel, get_timer, schedule, state_of

__all__ = [
    "Attempted",
    "DuplicateKey",
    "Tables",
    "adopt",
    "beat",
    "cancel",
    "claim",
    "claim_deferred",
    "destinations",
    "fence",
    "find_gone",
    "finish",
    "first_entries",
    "get_timer",
    "has_logged",
    "join",
    "leave",
    "load",
    "load_whole",
    "put_heads",
    "release",
    "rescue_batch",
    "schedule",
    "settled",
    "silent",
    "state_of",
]
