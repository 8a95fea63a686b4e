"""Writes `docs/performance.md` and its plots from results; the words are in `performance_template.md`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import plots
from benchmarks.catalogue import in_order
from benchmarks.figures import Result
from benchmarks.programs import ROOT
from benchmarks.records import Record
from benchmarks.table import cases_of, cell, goal_text

PAGE = ROOT / "docs" / "performance.md"
TEMPLATE = Path(__file__).with_name("performance_template.md")
_PLACE = re.compile(r"^\{\{(\w+) ?([\w ]*)\}\}$", re.MULTILINE)
_NOTHING = "*Not measured in this run.*"
_COUNTS = re.compile(r"_per_batch$|^batches$")


def write(record: Record, page: Path = PAGE) -> None:
    """The page, and a picture for each plot in a folder of the page's name beside it."""
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[str], str]] = {
        "table": lambda name: _tables(record, name, lambda key: not _COUNTS.search(key)),
        "counts": lambda name: _tables(record, name, lambda key: bool(_COUNTS.search(key))),
        "plot": lambda name: _plot(record, name, folder),
        "facts": lambda _: _facts(record),
        "command": lambda _: f"```sh\n{record.command}\n```",
    }
    page.write_text(_PLACE.sub(lambda place: makers[place[1]](place[2]), TEMPLATE.read_text()))


def _facts(record: Record) -> str:
    machine = record.machine
    lines = [
        f"- Measured at {record.started_at}.",
        f"- Machine: {machine['cores']} cores ({machine['model']}), {machine['memory_mb']:,} MB,"
        f" Linux {machine['kernel']}; its disk takes {machine['fsync_us']:,} µs for an fsync (median).",
        f"- Databases: {', '.join(record.engines.values())}, each started as `make run` does.",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in record.versions.items())}.",
    ]
    for engine, settings in record.server_settings.items():
        shown = ", ".join(f"`{name}={value}`" for name, value in sorted(settings.items()))
        lines.append(f"- {record.engines[engine]}: {shown}.")
    ours = ", ".join(f"`{name}={value}`" for name, value in record.our_settings.items())
    lines.append(f"- Our settings: {ours or 'the defaults'}.")
    return "\n".join(lines)


def _tables(record: Record, workload: str, is_wanted: Callable[[str], bool]) -> str:
    found = [
        _markdown(title, by_engine, record.engines, is_wanted)
        for (name, title), by_engine in cases_of(record.results).items()
        if name == workload and any(result.figures for result in by_engine.values())
    ]
    return "\n\n".join(found) or _NOTHING


def _markdown(
    title: str, by_engine: dict[str, Result], engines: Mapping[str, str], is_wanted: Callable[[str], bool]
) -> str:
    measured = [result for result in by_engine.values() if result.figures]
    head = ["figure", *engines.values(), "to reach", "what it is"]
    lines = [f"**{title}**", "", _row(head), _row(["---", *("---:" for _ in engines), "---:", "---"])]
    for key, meaning in in_order(measured[0]):
        if is_wanted(key):
            cells = [cell(by_engine.get(engine), key).strip() for engine in engines]
            lines.append(_row([meaning.label, *cells, goal_text(measured, key), meaning.text]))
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plot(record: Record, name: str, folder: Path) -> str:
    picture = _PICTURES[name](record)
    if picture is None:
        return _NOTHING
    path = folder / f"{name}.svg"
    path.write_text(picture)
    return f"![{name}]({folder.name}/{path.name})"


def _lines(record: Record, workload: str, series: str, label: str = "") -> dict[str, list[list[float]]]:
    """The curves of a workload; of several sizes the largest."""
    results = [r for r in record.results if r.workload == workload and series in r.series]
    most = max((r.case.get("timers", 0) for r in results), default=0)
    return {
        f"{record.engines[r.engine]}: {label or r.title}": r.series[series]
        for r in results
        if r.case.get("timers", 0) == most
    }


def _progress(record: Record) -> str | None:
    lines = _lines(record, "burst", "progress")
    return (
        plots.curves("A burst: delivered over time", lines, "seconds after the instant", "timers")
        if lines
        else None
    )


def _lateness(record: Record) -> str | None:
    lines = _lines(record, "spread", "lateness_ms")
    title = "Lateness: so many percent of the timers were at most so late"
    return plots.curves(title, lines, "percent of the timers", "milliseconds", is_log=True) if lines else None


def _beside(record: Record) -> str | None:
    lines = {
        **_lines(record, "slow", "healthy_ms", "all ten answer"),
        **_lines(record, "slow", "beside_ms", "one hangs"),
    }
    title = "Lateness of nine receivers, while the tenth answers or hangs"
    return plots.curves(title, lines, "percent of the timers", "milliseconds", is_log=True) if lines else None


def _cost(record: Record) -> str | None:
    """Where the CPU goes, beside the least that would do."""
    parts: dict[str, dict[str, tuple[str, ...]]] = {
        "floor": {
            "database": ("drain_database_us",),
            "our side": ("drain_client_us", "post_client_us"),
            "nginx": ("post_nginx_us",),
        },
        "burst": {"database": ("database_us",), "our side": ("controllers_us",), "nginx": ("nginx_us",)},
    }
    rows: dict[str, dict[str, float]] = {}
    for result in sorted(record.results, key=lambda r: (r.engine, r.workload != "floor")):
        if result.workload in parts and result.figures:
            rows[f"{record.engines[result.engine]}, {result.workload} {_sizes(result)}".strip()] = {
                part: sum(_number(result, key) for key in keys) for part, keys in parts[result.workload].items()
            }
    return plots.bars("CPU per timer", rows, "µs") if rows else None


def _sizes(result: Result) -> str:
    return "" if result.workload == "floor" else f"{result.case['timers']:,} × {result.case['controllers']}"


def _number(result: Result, key: str) -> float:
    value = result.figures.get(key)
    return value if isinstance(value, (int, float)) else 0.0


_PICTURES: dict[str, Callable[[Record], str | None]] = {
    "burst": _progress,
    "spread": _lateness,
    "slow": _beside,
    "cost": _cost,
}
