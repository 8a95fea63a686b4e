"""The calls about timers."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import MappingProxyType
from typing import Any, Unpack

from timer_client.answers import Attempt, Bulk, Status, Timer
from timer_client.asked import NamedTimer, NewTimer, Rescheduled, TimerChanges, Which, document
from timer_client.calls import (
    KEY,
    C,
    Page,
    Pages,
    Repeat,
    Request,
    Resource,
    call,
    json_bytes,
    new_key,
    pages_of,
    path,
    walk,
)
from timer_client.changed import is_as_asked
from timer_client.errors import ApiError, Conflict, TimerClientError, api_error
from timer_client.reading import read, reader

BULK_MAX = 10_000
"""Timers in one call, as the API has it."""
REFUSED_NAMED_MAX = 100
"""Of those that a bulk call refuses, the API names so many."""
BATCH_BYTES = 8 * 1024 * 1024
"""Of one batch; the API takes 16 MiB unless it is told otherwise."""

Shift = timedelta | float | str
DEFAULT = "default"
"""The collection of timers that name none."""
OnProgress = Callable[[Bulk], object]


def _named(collection: str, name: str) -> str:
    return path("collections", collection, "timers", name)


class Timers(Resource[C]):
    """`client.timers`"""

    @call
    def create(self, *, idempotency_key: str | None = None, **timer: Unpack[NewTimer]) -> Request[Timer]:
        """Make a timer. With the name of one that lives, and the same content, it is that one.

        It is sent again when its answer is lost, with the same key, so that none is made twice. A key of your own
        does that for a day across crashes of your program as well; Invalid for another timer with the same key.
        """
        return Request(
            method="POST",
            path="/timers",
            read=reader(Timer),
            body=json_bytes(document(timer)),
            headers={KEY: idempotency_key or new_key()},
        )

    @walk
    def create_many(
        self, timers: Iterable[NewTimer], *, idempotency_key: str | None = None
    ) -> Pages[Timer | ApiError]:
        """Make any number of timers. Gives for each, in the same order, the timer, or the error that refuses it.

        They are taken and sent as the results are asked for, up to 10,000 at a time: iterate to the end. With a
        key of your own, the same timers can be sent again after a crash, for a day, and none is made twice.
        """
        key = idempotency_key or new_key()
        for number, body in enumerate(_batches(timers)):
            headers = {KEY: f"{key}/{number}"}
            yield Request(method="POST", path="/timers/batch", read=_results, body=body, headers=headers)

    @call
    def put(
        self,
        name: str,
        *,
        collection: str = DEFAULT,
        idempotency_key: str | None = None,
        **timer: Unpack[NamedTimer],
    ) -> Request[Timer]:
        """Make a timer, or put it in the place of the scheduled one with this name, which keeps its id.

        What is left out is as usual. Conflict while it is being called. It is sent again under a key, as `create`.
        """
        return Request(
            method="PUT",
            path=_named(collection, name),
            read=reader(Timer),
            body=json_bytes(document(timer)),
            headers={KEY: idempotency_key or new_key()},
        )

    @call
    def get_named(self, name: str, *, collection: str = DEFAULT) -> Request[Timer]:
        """The timer with this name as it stands: the one that lives, or else the last one that had it."""
        return Request(method="GET", path=_named(collection, name), read=reader(Timer))

    @call
    def cancel_named(self, name: str, *, collection: str = DEFAULT) -> Generator[Request[Any], Any, Timer]:
        """As `cancel`."""
        where = _named(collection, name)
        try:
            return (yield from Request(method="DELETE", path=where, read=reader(Timer)))
        except Conflict as conflict:
            # An earlier try did it, and its answer was lost.
            if conflict.tries > 1 and conflict.facts.get("timer_status") == "cancelled":
                return (yield from Request(method="GET", path=where, read=reader(Timer)))
            raise

    @call
    def get(self, timer_id: str) -> Request[Timer]:
        """The timer as it stands."""
        return _get(timer_id)

    @walk
    def list(
        self,
        *,
        status: Status | None = None,
        collection: str | None = None,
        route: str | None = None,
        schedule: str | None = None,
        selector: str | None = None,
        name: str | None = None,
        due_after: datetime | str | None = None,
        due_before: datetime | str | None = None,
        page_size: int = 100,
    ) -> Pages[Timer]:
        """Those timers that every filter lets through. Pages are asked for as they are needed."""
        return pages_of(
            Timer,
            "/timers",
            "timers",
            status=status,
            collection=collection,
            route=route,
            schedule=schedule,
            selector=selector,
            name=name,
            due_after=due_after,
            due_before=due_before,
            limit=page_size,
        )

    @call
    def update(self, timer_id: str, **changes: Unpack[TimerChanges]) -> Generator[Request[Any], Any, Timer]:
        """Change a timer that is still scheduled; Conflict otherwise."""
        began, body = datetime.now(UTC), json_bytes(document(changes))
        try:
            return (
                yield from Request(method="PATCH", path=path("timers", timer_id), read=reader(Timer), body=body)
            )
        except Conflict as conflict:
            # An earlier try may have done it, its answer was lost, and the timer was called since.
            if conflict.tries > 1:
                timer = yield from _get(timer_id)
                if is_as_asked(timer, json.loads(body), began):
                    return timer
            raise

    @call
    def cancel(self, timer_id: str) -> Generator[Request[Any], Any, Timer]:
        """It will not be called any more. Conflict when it is being called or has ended."""
        try:
            return (yield from Request(method="DELETE", path=path("timers", timer_id), read=reader(Timer)))
        except Conflict as conflict:
            # An earlier try did it, and its answer was lost.
            if conflict.tries > 1 and conflict.facts.get("timer_status") == "cancelled":
                return (yield from _get(timer_id))
            raise

    @call
    def fire(self, timer_id: str) -> Request[Timer]:
        """It is due now. Conflict unless it is scheduled."""
        return Request(
            method="POST", path=path("timers", timer_id, "fire"), read=reader(Timer), repeat=Repeat.if_not_done
        )

    @call
    def replay(self, timer_id: str) -> Request[Timer]:
        """A timer that has failed, is unknown or was delivered is called again, now."""
        return Request(
            method="POST", path=path("timers", timer_id, "replay"), read=reader(Timer), repeat=Repeat.if_not_done
        )

    @call
    def attempts(self, timer_id: str) -> Request[tuple[Attempt, ...]]:
        """Every attempt to deliver it, first to last."""
        return Request(method="GET", path=path("timers", timer_id, "attempts"), read=_attempts)

    @call
    def cancel_many(
        self, *, on_progress: OnProgress | None = None, **which: Unpack[Which]
    ) -> Generator[Request[Any], Any, Bulk]:
        """Cancel all of these that are scheduled.

        It takes as many calls as there are tens of thousands; `on_progress` gets the sum so far after each, and so
        does an error that ends it, as `so_far`.
        """
        return (yield from _bulk("cancel", which, on_progress))

    @call
    def reschedule_many(
        self, *, on_progress: OnProgress | None = None, shift: Shift | None = None, **asked: Unpack[Rescheduled]
    ) -> Generator[Request[Any], Any, Bulk]:
        """All of these that are scheduled become due then, or with `shift` by so much later or earlier.

        An error says in `so_far` at which `cursor` to go on. With `shift`, that moves again what a call without an
        answer has moved: look first. With a `limit` that is little.
        """
        which, when = _parted(asked)
        if shift is not None:
            when["shift"] = shift.total_seconds() if isinstance(shift, timedelta) else shift
        repeat = Repeat.always if shift is None else Repeat.if_not_done
        return (yield from _bulk("reschedule", which, on_progress, document(when), repeat))

    @call
    def replay_many(
        self, *, on_progress: OnProgress | None = None, **which: Unpack[Which]
    ) -> Generator[Request[Any], Any, Bulk]:
        """Call all of these again that failed or are unknown; by `ids` or `status`, also what was delivered."""
        return (yield from _bulk("replay", which, on_progress, repeat=Repeat.if_not_done))


def _get(timer_id: str) -> Request[Timer]:
    return Request(method="GET", path=path("timers", timer_id), read=reader(Timer))


def _parted(asked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Which timers, and what of them."""
    which = {name: value for name, value in asked.items() if name in Which.__annotations__}
    return which, {name: value for name, value in asked.items() if name not in which}


