"""What the pages say does not depend on the database, but for what operators do to it: one engine is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.one_engine import keep_one_engine


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    files = set(Path(__file__).parent.glob("test_*.py"))
    keep_one_engine(config, items, *(path for path in files if path.name != "test_operations.py"))
