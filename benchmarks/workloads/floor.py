"""What the least possible work costs on this machine, now.

Two loops that share nothing with the controller but its requests and its statements: POSTs of the same size over
kept connections to the same sink, and claims and finishes by the product's statements over one connection. If one
process did just this, on all cores and without a pause, the machine would deliver at the floor rate.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import orjson

from benchmarks.figures import BenchmarkError, Result, per_timer_us
from benchmarks.ground import PURGE_SECONDS, Ground
from benchmarks.loading import template
from benchmarks.machine import cores
from benchmarks.meter import Meter, Spent
from benchmarks.programs import Program
from timer_db.domain.representation import represent, rfc3339
from timer_db.domain.states import TimerState
from timer_db.domain.timer import NewTimer, Timer

CONNECTIONS = 64
_SECONDS_MAX = 600


def run(ground: Ground) -> Iterator[Result]:
    """One case."""
    timers = ground.options.floor_timers
    result = ground.result("floor", timers=timers)
    ground.observer.empty()
    post = _post(ground, timers)
    drain = drain_bare(ground, timers)
    ground.observer.empty()
    parts = {
        "post_client_us": post["client_us"],
        "post_nginx_us": post["nginx_us"],
        "drain_client_us": drain["client_us"],
        "drain_database_us": drain["database_us"],
    }
    result.figures = {
        "floor_per_second": round(cores() * 1e6 / sum(parts.values())),
        "cores": cores(),
        **parts,
        "posts_per_second": round(post["per_second"]),
        "drained_per_second": round(drain["per_second"]),
        "claim_ms": drain["claim_ms"],
        "others_cores": max(post["others_cores"], drain["others_cores"]),
    }
    yield result


def call_request(url: str, port: int) -> bytes:
    """A request with the headers and the body of a controller's call for a timer with this URL."""
    new = template(url)
    timer = Timer(**{field.name: getattr(new, field.name) for field in fields(NewTimer)}, state=TimerState.firing)
    body = orjson.dumps(represent(timer, timer.due_at_us))
    headers = {
        "Host": f"127.0.0.1:{port}",
        "User-Agent": "timer-system/0.0.0",
        "webhook-id": timer.id,
        "webhook-timestamp": timer.due_at_us // 1_000_000,
        "Idempotency-Key": timer.id,
        "Timer-Attempt": 1,
        "Timer-Due-At": rfc3339(timer.due_at_us),
        "Content-Type": "application/json",
        "Content-Length": len(body),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    target = f"{url.partition(str(port))[2]}/{timer.id}"
    return f"POST {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


def _post(ground: Ground, calls: int) -> dict[str, float]:
    port = ground.sink.ports[0]
    request = call_request(ground.sink.url(ground.tag("floor")), port)
    meter = Meter(ground.observer, {"nginx": [ground.sink.program.pid]})
    with ground.generator(port, request, connections=CONNECTIONS, count=calls) as generator:
        report = generator.report(_SECONDS_MAX)
    spent = meter.spent(report["process_seconds"])
    if list(report["statuses"]) != ["200"]:
        raise BenchmarkError(f"the sink answered {report['statuses']}")
    made = calls + report["warm_up_requests"]
    return {
        "client_us": per_timer_us(report["cpu_seconds"], calls),
        "nginx_us": per_timer_us(spent.cpu["nginx"], made),
        "per_second": report["per_second"],
        "others_cores": spent.others_cores,
    }


def drain_bare(ground: Ground, timers: int) -> dict[str, float]:
    """Claim and finish `timers` with nothing else running; the tables hold them and whatever was there before."""
    horizon_us = time.time_ns() // 1000
    ground.load(template(ground.sink.url(ground.tag("bare"))), timers, horizon_us - 1_000_000)
    time.sleep(2 * PURGE_SECONDS)  # lets the server write what the load left dirty
    meter = Meter(ground.observer, {"database": [ground.server_pid]})
    report, spent = _drained(ground, horizon_us, meter)
    if report["timers"] != timers:
        raise BenchmarkError(f"{report['timers']} of {timers} timers were drained")
    return {
        "client_us": per_timer_us(report["cpu_seconds"], timers),
        "database_us": per_timer_us(spent.cpu["database"], timers),
        "per_second": timers / report["seconds"],
        "claim_ms": round(statistics.median(report["claim_ms"]), 2),
        "others_cores": spent.others_cores,
    }


def _drained(ground: Ground, horizon_us: int, meter: Meter) -> tuple[dict[str, Any], Spent]:
    arguments = [ground.server.url, horizon_us]
    with Program.of_module("benchmarks.bare_drain", ground.folder / "drain.log", arguments) as program:
        report = program.report(_SECONDS_MAX)
    time.sleep(PURGE_SECONDS)
    return report, meter.spent(report["process_seconds"])
