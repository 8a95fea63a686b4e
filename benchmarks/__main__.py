"""`python -m benchmarks`: measures, prints one table, writes JSON, and the page about it when asked to."""

from __future__ import annotations

import importlib
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import performance
from benchmarks.figures import BenchmarkError, Result, ratio
from benchmarks.ground import Ground, ground
from benchmarks.machine import machine, versions
from benchmarks.options import Options, parse
from benchmarks.records import Record, merged, read
from benchmarks.table import table
from timer_db.embedded import EmbeddedError, EngineKind

TITLES = {EngineKind.mysql: "MySQL", EngineKind.mariadb: "MariaDB"}


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 when something could not be measured."""
    options = parse(arguments)
    # As after Ctrl-C: whatever was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if options.docs_from:
            performance.write(merged(map(read, options.docs_from)))
            return 0
        record = Record(" ".join(["python -m benchmarks", *(arguments or sys.argv[1:])]), versions=versions())
        path = options.json or record.default_path()
        _measure(options, record, path)
    except (BenchmarkError, EmbeddedError) as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        return 130
    sys.stdout.write(f"{table(record.results, record.engines)}\nresults: {path}\n")
    if options.write_docs:
        performance.write(record)
    return 1 if any(result.error for result in record.results) else 0


def _measure(options: Options, record: Record, path: Path) -> None:
    """Every workload on every engine; the record is written after each, so that a stop loses little."""
    record.our_settings = dict(options.settings)
    with TemporaryDirectory(prefix="timer-benchmarks-") as folder:
        record.machine = machine(Path(folder))
        for engine in options.engines:
            with ground(engine, options, Path(folder) / engine) as made:
                record.engines[engine.value] = f"{TITLES[engine]} {made.server.engine.version}"
                record.server_settings[engine.value] = made.observer.settings()
                for workload in options.only:
                    record.results += _run(made, workload)
                    _note_shares([result for result in record.results if result.engine == engine.value])
                    record.write(path)


def _run(made: Ground, workload: str) -> list[Result]:
    began = time.monotonic()
    _tell(f"{made.engine.value} {workload} …")
    try:
        found = _middle([list(_cases(made, workload)) for _ in range(made.options.rounds)])
    except (BenchmarkError, EmbeddedError) as error:
        found = [Result(made.engine.value, workload, {}, error=str(error))]
        _tell(f" {error}")
    _tell(f" {time.monotonic() - began:.0f} s\n")
    return found


def _cases(made: Ground, workload: str) -> Iterator[Result]:
    module = importlib.import_module(f"benchmarks.workloads.{workload}")
    yield from module.run(made)


def _middle(rounds: list[list[Result]]) -> list[Result]:
    """Of each case the round in the middle, by its first figure: one interrupted round says nothing."""
    by_case: defaultdict[str, list[Result]] = defaultdict(list)
    for results in rounds:
        for result in results:
            by_case[result.title].append(result)
    return [_median_of(results) for results in by_case.values()]


def _median_of(results: list[Result]) -> Result:
    firsts = [next(iter(result.figures.values())) for result in results]
    numbers = [value if isinstance(value, (int, float)) else 0.0 for value in firsts]
    middle = results[numbers.index(statistics.median_low(numbers))]
    if len(results) > 1:
        middle.series["first_figure_of_each_round"] = [[float(value)] for value in numbers]
    return middle


def _note_shares(results: list[Result]) -> None:
    """Deliveries per second as a share of the floor that was measured beside them."""
    floors = [r.figures.get("floor_per_second") for r in results if r.workload == "floor" and r.figures]
    for result in results:
        rate = result.figures.get("deliveries_per_second")
        if floors and isinstance(rate, (int, float)) and isinstance(floors[0], (int, float)):
            result.figures["share_of_floor"] = ratio(rate, floors[0])


def _tell(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
