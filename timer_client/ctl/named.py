"""`timerctl collection`, `route` and `schedule`: the same verbs for what has a name."""

from __future__ import annotations

import dataclasses
import sys
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import typer

from timer_client.answers import Backfill, Collection, Route, Schedule
from timer_client.asked import CollectionSettings, RouteSettings, ScheduleSettings
from timer_client.calls import new_key
from timer_client.client import Client
from timer_client.ctl.common import (
    Assignment,
    Fields,
    File,
    IdempotencyKey,
    Output,
    assigned,
    client_of,
    fields_of,
    place,
)
from timer_client.ctl.faults import Fault, may_be_done
from timer_client.ctl.output import Columns, Form, show_list, show_one, show_value
from timer_client.ctl.progress import counting
from timer_client.errors import TimerClientError
from timer_client.reading import Shown

Kind = Literal["collections", "routes", "schedules"]


def _members(kind: type[Shown]) -> set[str]:
    return {member.name for member in dataclasses.fields(kind)} - {"raw"}


Name = Annotated[str, typer.Argument(help="Its name.")]

_COLUMNS: dict[Kind, Columns[Any]] = {
    "collections": Columns[Collection](
        name=lambda c: c.name,
        paused=lambda c: c.paused,
        waiting=lambda c: c.counts.get("scheduled", 0) + c.counts.get("firing", 0),
        delivered=lambda c: c.counts.get("delivered", 0),
        failed=lambda c: c.counts.get("failed", 0),
        unknown=lambda c: c.counts.get("unknown", 0),
        waiting_max=lambda c: c.waiting_max,
        retention_days=lambda c: c.retention_days,
    ),
    "routes": Columns[Route](
        name=lambda r: r.name,
        url=lambda r: r.url,
        paused=lambda r: r.paused,
        disabled_at=lambda r: r.disabled_at,
        waiting=lambda r: r.counts.get("scheduled", 0) + r.counts.get("firing", 0),
        failed=lambda r: r.counts.get("failed", 0),
        calls_max=lambda r: r.calls_max,
        per_second=lambda r: r.rate_per_second,
        signed=lambda r: r.has_secret,
    ),
    "schedules": Columns[Schedule](
        name=lambda s: s.name,
        runs=lambda s: s.cron or f"every {s.every}",
        timezone=lambda s: s.timezone,
        paused=lambda s: s.paused,
        next_run_at=lambda s: s.next_run_at,
        failed=lambda s: s.counts.get("failed", 0),
        last_run_at=lambda s: s.last_run_at,
    ),
}


_SHOWN_ONLY: dict[Kind, set[str]] = {
    "collections": _members(Collection) - CollectionSettings.__annotations__.keys(),
    "routes": _members(Route) - RouteSettings.__annotations__.keys(),
    "schedules": _members(Schedule) - ScheduleSettings.__annotations__.keys(),
}
"""What is shown, and cannot be chosen."""
_RHYTHM = {"cron", "every"}


def _chosen(kind: Kind, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _SHOWN_ONLY[kind]}


def _app(kind: Kind, words: str) -> typer.Typer:
    """The verbs that all three have."""
    app = typer.Typer(no_args_is_help=True, help=words)

    def resource(client: Client) -> Any:
        return getattr(client, kind)

    @app.command("list")
    def list_all(context: typer.Context, output: Output = Form.table) -> None:
        """List all of them."""
        with client_of(context) as client:
            show_list(resource(client).list(), _COLUMNS[kind], output, f"no {kind}")

    @app.command()
    def get(context: typer.Context, name: Name, output: Output = Form.yaml) -> None:
        """Show one, whole."""
        with client_of(context) as client:
            show_one(resource(client).get(name), output)

    @app.command()
    def put(
        context: typer.Context,
        name: Name,
        file: File = None,
        assignments: Fields = None,
        output: Output = Form.yaml,
    ) -> None:
        """Make it, or replace its settings: what is left out is as by default."""
        # What `get -o yaml` shows can be given back.
        fields = _chosen(kind, fields_of(file, assignments))
        with client_of(context) as client:
            show_one(resource(client).put(name, **fields), output)

    @app.command()
    def delete(context: typer.Context, name: Name) -> None:
        """Delete it; refused while timers need it."""
        with client_of(context) as client:
            resource(client).delete(name)
        sys.stdout.write(f"deleted {name}\n")

    @app.command()
    def pause(context: typer.Context, name: Name, output: Output = Form.table) -> None:
        """Its timers wait until it is resumed."""
        with client_of(context) as client:
            show_list([resource(client).pause(name)], _COLUMNS[kind], output, "")

    @app.command()
    def resume(context: typer.Context, name: Name, output: Output = Form.table) -> None:
        """End a pause."""
        with client_of(context) as client:
            show_list([resource(client).resume(name)], _COLUMNS[kind], output, "")

    return app


