"""The benchmark's own arithmetic: what it counts must be right before any figure is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import performance
from benchmarks.catalogue import GOALS, MEANINGS, goal_of
from benchmarks.figures import Result, percentile, spread_of
from benchmarks.options import QUICK, WORKLOADS, Options, parse
from benchmarks.records import Record, merged, read
from benchmarks.sink import Arrivals
from benchmarks.table import table

DUE_US = 1_800_000_000_000_400


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 1001)]
    assert [percentile(values, p) for p in (50, 99, 99.9, 100)] == [500, 990, 999, 1000]
    assert spread_of([3.0, 1.0, 2.0]) == {"p50": 2.0, "p99": 3.0, "p999": 3.0, "max": 3.0}


def test_arrivals_tell_missed_doubled_and_early() -> None:
    arrivals = Arrivals(4)
    due_ms = DUE_US // 1000
    for number, at_ms in ((0, due_ms), (1, due_ms), (1, due_ms + 5), (2, due_ms + 1)):
        arrivals.note(number, at_ms)
    assert (arrivals.delivered, arrivals.missed, arrivals.doubled) == (3, 1, 1)
    # The log says .000 for an arrival within the millisecond of the due time, which is not early;
    # number 2 is due 2 ms later, and came 1 ms before that.
    assert arrivals.early(DUE_US, step_us=1000) == 2
    assert arrivals.early(DUE_US, step_us=0) == 0
    assert arrivals.lateness_ms(DUE_US, step_us=0) == pytest.approx([0.6, 0.6, 1.6])


def test_command_line_wins_over_sizes() -> None:
    options = parse(["--quick", "--engine", "mysql", "--only", "spread,burst", "--burst-timers", "5,6"])
    assert options.only == ("burst", "spread")
    assert options.burst_timers == (5, 6)
    assert options.create_timers == QUICK["create_timers"]
    assert parse([]) == Options()


def test_a_workload_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--only", "batches"])
    assert "batches is none of floor, create, batch," in capsys.readouterr().err


def test_each_workload_and_goal_has_a_meaning() -> None:
    assert set(MEANINGS) == set(WORKLOADS)
    assert all(goal.key in MEANINGS[goal.workload] for goal in GOALS)


def a_record() -> Record:
    fast = Result("mysql", "burst", {"timers": 1_000_000, "controllers": 2}, {"seconds_to_last_arrival": 44.0})
    slow = Result("mariadb", "burst", {"timers": 1_000_000, "controllers": 2}, {"seconds_to_last_arrival": 44.0})
    fast.series = {"progress": [[0.0, 0.0], [44.0, 1e6]]}
    machine = {"cores": 2, "model": "a model", "memory_mb": 1, "kernel": "6", "fsync_us": 9}
    return Record(
        "make bench", machine=machine, engines={"mysql": "MySQL 9", "mariadb": "MariaDB 10"}, results=[fast, slow]
    )


def test_goals_differ_by_engine_and_the_table_says_which_are_reached() -> None:
    record = a_record()
    fast, slow = record.results
    goal = goal_of(fast, "seconds_to_last_arrival")
    assert goal
    assert goal.is_reached(fast)
    assert not goal.is_reached(slow)
    shown = table(record.results, record.engines)
    assert "44.00 ✓" in shown
    assert "44.00 ✗" in shown
    assert "≤ 45.00 / 35.00" in shown


def test_results_survive_json_and_later_ones_win(tmp_path: Path) -> None:
    record = a_record()
    record.write(tmp_path / "a.json")
    again = read(tmp_path / "a.json")
    assert again == record
    later = a_record()
    later.results = later.results[:1]
    later.results[0].figures["seconds_to_last_arrival"] = 30.0
    seconds = [r.figures["seconds_to_last_arrival"] for r in merged([again, later]).results]
    assert seconds == [30.0, 44.0]


def test_page_is_written_from_results(tmp_path: Path) -> None:
    performance.write(a_record(), tmp_path / "performance.md")
    page = (tmp_path / "performance.md").read_text()
    assert "{{" not in page
    assert "| s to the last arrival | 44.00 ✓ | 44.00 ✗ | ≤ 45.00 / 35.00 |" in page
    assert (tmp_path / "performance" / "burst.svg").read_text().count("<polyline") == 1
