"""For tests that hardly depend on the database: once is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from timer_db.embedded import EngineKind


def keep_one_engine(config: pytest.Config, items: list[pytest.Item], *places: Path) -> None:
    """Of tests in these places, leave out those on MariaDB, unless it was asked for (`--engine mariadb`)."""
    if config.getoption("--engine") != "all":
        return
    left_out = [
        item
        for item in items
        if _engine_of(item) is EngineKind.mariadb
        and any(place in (item.path, *item.path.parents) for place in places)
    ]
    config.hook.pytest_deselected(items=left_out)
    spared = set(left_out)
    items[:] = [item for item in items if item not in spared]


def _engine_of(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("engine_kind") if callspec else None
