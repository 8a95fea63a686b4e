"""The timers of one batch, on their way from what was asked for to the answer.

They are checked and stored in chunks, each with a commit of its own; while the database stores one, the next is
made ready. The loop is free in between, so that single creates do not wait for a batch. What came of each timer is
told by itself: the database may go away between two chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from timer_api import json_value
from timer_api.api_keys.caller import Caller
from timer_api.errors import FieldError, Kind, Problem, from_error, internal, invalid
from timer_api.intake import LineFull, Stored
from timer_api.service import Service
from timer_api.timers.batch_body import Items
from timer_api.timers.creation import build, check
from timer_api.timers.owner import directory_for, owner_of
from timer_api.timers.shown import shown
from timer_db.domain.directory import Directory
from timer_db.domain.errors import Away, DatabaseUnavailable, TimerError
from timer_db.domain.idempotency import KeyHeld
from timer_db.domain.owner import DEFAULT_COLLECTION
from timer_db.domain.timer import Timer
from timer_db.operations import idempotency
from timer_db.operations.schedule import Scheduled, choose_ids

PATH = "/timers/batch"
CHUNK_TIMERS = 500
"""One commit. More make a timer hardly cheaper, and hold others up."""
CHUNK_BYTES = 4 * 1024 * 1024
"""Of JSON. In hexadecimal, and with one large timer more, it fits MariaDB's max_allowed_packet of 16 MiB."""
_PASSING = frozenset({429, 500, 503})
"""Statuses of problems that may be gone when the same comes again."""
_SLICE_TIMERS = 50
"""So many are checked before others have a turn: some tenths of a millisecond."""


@dataclass(slots=True)
class _Chunk:
    """Timers that are stored together, and the problems of others beside them, in the order of the list."""

    first: int
    entries: list[Timer | Problem] = field(default_factory=list)
    size_bytes: int = 0


