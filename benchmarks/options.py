"""What to measure, and in which sizes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from timer_db.embedded import EngineKind

WORKLOADS = (
    "floor",
    "create",
    "batch",
    "burst",
    "backlog",
    "spread",
    "pending",
    "after",
    "mixed",
    "slow",
    "memory",
    "telemetry",
    "list",
    "bulk",
)
"""In the order in which they run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The defaults fit a small machine and some minutes; `QUICK` shows that it works, `FULL` is for the page."""

    engines: tuple[EngineKind, ...] = tuple(EngineKind)
    only: tuple[str, ...] = WORKLOADS
    rounds: int = 1
    controllers: tuple[int, ...] = (1, 2)
    floor_timers: int = 50_000
    create_timers: int = 20_000
    create_connections: int = 64
    batch_timers: int = 200_000
    batch_sizes: tuple[int, ...] = (1_000, 10_000)
    batch_connections: int = 4
    burst_timers: tuple[int, ...] = (20_000,)
    backlog_timers: int = 50_000
    spread_rates: tuple[int, ...] = (200,)
    spread_seconds: int = 20
    pending_timers: int = 20_000
    pending_others: int = 1_000_000
    after_timers: int = 20_000
    after_delivered: int = 200_000
    mixed_timers: int = 50_000
    mixed_rate: int = 300
    mixed_idle_seconds: int = 10
    slow_rate: int = 200
    slow_seconds: int = 20
    memory_in_flight: int = 2_000
    memory_creates: int = 20_000
    telemetry_timers: int = 50_000
    telemetry_pairs: int = 3
    list_timers: int = 1_000_000
    list_calls: int = 100
    bulk_timers: int = 100_000
    buffer_pool_mb: int = 512
    settings: tuple[tuple[str, str], ...] = ()
    """Settings of our services that differ from their defaults: names without TIMER_, values."""
    json: Path | None = None
    write_docs: bool = False
    docs_from: tuple[Path, ...] = ()


QUICK: dict[str, Any] = {
    "floor_timers": 10_000,
    "create_timers": 2_000,
    "batch_timers": 20_000,
    "batch_sizes": (1_000,),
    "burst_timers": (3_000,),
    "backlog_timers": 5_000,
    "spread_seconds": 3,
    "pending_timers": 3_000,
    "pending_others": 20_000,
    "after_timers": 3_000,
    "after_delivered": 6_000,
    "mixed_timers": 3_000,
    "mixed_idle_seconds": 2,
    "slow_seconds": 3,
    "memory_in_flight": 200,
    "memory_creates": 2_000,
    "telemetry_timers": 3_000,
    "telemetry_pairs": 1,
    "list_timers": 20_000,
    "list_calls": 10,
    "bulk_timers": 20_000,
}
FULL: dict[str, Any] = {
    "rounds": 3,
    "floor_timers": 200_000,
    "create_timers": 100_000,
    "batch_timers": 1_000_000,
    "burst_timers": (20_000, 1_000_000),
    "backlog_timers": 1_000_000,
    "spread_rates": (200, 5_000),
    "spread_seconds": 60,
    "pending_timers": 200_000,
    "pending_others": 10_000_000,
    "after_timers": 200_000,
    "after_delivered": 10_000_000,
    "mixed_timers": 500_000,
    "mixed_idle_seconds": 30,
    "slow_seconds": 60,
    "memory_in_flight": 10_000,
    "memory_creates": 100_000,
    "telemetry_timers": 200_000,
    "telemetry_pairs": 7,
    "list_timers": 10_000_000,
    "list_calls": 300,
    "bulk_timers": 1_000_000,
}
_HELP = {
    "rounds": "how often each case runs; the middle one by its first figure is kept",
    "controllers": "how many controllers, one case each; the last one is used where there is one case",
    "batch_sizes": "timers per call, one case each",
    "burst_timers": "timers that are due at one instant, one case each",
    "backlog_timers": "timers of five priorities that were due an hour ago",
    "spread_rates": "timers per second, one case each",
    "pending_others": "timers that wait while a burst is delivered",
    "after_delivered": "timers that were delivered before, and are still there",
    "mixed_rate": "creates per second while a burst is delivered",
    "memory_in_flight": "calls that a controller has in flight at once",
    "telemetry_pairs": "bursts with metrics and as many without, in turn",
    "list_timers": "labelled timers that are listed",
    "list_calls": "first pages of each kind of list",
    "bulk_timers": "timers that are cancelled, moved and replayed in bulk",
}
_BY_HAND = frozenset({"engines", "only", "settings", "json", "write_docs", "docs_from"})


def _list_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in WORKLOADS:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(WORKLOADS)}")
    return tuple(name for name in WORKLOADS if name in names)


def _setting(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark:
        raise argparse.ArgumentTypeError("it must read name=value, such as calls_max=256")
    return name.lower().removeprefix("timer_"), value


def _engines(text: str) -> tuple[EngineKind, ...]:
    try:
        return tuple(EngineKind) if text == "both" else (EngineKind(text),)
    except ValueError:
        raise argparse.ArgumentTypeError("mysql, mariadb or both") from None


def parse(arguments: list[str] | None = None) -> Options:
    """The command line's options; `--help` tells them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--engine", dest="engines", type=_engines, metavar="mysql|mariadb|both")
    parser.add_argument("--only", type=_names, metavar="NAME,…", help=", ".join(WORKLOADS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it work?")
    parser.add_argument("--full", action="store_true", help="the sizes of the published figures; takes two hours")
    parser.add_argument("--set", dest="settings", type=_setting, action="append", metavar="NAME=VALUE")
    parser.add_argument(
        "--json", type=Path, help="where the results go (default: a new file in benchmarks/results)"
    )
    parser.add_argument(
        "--write-docs", action="store_true", default=None, help="write docs/performance.md as well"
    )
    parser.add_argument(
        "--docs-from", type=Path, nargs="+", metavar="JSON",
        help="measure nothing: write docs/performance.md from these results, later ones over earlier ones",
    )  # fmt: skip
    for field in fields(Options):
        if field.name not in _BY_HAND:
            kind = _list_of if isinstance(field.default, tuple) else int
            shown = str(field.default).strip("(),") if isinstance(field.default, tuple) else field.default
            text = f"{_HELP.get(field.name, '')} (default: {shown})".strip()
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, help=text, metavar="N")
    given = vars(parser.parse_args(arguments))
    sizes = {**(QUICK if given.pop("quick") else {}), **(FULL if given.pop("full") else {})}
    # What was said on the command line wins over the sizes of --quick and --full.
    chosen = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if v is not None}
    return replace(Options(), **{**sizes, **chosen})
