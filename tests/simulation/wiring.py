"""Puts the model in the place of the operations that a controller calls, and leaves all else as it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from tests.simulation import model
from tests.simulation.server import Wire
from timer_controller import claimer, finisher, heartbeat, reclaimer, rescuer, retention, service, session
from timer_controller.metrics import backlog
from timer_controller.metrics.backlog import BacklogWatch
from timer_controller.session import Session
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim, Finished, Returned
from timer_db.domain.queue_entry import QueueEntry
from timer_db.operations.claim import Taken
from timer_db.operations.finish import Written
from timer_db.operations.membership import Beat
from timer_db.operations.overview import Glance
from timer_db.operations.rescue import Gone, Rescued
from timer_db.shards import Shard

_join = session.join


async def join(shard: Shard, *how: Any, **more: Any) -> Session:
    """The real one, with the machine's own clock."""
    return await _join(shard, *how, **more, monotonic=shard.engine.monotonic)  # type: ignore[attr-defined]


async def first_entries(wire: Wire, behind: Mapping[int, bytes]) -> dict[int, bytes | None]:
    return await wire.run("a look", lambda t, now: model.first_entries(t, behind))


async def put_heads(wire: Wire, ranks: Collection[int]) -> None:
    await wire.run("put heads", lambda t, now: model.put_heads(t, ranks))


async def claim(wire: Wire, controller_id: int, number: int, **how: Any) -> Taken:
    def work(tables: model.Tables, now_us: int) -> Taken:
        taken = model.claim(tables, now_us, controller_id, number, **how)
        if taken.entries:
            _note_taken(wire, controller_id, number, taken.entries)
        return taken

    return await wire.run(f"claim {controller_id}/{number}", work, frozenset({(controller_id, number)}))


async def adopt(wire: Wire, controller_id: int, number: int) -> tuple[list[QueueEntry], int]:
    def work(tables: model.Tables, now_us: int) -> tuple[list[QueueEntry], int]:
        found = model.adopt(tables, controller_id, number)
        wire.note("looks after the lost claim %s/%s and finds %s", controller_id, number, _ids(found[0]))
        return found

    return await wire.run(f"adopt {controller_id}/{number}", work, frozenset({(controller_id, number)}))


async def release(wire: Wire, controller_id: int, unsent: Mapping[int, int]) -> None:
    def work(tables: model.Tables, now_us: int) -> None:
        model.release(tables, controller_id, unsent)
        wire.note("releases all but the last of %s: %s", controller_id, str(unsent))

    locks = frozenset((controller_id, number) for number in unsent)
    await wire.run(f"release of {controller_id}", work, locks)


async def load(wire: Wire, batch: int, entries: Sequence[QueueEntry]) -> list[Claim]:
    return await wire.run("load", lambda t, now: model.load(t, batch, entries))


async def load_whole(wire: Wire, claimed: Claim) -> Claim:
    return await wire.run("load one", lambda t, now: model.load_whole(t, claimed))


async def destinations(wire: Wire) -> list[bytes]:
    return await wire.run("a look at backlogs", lambda t, now: model.destinations(t))


async def claim_deferred(wire: Wire, controller_id: int, number: int, **how: Any) -> list[QueueEntry]:
    def work(tables: model.Tables, now_us: int) -> list[QueueEntry]:
        entries = model.claim_deferred(tables, now_us, controller_id, number, **how)
        if entries:
            _note_taken(wire, controller_id, number, entries)
        return entries

    return await wire.run(f"claim {controller_id}/{number}", work, frozenset({(controller_id, number)}))


async def finish(
    wire: Wire,
    controller_id: int,
    finished: Sequence[Finished],
    returned: Sequence[Returned],
    done_batches: Collection[int],
    *,
    is_repeat: bool = False,
) -> Written:
    def work(tables: model.Tables, now_us: int) -> Written:
        written = model.finish(
            tables, controller_id, finished, returned, done_batches, is_repeat=is_repeat
        )  # fmt: skip
        for f in finished:
            was = "is lost" if f in written.lost else f.state
            wire.note("writes attempt %s of %s: %s, %s", f.attempt, f.entry.timer_id, f.outcome, was)
        if returned:
            wire.note("gives back %s", _ids(r.entry for r in returned))
        return written

    numbers = {f.batch for f in finished} | {r.batch for r in returned} | set(done_batches)
    locks = frozenset((controller_id, number) for number in numbers)
    return await wire.run(f"finish of {controller_id}", work, locks)


