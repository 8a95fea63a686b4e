"""Idempotency keys are found by their hash, and forgotten by their age, however many there are."""

from __future__ import annotations

import hashlib

import pytest

from tests.plans.fill import KEYS
from tests.plans.planner import Planner
from timer_db.statements import idempotency


@pytest.mark.parametrize("count", [1, 500])
def test_keys_are_found_by_their_hash(planner: Planner, count: int) -> None:
    keys = [hashlib.sha256(str(number * 7).encode()).digest() for number in range(count)]
    [step] = planner.explain(idempotency.holders(keys))
    assert (step.table, step.access, step.key) == (
        "idempotency_keys",
        "range" if count > 1 else "const",
        "PRIMARY",
    )
    assert step.rows <= count


@pytest.mark.parametrize("count", [1, 500])
def test_answers_are_kept_by_their_keys(planner: Planner, count: int) -> None:
    keys = [hashlib.sha256(str(number * 7).encode()).digest() for number in range(count)]
    [step] = planner.explain(idempotency.keep([(key, b"answer") for key in keys]))
    assert (step.table, step.access, step.key) == ("idempotency_keys", "range", "PRIMARY")
    assert step.rows <= count


def test_old_keys_are_found_by_their_age(planner: Planner) -> None:
    """All of them lie in the future: a plan that looks at them looks at every one."""
    [step] = planner.explain(idempotency.forget(0, 900))
    assert (step.access, step.key) == ("range", "ix_idempotency_keys_created_at_us")
    assert not step.sorts
    assert step.rows < KEYS / 10
