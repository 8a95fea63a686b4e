"""How long property tests look: the same examples in every run, unless `HYPOTHESIS_PROFILE=long` asks for more."""

from __future__ import annotations

import os

from hypothesis import settings

LONG_FACTOR = 20


def is_long() -> bool:
    """Whether somebody wants to find what the short runs do not."""
    return os.environ.get("HYPOTHESIS_PROFILE") == "long"


def examples(count: int) -> int:
    """So many, or so many times as many."""
    return count * LONG_FACTOR if is_long() else count


def look_at(count: int) -> settings:
    """For a property test: so many examples."""
    return settings(max_examples=examples(count), deadline=None, database=None, derandomize=not is_long())
