"""The calls about the health of an API."""

from __future__ import annotations

from timer_client.answers import Diagnosis
from timer_client.calls import C, Repeat, Request, Resource, call
from timer_client.reading import reader
from timer_client.resources.named import nothing


class Health(Resource[C]):
    """`client.health`: one look each, without repeats."""

    @call
    def live(self) -> Request[None]:
        """NotReached when the process does not answer."""
        return Request(method="GET", path="/health/live", read=nothing, repeat=Repeat.never)

    @call
    def ready(self) -> Request[None]:
        """Unavailable when it cannot do its work: `detail` says why."""
        return Request(method="GET", path="/health/ready", read=nothing, repeat=Repeat.never)

    @call
    def examine(self) -> Request[Diagnosis]:
        """What endangers the promises, and what keeps timers from being called in time."""
        return Request(method="GET", path="/doctor", read=reader(Diagnosis))
