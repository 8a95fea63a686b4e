"""Helpers fail here as tests do: they tell what they compared."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.simulation.both_worlds", "tests.simulation.stored")
