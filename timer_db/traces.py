"""Spans of OpenTelemetry, for who installs `timer-system[traces]` and sets TIMER_TRACES: nobody else imports this.

Where they go and how many of them are kept, OpenTelemetry's own variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_TRACES_SAMPLER`, …). A trace is passed on without all this: see `domain.traceparent`.
"""

from __future__ import annotations

import threading

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, Tracer, set_span_in_context

_CLOSE_SECONDS = 3.0
"""What a stop waits for the last spans."""
_NOWHERE = Context()


class Tracing:
    """The tracer of a service. Spans leave in batches, from a thread."""

    def __init__(self, service: str, version: str) -> None:
        """`service` is a name for it, unless OTEL_SERVICE_NAME has one."""
        named = Resource({"service.name": service, "service.version": version})
        self._provider = TracerProvider(
            resource=Resource.create().merge(named).merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.tracer: Tracer = self._provider.get_tracer("timer-system", version)

    def close(self) -> None:
        """Send the last spans, as long as a stop may wait for whoever takes them."""
        # The exporter's own limits add up to most of a minute.
        last = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(_CLOSE_SECONDS)


def context_of(traceparent: str | None) -> Context:
    """The place in a trace that a `traceparent` names; without one, a trace begins there."""
    if not traceparent:
        return _NOWHERE
    _, trace_id, span_id, flags = traceparent.split("-")
    place = SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(place), _NOWHERE)


def traceparent_at(span: Span) -> str:
    """The place of a span."""
    place = span.get_span_context()
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-{place.trace_flags:02x}"
