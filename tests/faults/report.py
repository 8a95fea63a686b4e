"""The table of `make faults`, for the terminal and for `docs/faults.md`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.checker import Broken

_HEADS = (
    "fault", "engine", "times", "timers", "missed", "doubled", "marked", "early", "other flaws", "late p99 ms",
    "taken over s", "all called s",
)  # fmt: skip
_TEMPLATE = Path(__file__).with_name("page_template.md")
_NAMED = {Broken.missed.name, Broken.early.name, Broken.doubled.name}

Figures = dict[str, Any]


def cells(figures: Figures) -> list[str]:
    """One row. `doubled` counts every call after one that was answered 2xx, and in brackets those that no crash
    excuses or that were not marked; `marked` every call that says that it may be a repeat."""
    if "skipped" in figures:
        return [figures["fault"], figures["engine"], f"not run: {figures['skipped']}", *[""] * (len(_HEADS) - 3)]
    wrong = figures["doubled"] + figures["unmarked"] + figures["forbidden"] + figures["attempt_twice"]
    others = sum(figures[kind.name] for kind in Broken if kind.name not in _NAMED)
    rescue = max(figures["rescue_seconds"], default=None)
    return [
        figures["fault"],
        figures["engine"],
        f"{figures['times']:,}",
        f"{figures['timers']:,}",
        f"{figures['missed']:,}",
        f"{figures['repeats']:,}" + (f" ({wrong:,} wrongly)" if wrong else ""),
        f"{figures['marked']:,}",
        f"{figures['early']:,}",
        f"{others:,}",
        _number(figures["late_p99_ms"], 0),
        _number(rescue, 1),
        _number(figures["whole_seconds"], 1),
    ]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def table(runs: Sequence[Figures]) -> str:
    """For the terminal."""
    rows = [list(_HEADS), *map(cells, runs)]
    widths = [
        max(len(row[place]) for row in rows if "not run" not in row[2] or place < 2)
        for place in range(len(_HEADS))
    ]
    lines = ["  ".join([*_left(row, widths, 2), *_right(row, widths, 2)]).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _left(row: Sequence[str], widths: Sequence[int], count: int) -> list[str]:
    return [f"{cell:<{width}}" for cell, width in zip(row[:count], widths[:count], strict=True)]


def _right(row: Sequence[str], widths: Sequence[int], start: int) -> list[str]:
    return [f"{cell:>{width}}" for cell, width in zip(row[start:], widths[start:], strict=True)]


def page(report: dict[str, Any]) -> str:
    """`docs/faults.md`."""
    machine, engines, runs = report["machine"], report["engines"], report["runs"]
    rows = ["| " + " | ".join(_HEADS) + " |", "| --- | --- |" + " ---: |" * (len(_HEADS) - 2)]
    rows += ["| " + " | ".join(cells(run)) + " |" for run in runs]
    played = {run["fault"]: run["title"] for run in runs}
    kills = [run for run in runs if run.get("in_hand")]
    hands = [
        "| fault | engine | claims in hand | of them unknown | called twice |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    hands += [
        f"| {run['fault']} | {run['engine']} | {_list(run['in_hand'])} | {_list(run['unknown'])} |"
        f" {run['repeats']:,} |"
        for run in kills
    ]
    broken = [f"- {run['fault']} on {run['engine']}: {line}" for run in runs for line in run.get("broken", [])[:5]]
    return _TEMPLATE.read_text().format(
        commands="\n".join(report["commands"]),
        notes="\n\n".join(report["notes"]),
        seed=report["seed"],
        date=report["date"],
        machine=f"{machine['cores']} cores ({machine['model']}), {machine['memory_mb']:,} MB,"
        f" Linux {machine['kernel']}",
        engines=" and ".join(f"{kind} {version}" for kind, version in engines.items()),
        version=report["versions"]["timer-system"],
        python=report["versions"]["python"],
        lease=f"{report['lease_seconds']:g}",
        faults="\n".join(f"- **{name}**: {title}" for name, title in played.items()),
        rows="\n".join(rows),
        hands="\n".join(hands),
        broken="\n".join(broken) or "No promise was broken.",
    )


def _list(values: Sequence[int]) -> str:
    return ", ".join(f"{value:,}" for value in values)