collections = _app("collections", "Collections: groups of timers with defaults, limits and a switch.")
routes = _app("routes", "Routes: named destinations with limits and secrets.")
schedules = _app("schedules", "Schedules: what makes timers again and again.")


@routes.command("new-secret")
def new_secret(
    context: typer.Context,
    name: Name,
    overlap_seconds: Annotated[int, typer.Option(min=0, help="So long the old one is good as well.")] = 86_400,
    output: Output = Form.yaml,
) -> None:
    """Make a new secret, which is shown this once."""
    with client_of(context) as client:
        show_one(client.routes.new_secret(name, overlap=timedelta(seconds=overlap_seconds)), output)


@routes.command("delete-secret")
def delete_secret(context: typer.Context, name: Name) -> None:
    """Calls are not signed with a secret of the route any more."""
    with client_of(context) as client:
        client.routes.delete_secret(name)
    sys.stdout.write(f"deleted the secret of {name}\n")


@schedules.command("next")
def next_runs(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="Its name; --file and --set preview a change of it, or one without a name."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100)] = 10,
    file: File = None,
    assignments: Fields = None,
    output: Output = Form.table,
) -> None:
    """Tell when a schedule runs next, or would run, without jitter then."""
    changes, told = _chosen("schedules", fields_of(file, None)), assigned(assignments)
    with client_of(context) as client:
        if name is not None and not file and not told:
            runs = client.schedules.next_runs(name, count=count)
        else:
            stored = {} if name is None else _chosen("schedules", {**client.schedules.get(name).raw})
            fields = _changed(stored, changes, told)
            runs = client.schedules.preview(count=count, **fields)
    if output is Form.table:
        sys.stdout.writelines(f"{run.isoformat()}\n" for run in runs)
    else:
        show_value([run.isoformat() for run in runs], output)


def _changed(stored: dict[str, Any], changes: dict[str, Any], told: list[Assignment]) -> dict[str, Any]:
    """The settings of a schedule, changed; `cron` and `every` stand for each other."""
    named = changes.keys() | {each.path[0] for each in told}
    if named & _RHYTHM:
        stored = {name: value for name, value in stored.items() if name not in _RHYTHM}
    fields = {name: value for name, value in (stored | changes).items() if value is not None}
    place(fields, told)
    return fields


@schedules.command()
def backfill(
    context: typer.Context,
    name: Name,
    start: Annotated[str, typer.Option("--from", help="RFC 3339; without an offset, local time of the schedule.")],
    end: Annotated[str, typer.Option("--to", help="The same: runs before then.")],
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Make the runs that it would have had between two moments."""
    start, end = _moment(start, "--from"), _moment(end, "--to")
    key = idempotency_key or new_key()
    try:
        with client_of(context) as client, counting("runs made") as tell:
            made = client.schedules.backfill(name, start=start, end=end, idempotency_key=key, on_progress=tell)
    except TimerClientError as error:
        so_far = error.so_far
        if isinstance(so_far, Backfill) and (so_far.made or may_be_done(error)):
            next_from = so_far.next_from.isoformat() if so_far.next_from else start
            sys.stderr.write(
                f"timerctl: {so_far.made} runs were made, those before {next_from}; the same again with"
                f" --idempotency-key {key} makes the rest, and nothing twice\n"
            )
        raise
    sys.stdout.write(f"made {made} runs\n")


def _moment(text: str, option: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise Fault(f"{option} {text}: it must read like 2030-01-31T18:00:00Z") from None
    return text
