"""What the commands about timers share: their arguments and options, and how timers are listed."""

from __future__ import annotations

from typing import Annotated

import typer

from timer_client.answers import Status, Timer
from timer_client.ctl.output import Columns, labels

COLUMNS = Columns[Timer](
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
Cursor = Annotated[
    str | None, typer.Option(help="Go on where an earlier call with the same filters ended, as it said.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Not more than so many: with filters only.")]
