"""Faults take long, one after the other: the suite plays each on one engine, and `make faults` on both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.scene import Fault
from tests.one_engine import alternate_engines
from timer_db.embedded import EngineKind


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The first on one, the second on the other, and so on; `--engine mariadb` plays every one on that."""
    others = [Path(__file__).with_name(name) for name in ("test_receivers_in_trouble.py", "test_away_at_start.py")]
    alternate_engines(config, items, *others)
    if config.getoption("--engine") != "all":
        return
    kinds = list(EngineKind)
    engine_of = {fault.name: kinds[number % len(kinds)] for number, fault in enumerate(FAULTS)}
    left_out = [item for item in items if _is_elsewhere(item, engine_of)]
    config.hook.pytest_deselected(items=left_out)
    spared = set(left_out)
    items[:] = [item for item in items if item not in spared]


def _is_elsewhere(item: pytest.Item, engine_of: dict[str, EngineKind]) -> bool:
    """Whether it plays a fault on another engine than the fault's. Items of all folders come by here."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    fault = params.get("fault")
    return isinstance(fault, Fault) and engine_of[fault.name] is not params.get("engine_kind")
