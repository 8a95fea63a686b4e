"""Timers through `POST /timers/batch` and one API process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.catalogue import BATCH_GOAL_PER_SECOND
from benchmarks.figures import Result, Value, per_timer_us, ratio
from benchmarks.ground import Ground
from benchmarks.meter import Meter, Spent
from benchmarks.workloads.create import ASKED, check_created, expect_stored

_SECONDS_MAX = 600


def batch_request(port: int, size: int) -> bytes:
    """The bytes of one call that makes `size` timers; each has something of its own."""
    timers = [{**ASKED, "meta": {"order": number}} for number in range(size)]
    body = json.dumps({"timers": timers}).encode()
    head = (
        f"POST /timers/batch HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run(ground: Ground) -> Iterator[Result]:
    """One case per size of a batch."""
    options = ground.options
    for size in options.batch_sizes:
        timers, connections = options.batch_timers, options.batch_connections
        calls = max(connections, timers // size)
        result = ground.result("batch", timers=calls * size, timers_per_call=size, connections=connections)
        ground.observer.empty()
        with ground.api() as (api, port):
            meter = Meter(ground.observer, {"api": [api.pid], "database": [ground.server_pid]})
            request = batch_request(port, size)
            with ground.generator(port, request, connections=connections, count=calls) as generator:
                report = generator.report(_SECONDS_MAX)
            spent = meter.spent(report["process_seconds"])
        check_created(report)
        made = (report["requests"] + report["warm_up_requests"]) * size
        expect_stored(ground, made)
        result.figures = _figures(report, spent, size, made)
        yield result


def _figures(report: dict[str, Any], spent: Spent, size: int, made: int) -> dict[str, Value]:
    per_second = report["per_second"] * size
    return {
        "timers_per_second": round(per_second),
        "share_of_goal": ratio(per_second, BATCH_GOAL_PER_SECOND),
        # Those that warmed up cost as well.
        "api_us": per_timer_us(spent.cpu["api"], made),
        "database_us": per_timer_us(spent.cpu["database"], made),
        "generator_us": per_timer_us(report["cpu_seconds"], report["requests"] * size),
        "statements_per_timer": round(spent.status["Questions"] / made, 4),
        "commits_per_timer": round(spent.status["Com_commit"] / made, 4),
        "p50_ms": report["latency_ms"]["p50"],
        "p99_ms": report["latency_ms"]["p99"],
        "max_ms": report["latency_ms"]["max"],
        "others_cores": spent.others_cores,
    }
