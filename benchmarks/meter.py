"""What a stretch of work cost: CPU by process, the server's counters, and how much else ran on the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.database import Observer
from benchmarks.machine import busy_seconds, cpu_seconds

_KINDS = {
    "statements": ("Questions",),
    "selects": ("Com_select",),
    "inserts": ("Com_insert", "Com_insert_select"),
    "deletes": ("Com_delete", "Com_delete_multi"),
    "updates": ("Com_update", "Com_update_multi"),
    "commits": ("Com_commit",),
    "rollbacks": ("Com_rollback",),
}
"""The server counts each form of a statement by itself."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Between two readings."""

    seconds: float
    cpu: dict[str, float]
    """CPU seconds by the name of the part."""
    status: dict[str, int]
    others_cores: float
    """Cores that were busy with what is no part of the benchmark: the noise."""

    def statements_per(self, batches: int) -> dict[str, float | int | str | None]:
        """The statements that the server was asked, each a round trip, per batch of timers."""
        found: dict[str, float | int | str | None] = {"batches": batches}
        for kind, names in _KINDS.items():
            asked = sum(self.status[name] for name in names)
            found[f"{kind}_per_batch"] = round(asked / max(1, batches), 2)
        return found


class Meter:
    """Reads at its making, and again at each `spent`. Parts are process ids by name."""

    def __init__(self, observer: Observer, parts: Mapping[str, Sequence[int]]) -> None:
        self._observer = observer
        self._parts = {**parts, "harness": [os.getpid()]}
        self._status = observer.status()
        self._cpu = self._read_cpu()
        self._busy = busy_seconds()
        self._at = time.monotonic()

    def spent(self, known_seconds: float = 0.0) -> Spent:
        """Since the making. `known_seconds` is CPU of processes of ours that have ended in between."""
        seconds = time.monotonic() - self._at
        busy = busy_seconds() - self._busy
        cpu = {name: now - self._cpu[name] for name, now in self._read_cpu().items()}
        now = self._observer.status()
        status = {name: now[name] - before for name, before in self._status.items()}
        others = max(0.0, busy - sum(cpu.values()) - known_seconds)
        return Spent(seconds, cpu, status, round(others / seconds, 2))

    def _read_cpu(self) -> dict[str, float]:
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self._parts.items()}
