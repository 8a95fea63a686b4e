"""What the verbs about many timers share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from timer_client.answers import Bulk
from timer_client.ctl.faults import Exit, Fault
from timer_client.ctl.output import Form, show_value


def only_a_name(*others: object) -> None:
    """Fault for a name that does not stand alone."""
    if any(others):
        raise Fault("--name goes with --collection only")


def which(ids: list[str] | None, *filters: str | None) -> dict[str, Any]:
    """Which timers are meant, as the client takes it. Fault when that is not said, or twice."""
    names = ("selector", "status", "collection", "route", "schedule", "due_after", "due_before")
    given = {name: value for name, value in zip(names, filters, strict=True) if value is not None}
    if ids and given:
        raise Fault("either ids or filters say which timers, not both")
    if not ids and not given:
        raise Fault("say which timers: by their ids, --selector, --collection, --route, --schedule or --status")
    return {"ids": ids} if ids else given


def run(work: Callable[[Callable[[Bulk], object]], Bulk], done: str, form: Form) -> None:
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
