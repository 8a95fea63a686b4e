"""`PUT` of a timer by its name: it is made, or put in the place of the one that waits. With an `Idempotency-Key`
that is done once, whatever became of the timer before the request came again."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

import orjson

from timer_api import idempotency
from timer_api.api_keys.caller import Caller
from timer_api.errors import Kind, Problem
from timer_api.intake import LineFull
from timer_api.service import Service
from timer_api.timers.creation import build
from timer_api.timers.owner import directory_for, owner_of
from timer_api.timers.schemas import TimerAsked
from timer_db.domain.collection import Defaults
from timer_db.domain.errors import CollectionNotFound, NameNotFound, NameTaken, NotChangeable, TimerNotFound
from timer_db.domain.idempotency import KeptAnswer, KeyAsked
from timer_db.domain.owner import Owner
from timer_db.domain.representation import represent
from timer_db.domain.states import TimerState
from timer_db.domain.timer import Timer
from timer_db.operations.change import replace_whole
from timer_db.operations.idempotency import choose_ids, find_answer, find_stored, is_as_asked
from timer_db.operations.inspect import find_named
from timer_db.operations.schedule import Scheduled, choose_id

_TRIES_MAX = 20
"""A name may change hands between two looks, but hardly so often."""
_NO_ID = UUID(int=0)


class Wanted(NamedTuple):
    """What a request asks for."""

    service: Service
    caller: Caller
    asked: TimerAsked
    collection: str
    name: str
    size_bytes: int
    traceparent: str | None


async def put(wanted: Wanted, now_us: int) -> KeptAnswer:
    """Do it; gives the answer."""
    service = wanted.service
    owner, defaults = await _belongs(wanted)
    timer_id = choose_id(service.shards, now_us, wanted.collection, wanted.name)
    timer = build(wanted.asked, timer_id, now_us, owner, defaults, wanted.traceparent)
    done, _ = await _settled(wanted, timer, may_be_done=False)
    return await _answer(service, done, service.clock.latest_us())


async def put_once(wanted: Wanted, key: KeyAsked) -> tuple[KeptAnswer, bool]:
    """The answer, and whether an earlier request with this key had done it or was answered so."""
    service = wanted.service
    try:
        owner, defaults = await _belongs(wanted)
        # What is wrong is told before the key stands for it, so that it can be mended under the same key.
        build(wanted.asked, _NO_ID, key.now_us, owner, defaults)
    except (Problem, CollectionNotFound):
        # Its collection or route may be gone since it was answered.
        if packed := await find_answer(service.shards, key):
            return await idempotency.unpacked(packed), True
        raise
    held = await idempotency.hold(service, key)
    if held.answer:
        return await idempotency.unpacked(held.answer), True
    (timer_id,) = choose_ids(service.shards, held, [(wanted.collection, wanted.name)])
    timer = build(wanted.asked, timer_id, held.first_us, owner, defaults, wanted.traceparent)
    is_done = held.is_repeat and bool(await find_stored(service.shards, [timer_id]))
    done = Scheduled(timer, True)
    if not is_done:
        done, is_done = await _settled(wanted, timer, may_be_done=held.is_repeat)
    answer = await _answer(service, done, held.first_us)
    kept = await idempotency.keep(service, held, answer)
    return kept, is_done or kept is not answer


async def _belongs(wanted: Wanted) -> tuple[Owner, Defaults]:
    """To whom the timer belongs, and what it is like where it says nothing."""
    directory = await directory_for(wanted.service.directory, [wanted.asked])
    if directory.collection_named(wanted.collection) is None:
        raise CollectionNotFound(wanted.collection)
    owner = owner_of(wanted.asked, wanted.caller, directory)
    return owner, directory.usual_of(owner)


async def _settled(wanted: Wanted, timer: Timer, *, may_be_done: bool) -> tuple[Scheduled, bool]:
    """The timer as it is stored; `created` says whether it is new. And whether an earlier request had done it,
    which only a repeat looks for."""
    for _ in range(_TRIES_MAX):
        holder = await _holder(wanted, timer)
        if may_be_done and holder is not None and is_as_asked(holder, timer):
            return Scheduled(holder, holder.id == timer.id), True
        done = await _put(wanted, timer, holder)
        if done is not None:
            return done, False
    raise Problem(Kind.busy, "others make and end timers with this name all the time; try again soon")


async def _holder(wanted: Wanted, timer: Timer) -> Timer | None:
    """Who has the name, or had it last."""
    shards, collection_id = wanted.service.shards, timer.owner.collection_id
    try:
        return await find_named(shards, wanted.collection, collection_id, wanted.name)
    except NameNotFound:
        return None


async def _put(wanted: Wanted, timer: Timer, holder: Timer | None) -> Scheduled | None:
    """The timer as it is stored; None when somebody else came between. Raises NotChangeable while it is called."""
    try:
        if holder is not None and holder.state is TimerState.firing:
            raise NotChangeable(holder.id, holder.state)
        if holder is not None and holder.state is TimerState.scheduled:
            return Scheduled(await replace_whole(wanted.service.shards, holder.id, timer), False)
        made = await wanted.service.store(timer, wanted.size_bytes)
    except (NameTaken, TimerNotFound):
        return None
    except NotChangeable as error:
        if error.state is TimerState.firing:
            raise
        return None
    except LineFull:
        raise Problem(Kind.busy, "too many creates are waiting; try again soon") from None
    return made if made.created else None


async def _answer(service: Service, done: Scheduled, now_us: int) -> KeptAnswer:
    directory = await service.directory.covering([done.timer.owner])
    body = orjson.dumps(represent(done.timer, now_us, directory))
    return KeptAnswer(201 if done.created else 200, f"/timers/{done.timer.id}", body)
