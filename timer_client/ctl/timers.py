"""`timerctl timer`: make, look at, change and repeat timers."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, Any, get_type_hints

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from timer_client.answers import Attempt, Bulk, Status, Timer
from timer_client.asked import NamedTimer
from timer_client.ctl import documents, watching
from timer_client.ctl.common import Fields, File, Output, Selector, body_of, client_of, fields_of, pairs
from timer_client.ctl.faults import Exit, Fault, in_words
from timer_client.ctl.output import Columns, Form, labels, show_list, show_one, show_value
from timer_client.errors import ApiError
from timer_client.resources.timers import DEFAULT

app = typer.Typer(no_args_is_help=True, help="Timers: one promise each to call one URL at one time.")

_COLUMNS = Columns[Timer](
    id=lambda t: t.id,
    name=lambda t: t.name,
    collection=lambda t: t.collection,
    status=lambda t: t.status,
    due_at=lambda t: t.due_at,
    time_left=lambda t: None if t.has_ended else t.time_left,
    attempts=lambda t: t.attempts,
    labels=lambda t: labels(t.labels),
    calls=lambda t: t.url or f"route {t.route}",
)
_ATTEMPT_COLUMNS = Columns[Attempt](
    number=lambda a: a.number,
    outcome=lambda a: a.outcome,
    http=lambda a: a.http_status,
    started_at=lambda a: a.started_at,
    ms=lambda a: a.latency_ms,
    then=lambda a: a.status,
    controller=lambda a: a.controller,
    reason=lambda a: a.reason,
)
_SHOWN_ONLY = {each.name for each in dataclasses.fields(Timer)} - get_type_hints(NamedTimer).keys()
"""What is shown of a timer, and cannot be asked for where its name is known."""
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of timers.")]
StatusOption = Annotated[Status | None, typer.Option("--status", help="Only those in this state.")]
Collection = Annotated[str | None, typer.Option("--collection", help="Only those of this collection.")]
Route = Annotated[str | None, typer.Option("--route", help="Only those of this route.")]
Schedule = Annotated[str | None, typer.Option("--schedule", help="Only runs of this schedule.")]
InCollection = Annotated[str, typer.Option("--collection", help="The collection of the name.")]
ByName = Annotated[str | None, typer.Option("--name", help="The one with this name, in --collection.")]
DueAfter = Annotated[str | None, typer.Option(help="Only those that are due then or later: RFC 3339.")]
DueBefore = Annotated[str | None, typer.Option(help="Only those that are due before then: RFC 3339.")]
DueIn = Annotated[str | None, typer.Option("--due-in", help="How long from now: 90, 1h30m, PT1H30M.")]
DueAt = Annotated[
    str | None, typer.Option("--due-at", help="When: 2030-01-31T18:00:00Z, or local with --timezone.")
]
TimeZone = Annotated[str | None, typer.Option("--timezone", help="The IANA time zone of --due-at.")]


@app.command()
def generate(
    due_in: DueIn = None,
    due_at: DueAt = None,
    timezone: TimeZone = None,
    name: Annotated[str | None, typer.Option(help="Unique among the timers that live.")] = None,
    url: Annotated[str | None, typer.Option("--hook-url", "--url", help="The URL to call.")] = None,
    route: Annotated[str | None, typer.Option(help="Instead: the route to call.")] = None,
    method: Annotated[
        str | None, typer.Option("--hook-method", "--method", help="POST unless it is said.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--hook-header", "--header", help="'Name: value'. Can be given again.")
    ] = None,
    body: Annotated[str | None, typer.Option("--hook-body", "--body", help="JSON, or any text.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="key=value. Can be given again.")] = None,
    priority: Annotated[int | None, typer.Option(help="Among timers that are due, higher ones go first.")] = None,
    collection: Annotated[str | None, typer.Option(help="The collection it belongs to.")] = None,
    on_unknown: Annotated[str | None, typer.Option(help="resend, hold or fail.")] = None,
    on_failure_url: Annotated[str | None, typer.Option(help="Called when the timer fails.")] = None,
    timeout_seconds: Annotated[float | None, typer.Option(help="Of a whole attempt.")] = None,
    assignments: Fields = None,
) -> None:
    """Print the YAML of a timer, for `timerctl timer create -f -`."""
    fields = fields_of(
        None,
        assignments,
        name=name,
        delay=due_in,
        due_at=due_at,
        timezone=timezone,
        url=url,
        route=route,
        method=method,
        headers=pairs(header, "--hook-header", ":") or None,
        body=None if body is None else body_of(body),
        labels=pairs(label, "--label") or None,
        priority=priority,
        collection=collection,
        on_unknown=on_unknown,
        on_failure_url=on_failure_url,
        timeout_seconds=timeout_seconds,
    )
    if (due_in is None) == (due_at is None) and not {"hours", "minutes", "seconds"} & fields.keys():
        raise Fault("exactly one of --due-in and --due-at says when it is due")
    if ("url" in fields) == ("route" in fields):
        raise Fault("exactly one of --hook-url and --route says where the call goes")
    sys.stdout.write(documents.dump(fields))


@app.command()
def create(
    context: typer.Context,
    file: File = None,
    assignments: Fields = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="With the same key and file again, nothing is made twice, for a day.")
    ] = None,
    output: Output = Form.table,
) -> None:
    """Make the timers of a file, each document one. Those that are refused are named by their lines."""
    asked = list(documents.read(file)) if file else []
    if not asked:
        asked = [documents.Document("--set", fields_of(None, assignments))]
    elif assignments:
        for each in asked:
            each.fields.update(fields_of(None, assignments))
    made: list[Timer] = []
    refused = 0
    with client_of(context) as client:
        if len(asked) == 1:
            made.append(client.timers.create(**asked[0].fields, idempotency_key=idempotency_key))
        else:
            fields: Any = (each.fields for each in asked)
            results = client.timers.create_many(fields, idempotency_key=idempotency_key)
            for each, result in zip(asked, results, strict=True):
                if isinstance(result, ApiError):
                    refused += 1
                    sys.stderr.write(f"timerctl: {each.where}: {in_words(result)}\n")
                else:
                    made.append(result)
    show_list(made, _COLUMNS, output, "no timer was made")
    if refused:
        sys.stderr.write(f"timerctl: {refused} of {len(asked)} were refused\n")
        raise typer.Exit(Exit.invalid)


@app.command()
def put(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name.")],
    collection: InCollection = DEFAULT,
    file: File = None,
    assignments: Fields = None,
    output: Output = Form.yaml,
) -> None:
    """Make a timer, or put it in the place of the one with its name: what is left out is as by default."""
    fields = fields_of(file, assignments)
    # What `get -o yaml` shows can be given back.
    fields = {field: value for field, value in fields.items() if field not in _SHOWN_ONLY and value is not None}
    with client_of(context) as client:
        show_one(client.timers.put(name, collection=collection, **fields), output)


@app.command()
def get(
    context: typer.Context,
    timer_id: Annotated[str | None, typer.Argument(help="Its id.")] = None,
    name: ByName = None,
    collection: InCollection = DEFAULT,
    output: Output = Form.yaml,
) -> None:
    """Show a timer, whole, by its id or by its --name."""
    with client_of(context) as client:
        if name is not None and timer_id is None:
            show_one(client.timers.get_named(name, collection=collection), output)
        elif name is None and timer_id is not None:
            show_one(client.timers.get(timer_id), output)
        else:
            raise Fault("say which timer: by its id or by --name")


@app.command("list")
def list_timers(
    context: typer.Context,
    selector: Selector = None,
    status: StatusOption = None,
    collection: Collection = None,
    route: Route = None,
    schedule: Schedule = None,
    name: Annotated[str | None, typer.Option(help="The one with this name.")] = None,
    due_after: DueAfter = None,
    due_before: DueBefore = None,
    limit: Annotated[int, typer.Option(min=1, help="Not more than so many.")] = 500,
    output: Output = Form.table,
) -> None:
    """List timers, newest first; scheduled ones by priority and time."""
    with client_of(context) as client:
        found = client.timers.list(
            selector=selector, status=status, collection=collection, route=route, schedule=schedule, name=name,
            due_after=due_after, due_before=due_before, page_size=min(limit, 1000),
        )  # fmt: skip
        show_list(islice(found, limit), _COLUMNS, output, "no timers")
        if next(found, None) is not None:
            sys.stderr.write(f"timerctl: more than {limit:,} are there; --limit shows more\n")


@app.command()
def attempts(context: typer.Context, timer_id: str, output: Output = Form.table) -> None:
    """Show every attempt to deliver a timer."""
    with client_of(context) as client:
        show_list(client.timers.attempts(timer_id), _ATTEMPT_COLUMNS, output, "no attempt was made yet")


@app.command()
def watch(context: typer.Context, timer_id: str) -> None:
    """Follow a timer until it has ended. The exit code is 0 when it was delivered."""
    with client_of(context) as client:
        last = watching.follow(client, timer_id)
    if last.status != "delivered":
        raise typer.Exit(Exit.failed)


@app.command()
def update(
    context: typer.Context,
    timer_id: str,
    due_in: DueIn = None,
    due_at: DueAt = None,
    timezone: TimeZone = None,
    file: File = None,
    assignments: Fields = None,
    output: Output = Form.yaml,
) -> None:
    """Change a timer that waits: --due-in, --due-at, --set priority=7, --set labels.env=prod."""
    fields = fields_of(file, assignments, delay=due_in, due_at=due_at, timezone=timezone)
    if not fields:
        raise Fault("nothing is to be changed: give --due-in, --due-at, --set or --file")
    with client_of(context) as client:
        show_one(client.timers.update(timer_id, **fields), output)


@app.command()
def fire(context: typer.Context, timer_id: str, output: Output = Form.yaml) -> None:
    """Call a timer now that waits."""
    with client_of(context) as client:
        show_one(client.timers.fire(timer_id), output)


@app.command()
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
    output: Output = Form.table,
) -> None:
    """Cancel timers, by their ids, by --name, or by what they have in common."""
    if name is not None:
        if ids or selector or status or route or schedule:
            raise Fault("--name goes with --collection only")
        with client_of(context) as client:
            cancelled = client.timers.cancel_named(name, collection=collection or DEFAULT)
            show_list([cancelled], _COLUMNS, output, "")
        return
    which = _which(ids, selector, status, collection, route, schedule, due_after, due_before)
    with client_of(context) as client:
        if ids and len(ids) == 1:
            show_list([client.timers.cancel(ids[0])], _COLUMNS, output, "")
        else:
            _bulk(lambda tell: client.timers.cancel_many(on_progress=tell, **which), "cancelled", output)


@app.command()
def replay(
    context: typer.Context,
    ids: Ids = None,
    selector: Selector = None,
    status: StatusOption = None,
    collection: Collection = None,
    route: Route = None,
    schedule: Schedule = None,
    due_after: DueAfter = None,
    due_before: DueBefore = None,
    output: Output = Form.table,
) -> None:
    """Call timers again that failed, are unknown or were delivered."""
    which = _which(ids, selector, status, collection, route, schedule, due_after, due_before)
    with client_of(context) as client:
        if ids and len(ids) == 1:
            show_list([client.timers.replay(ids[0])], _COLUMNS, output, "")
        else:
            _bulk(lambda tell: client.timers.replay_many(on_progress=tell, **which), "replayed", output)


@app.command()
def reschedule(
    context: typer.Context,
    ids: Ids = None,
    due_in: DueIn = None,
    due_at: DueAt = None,
    timezone: TimeZone = None,
    shift: Annotated[str | None, typer.Option(help="So much later or earlier: +1h, -30m.")] = None,
    selector: Selector = None,
    status: StatusOption = None,
    collection: Collection = None,
    route: Route = None,
    schedule: Schedule = None,
    due_after: DueAfter = None,
    due_before: DueBefore = None,
    output: Output = Form.table,
) -> None:
    """Move timers that wait to another time."""
    which = _which(ids, selector, status, collection, route, schedule, due_after, due_before)
    when = {"delay": due_in, "due_at": due_at, "timezone": timezone, "shift": shift}
    which |= {name: value for name, value in when.items() if value is not None}
    with client_of(context) as client:
        _bulk(lambda tell: client.timers.reschedule_many(on_progress=tell, **which), "rescheduled", output)


def _which(ids: list[str] | None, *filters: str | None) -> dict[str, Any]:
    names = ("selector", "status", "collection", "route", "schedule", "due_after", "due_before")
    given = {name: value for name, value in zip(names, filters, strict=True) if value is not None}
    if ids and given:
        raise Fault("either ids or filters say which timers, not both")
    if not ids and not given:
        raise Fault("say which timers: by their ids, --selector, --collection, --route, --schedule or --status")
    return {"ids": ids} if ids else given


def _bulk(work: Callable[[Callable[[Bulk], object]], Bulk], done: str, form: Form) -> None:
    """With a bar that counts, on standard error; what was refused is named."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True),
        transient=True, disable=not sys.stderr.isatty(),
    ) as bar:  # fmt: skip
        task = bar.add_task(done, total=None)
        total = work(lambda so_far: bar.update(task, description=f"{so_far.changed:,} {done}"))
    if form is Form.table:
        sys.stdout.write(f"{total.changed} {done}, {total.refused_count} left as they were\n")
    else:
        show_value(_sum(total), form)
    for line in _refusals(total):
        sys.stderr.write(f"timerctl: {line}\n")
    if total.refused_count:
        raise typer.Exit(Exit.conflict)


def _sum(total: Bulk) -> dict[str, Any]:
    refused = [{"id": each.id, "status": each.status, "reason": each.reason} for each in total.refused]
    return {
        "matched": total.matched, "changed": total.changed, "refused": refused,
        "refused_count": total.refused_count,
    }  # fmt: skip


def _refusals(total: Bulk) -> Iterator[str]:
    for each in total.refused:
        yield f"{each.id}: {each.reason}"
    if total.refused_count > len(total.refused):
        yield f"and {total.refused_count - len(total.refused):,} more"
