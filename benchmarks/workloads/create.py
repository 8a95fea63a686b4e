"""Single creates through one API process, and the same process with nothing behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import BenchmarkError, Result, Value, per_timer_us, ratio
from benchmarks.ground import Ground
from benchmarks.meter import Meter, Spent

_SECONDS_MAX = 600
ASKED = {"url": "http://127.0.0.1:9/hooks/orders", "delay": 3600, "meta": {"order": 4711}}
WITHOUT_DATABASE = "benchmarks.api_without_database"


def create_request(port: int) -> bytes:
    """The bytes of one `POST /timers`."""
    body = json.dumps(ASKED).encode()
    head = (
        f"POST /timers HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def check_created(report: dict[str, Any]) -> None:
    """Every answer must have been 201."""
    if set(report["statuses"]) != {"201"}:
        raise BenchmarkError(f"creates were answered {report['statuses']}")


@dataclass(slots=True)
class _Line:
    """One run against one API."""

    report: dict[str, Any]
    spent: Spent

    @property
    def per_second(self) -> float:
        return float(self.report["per_second"])

    def us(self, part: str) -> float:
        """CPU per create; those that warmed up cost as well."""
        return per_timer_us(self.spent.cpu[part], self.made)

    @property
    def made(self) -> int:
        return int(self.report["requests"]) + int(self.report["warm_up_requests"])


def run(ground: Ground) -> Iterator[Result]:
    """One case."""
    timers, connections = ground.options.create_timers, ground.options.create_connections
    result = ground.result("create", timers=timers, connections=connections)
    ground.observer.empty()
    # First with nothing behind it: what the database writes later must not run into it.
    without = _create(ground, WITHOUT_DATABASE, timers, connections)
    expect_stored(ground, 0)
    stored = _create(ground, "timer_api", timers, connections)
    expect_stored(ground, stored.made)
    result.figures = {
        "share_of_unstored": ratio(stored.per_second, without.per_second),
        **_figures(stored),
        "unstored_per_second": round(without.per_second),
        "unstored_p99_ms": without.report["latency_ms"]["p99"],
        "unstored_api_us": without.us("api"),
    }
    yield result


def expect_stored(ground: Ground, timers: int) -> None:
    """So many, and no more."""
    found = ground.observer.number("SELECT COUNT(*) FROM timers")
    if found != timers:
        raise BenchmarkError(f"{found} timers are stored instead of {timers}")


def _create(ground: Ground, module: str, timers: int, connections: int) -> _Line:
    with ground.api(module) as (api, port):
        meter = Meter(ground.observer, {"api": [api.pid], "database": [ground.server_pid]})
        with ground.generator(port, create_request(port), connections=connections, count=timers) as generator:
            report = generator.report(_SECONDS_MAX)
        spent = meter.spent(report["process_seconds"])
    check_created(report)
    return _Line(report, spent)


def _figures(stored: _Line) -> dict[str, Value]:
    commits = stored.spent.status["Com_commit"]
    return {
        "creates_per_second": round(stored.per_second),
        "p50_ms": stored.report["latency_ms"]["p50"],
        "p99_ms": stored.report["latency_ms"]["p99"],
        "max_ms": stored.report["latency_ms"]["max"],
        "commits_per_create": round(commits / stored.made, 4),
        "statements_per_create": round(stored.spent.status["Questions"] / stored.made, 4),
        "api_us": stored.us("api"),
        "database_us": stored.us("database"),
        "generator_us": per_timer_us(stored.report["cpu_seconds"], stored.report["requests"]),
        "others_cores": stored.spent.others_cores,
    }