class BatchWork:
    """One call's timers. `pieces` is the answer's body, once they are made."""

    def __init__(
        self,
        service: Service,
        caller: Caller,
        items: Items,
        held: KeyHeld | None = None,
        traceparent: str | None = None,
    ) -> None:
        self._service = service
        self._caller = caller
        self._items = items
        self._held = held
        self._traceparent = traceparent
        # One moment for all: those with one delay are due together.
        self._now_us = service.now_us() if held is None else held.first_us
        self._next = 0
        self._made = 0
        self.refused = 0
        self.replayed = 0
        """How many an earlier request with the same key had stored."""
        self.lost: Problem | None = None
        """Why nothing more could be stored, if that came to be."""
        self.is_final = True
        """Whether the same again could not end better: nothing was refused for a reason that passes."""
        self.pieces: list[bytes] = []

    async def make(self) -> None:
        """Store every timer that can be. Raises Problem when none was, for no fault of theirs."""
        chunk = await self._prepared()
        storing = asyncio.create_task(self._stored(chunk))
        while chunk.entries:
            following = await self._prepared()
            # Only then may the next be stored: of two timers with one name, the first in the list has it.
            results = await storing
            storing = asyncio.create_task(self._stored(following))
            made = [result.timer.owner for result in results if isinstance(result, Scheduled)]
            self._note(chunk, results, await self._service.directory.covering(made))
            chunk = following
        if self.lost and not self._made:
            raise self.lost
        self.pieces[0] = b'{"results":[' + self.pieces[0]
        self.pieces[-1] += b"]}"

    async def _prepared(self) -> _Chunk:
        """The next timers, checked; none at the end."""
        chunk = _Chunk(self._next)
        values = self._items.values[self._next : self._next + CHUNK_TIMERS]
        names = list(map(_name_of, values))
        if self._held is None:
            # By the clock as it is now, so that the ids of this chunk stand behind those of the one before.
            service = self._service
            ids = choose_ids(service.shards, service.clock.latest_us(), names, service.avoided)
        else:
            ids = idempotency.choose_ids(self._service.shards, self._held, names, self._next)
        documents = (value for value in values if isinstance(value, dict))
        directory = await directory_for(self._service.directory, documents)
        for number, (value, timer_id) in enumerate(zip(values, ids, strict=True)):
            if number % _SLICE_TIMERS == 0:
                await asyncio.sleep(0)
            size_bytes = self._items.size_bytes(value)
            if chunk.entries and chunk.size_bytes + size_bytes > CHUNK_BYTES:
                break
            chunk.entries.append(self._entry(value, timer_id, size_bytes, directory))
            chunk.size_bytes += size_bytes
        self._next += len(chunk.entries)
        return chunk

    def _entry(self, value: Any, timer_id: UUID, size_bytes: int, directory: Directory) -> Timer | Problem:
        limit_bytes = self._service.settings.api_body_bytes
        try:
            if not isinstance(value, dict):
                raise invalid([FieldError("", "it must be a JSON object")])
            if size_bytes > limit_bytes:
                raise Problem(Kind.body_too_large, f"a timer has at most {limit_bytes:,} bytes")
            if self._items.is_suspect and (found := json_value.flaws(value)):
                raise invalid(found)
            asked = check(value)
            owner = owner_of(asked, self._caller, directory)
            defaults = directory.usual_of(owner)
            return build(asked, timer_id, self._now_us, owner, defaults, self._traceparent)
        except Problem as problem:
            return problem

    async def _stored(self, chunk: _Chunk) -> Sequence[Stored]:
        """What came of the timers of a chunk, without its problems."""
        timers = [entry for entry in chunk.entries if isinstance(entry, Timer)]
        if not timers:
            return ()
        if not self.lost:
            try:
                results = await self._stored_or_found(timers, chunk.size_bytes)
            except DatabaseUnavailable as error:
                self.lost = from_error(error)
            else:
                # Of several servers, those that are there go on.
                lost = [result for result in results if isinstance(result, (DatabaseUnavailable, LineFull))]
                if len(lost) == len(results):
                    self.lost = _problem_of(lost[0])
                return results
        return [self.lost] * len(timers)

    async def _stored_or_found(self, timers: Sequence[Timer], size_bytes: int) -> Sequence[Stored]:
        """As `Service.store_all`; what an earlier request with the same key has stored is told as it was then."""
        if self._held is None or not self._held.is_repeat:
            return await self._service.store_all(timers, size_bytes)
        found = await idempotency.find_stored(self._service.shards, [timer.id for timer in timers])
        self.replayed += len(found)
        new = [timer for timer in timers if timer.id not in found]
        stored = iter(await self._service.store_all(new, size_bytes) if new else ())
        return [Scheduled(timer, True) if timer.id in found else next(stored) for timer in timers]

    def _note(self, chunk: _Chunk, results: Sequence[Stored], directory: Directory) -> None:
        now_us = self._service.clock.latest_us() if self._held is None else self._held.first_us
        stored = iter(results)
        texts: list[str] = []
        for index, entry in enumerate(chunk.entries, chunk.first):
            result = entry if isinstance(entry, Problem) else next(stored)
            if isinstance(result, Scheduled):
                self._made += 1
                texts.append(shown(result, now_us, directory))
            else:
                self.refused += 1
                problem = _problem(entry, result)
                self.is_final &= problem.kind.status not in _PASSING
                texts.append(_shown_error(index, problem))
        self.pieces.append((("," if self.pieces else "") + ",".join(texts)).encode())


def _name_of(value: Any) -> tuple[str, str] | None:
    """The collection and the name that decide where a timer lives; None for one that may live anywhere."""
    if not isinstance(value, dict):
        return None
    name, collection = value.get("name"), value.get("collection", DEFAULT_COLLECTION)
    return (collection, name) if isinstance(name, str) and isinstance(collection, str) else None


def _problem(entry: Timer | Problem, result: Exception) -> Problem:
    match result:
        case DatabaseUnavailable() if isinstance(entry, Timer) and not isinstance(result, Away):
            detail = "the database was lost meanwhile: the timer may have been stored, under this id"
            return Problem(Kind.database_unavailable, detail, timer_id=str(entry.id))
        case _:
            return _problem_of(result)


def _problem_of(result: Exception) -> Problem:
    match result:
        case Problem():
            return result
        case LineFull():
            return Problem(Kind.busy, "the service is stopping; try again soon")
        case TimerError():
            return from_error(result)
        case _:
            return internal(result)


def _shown_error(index: int, problem: Problem) -> str:
    return orjson.dumps({"error": {**problem.document(PATH), "index": index}}).decode()
