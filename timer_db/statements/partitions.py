"""The partitions of `attempts`."""

from __future__ import annotations

from collections.abc import Sequence

FUTURE = "p_future"
PATIENCE = "SET SESSION lock_wait_timeout = 1"
"""A change of the table waits for whoever reads it, a backup perhaps, and every writer waits behind the change."""
PATIENCE_AS_BEFORE = "SET SESSION lock_wait_timeout = DEFAULT"
PRESENT = (
    "SELECT PARTITION_NAME, CAST(PARTITION_DESCRIPTION AS SIGNED) FROM information_schema.PARTITIONS"
    f" WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'attempts' AND PARTITION_NAME <> '{FUTURE}'"
    " ORDER BY PARTITION_ORDINAL_POSITION"
)
"""Each but the catch-all, in order of time: its name, and its end in microseconds."""


def split(days: Sequence[tuple[str, int]]) -> str:
    """Cut (name, end in microseconds) off the catch-all partition, in order of time."""
    cut = ", ".join(f"PARTITION {name} VALUES LESS THAN ({end_us})" for name, end_us in days)
    return (
        f"ALTER TABLE attempts REORGANIZE PARTITION {FUTURE} INTO"
        f" ({cut}, PARTITION {FUTURE} VALUES LESS THAN MAXVALUE)"
    )


def drop(name: str) -> str:
    """Drop a partition with everything in it."""
    return f"ALTER TABLE attempts DROP PARTITION {name}"
