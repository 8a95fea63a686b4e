"""`timerctl timer generate`, `create` and `put`: from flags and files to timers."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated, Any, get_type_hints

import typer

from timer_client.answers import Timer
from timer_client.asked import NamedTimer
from timer_client.calls import new_key
from timer_client.client import Client
from timer_client.ctl import documents
from timer_client.ctl.common import (
    Fields,
    File,
    IdempotencyKey,
    Output,
    assigned,
    body_of,
    check_names,
    client_of,
    fields_of,
    pairs,
    place,
)
from timer_client.ctl.durations import number_or_text
from timer_client.ctl.faults import Fault, exit_of, exit_of_all, in_words, may_be_done
from timer_client.ctl.options import COLUMNS, DueAt, DueIn, TimeZone
from timer_client.ctl.output import Form, show_list, show_one
from timer_client.ctl.progress import with_bar
from timer_client.errors import ApiError, TimerClientError
from timer_client.resources.timers import DEFAULT

_SHOWN_ONLY = {each.name for each in dataclasses.fields(Timer)} - get_type_hints(NamedTimer).keys()
"""What is shown of a timer, and cannot be asked for where its name is known."""


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
        delay=number_or_text(due_in),
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


def create(
    context: typer.Context,
    file: File = None,
    assignments: Fields = None,
    idempotency_key: IdempotencyKey = None,
    output: Output = Form.table,
) -> None:
    """Make the timers of a file, each document one. Those that are refused are named by their lines."""
    asked = list(documents.read(file)) if file else [documents.Document("--set", {})]
    told = assigned(assignments)
    for each in asked:
        check_names(each.fields, each.where)
        place(each.fields, told)
    key = idempotency_key or new_key()
    made: list[Timer] = []
    refused: list[ApiError] = []
    with client_of(context) as client:
        if len(asked) == 1:
            made.append(_create_one(client, asked[0], key))
        else:
            try:
                _create_many(client, asked, key, made, refused)
            except TimerClientError as error:
                _say_how_far(made, len(asked), key, error, output)
                raise
    show_list(made, COLUMNS, output, "no timer was made")
    if refused:
        sys.stderr.write(f"timerctl: {len(refused)} of {len(asked)} were refused\n")
        raise typer.Exit(exit_of_all(refused))


def _create_one(client: Client, asked: documents.Document, key: str) -> Timer:
    try:
        return client.timers.create(**asked.fields, idempotency_key=key)
    except TimerClientError as error:
        if may_be_done(error):
            sys.stderr.write(f"timerctl: it may be made all the same; {_go_on(key)}\n")
        if isinstance(error, ApiError):
            sys.stderr.write(f"timerctl: {asked.where}: {in_words(error)}\n")
            raise typer.Exit(exit_of(error)) from None
        raise


def _create_many(
    client: Client, asked: list[documents.Document], key: str, made: list[Timer], refused: list[ApiError]
) -> None:
    fields: Any = (each.fields for each in asked)
    results = with_bar(client.timers.create_many(fields, idempotency_key=key), len(asked), "timers")
    for each, result in zip(asked, results, strict=True):
        if isinstance(result, ApiError):
            refused.append(result)
            sys.stderr.write(f"timerctl: {each.where}: {in_words(result)}\n")
        else:
            made.append(result)


def _say_how_far(made: list[Timer], asked: int, key: str, error: Exception, output: Form) -> None:
    """What was made before an error, and how to go on."""
    if made:
        show_list(made, COLUMNS, output, "")
    if made or may_be_done(error):
        sys.stderr.write(f"timerctl: {len(made):,} of {asked:,} were made before it failed; {_go_on(key)}\n")


def _go_on(key: str) -> str:
    return f"the same again with --idempotency-key {key} makes the rest, and nothing twice"


def put(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name.")],
    collection: Annotated[
        str | None, typer.Option("--collection", help="The collection of the name; else the file's, or the usual.")
    ] = None,
    file: File = None,
    assignments: Fields = None,
    idempotency_key: IdempotencyKey = None,
    output: Output = Form.yaml,
) -> None:
    """Make a timer, or put it in the place of the one with its name: what is left out is as by default."""
    fields = fields_of(file, assignments)
    _agreed("name", fields.get("name"), name)
    where = _agreed("collection", fields.get("collection"), collection) or DEFAULT
    # What `get -o yaml` shows can be given back.
    fields = {field: value for field, value in fields.items() if field not in _SHOWN_ONLY and value is not None}
    key = idempotency_key or new_key()
    with client_of(context) as client:
        try:
            timer = client.timers.put(name, collection=where, idempotency_key=key, **fields)
        except TimerClientError as error:
            if may_be_done(error):
                sys.stderr.write(
                    f"timerctl: it may be put all the same; again with --idempotency-key {key} it is put once\n"
                )
            raise
        show_one(timer, output)


def _agreed(field: str, written: object, said: str | None) -> str | None:
    """What a file and the command line say of the same. Fault when they differ."""
    if written is None:
        return said
    if said is not None and str(written) != said:
        raise Fault(f"{field}: the fields say {written}, and the command line {said}")
    return str(written)
