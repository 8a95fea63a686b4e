"""Memory of a controller with many calls in flight, and of an API process under load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.figures import Result, Value
from benchmarks.ground import Ground
from benchmarks.loading import template
from benchmarks.machine import resident_mb, resident_peak_mb
from benchmarks.programs import sleep_until
from benchmarks.workloads.create import check_created, create_request

_ANSWERS_AFTER_SECONDS = 8.0
_CALL_SECONDS = 60.0
_SECONDS_MAX = 600
_LOOK_SECONDS = 0.1
_HANDS_MOST = 50_000


def run(ground: Ground) -> Iterator[Result]:
    """One case."""
    in_flight, creates = ground.options.memory_in_flight, ground.options.memory_creates
    result = ground.result("memory", in_flight=in_flight, creates=creates)
    result.figures = {**_controller(ground, in_flight), **_api(ground, creates)}
    yield result


def _controller(ground: Ground, in_flight: int) -> dict[str, Value]:
    ground.observer.empty()
    late, port = ground.late_receiver(_ANSWERS_AFTER_SECONDS)
    with late:
        timer = replace(template(f"http://127.0.0.1:{port}/late"), timeout_seconds=_CALL_SECONDS)
        load = ground.load_ahead([timer], in_flight)[0]
        hands = min(_HANDS_MOST, in_flight * 3 // 2)
        # One receiver may take half of the places, when it is allowed as many as there are.
        places = 2 * in_flight
        with ground.controllers(1, calls_max=places, destination_calls_max=places, hands_max=hands) as (
            controller,
        ):
            idle_mb = resident_mb(controller.pid)
            sleep_until(load.first_due_us)
            _await_outcomes(ground, in_flight)
            peak_mb = resident_peak_mb(controller.pid)
        late.ask_to_end()
        held = late.report(_SECONDS_MAX)["held_at_once"]
    return {
        "controller_peak_mb": peak_mb,
        "controller_idle_mb": idle_mb,
        "in_flight_at_once": held,
        "kb_per_call": round((peak_mb - idle_mb) * 1024 / max(1, held), 1),
    }


def _await_outcomes(ground: Ground, timers: int) -> None:
    patience_ends = time.monotonic() + _CALL_SECONDS
    while ground.observer.delivered() < timers and time.monotonic() < patience_ends:
        time.sleep(_LOOK_SECONDS)


def _api(ground: Ground, creates: int) -> dict[str, Value]:
    ground.observer.empty()
    connections = ground.options.create_connections
    with ground.api() as (api, port):
        idle_mb = resident_mb(api.pid)
        with ground.generator(port, create_request(port), connections=connections, count=creates) as generator:
            check_created(generator.report(_SECONDS_MAX))
        return {"api_peak_mb": resident_peak_mb(api.pid), "api_idle_mb": idle_mb}
