"""`make faults`: every fault at length on both engines, one table, and exit code 1 when a promise was broken.

.venv/bin/python -m tests.faults [--only NAME] [--engine mysql] [--timers 5000] [--times 5] [--seed …] [--docs]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from tests.faults.catalogue import FAULTS
from tests.faults.play import play, staged
from tests.faults.report import Figures, page, table
from tests.faults.scene import Fault, Scale
from timer_db.embedded import Engine, EngineKind, find_engine

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "faults.md"
RESULTS = ROOT / ".data" / "faults.json"
LEASE_SECONDS = 5.0
RATE = 200.0


def _options() -> argparse.Namespace:
    names = [fault.name for fault in FAULTS]
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=names, help="this fault; can be given again")
    parser.add_argument("--engine", choices=list(EngineKind), action="append", help="this engine")
    parser.add_argument("--timers", type=int, help="in all, for each fault")
    parser.add_argument("--rate", type=float, default=RATE, help="or so many per second of load; %(default)s")
    parser.add_argument("--times", type=int, help="how often each fault strikes")
    parser.add_argument("--seed", default=None, help="of the load and the moments; else one is drawn")
    parser.add_argument("--lease", type=float, default=LEASE_SECONDS, help="seconds; %(default)s")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures go; %(default)s")
    parser.add_argument("--keep", action="store_true", help="keep what that file has of faults not played now")
    parser.add_argument("--note", help="what a reader of the page should know of this run")
    parser.add_argument("--docs", action="store_true", help=f"write {DOCS.relative_to(ROOT)} too")
    return parser.parse_args()


async def _play(fault: Fault, engine: Engine, scale: Scale, seed: str, lease_seconds: float) -> Figures:
    skipped = {"fault": fault.name, "title": fault.title, "engine": engine.kind.value}
    if reason := fault.impossible():
        return {**skipped, "skipped": reason}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        try:
            async with staged(fault, engine, Path(folder) / "stage", lease_seconds) as stage:
                return (await play(fault, stage, scale, seed)).figures()
        except Exception as error:  # noqa: BLE001 - the others are played all the same
            traceback.print_exc()
            return {**skipped, "skipped": "it could not be played to its end", "broken": [repr(error)]}


async def _run(options: argparse.Namespace) -> dict[str, Any]:
    seed = options.seed or os.urandom(4).hex()
    _say(f"seed {seed}")
    engines = [find_engine(kind) for kind in map(EngineKind, options.engine or EngineKind)]
    chosen = [f for f in FAULTS if (f.name in options.only if options.only else not f.only_when_named)]
    scale = Scale(options.rate, options.timers, options.times)
    runs = []
    for fault in chosen:
        for engine in engines:
            began = time.monotonic()
            runs.append(await _play(fault, engine, scale, seed, options.lease))
            broken = runs[-1].get("broken", [])
            said = "; ".join(broken[:5]) or "every promise kept"
            _say(f"{fault.name} on {engine.kind}: {time.monotonic() - began:.0f} s, {said}")
    arguments = shlex.join(sys.argv[1:])
    return {
        "commands": [f'make faults FAULTS="{arguments}"' if arguments else "make faults"],
        "notes": [options.note] if options.note else [],
        "date": time.strftime("%Y-%m-%d"),
        "seed": seed,
        "lease_seconds": options.lease,
        "machine": machine(Path(tempfile.gettempdir())),
        "versions": {"python": platform.python_version(), "timer-system": version("timer-system")},
        "engines": {engine.kind.value: engine.version for engine in engines},
        "runs": runs,
    }


def together(before: Sequence[Figures], now: Sequence[Figures]) -> list[Figures]:
    """The runs of both, in the order of the catalogue; what was played again replaces what was there."""
    by_place = {(run["fault"], run["engine"]): run for run in (*before, *now)}
    places = [(fault.name, kind.value) for fault in FAULTS for kind in EngineKind]
    return [by_place[place] for place in places if place in by_place]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """1 when a promise was broken, or a fault could not be played to its end."""
    options = _options()
    report = asyncio.run(_run(options))
    played = report["runs"]
    if options.keep and options.json.exists():
        before = json.loads(options.json.read_text())
        report["runs"] = together(before["runs"], played)
        for member in ("commands", "notes"):
            report[member] = before[member] + report[member]
        report["engines"] = before["engines"] | report["engines"]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    _say(f"\n{table(report['runs'])}\nfigures: {options.json}")
    if options.docs:
        DOCS.write_text(page(report))
    return 1 if any(run.get("broken") for run in played) else 0


if __name__ == "__main__":
    sys.exit(main())
