"""`timerctl timer cancel`, `replay` and `reschedule`: what is done with many timers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from timer_client.answers import Bulk
from timer_client.ctl.common import Output, Selector, client_of
from timer_client.ctl.durations import number_or_text
from timer_client.ctl.faults import Exit, Fault, may_be_done
from timer_client.ctl.options import (
    COLUMNS,
    ByName,
    Collection,
    Cursor,
    DueAfter,
    DueAt,
    DueBefore,
    DueIn,
    Ids,
    Limit,
    Route,
    Schedule,
    StatusOption,
    TimeZone,
)
from timer_client.ctl.output import Form, show_list, show_value
from timer_client.ctl.progress import counting
from timer_client.errors import TimerClientError
from timer_client.resources.timers import DEFAULT


def cancel(
    context: typer.Context,
    ids: Ids = None,
    name: ByName = None,
    selector: Selector = None,
    status: StatusOption = None,
    collection: Collection = None,
    route: Route = None,
    schedule: Schedule = None,
    due_after: DueAfter = None,
    due_before: DueBefore = None,
    limit: Limit = None,
    cursor: Cursor = None,
    output: Output = Form.table,
) -> None:
    """Cancel timers, by their ids, by --name, or by what they have in common."""
    if name is not None:
        _only_a_name(ids, selector, status, route, schedule, due_after, due_before, limit, cursor)
        with client_of(context) as client:
            cancelled = client.timers.cancel_named(name, collection=collection or DEFAULT)
            show_list([cancelled], COLUMNS, output, "")
        return
    which = _which(
        ids, selector=selector, status=status, collection=collection, route=route, schedule=schedule,
        due_after=due_after, due_before=due_before, limit=limit, cursor=cursor,
    )  # fmt: skip
    with client_of(context) as client:
        if ids and len(ids) == 1:
            show_list([client.timers.cancel(ids[0])], COLUMNS, output, "")
        else:
            _run(lambda tell: client.timers.cancel_many(on_progress=tell, **which), "cancelled", output)


def replay(
    context: typer.Context,
    ids: Ids = None,
    name: ByName = None,
    selector: Selector = None,
    status: StatusOption = None,
    collection: Collection = None,
    route: Route = None,
    schedule: Schedule = None,
    due_after: DueAfter = None,
    due_before: DueBefore = None,
    limit: Limit = None,
    cursor: Cursor = None,
    output: Output = Form.table,
) -> None:
    """Call timers again that failed, are unknown or were delivered."""
    if name is not None:
        _only_a_name(ids, selector, status, route, schedule, due_after, due_before, limit, cursor)
        with client_of(context) as client:
            timer = client.timers.get_named(name, collection=collection or DEFAULT)
            show_list([client.timers.replay(timer.id)], COLUMNS, output, "")
        return
    which = _which(
        ids, selector=selector, status=status, collection=collection, route=route, schedule=schedule,
        due_after=due_after, due_before=due_before, limit=limit, cursor=cursor,
    )  # fmt: skip
    with client_of(context) as client:
        if ids and len(ids) == 1:
            show_list([client.timers.replay(ids[0])], COLUMNS, output, "")
        else:
            _run(
                lambda tell: client.timers.replay_many(on_progress=tell, **which),
                "replayed", output, does_more_again=True,
            )  # fmt: skip


def reschedule(
    context: typer.Context,
    ids: Ids = None,
    due_in: DueIn = None,
    due_at: DueAt = None,
    timezone: TimeZone = None,
    shift: Annotated[str | None, typer.Option(help="So much later or earlier: +1h, -30m, 90.")] = None,
    selector: Selector = None,
    status: StatusOption = None,
    collection: Collection = None,
    route: Route = None,
    schedule: Schedule = None,
    due_after: DueAfter = None,
    due_before: DueBefore = None,
    limit: Limit = None,
    cursor: Cursor = None,
    output: Output = Form.table,
) -> None:
    """Move timers that wait to another time."""
    which = _which(
        ids, selector=selector, status=status, collection=collection, route=route, schedule=schedule,
        due_after=due_after, due_before=due_before, limit=limit, cursor=cursor,
    )  # fmt: skip
    delay, moved = number_or_text(due_in), number_or_text(shift)
    when = {"delay": delay, "due_at": due_at, "timezone": timezone, "shift": moved}
    which |= {name: value for name, value in when.items() if value is not None}
    with client_of(context) as client:
        _run(
            lambda tell: client.timers.reschedule_many(on_progress=tell, **which),
            "rescheduled", output, does_more_again=shift is not None,
        )  # fmt: skip


def _only_a_name(*others: object) -> None:
    """Fault for a name that does not stand alone."""
    if any(others):
        raise Fault("--name goes with --collection only")


def _which(ids: list[str] | None, **filters: str | int | None) -> dict[str, Any]:
    """Which timers are meant, as the client takes it. Fault when that is not said, or twice."""
    given = {name: value for name, value in filters.items() if value is not None}
    if ids and given:
        raise Fault("either ids or filters say which timers, not both")
    if not ids and not given.keys() - {"limit", "cursor"}:
        raise Fault("say which timers: by their ids, --selector, --collection, --route, --schedule or --status")
    return {"ids": ids} if ids else given


def _run(
    work: Callable[[Callable[[Bulk], object]], Bulk], done: str, form: Form, *, does_more_again: bool = False
) -> None:
    """With a count on standard error; what was refused is named, and how to go on after an error."""
    try:
        with counting(done) as tell:
            total = work(lambda so_far: tell(so_far.changed))
    except TimerClientError as error:
        if isinstance(error.so_far, Bulk) and (error.so_far.matched or error.so_far.refused_count):
            _show(error.so_far, done, form)
        if isinstance(error.so_far, Bulk) and error.so_far.next_cursor:
            _say(f"the same filters with --cursor {error.so_far.next_cursor} go on")
        if does_more_again and may_be_done(error):
            _say(f"more may be {done}, and would be so twice: look at them before you go on")
        raise
    _show(total, done, form)
    if total.next_cursor:
        _say(f"there may be more: the same filters with --cursor {total.next_cursor} go on")
    if total.refused_count:
        raise typer.Exit(Exit.conflict)


def _show(total: Bulk, done: str, form: Form) -> None:
    if form is Form.table:
        sys.stdout.write(f"{total.changed} {done}, {total.refused_count} left as they were\n")
    else:
        show_value(_sum(total), form)
    for line in _refusals(total):
        _say(line)


def _sum(total: Bulk) -> dict[str, Any]:
    refused = [{"id": each.id, "status": each.status, "reason": each.reason} for each in total.refused]
    return {
        "matched": total.matched, "changed": total.changed, "refused": refused,
        "refused_count": total.refused_count, "next_cursor": total.next_cursor,
    }  # fmt: skip


def _refusals(total: Bulk) -> Iterator[str]:
    for each in total.refused:
        yield f"{each.id}: {each.reason}"
    if total.refused_count > len(total.refused):
        yield f"and {total.refused_count - len(total.refused):,} more"


def _say(line: str) -> None:
    sys.stderr.write(f"timerctl: {line}\n")
