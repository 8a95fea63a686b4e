"""Who runs what when there are several workers (`pytest -n 2`).

Tests of one file on one engine stay together and in order, since they share what is costly to set up. Those that
start many processes and look at leases come one after the other: side by side they keep each other from being on
time. Each worker has servers of its own, and keeps them until the end.

Every worker collects by itself and must find the same tests: no parameter may be random, or its id must not tell.
"""

from __future__ import annotations

import re
from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling

from timer_db.embedded import EngineKind

ONE_AFTER_THE_OTHER = ("faults", "compose", "integration")
"""Folders, the first to be begun: together they take longest. The images of `compose` are made during `faults`."""

_ENGINE = re.compile(rf"\[(?:.*-)?({'|'.join(EngineKind)})\b")


class ByFileAndEngine(LoadScopeScheduling):
    """Hands out the tests of a file on an engine, or all of the folders above."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if PurePath(file).parent.name in ONE_AFTER_THE_OTHER:
            return "one after the other"
        engine = _ENGINE.search(test)
        return f"{file} {engine[1]}" if engine else file


def longest_first(items: list[pytest.Item]) -> None:
    """In this order they are handed out."""
    ranks = {folder: rank for rank, folder in enumerate(ONE_AFTER_THE_OTHER)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))
