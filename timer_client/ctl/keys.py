"""`timerctl key`: who may use the API."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from timer_client.answers import ApiKey
from timer_client.ctl.common import Fields, File, Output, client_of, fields_of
from timer_client.ctl.output import Columns, Form, show_list, show_one, words

app = typer.Typer(no_args_is_help=True, help="API keys: who may use the API, and for what.")

_COLUMNS = Columns[ApiKey](
    id=lambda k: k.id,
    name=lambda k: k.name,
    scopes=lambda k: words(k.scopes),
    collections=lambda k: "all" if k.collections is None else words(k.collections),
    per_second=lambda k: k.rate_per_second,
    created_at=lambda k: k.created_at,
    last_used_at=lambda k: k.last_used_at,
    revoked_at=lambda k: k.revoked_at,
)


@app.command("list")
def list_keys(context: typer.Context, output: Output = Form.table) -> None:
    """List all of them, newest first."""
    with client_of(context) as client:
        show_list(client.api_keys.list(), _COLUMNS, output, "no API keys")


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose it is, or what for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="timers:read, timers:write or admin. Can be given again.")
    ] = None,
    collection: Annotated[
        list[str] | None, typer.Option(help="Only for this collection. Can be given again.")
    ] = None,
    file: File = None,
    assignments: Fields = None,
    output: Output = Form.yaml,
) -> None:
    """Make a key, which is shown this once. From the first key on, every call needs one."""
    fields = fields_of(file, assignments, name=name, scopes=scope or None, collections=collection or None)
    with client_of(context) as client:
        show_one(client.api_keys.create(**fields), output)


@app.command()
def revoke(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(help="Its id, which `list` shows.")],
) -> None:
    """It lets nobody in any more."""
    with client_of(context) as client:
        client.api_keys.revoke(key_id)
    sys.stdout.write(f"revoked {key_id}\n")
