"""Results as one table for the terminal: a row per figure, a column per engine."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.catalogue import Goal, goal_of, in_order, shown
from benchmarks.figures import Result

_LABEL, _COLUMN, _GOAL = 46, 18, 16

Cases = dict[tuple[str, str], dict[str, Result]]


def cases_of(results: Sequence[Result]) -> Cases:
    """Results by workload and case, each with one result per engine."""
    cases: Cases = {}
    for result in results:
        cases.setdefault((result.workload, result.title), {})[result.engine] = result
    return cases


def table(results: Sequence[Result], engines: dict[str, str]) -> str:
    """`engines` gives the heading of each engine's column."""
    lines = [
        "".join([" " * _LABEL, *(f"{title:>{_COLUMN}}" for title in engines.values()), f"{'to reach':>{_GOAL}}"])
    ]
    for (workload, title), by_engine in cases_of(results).items():
        lines += ["", f"{workload}: {title}"]
        for engine, result in by_engine.items():
            if result.error:
                lines.append(f"  {engine}: {result.error}")
        lines += rows(by_engine, engines)
    return "\n".join(lines) + "\n"


def rows(by_engine: dict[str, Result], engines: dict[str, str]) -> list[str]:
    """The lines of one case."""
    measured = [result for result in by_engine.values() if result.figures]
    lines = []
    for key, meaning in in_order(measured[0]) if measured else ():
        cells = [f"{cell(by_engine.get(engine), key):>{_COLUMN}}" for engine in engines]
        lines.append(f"  {meaning.label:<{_LABEL - 2}}{''.join(cells)}{goal_text(measured, key):>{_GOAL}}")
    return lines


def cell(result: Result | None, key: str) -> str:
    """One figure, with a mark when it misses its goal."""
    if result is None or key not in result.figures:
        return "–"
    goal = goal_of(result, key)
    mark = " ✗" if goal and not goal.is_reached(result) else " ✓" if goal else "  "
    return shown(result.workload, key, result.figures[key]) + mark


def goal_text(measured: Sequence[Result], key: str) -> str:
    """What is to be reached, once when it is the same for all engines."""
    goals = [(goal, result) for result in measured if (goal := goal_of(result, key))]
    limits = dict.fromkeys(_limit(goal, result) for goal, result in goals)
    return f"{goals[0][0].sign} {' / '.join(limits)}" if goals else ""


def _limit(goal: Goal, result: Result) -> str:
    return shown(goal.workload, goal.key, goal.limit(result.engine)) if goal.sign != "=" else "0"
