"""What of this folder hardly depends on the database runs on one engine: these tests come one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.one_engine import alternate_engines, keep_one_engine

ONCE = (
    "test_egress.py",
    "test_first_timer.py",
    "test_local.py",
    "test_on_failure.py",
    "test_port_in_use.py",
    "test_secrets_in_logs.py",
    "test_signatures.py",
    "test_traces.py",
)

IN_TURN = ("test_delivery.py", "test_groups.py", "test_restore.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    keep_one_engine(config, items, *[Path(__file__).with_name(name) for name in ONCE])
    alternate_engines(config, items, *[Path(__file__).with_name(name) for name in IN_TURN])
