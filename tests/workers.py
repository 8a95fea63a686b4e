"""Who runs what when there are several workers (`pytest -n 3`).

Tests of one file on one engine stay together and in order, since they share what is costly to set up. Each worker
has servers of its own, and keeps them until the end.
"""

from __future__ import annotations

import re

import pytest
from xdist.scheduler import LoadScopeScheduling

from timer_db.embedded import EngineKind

FIRST = ("faults", "integration", "contract", "simulation")
"""Folders with tests that take long: begun last, they would keep everybody waiting."""

_ENGINE = re.compile(rf"\[(?:.*-)?({'|'.join(EngineKind)})\b")


class ByFileAndEngine(LoadScopeScheduling):
    """Hands out the tests of a file on an engine."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        engine = _ENGINE.search(test)
        return f"{file} {engine[1]}" if engine else file


def longest_first(items: list[pytest.Item]) -> None:
    """In this order they are handed out."""
    ranks = {folder: rank for rank, folder in enumerate(FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))
