"""Spans of timers that are called: from the claim to the call, and the call. For who wants them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from timer_controller.sender.protocol import Call, Result
from timer_controller.sender.target import UrlRefused, parse_destination, split_url
from timer_db.domain.claim import Claim
from timer_db.domain.states import Outcome
from timer_db.traces import Tracing, context_of, traceparent_at

log = logging.getLogger(__name__)

Ended = Callable[[Result], None]


class CallTrace(NamedTuple):
    """The span of a call under way."""

    traceparent: str
    """What the call carries."""
    span: Span

    def note(self, call: Call) -> None:
        """The call, once it is known. What of a URL may be secret is not noted."""
        self.span.set_attribute("http.request.method", call.method)
        with suppress(UrlRefused):  # the sender says so
            destination = parse_destination(split_url(call.url)[0])
            self.span.set_attribute("server.address", destination.host)
            self.span.set_attribute("server.port", destination.port)

    def ending(self, ended: Ended) -> Ended:
        """The same, and the span ends."""
        return partial(self._end, ended)

    def _end(self, ended: Ended, result: Result) -> None:
        try:
            self._note_end(result)
        except Exception:
            log.exception("a fault in tracing")
        ended(result)

    def _note_end(self, result: Result) -> None:
        outcome = "withheld" if result.withheld else result.outcome.value
        self.span.set_attribute("timer.outcome", outcome)
        if result.status is not None:
            self.span.set_attribute("http.response.status_code", result.status)
        if result.outcome is not Outcome.delivered and not result.withheld:
            self.span.set_status(Status(StatusCode.ERROR, result.reason))
        self.span.end()


class Traces:
    """Follows claims of timers."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def claimed(self, claims: Sequence[Claim]) -> None:
        """They are in hand from now on."""
        at_ns = time.time_ns()
        for claim in claims:
            claim.claimed_at_ns = at_ns

    def begin(self, claim: Claim) -> CallTrace | None:
        """A call begins: it hangs on the claim, and the claim on the create. None when it is not sampled, or that
        fails: the call is made all the same, and carries what its create had."""
        try:
            return self._begin(claim)
        except Exception:
            log.exception("timer %s: a fault in tracing", claim.timer.id_text)
            return None

    def _begin(self, claim: Claim) -> CallTrace | None:
        tracer = self._tracing.tracer
        waited = tracer.start_span(
            "claimed", context_of(claim.timer.traceparent), start_time=claim.claimed_at_ns or None
        )
        if not waited.is_recording():
            return None
        about: dict[str, str | int] = {"timer.id": claim.timer.id_text, "timer.attempt": claim.attempt}
        waited.set_attributes({**about, "timer.batch": claim.batch})
        waited.end()
        span = tracer.start_span("call", set_span_in_context(waited), SpanKind.CLIENT, about)
        return CallTrace(traceparent_at(span), span)

    def close(self) -> None:
        """Send the last spans."""
        self._tracing.close()
