"""How far a long call is, on standard error, where somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

T = TypeVar("T")


@contextmanager
def counting(done: str) -> Iterator[Callable[[int], None]]:
    """Gives what takes the number so far."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True),
        transient=True, disable=not sys.stderr.isatty(),
    ) as bar:  # fmt: skip
        task = bar.add_task(done, total=None)
        yield lambda count: bar.update(task, description=f"{count:,} {done}")


def with_bar(results: Iterator[T], total: int, what: str) -> Iterator[T]:
    """The same results, with a bar."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        yield from bar.track(results, total=total, description=what)
