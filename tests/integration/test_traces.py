"""Traces from the create to the call: what is passed on always, and the spans of who asks for them."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.receiver import Receiver
from tests.system import System, free_port

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
SERVER, CLIENT = 2, 3
ERROR = 2
QUICK = {"max_attempts": 2, "initial_seconds": 0.2, "jitter": 0}


@dataclass(frozen=True)
class Span:
    """One of those that a collector got."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: int
    began_ns: int
    ended_ns: int
    attributes: dict[str, str | int]
    is_error: bool


class Collector(Receiver):
    """What takes spans by OTLP over HTTP."""

    @property
    def spans(self) -> list[Span]:
        found: list[Span] = []
        for arrival in self.arrivals:
            assert arrival.target == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(arrival.body).resource_spans:
                [service] = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
                found += [_span_of(service, span) for scope in resource.scope_spans for span in scope.spans]
        return found

    async def wait_for_spans(self, count: int) -> list[Span]:
        await self.wait_for(lambda: len(self.spans) >= count)
        assert len(self.spans) == count
        return self.spans


def _span_of(service: str, span: Any) -> Span:
    return Span(
        service, span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.kind,
        span.start_time_unix_nano, span.end_time_unix_nano,
        {a.key: a.value.string_value or a.value.int_value for a in span.attributes},
        span.status.code == ERROR,
    )  # fmt: skip


@pytest_asyncio.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """Services that are started from now on, with TRACES, know it."""
    async with Collector() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield made


def new_traceparent(flags: str = "01") -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{flags}"


async def test_the_trace_of_a_create_goes_on_in_each_call(system: System) -> None:
    """Without any settings; what cannot be read is no trace, and a timer's own header stands before it."""
    answers = iter([BUSY])
    system.receiver.answer = lambda _: next(answers, b"HTTP/1.1 204 Fine\r\n\r\n")
    await system.start_controller()
    api = await system.start_api()
    create = {"seconds": 0, "url": system.receiver.url, "retry": QUICK}
    one, many, named, own = (new_traceparent() for _ in range(4))
    made = await api.client.post("/timers", json=create, headers={"traceparent": one})
    await api.wait_for_status_of(made.json()["id"], "delivered")
    first, second = system.receiver.by_id[made.json()["id"]]
    assert (first.headers["traceparent"], second.headers["traceparent"]) == (one, one)

    batch = await api.client.post("/timers/batch", json={"timers": [create] * 40}, headers={"traceparent": many})
    ids = [result["id"] for result in batch.json()["results"]]
    path = "/collections/default/timers/named"
    put = await api.client.put(path, json=create, headers={"traceparent": named})
    without = await api.create(**create)
    bad = await api.client.post("/timers", json=create, headers={"traceparent": one[:-1]})
    theirs = await api.client.post(
        "/timers", json={**create, "headers": {"Traceparent": own}}, headers={"traceparent": one}
    )
    await system.receiver.wait_for_ids(45)
    carried = {timer_id: calls[0].headers.get("traceparent") for timer_id, calls in system.receiver.by_id.items()}
    assert {carried[timer_id] for timer_id in ids} == {many}
    assert carried[put.json()["id"]] == named
    assert carried[without["id"]] is None
    assert carried[bad.json()["id"]] is None
    assert carried[theirs.json()["id"]] == own


