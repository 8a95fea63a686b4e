"""The partitions of `attempts`."""

from __future__ import annotations

from collections.abc import Sequence

FUTURE = "p_future"
LOCK = "SELECT GET_LOCK('timer_db.partitions', 0)"
UNLOCK = "SELECT RELEASE_LOCK('timer_db.partitions')"
PATIENCE = "SET SESSION lock_wait_timeout = 1"
"""A change of the table waits for whoever reads it, a backup perhaps, and every writer waits behind the change."""
PATIENCE_AS_BEFORE = "SET SESSION lock_wait_timeout = DEFAULT"
PRESENT = (
    "SELECT PARTITION_NAME FROM information_schema.PARTITIONS"
    " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'attempts'"
)


def split(days: Sequence[tuple[str, int]]) -> str:
    """Cut (name, end in microseconds) off the catch-all partition, in order of time."""
    cut = ", ".join(f"PARTITION {name} VALUES LESS THAN ({end_us})" for name, end_us in days)
    return (
        f"ALTER TABLE attempts REORGANIZE PARTITION {FUTURE} INTO"
        f" ({cut}, PARTITION {FUTURE} VALUES LESS THAN MAXVALUE)"
    )
