"""The table and the page say what the figures say."""

from __future__ import annotations

from typing import Any

from tests.faults.__main__ import together
from tests.faults.catalogue import FAULTS
from tests.faults.checker import Broken, Verdict, Violation
from tests.faults.play import Result
from tests.faults.record import Strike
from tests.faults.report import cells, page, table

KILL = FAULTS[0]


def result(*violations: Broken, rescue_seconds: float = 4.25) -> Result:
    found = [Violation(kind, 7, "detail") for kind in violations]
    verdict = Verdict(found, timers=1234, called=1200, repeats=2, marked=5, late_ms=[1.0], whole_seconds=6.5)
    return Result(KILL, "mysql", "s", 5.0, [Strike(1, 1, rescue_seconds, 80, 9)], verdict, 30.0)


def report(*runs: dict[str, Any]) -> dict[str, Any]:
    return {
        "commands": ["make faults"],
        "notes": ["It rained."],
        "date": "2026-01-02",
        "seed": "s",
        "lease_seconds": 5.0,
        "machine": {"cores": 2, "model": "m", "memory_mb": 4096, "kernel": "6"},
        "versions": {"python": "3.11", "timer-system": "1"},
        "engines": {"mysql": "9.7"},
        "runs": runs,
    }


def test_a_run_that_kept_every_promise() -> None:
    good = result()
    assert good.broken == []
    shown = ["kill-controller", "mysql", "1", "1,234", "0", "2", "5", "0", "0", "1", "4.2", "6.5"]
    assert cells(good.figures()) == shown
    assert table([good.figures()]).splitlines()[1].split() == shown
    text = page(report(good.figures()))
    assert "| kill-controller | mysql | 80 | 9 | 2 |" in text
    assert "No promise was broken." in text


def test_a_promise_that_was_broken_is_named() -> None:
    bad = result(Broken.missed, Broken.unmarked, Broken.wrong_state, rescue_seconds=6.5)
    assert len(bad.broken) == 4
    assert cells(bad.figures())[4:9] == ["1", "2 (1 wrongly)", "5", "0", "2"]
    text = page(report(bad.figures()))
    assert "kill-controller on mysql: timer 7: stored, and never called: detail" in text
    assert "a rescue took 6.50 s with a lease of 5 s" in text
    assert "No promise was broken." not in text


def test_a_fault_that_cannot_be_played_says_why() -> None:
    skipped = {"fault": "full-disk", "title": "t", "engine": "mysql", "skipped": "only root can mount"}
    assert "not run: only root can mount" in table([skipped])
    assert "not run: only root can mount" in page(report(skipped))


def test_what_was_played_again_replaces_what_was_there() -> None:
    old, new = {"fault": KILL.name, "engine": "mysql", "seed": "old"}, {"fault": KILL.name, "engine": "mysql"}
    other = {"fault": FAULTS[-1].name, "engine": "mariadb"}
    assert together([other, old], [new]) == [new, other]
