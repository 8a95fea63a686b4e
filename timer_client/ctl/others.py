"""`timerctl event`, `controller` and `doctor`: what there is to look at."""

from __future__ import annotations

import sys
from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer

from timer_client.answers import Controller, Event
from timer_client.ctl.common import Output, client_of
from timer_client.ctl.faults import Exit
from timer_client.ctl.output import Columns, Form, show_list, show_value

events = typer.Typer(no_args_is_help=True, help="Events: what operators should know of.")
controllers = typer.Typer(no_args_is_help=True, help="Controllers: the processes that make the calls.")

_EVENTS = Columns[Event](
    at=lambda e: e.at, kind=lambda e: e.kind, subject=lambda e: e.subject, detail=lambda e: e.detail
)
_CONTROLLERS = Columns[Controller](
    id=lambda c: c.id,
    host=lambda c: c.host,
    pid=lambda c: c.pid,
    version=lambda c: c.version,
    joined_at=lambda c: c.joined_at,
    beat_at=lambda c: c.beat_at,
    in_hand=lambda c: c.claims_in_hand,
    database=lambda c: c.shard,
)


@events.command("list")
def list_events(
    context: typer.Context,
    kind: Annotated[str | None, typer.Option(help="Only of this kind, such as route.disabled.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 100,
    output: Output = Form.table,
) -> None:
    """List events, newest first."""
    with client_of(context) as client:
        show_list(islice(client.events.list(kind=kind), limit), _EVENTS, output, "no events")


@controllers.command("list")
def list_controllers(context: typer.Context, output: Output = Form.table) -> None:
    """List the controllers that live."""
    with client_of(context) as client:
        found = client.controllers.list()
    for number in found.shards_away:
        sys.stderr.write(f"timerctl: database {number} does not answer: who serves it is not told here\n")
    show_list(found, _CONTROLLERS, output, "no controller lives: nothing is called")


def doctor(context: typer.Context, output: Output = Form.table) -> None:
    """Say what is wrong and what to do. The exit code is 1 when something is."""
    with client_of(context) as client:
        found = client.health.examine()
    if output is not Form.table:
        show_value(asdict(found), output)
    else:
        for database in found.databases:
            sys.stdout.write(f"database {database.shard}: {database.server}, schema {database.schema_version}\n")
            for kind, each in (("fault", database.faults), ("warning", database.warnings)):
                sys.stdout.writelines(f"database {database.shard}: {kind}: {text}\n" for text in each)
        if found.healthy:
            sys.stdout.write("all is well\n")
    if not found.healthy:
        raise typer.Exit(Exit.failed)
