"""What it was measured on, and what the kernel counted: CPU time, memory."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("timer-system", "uvloop", "httptools", "sqlalchemy", "aiomysql", "pymysql", "fastapi", "uvicorn")
_TICKS = os.sysconf("SC_CLK_TCK")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def machine(scratch: Path) -> dict[str, Any]:
    """Cores, model, memory, kernel, and how long the disk under `scratch` takes to make a write safe."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cores": cores(),
        "model": model[1] if model else platform.machine(),
        "memory_mb": int(memory[1]) // 1024 if memory else None,
        "kernel": platform.release(),
        "fsync_us": _fsync_us(scratch),
    }


def versions() -> dict[str, str]:
    """Python's, ours, and those of the packages on the hot path."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


def _fsync_us(folder: Path) -> int:
    path, seconds = folder / "fsync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(512))
            began = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    path.unlink()
    return round(statistics.median(seconds) * 1e6)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads, to the nanosecond where /proc has hundredths of a second."""
    # As clock_getcpuclockid(3) makes it: the process's id, inverted, and CPUCLOCK_SCHED.
    return time.clock_gettime(~pid << 3 | 2)


def busy_seconds() -> float:
    """CPU time that all cores together have spent on something, what the host took away included."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = fields
    return (user + nice + system + interrupts + soft_interrupts + stolen) / _TICKS


def resident_mb(pid: int) -> float:
    """Resident memory now."""
    return _status_mb(pid, "VmRSS")


def resident_peak_mb(pid: int) -> float:
    """The most that was resident at any time."""
    return _status_mb(pid, "VmHWM")


def _status_mb(pid: int, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return round(int(found[1]) / 1024, 1) if found else 0.0
