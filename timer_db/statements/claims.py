"""`claim_batches`: what is in the hands of controllers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from timer_db.statements.literals import FORCE_KEY, NOW_US, delete_from, of_bytes


def hold(controller_id: int, number: int, entries: bytes, unsent: int) -> str:
    """A new batch for a controller that is a member. Count: 0 when it is none any more, else 1."""
    return (
        "INSERT INTO claim_batches (controller_id, number, claimed_at_us, entries, unsent)"
        f" SELECT id, {number}, {NOW_US}, {of_bytes(entries)}, {unsent} FROM controllers"
        f" WHERE id = {controller_id} AND gone_at_us IS NULL"
    )


def look(controller_id: int, number: int) -> str:
    """The entries of a batch, and how many were not sent, when it is there.

    FOR UPDATE: a claim whose connection was lost at COMMIT may still be under way at the server; this waits
    for its end instead of looking past it.
    """
    return (
        "SELECT entries, unsent FROM claim_batches"
        f" WHERE controller_id = {controller_id} AND number = {number} FOR UPDATE"
    )


def lock(controller_id: int, numbers: Iterable[int]) -> str:
    """Those of the batches that are still there, locked: whoever locks a batch decides what becomes of it."""
    return (
        f"SELECT number, entries, unsent FROM claim_batches {FORCE_KEY} WHERE controller_id = {controller_id}"
        f" AND number IN ({_numbers(numbers)}) ORDER BY number FOR UPDATE"
    )


def lock_first_of(controller_id: int) -> str:
    """One batch of this controller that nobody else is working on."""
    return (
        f"SELECT number, entries, unsent FROM claim_batches WHERE controller_id = {controller_id}"
        " ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED"
    )


def release(controller_id: int, unsent: Mapping[int, int]) -> str:
    """For each batch by its number: so many are still sure to be unsent. Count: one per number.

    Never more than before: a statement whose connection was lost may come late.
    """
    cases = " ".join([f"WHEN {number} THEN {count}" for number, count in sorted(unsent.items())])
    return (
        f"UPDATE claim_batches {FORCE_KEY} SET unsent = LEAST(unsent, CASE number {cases} END)"
        f" WHERE controller_id = {controller_id} AND number IN ({_numbers(unsent)})"
    )


def rewrite(controller_id: int, number: int, entries: bytes, unsent: int) -> str:
    """Count: 1."""
    return (
        f"UPDATE claim_batches SET entries = {of_bytes(entries)}, unsent = {unsent}"
        f" WHERE controller_id = {controller_id} AND number = {number}"
    )


def drop(controller_id: int, numbers: Iterable[int]) -> str:
    """Count: one per number."""
    return (
        f"{delete_from('claim_batches')} WHERE controller_id = {controller_id} AND number IN ({_numbers(numbers)})"
    )


ALL = "SELECT controller_id, entries FROM claim_batches"
"""Every batch in hand: as many rows as there are batches, some dozens."""

ALL_WITH_TIMES = "SELECT controller_id, number, claimed_at_us, entries FROM claim_batches"
"""The same with the number of each batch, and when it was claimed."""


def _numbers(numbers: Iterable[int]) -> str:
    return ",".join([str(number) for number in sorted(numbers)])
