"""A span around each call of the API; what a create belongs to in a trace, its timers are stored with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.types import Message, Receive, Scope, Send

from timer_db.domain.traceparent import HEADER, traceparent_of
from timer_db.traces import Tracing, context_of, traceparent_at

_NOT_TRACED = ("/health/", "/metrics", "/docs", "/openapi.json")
"""What asks for these asks all day, or for nothing of ours."""
_NAME = HEADER.encode()
_LOCATION = b"location"
_TIMERS = b"/timers/"
_FAULT = 500

Serve = Callable[[Scope, Receive, Send], Awaitable[None]]


class Traces:
    """Takes the calls, and hands them on. `template_of` gives the path of a call as the document has it."""

    def __init__(self, tracing: Tracing, template_of: Callable[[str], str | None]) -> None:
        self._tracing = tracing
        self._template_of = template_of

    async def around(self, serve: Serve, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the call inside a span, which is what its `traceparent` names from here on."""
        method, path = scope["method"], scope["path"]
        template = self._template_of(path)
        if template is None or path.startswith(_NOT_TRACED):
            await serve(scope, receive, send)
            return
        with self._tracing.tracer.start_as_current_span(
            f"{method} {template}",
            context_of(traceparent_of(scope["headers"])),
            SpanKind.SERVER,
            {"http.request.method": method, "http.route": template},
        ) as span:
            if not span.is_recording():
                # What the client sent goes on as it is.
                await serve(scope, receive, send)
                return

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _note(span, message)
                    if message["status"] >= _FAULT:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            headers = [(name, value) for name, value in scope["headers"] if name != _NAME]
            headers.append((_NAME, traceparent_at(span).encode()))
            await serve({**scope, "headers": headers}, receive, noting)


def _note(span: Span, message: Message) -> None:
    span.set_attribute("http.response.status_code", message["status"])
    for name, value in message.get("headers", ()):
        if name.lower() == _LOCATION and value.startswith(_TIMERS):
            span.set_attribute("timer.id", value.removeprefix(_TIMERS).decode())
