"""Is the work done that a fit server would let be done? What an operator should look at, each with what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from timer_db import transactions
from timer_db.operations.overview import Glance, look_at_backlog
from timer_db.shards import Shard
from timer_db.statements import probe as statements
from timer_db.statements import retention
from timer_db.transactions import Connection

LATE_SECONDS = 10
"""So long after their time timers are late, whatever keeps them."""
SILENT_SECONDS = 15
HELD_SECONDS = 2 * 3600
"""No call takes so long: an attempt takes an hour at most."""
CLOCKS_SECONDS = 1.0
CONNECTIONS_PERCENT = 80
_US = 1_000_000


async def check(shard: Shard, wall_clock: Callable[[], float] = time.time) -> list[str]:
    """What is not as it should be on one server whose tables are those of this version. `wall_clock` is this
    machine's, in seconds since the epoch."""
    before = wall_clock()
    seen = await look_at_backlog(shard)
    off_seconds = seen.now_us / _US - (before + wall_clock()) / 2

    async def look(connection: Connection) -> tuple[int | None, int, int]:
        oldest_us = await connection.value(retention.OLDEST_CLAIM)
        [(_, used)] = await connection.rows(statements.CONNECTIONS_USED)
        return oldest_us, int(used), int(await connection.value(statements.CONNECTIONS_MAX))

    oldest_claim_us, used, allowed = await transactions.run(shard.engine, look)
    return [
        *_of_controllers(seen),
        *_of_timers(seen),
        *_of_claims(seen, oldest_claim_us),
        *_of_connections(used, allowed),
        *_of_clocks(off_seconds),
    ]


def _of_controllers(seen: Glance) -> Iterator[str]:
    if not seen.members:
        yield "no controller is at work, so nothing is called: start one"
    for member in seen.members:
        silent_seconds = (seen.now_us - member.beat_at_us) / _US
        if silent_seconds > SILENT_SECONDS:
            yield (
                f"controller {member.id} ({member.host}:{member.pid}) has been silent for {silent_seconds:.0f} s,"
                " and nobody takes its claims over: look whether another controller runs"
            )
    versions = sorted({member.version for member in seen.members})
    if len(versions) > 1:
        yield f"controllers of several versions are at work ({', '.join(versions)}): finish the upgrade"


def _of_timers(seen: Glance) -> Iterator[str]:
    late_seconds = (seen.now_us - (seen.first_at_us or seen.now_us)) / _US
    if late_seconds > LATE_SECONDS:
        number = f"{seen.overdue:,}{' or more' if seen.overdue_is_capped else ''}"
        yield (
            f"{number} timers are due and in nobody's hands, the first for {late_seconds:,.0f} s: start more"
            " controllers, or look into their log"
        )
    held_seconds = (seen.now_us - (seen.deferred_at_us or seen.now_us)) / _US
    if held_seconds > LATE_SECONDS:
        yield (
            "timers wait for a receiver in trouble, or for a route or a collection that is paused or at its limit,"
            f" the first for {held_seconds:,.0f} s: /console says for which"
        )


def _of_claims(seen: Glance, oldest_claim_us: int | None) -> Iterator[str]:
    held_seconds = 0.0 if oldest_claim_us is None else (seen.now_us - oldest_claim_us) / _US
    if held_seconds > HELD_SECONDS:
        yield (
            f"a claim is {held_seconds / 3600:.1f} h old, and no call takes so long: restart the controller"
            " that has it (/controllers shows who has claims in hand)"
        )


def _of_connections(used: int, allowed: int) -> Iterator[str]:
    if used * 100 > allowed * CONNECTIONS_PERCENT:
        yield (
            f"{used} of {allowed} connections are in use: raise max_connections, or lower TIMER_DB_POOL_SIZE"
            " of the services"
        )


def _of_clocks(off_seconds: float) -> Iterator[str]:
    if abs(off_seconds) > CLOCKS_SECONDS:
        which = "ahead of" if off_seconds > 0 else "behind"
        yield (
            f"the database's clock is {abs(off_seconds):.1f} s {which} this machine's: timers are due by the"
            " database's; let NTP run on both"
        )
