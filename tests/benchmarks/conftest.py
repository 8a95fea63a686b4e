"""What the benchmark measures is the same on both engines: its workloads take turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.one_engine import alternate_engines


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    alternate_engines(config, items, Path(__file__).parent)