def _bulk(
    verb: str,
    which: Mapping[str, Any],
    on_progress: OnProgress | None,
    change: Mapping[str, Any] = MappingProxyType({}),
    repeat: Repeat = Repeat.always,
) -> Generator[Request[Any], Any, Bulk]:
    """One call after the other until all of them were looked at, or as many as were wanted; gives the sum."""

    def request(part: Mapping[str, Any]) -> Request[tuple[Bulk, bool]]:
        """Gives what was done, and whether it was sent more than once."""
        return Request(
            method="POST",
            path=path("timers", verb),
            read=lambda answer: (read(Bulk, answer), False),
            read_again=lambda answer: (read(Bulk, answer), True),
            body=json_bytes({**part, **change}),
            repeat=repeat,
        )

    total, limit = Bulk(next_cursor=which.get("cursor")), which.get("limit")
    parts = _parts(which)
    part = next(parts, None)
    while part is not None:
        if limit is not None:
            part = {**part, "limit": min(limit - total.matched, BULK_MAX)}
        try:
            done, is_repeat = yield from request(part)
            if is_repeat and verb == "cancel" and "ids" in part:
                done = yield from _cancelled(done, part["ids"], request)
        except TimerClientError as error:
            error.so_far = total
            raise
        total = total.plus(done)
        if on_progress:
            on_progress(total)
        if limit is not None and total.matched >= limit:
            break
        part = {**part, "cursor": total.next_cursor} if total.next_cursor else next(parts, None)
    return total


