"""`timerctl timer`: make, look at, change and repeat timers."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, get_type_hints

import typer
from rich.console import Console
from rich.progress import Progress

from timer_client.answers import Attempt, Status, Timer
from timer_client.asked import NamedTimer
from timer_client.client import Client
from timer_client.ctl import bulk, documents, watching
from timer_client.ctl.common import Fields, File, Output, Selector, body_of, client_of, fields_of, pairs
from timer_client.ctl.faults import Exit, Fault, exit_of, in_words
from timer_client.ctl.output import Columns, Form, labels, show_list, show_one
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
OneId = Annotated[str | None, typer.Argument(help="Its id.")]
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
    body: Annotated[
        str | None, typer.Option("--hook-body", "--body", help="JSON, or any text, which is sent as it is.")
    ] = None,
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
        **({} if body is None else body_of(body)),
        labels=pairs(label, "--label") or None,
        priority=priority,
        collection=collection,
        on_unknown=on_unknown,
        on_failure_url=on_failure_url,
        timeout_seconds=timeout_seconds,
    )
    forms = [{"delay"}, {"due_at"}, {"hours", "minutes", "seconds"}]
    if sum(bool(form & fields.keys()) for form in forms) != 1:
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
            made.append(_create_one(client, asked[0], idempotency_key))
        else:
            fields: Any = (each.fields for each in asked)
            results = client.timers.create_many(fields, idempotency_key=idempotency_key)
            for each, result in zip(asked, _with_bar(results, len(asked)), strict=True):
                if isinstance(result, ApiError):
                    refused += 1
                    sys.stderr.write(f"timerctl: {each.where}: {in_words(result)}\n")
                else:
                    made.append(result)
    show_list(made, _COLUMNS, output, "no timer was made")
    if refused:
        sys.stderr.write(f"timerctl: {refused} of {len(asked)} were refused\n")
        raise typer.Exit(Exit.invalid)


def _create_one(client: Client, asked: documents.Document, key: str | None) -> Timer:
    try:
        return client.timers.create(**asked.fields, idempotency_key=key)
    except ApiError as error:
        sys.stderr.write(f"timerctl: {asked.where}: {in_words(error)}\n")
        raise typer.Exit(exit_of(error)) from None


def _with_bar(results: Iterator[Timer | ApiError], total: int) -> Iterator[Timer | ApiError]:
    """The same, with a bar on standard error where somebody looks."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        yield from bar.track(results, total=total, description="timers")


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
    timer_id: OneId = None,
    name: ByName = None,
    collection: InCollection = DEFAULT,
    output: Output = Form.yaml,
) -> None:
    """Show a timer, whole, by its id or by its --name."""
    with client_of(context) as client:
        show_one(_look(client, timer_id, name, collection), output)


def _look(client: Client, timer_id: str | None, name: str | None, collection: str) -> Timer:
    """The timer that is meant."""
    if name is not None and timer_id is None:
        return client.timers.get_named(name, collection=collection)
    if name is None and timer_id is not None:
        return client.timers.get(timer_id)
    raise Fault("say which timer: by its id or by --name")


def _id_of(client: Client, timer_id: str | None, name: str | None, collection: str) -> str:
    return timer_id if timer_id is not None and name is None else _look(client, timer_id, name, collection).id


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
def attempts(
    context: typer.Context,
    timer_id: OneId = None,
    name: ByName = None,
    collection: InCollection = DEFAULT,
    output: Output = Form.table,
) -> None:
    """Show every attempt to deliver a timer."""
    with client_of(context) as client:
        made = client.timers.attempts(_id_of(client, timer_id, name, collection))
        show_list(made, _ATTEMPT_COLUMNS, output, "no attempt was made yet")


@app.command()
def watch(
    context: typer.Context,
    timer_id: OneId = None,
    name: ByName = None,
    collection: InCollection = DEFAULT,
) -> None:
    """Follow a timer until it has ended. The exit code is 0 when it was delivered."""
    with client_of(context) as client:
        last = watching.follow(client, _id_of(client, timer_id, name, collection))
    if last.status != "delivered":
        raise typer.Exit(Exit.failed)


@app.command()
def update(
    context: typer.Context,
    timer_id: OneId = None,
    name: ByName = None,
    collection: InCollection = DEFAULT,
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
        show_one(client.timers.update(_id_of(client, timer_id, name, collection), **fields), output)


@app.command()
def fire(
    context: typer.Context,
    timer_id: OneId = None,
    name: ByName = None,
    collection: InCollection = DEFAULT,
    output: Output = Form.yaml,
) -> None:
    """Call a timer now that waits."""
    with client_of(context) as client:
        show_one(client.timers.fire(_id_of(client, timer_id, name, collection)), output)


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
        bulk.only_a_name(ids, selector, status, route, schedule, due_after, due_before)
        with client_of(context) as client:
            cancelled = client.timers.cancel_named(name, collection=collection or DEFAULT)
            show_list([cancelled], _COLUMNS, output, "")
        return
    which = bulk.which(ids, selector, status, collection, route, schedule, due_after, due_before)
    with client_of(context) as client:
        if ids and len(ids) == 1:
            show_list([client.timers.cancel(ids[0])], _COLUMNS, output, "")
        else:
            bulk.run(lambda tell: client.timers.cancel_many(on_progress=tell, **which), "cancelled", output)


@app.command()
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
    output: Output = Form.table,
) -> None:
    """Call timers again that failed, are unknown or were delivered."""
    if name is not None:
        bulk.only_a_name(ids, selector, status, route, schedule, due_after, due_before)
        with client_of(context) as client:
            timer = client.timers.get_named(name, collection=collection or DEFAULT)
            show_list([client.timers.replay(timer.id)], _COLUMNS, output, "")
        return
    which = bulk.which(ids, selector, status, collection, route, schedule, due_after, due_before)
    with client_of(context) as client:
        if ids and len(ids) == 1:
            show_list([client.timers.replay(ids[0])], _COLUMNS, output, "")
        else:
            bulk.run(lambda tell: client.timers.replay_many(on_progress=tell, **which), "replayed", output)


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
    which = bulk.which(ids, selector, status, collection, route, schedule, due_after, due_before)
    when = {"delay": due_in, "due_at": due_at, "timezone": timezone, "shift": shift}
    which |= {name: value for name, value in when.items() if value is not None}
    with client_of(context) as client:
        bulk.run(lambda tell: client.timers.reschedule_many(on_progress=tell, **which), "rescheduled", output)
