"""The calls about controllers."""

from __future__ import annotations

from typing import Any

from timer_client.answers import Controller
from timer_client.calls import C, Request, Resource, call
from timer_client.reading import read


class Controllers(Resource[C]):
    """`client.controllers`"""

    @call
    def list(self) -> Request[tuple[Controller, ...]]:
        """Those that run."""
        return Request(method="GET", path="/controllers", read=_controllers)


def _controllers(answer: Any) -> tuple[Controller, ...]:
    return tuple(read(Controller, each) for each in answer["controllers"])
