"""One request of the console: who asks, for what, and what a page may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from timer_api.api_keys.caller import Caller
from timer_api.console.client import Client
from timer_api.console.pulse import Pulse
from timer_api.console.session import Session
from timer_api.service import Service
from timer_db.domain.api_key import Scope

PREFIX = "/console"
STREAM = "text/event-stream"


@dataclass(slots=True)
class Visit:
    """What a page works with."""

    request: Request
    service: Service
    session: Session | None
    caller: Caller
    api: Client
    pulse_of: Callable[[Caller], Pulse] = field(repr=False)
    form: Mapping[str, list[str]] = field(default_factory=dict, repr=False)
    """What was filled in, of a POST."""
    left_out: set[int] = field(default_factory=set)
    """Databases that do not answer, of which the page shows nothing."""

    @property
    def query(self) -> Mapping[str, str]:
        """What stands behind the question mark."""
        return self.request.query_params

    @property
    def place(self) -> Mapping[str, str]:
        """What stands in the path."""
        found: Mapping[str, str] = self.request.path_params
        return found

    def field(self, name: str) -> str:
        """One field of the form, without white space around it; empty when it is not there."""
        return next(iter(self.form.get(name, ())), "").strip()

    def may(self, scope: str) -> bool:
        """Whether the key has a scope."""
        return Scope(scope) in self.caller.scopes

    @property
    def is_watched(self) -> bool:
        """Whether this is the stream of a page."""
        return STREAM in self.request.headers.get("accept", "")

    @property
    def sees_all(self) -> bool:
        """Whether the key is bound to no collections."""
        return self.caller.collections is None


@dataclass(frozen=True, slots=True)
class Page:
    """A template with what it shows. A live one can be watched, and is made anew so often."""

    template: str
    context: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    live_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """What was asked for is done, or stands elsewhere: the browser goes there. `done` names one of the
    sentences in `templates/parts.html`: no text is taken from an address."""

    path: str
    done: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """Where to."""
        query = urlencode({**({"done": self.done} if self.done else {}), **self.figures})
        return f"{PREFIX}{self.path}" + (f"?{query}" if query else "")


Answer = Page | Moved
