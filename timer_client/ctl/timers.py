"""`timerctl timer`: look at timers and change them; `making` and `bulk` have the rest of its commands."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Annotated

import typer

from timer_client.answers import Attempt, Timer
from timer_client.client import Client
from timer_client.ctl import bulk, making, watching
from timer_client.ctl.common import Fields, File, Output, Selector, assigned, client_of, fields_of, place
from timer_client.ctl.durations import number_or_text
from timer_client.ctl.faults import Exit, Fault
from timer_client.ctl.options import (
    COLUMNS,
    ByName,
    Collection,
    DueAfter,
    DueAt,
    DueBefore,
    DueIn,
    InCollection,
    OneId,
    Route,
    Schedule,
    StatusOption,
    TimeZone,
)
from timer_client.ctl.output import Columns, Form, show_list, show_one
from timer_client.resources.timers import DEFAULT

app = typer.Typer(no_args_is_help=True, help="Timers: one promise each to call one URL at one time.")

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
app.command()(making.generate)
app.command()(making.create)
app.command()(making.put)


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
        show_list(islice(found, limit), COLUMNS, output, "no timers")
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
    fields = fields_of(file, None, delay=number_or_text(due_in), due_at=due_at, timezone=timezone)
    told = assigned(assignments)
    if not fields and not told:
        raise Fault("nothing is to be changed: give --due-in, --due-at, --set or --file")
    with client_of(context) as client:
        wanted = _id_of(client, timer_id, name, collection)
        # The service takes fields as a whole: what is beside a part of one stays as it is.
        if beside := {each.path[0] for each in told if each.is_inside} - fields.keys():
            shown = client.timers.get(wanted).raw
            fields |= {field: shown[field] for field in beside if shown.get(field) is not None}
        place(fields, told)
        show_one(client.timers.update(wanted, **fields), output)


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


app.command()(bulk.cancel)
app.command()(bulk.replay)
app.command()(bulk.reschedule)