async def membership_join(wire: Wire, host: str, pid: int, version: str) -> int:
    def work(tables: model.Tables, now_us: int) -> int:
        new = model.join(tables, now_us)
        wire.note("joins as %s", new)
        return new

    wire.last_id = await wire.run("join", work)
    return wire.last_id


async def beat(
    wire: Wire,
    controller_id: int,
    clock: DatabaseClock,
    monotonic: Callable[[], float],
    *,
    settled_at_us: int,
) -> Beat:
    def work(tables: model.Tables, now_us: int) -> tuple[int, dict[int, int]]:
        return model.beat(tables, now_us, controller_id, settled_at_us), model.settled(tables)

    asked_at = monotonic()
    now_us, members = await wire.run(f"beat of {controller_id}", work)
    clock.learn(now_us, asked_at, monotonic())
    return Beat(asked_at, now_us, members)


async def leave(wire: Wire, controller_id: int) -> bool:
    def work(tables: model.Tables, now_us: int) -> bool:
        wire.note("leaves as %s", controller_id)
        return model.leave(tables, now_us, controller_id)

    return await wire.run("leave", work)


async def fence_silent(wire: Wire, lease_us: int, may_judge: Callable[[], bool]) -> list[int]:
    fenced = []
    for silent in await wire.run("look for the silent", lambda t, now: model.silent(t, now, lease_us)):

        def work(tables: model.Tables, now_us: int, controller_id: int = silent) -> bool:
            is_fenced = model.fence(tables, now_us, controller_id, lease_us)
            if is_fenced:
                wire.note("ends the membership of %s", controller_id)
            return is_fenced

        if may_judge() and await wire.run("fence", work):
            fenced.append(silent)
    return fenced


async def find_gone(wire: Wire, lease_us: int) -> list[Gone]:
    return await wire.run("look for the gone", lambda t, now: model.find_gone(t, lease_us))


async def rescue_batch(wire: Wire, gone: Gone) -> Rescued | None:
    def work(tables: model.Tables, now_us: int) -> Rescued | None:
        before = {key for key in tables.batches if key[0] == gone.controller_id}
        rescued = model.rescue_batch(tables, now_us, gone, locked=wire.server.locked)
        if rescued:
            [key] = before - tables.batches.keys()
            wire.note("rescues %s/%s: %s unsent, %s unknown", *key, rescued.unsent, rescued.unknown)
        return rescued

    return await wire.run("rescue", work)


async def keep_partitions(wire: Wire) -> list[str]:
    return []


async def forget_keys(wire: Wire) -> bool:
    return False


def backlog_watch(shard: Shard) -> BacklogWatch:
    """The real one, with the machine's own clock."""
    return BacklogWatch(shard, shard.engine.monotonic)  # type: ignore[attr-defined]


async def look_at_backlog(shard: Any) -> Glance:
    """Nobody asks a controller of the model for its numbers: it looks all the same."""
    return Glance(await shard.engine.run("look at the backlog", lambda _, now_us: now_us), 0)


def _ids(entries: Any) -> list[bytes]:
    return [entry.timer_id for entry in entries]


def _note_taken(wire: Wire, controller_id: int, number: int, entries: Sequence[QueueEntry]) -> None:
    wire.note("claims %s/%s: %s", controller_id, number, _ids(entries))


_PLACES: Sequence[tuple[object, str, object]] = (
    (session, "join", join),
    (session, "load_whole", load_whole),
    (session.membership, "join", membership_join),
    (session.membership, "leave", leave),
    (claimer.operations, "first_entries", first_entries),
    (claimer.operations, "put_heads", put_heads),
    (claimer.operations, "claim", claim),
    (claimer.operations, "adopt", adopt),
    (claimer.operations, "load", load),
    (finisher, "release", release),
    (reclaimer, "adopt", adopt),
    (reclaimer, "load", load),
    (reclaimer, "claim_deferred", claim_deferred),
    (reclaimer, "destinations", destinations),
    (finisher, "finish", finish),
    (heartbeat, "beat", beat),
    (rescuer, "fence_silent", fence_silent),
    (rescuer, "find_gone", find_gone),
    (rescuer, "rescue_batch", rescue_batch),
    (retention.partitions, "keep", keep_partitions),
    (retention, "forget_keys", forget_keys),
    (service, "BacklogWatch", backlog_watch),
    (backlog, "look_at_backlog", look_at_backlog),
)


@contextmanager
def operations_of_the_model() -> Iterator[None]:
    """While it lasts, controllers work on the model: their engine is a `Wire`."""
    with ExitStack() as stack:
        for place, name, instead in _PLACES:
            stack.enter_context(mock.patch.object(place, name, instead))
        yield