async def test_create_claim_and_attempts_are_spans_of_one_trace(system: System, collector: Collector) -> None:
    answers = iter([BUSY])
    system.receiver.answer = lambda _: next(answers, b"HTTP/1.1 204 Fine\r\n\r\n")
    parent = new_traceparent()
    _, trace, parent_span, _ = parent.split("-")
    await system.start("timer_controller", {"POLL_SECONDS": 0.1, "TRACES": 1})
    api = await system.start_api(traces=1)
    create = {"seconds": 1, "url": f"{system.receiver.url}/hook?token=secret", "retry": QUICK}
    made = await api.client.post("/timers", json=create, headers={"traceparent": parent})
    timer_id = made.json()["id"]
    await system.receiver.wait_for(lambda: len(system.receiver.by_id[timer_id]) == 2)
    spans = await collector.wait_for_spans(5)
    assert {span.trace for span in spans} == {trace}
    assert not [span for span in spans if "secret" in repr(span)]
    [server] = [span for span in spans if span.service == "timer-api"]
    assert (server.name, server.kind, server.parent) == ("POST /timers", SERVER, parent_span)
    assert server.attributes["timer.id"] == timer_id
    assert server.attributes["http.response.status_code"] == 201
    claims = sorted((span for span in spans if span.name == "claimed"), key=lambda span: span.began_ns)
    calls = sorted((span for span in spans if span.name == "call"), key=lambda span: span.began_ns)
    assert {span.service for span in (*claims, *calls)} == {"timer-controller"}
    for number, (claim, call) in enumerate(zip(claims, calls, strict=True), 1):
        assert (claim.parent, call.parent) == (server.id, claim.id)
        assert claim.began_ns <= claim.ended_ns <= call.began_ns <= call.ended_ns
        assert (call.kind, call.attributes["timer.attempt"], call.attributes["timer.id"]) == (
            CLIENT,
            number,
            timer_id,
        )
        assert call.attributes["server.address"] == "127.0.0.1"
        arrival = system.receiver.by_id[timer_id][number - 1]
        assert arrival.headers["traceparent"] == f"00-{trace}-{call.id}-01"
    assert [call.is_error for call in calls] == [True, False]
    assert [call.attributes["timer.outcome"] for call in calls] == ["rejected", "delivered"]
    assert [call.attributes["http.response.status_code"] for call in calls] == [503, 204]


async def test_a_trace_that_is_not_sampled_goes_on_without_spans(system: System, collector: Collector) -> None:
    parent = new_traceparent("00")
    await system.start("timer_controller", {"POLL_SECONDS": 0.1, "TRACES": 1})
    api = await system.start_api(traces=1)
    create = {"seconds": 0, "url": system.receiver.url}
    quiet = (await api.client.post("/timers", json=create, headers={"traceparent": parent})).json()["id"]
    loud = (await api.create(**create))["id"]
    await system.receiver.wait_for_ids(2)
    spans = await collector.wait_for_spans(3)
    assert {span.attributes["timer.id"] for span in spans} == {loud}
    assert len({span.trace for span in spans}) == 1
    assert system.receiver.by_id[quiet][0].headers["traceparent"] == parent


async def test_what_is_not_sampled_here_carries_what_its_create_had(
    system: System, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    await system.start("timer_controller", {"POLL_SECONDS": 0.1, "TRACES": 1})
    api = await system.start_api(traces=1)
    parent, create = new_traceparent(), {"seconds": 0, "url": system.receiver.url}
    with_one = (await api.client.post("/timers", json=create, headers={"traceparent": parent})).json()["id"]
    without = (await api.create(**create))["id"]
    await system.receiver.wait_for_ids(2)
    assert system.receiver.by_id[with_one][0].headers["traceparent"] == parent
    assert "traceparent" not in system.receiver.by_id[without][0].headers
    assert not collector.spans


async def test_without_whoever_takes_spans_all_goes_on_and_stops(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    controller = await system.start_controller(traces=1)
    api = await system.start_api(traces=1)
    ids = await api.create_many(20, seconds=0, url=system.receiver.url)
    await system.receiver.wait_for_ids(20)
    for timer_id in ids:
        await api.wait_for_status_of(timer_id, "delivered")
    both = (service.terminate(timeout_seconds=15) for service in (api.service, controller))
    assert await asyncio.gather(*both) == [0, 0]


async def test_whoever_takes_spans_and_never_answers_delays_no_stop(system: System, collector: Collector) -> None:
    collector.answer = lambda _: asyncio.get_running_loop().create_future()
    controller = await system.start_controller(traces=1)
    api = await system.start_api(traces=1)
    await api.create_many(700, seconds=0, url=system.receiver.url)
    await system.receiver.wait_for_ids(700)
    both = (service.terminate(timeout_seconds=15) for service in (api.service, controller))
    assert await asyncio.gather(*both) == [0, 0]


@pytest.mark.parametrize("module", ["timer_api", "timer_controller"])
def test_without_the_extra_a_service_says_what_is_missing(module: str) -> None:
    program = f"""
import runpy, sys
sys.modules["opentelemetry.sdk"] = None
runpy.run_module({module!r}, run_name="__main__")
"""
    environment = {"TIMER_TRACES": "1", "TIMER_DB_URL": "mysql://nobody@127.0.0.1:9/nothing"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode == 2, ended.stderr
    assert "setting TIMER_TRACES: " in ended.stderr
    assert "install timer-system[traces]" in ended.stderr
