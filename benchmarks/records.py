"""Results as JSON: what was measured, where, with what."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import BenchmarkError, Result

RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True)
class Record:
    """One run of the benchmark. `engines` gives each engine's title, such as `MySQL 9.7.1`."""

    command: str
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    server_settings: dict[str, dict[str, str]] = field(default_factory=dict)
    our_settings: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def default_path(self) -> Path:
        """A file of its own for each run."""
        return RESULTS / f"{self.started_at[:16].replace(':', '').replace('T', '-')}.json"

    def write(self, path: Path) -> None:
        """As JSON; points of plots take a line each curve."""
        path.parent.mkdir(parents=True, exist_ok=True)
        document = asdict(self)
        curves: list[str] = []
        for result in document["results"]:
            for name, points in result["series"].items():
                result["series"][name] = f"curve {len(curves)}"
                curves.append(json.dumps(points))
        text = json.dumps(document, indent=2, ensure_ascii=False)
        for number, points in enumerate(curves):
            text = text.replace(f'"curve {number}"', points, 1)
        path.write_text(text + "\n")


def read(path: Path) -> Record:
    """What `write` wrote. BenchmarkError for a file that is none."""
    try:
        document = json.loads(path.read_text())
        results = [Result(**result) for result in document.pop("results")]
        return Record(**document, results=results)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BenchmarkError(f"{path} holds no results: {error}") from None


def merged(records: Iterable[Record]) -> Record:
    """All results, and all commands; those of later runs take the place of earlier ones of the same case."""
    latest, *_ = found = list(records)
    results: dict[tuple[str, str, str], Result] = {}
    for record in found:
        latest = record
        results.update({(r.workload, r.title, r.engine): r for r in record.results if not r.error})
    engines = {name: title for record in found for name, title in record.engines.items()}
    settings = {name: values for record in found for name, values in record.server_settings.items()}
    commands = "\n".join(dict.fromkeys(record.command for record in found))
    return Record(
        commands, latest.started_at, latest.machine, latest.versions, engines, settings, latest.our_settings,
        list(results.values()),
    )  # fmt: skip
