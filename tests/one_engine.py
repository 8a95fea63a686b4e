"""For tests that hardly depend on the database, and for those that take long: once is enough."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from timer_db.embedded import EngineKind


def keep_one_engine(config: pytest.Config, items: list[pytest.Item], *places: Path) -> None:
    """Of tests in these places, leave out those on MariaDB, unless it was asked for (`--engine mariadb`)."""
    _leave_out(config, items, lambda item: _is_in(item, places) and _engine_of(item) is EngineKind.mariadb)


def alternate_engines(config: pytest.Config, items: list[pytest.Item], *places: Path) -> None:
    """Of tests in these places, run the first on one engine, the second on the other, and so on."""
    found = dict.fromkeys(map(_name_of, (item for item in items if _is_in(item, places) and _engine_of(item))))
    kinds = list(EngineKind)
    chosen = {name: kinds[number % len(kinds)] for number, name in enumerate(found)}
    _leave_out(config, items, lambda item: _engine_of(item) is not chosen.get(_name_of(item), _engine_of(item)))


def _leave_out(config: pytest.Config, items: list[pytest.Item], is_spared: Callable[[pytest.Item], bool]) -> None:
    if config.getoption("--engine") != "all":
        return
    left_out = [item for item in items if is_spared(item)]
    config.hook.pytest_deselected(items=left_out)
    spared = set(left_out)
    items[:] = [item for item in items if item not in spared]


def _is_in(item: pytest.Item, places: tuple[Path, ...]) -> bool:
    # As text: thousands of tests are asked for, and comparing paths took half of the time of the collecting.
    path = str(item.path)
    return any(path == str(place) or path.startswith(f"{place}{os.sep}") for place in places)


def _name_of(item: pytest.Item) -> tuple[Path, str]:
    return item.path, getattr(item, "originalname", item.name)


def _engine_of(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("engine_kind") if callspec else None
