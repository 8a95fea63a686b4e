"""What the pages say does not depend on the database; one engine is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.one_engine import keep_one_engine


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    keep_one_engine(config, items, Path(__file__).parent)