def _cancelled(
    done: Bulk, ids: tuple[str, ...], request: Callable[[Mapping[str, Any]], Request[tuple[Bulk, bool]]]
) -> Generator[Request[Any], Any, Bulk]:
    """What a cancel that was sent again has done: an earlier try cancelled what this one finds cancelled."""
    if done.refused_count == len(done.refused):
        return _counted(done)
    # The API names a hundred of the refused. Asked for by the hundred, each is named.
    total, rest = Bulk(), iter(ids)
    while some := tuple(islice(rest, REFUSED_NAMED_MAX)):
        again, _ = yield from request({"ids": some})
        total = total.plus(_counted(again))
    return total


def _counted(done: Bulk) -> Bulk:
    refused = tuple(each for each in done.refused if each.status != "cancelled")
    cancelled = len(done.refused) - len(refused)
    return Bulk(
        matched=done.matched,
        changed=done.changed + cancelled,
        refused=refused,
        refused_count=done.refused_count - cancelled,
    )


def _parts(which: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """So many ids as one call takes; filters are one part."""
    if "ids" not in which:
        yield which
        return
    ids = iter(which["ids"])
    while some := tuple(islice(ids, BULK_MAX)):
        yield {**which, "ids": some}


def _attempts(answer: Any) -> tuple[Attempt, ...]:
    return tuple(read(Attempt, each) for each in answer["attempts"])


def _results(answer: Any) -> Page[Timer | ApiError]:
    return Page([_result(each) for each in answer["results"]])


def _result(each: Any) -> Timer | ApiError:
    problem = each.get("error")
    return read(Timer, each) if problem is None else api_error(problem["status"], problem)


def _batches(timers: Iterable[NewTimer]) -> Iterator[bytes]:
    """Bodies of POST /timers/batch, each as large as it may be."""
    items: list[bytes] = []
    size_bytes = 0
    for timer in timers:
        item = json_bytes(document(timer))
        if items and (len(items) == BULK_MAX or size_bytes + len(item) > BATCH_BYTES):
            yield _batch(items)
            items, size_bytes = [], 0
        items.append(item)
        size_bytes += len(item) + 1
    if items:
        yield _batch(items)


def _batch(items: list[bytes]) -> bytes:
    return b'{"timers":[' + b",".join(items) + b"]}"
