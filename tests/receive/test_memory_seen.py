"""In one process: what was done is not done again, and what failed is."""

from __future__ import annotations

import pytest

from timer_client.receive import MemorySeen, UnderWay


def test_a_repeat_is_dropped_once_the_work_is_done() -> None:
    memory = MemorySeen()
    with pytest.raises(ZeroDivisionError), memory.begin() as seen:
        _ = seen.add("a") / 0
    with memory.begin() as seen:
        assert seen.add("a")
        assert not seen.add("a")
    with memory.begin() as seen:
        assert not seen.add("a")
        assert seen.add("b")


def test_a_repeat_during_the_work_has_to_come_again() -> None:
    """The first may fail yet, so its repeat must not be answered as if it were done."""
    memory = MemorySeen()
    with memory.begin() as first, memory.begin() as second:
        assert first.add("a")
        with pytest.raises(UnderWay, match="a is still at work"):
            second.add("a")
    with memory.begin() as third:
        assert not third.add("a")


def test_the_latest_are_kept() -> None:
    memory = MemorySeen(kept_max=2)
    for name in "abc":
        with memory.begin() as seen:
            seen.add(name)
    with memory.begin() as seen:
        assert [seen.add(name) for name in "cba"] == [False, False, True]
