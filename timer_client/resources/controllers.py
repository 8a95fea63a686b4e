"""The calls about controllers."""

from __future__ import annotations

from typing import Any

from timer_client import answers
from timer_client.calls import C, Request, Resource, call
from timer_client.reading import read


class Controllers(Resource[C]):
    """`client.controllers`"""

    @call
    def list(self) -> Request[answers.Controllers]:
        """Those that run, and which of several database servers do not tell."""
        return Request(method="GET", path="/controllers", read=_controllers)


def _controllers(answer: Any) -> answers.Controllers:
    found = answers.Controllers(read(answers.Controller, each) for each in answer["controllers"])
    found.shards_away = tuple(answer.get("shards_away", ()))
    return found
