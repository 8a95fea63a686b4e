"""Problems as RFC 9457 has them: every answer that is no success, in one shape.

`type` is a URN that never changes, for programs; `title` and `detail` are for people; `errors` names each
field that is wrong by its path (`labels.env`, `retry.max_attempts`).
"""

from __future__ import annotations

import itertools
import logging
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from timer_db.domain.errors import (
    ApiKeyNotFound,
    Away,
    CollectionFull,
    CollectionInUse,
    CollectionNotFound,
    ContentUnreadable,
    DatabaseError,
    DatabaseUnavailable,
    KeyReused,
    NameInUse,
    NameNotFound,
    NameTaken,
    NotCancellable,
    NotChangeable,
    NotReplayable,
    RouteInUse,
    RouteNotFound,
    RouteUnreadable,
    ScheduleNotFound,
    ScheduleUnreadable,
    TimerError,
    TimerNotFound,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
ERRORS_MAX = 20
_PATH_SHOWN = 200


class _Facts(NamedTuple):
    status: int
    title: str


class Kind(Enum):
    """Every kind of problem; the member's name is the end of its `type`."""

    bad_request = _Facts(400, "The request cannot be understood")
    malformed_json = _Facts(400, "The body is no JSON")
    body_not_allowed = _Facts(400, "This call takes no body")
    unauthorized = _Facts(401, "A valid API key is needed")
    forbidden = _Facts(403, "The API key does not allow this")
    no_such_path = _Facts(404, "Nothing is here")
    timer_not_found = _Facts(404, "No such timer")
    api_key_not_found = _Facts(404, "No such API key")
    collection_not_found = _Facts(404, "No such collection")
    route_not_found = _Facts(404, "No such route")
    schedule_not_found = _Facts(404, "No such schedule")
    method_not_allowed = _Facts(405, "This path does not have that method")
    request_timeout = _Facts(408, "The request did not arrive in time")
    not_cancellable = _Facts(409, "The timer cannot be cancelled any more")
    not_changeable = _Facts(409, "The timer cannot be changed any more")
    not_replayable = _Facts(409, "The timer cannot be replayed")
    name_taken = _Facts(409, "The name is in use")
    collection_in_use = _Facts(409, "The collection is in use")
    route_in_use = _Facts(409, "The route is in use")
    body_too_large = _Facts(413, "The body is too large")
    unsupported_media_type = _Facts(415, "The body must be JSON")
    invalid_request = _Facts(422, "Something in the request is not valid")
    idempotency_key_reused = _Facts(422, "The idempotency key was used for another request")
    too_many_requests = _Facts(429, "The API key is used too often")
    collection_full = _Facts(429, "As many timers of the collection wait as may")
    headers_too_large = _Facts(431, "There is too much around the body")
    internal_error = _Facts(500, "Something went wrong here")
    content_unreadable = _Facts(500, "What is stored encrypted cannot be read")
    busy = _Facts(503, "Too many creates are waiting")
    database_unavailable = _Facts(503, "The database cannot be reached")

    @property
    def status(self) -> int:
        return self.value.status

    @property
    def title(self) -> str:
        return self.value.title

    @property
    def type(self) -> str:
        return f"urn:timer-system:problem:{self.name.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is its path, empty for the whole document."""

    field: str
    message: str

    def shown(self) -> dict[str, str]:
        """As it stands in the answer: names that clients chose may be endless, or no text at all."""
        field = self.field if len(self.field) <= _PATH_SHOWN else self.field[:_PATH_SHOWN] + "…"
        return {"field": field.encode(errors="replace").decode(), "message": self.message}


class Problem(Exception):
    """An answer that is no success."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **facts: str,
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.errors, self.facts = kind, detail, tuple(errors), facts
        self.headers = dict(headers or {})
        if kind.status == 503 or kind is Kind.collection_full:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))

    def document(self, instance: str) -> dict[str, Any]:
        """The JSON object; `instance` is the path that was called."""
        shown: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": instance,
            **self.facts,
        }
        if self.errors:
            shown["errors"] = [error.shown() for error in self.errors]
        return shown

    def response(self, instance: str) -> Response:
        """The HTTP answer."""
        return Response(
            orjson.dumps(self.document(instance)), self.kind.status, self.headers, media_type=MEDIA_TYPE
        )


def invalid(errors: Iterable[FieldError]) -> Problem:
    """422, with the fields that are wrong; of very many, the first."""
    found = tuple(itertools.islice(errors, ERRORS_MAX + 1))
    first = found[0]
    shown = first.shown()
    detail = f"{shown['field']}: {first.message}" if first.field else first.message
    if len(found) > 1:
        detail += f" (and {len(found) - 1} more)" if len(found) <= ERRORS_MAX else " (and many more)"
    return Problem(Kind.invalid_request, detail, errors=found[:ERRORS_MAX])


def from_validation(
    faults: Iterable[Mapping[str, Any]], *, skip: int = 0, patterns: Mapping[str, str] | None = None
) -> Problem:
    """422 from what pydantic found.

    `skip` leading parts of each location are no field; `patterns` says in words what a field must look like.
    """
    return invalid(_field_error(fault, fault["loc"][skip:], patterns or {}) for fault in faults)


# pydantic's words where they would say less, or something else, than a client needs to hear.
_MESSAGES = {
    "extra_forbidden": "there is no such field",
    "missing": "it is required",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
    "string_type": "it must be a string",
    "bool_type": "it must be true or false",
    "dict_type": "it must be an object",
}


def _field_error(
    fault: Mapping[str, Any], location: Sequence[str | int], patterns: Mapping[str, str]
) -> FieldError:
    # pydantic marks a fault in a key, rather than in its value, by a last part "[key]".
    in_key = location[-1:] == ("[key]",)
    path = ".".join(str(part) for part in (location[:-1] if in_key else location))
    kind, message = fault["type"], str(fault["msg"]).removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        message = patterns.get(f"{location[0]} [key]" if in_key else str(location[0]), message)
    elif message.startswith("Input should"):
        message = "it" + message.removeprefix("Input")
    return FieldError(path, _MESSAGES.get(kind, message))


def from_error(error: TimerError) -> Problem:
    """The data layer's errors as answers."""
    match error:
        case TimerNotFound() | NameNotFound():
            return Problem(Kind.timer_not_found, str(error))
        case ApiKeyNotFound():
            return Problem(Kind.api_key_not_found, str(error))
        case CollectionNotFound():
            return Problem(Kind.collection_not_found, str(error))
        case CollectionInUse():
            return Problem(Kind.collection_in_use, str(error))
        case CollectionFull():
            wrong = FieldError("collection", f"{error.waiting_max:,} of its timers may wait, and as many do")
            return Problem(Kind.collection_full, str(error), errors=[wrong])
        case RouteNotFound():
            return Problem(Kind.route_not_found, str(error))
        case RouteInUse():
            return Problem(Kind.route_in_use, str(error))
        case ScheduleNotFound():
            return Problem(Kind.schedule_not_found, str(error))
        case ContentUnreadable() | RouteUnreadable() | ScheduleUnreadable():
            return Problem(Kind.content_unreadable, str(error))
        case NotCancellable():
            return Problem(Kind.not_cancellable, str(error), timer_status=error.state.value)
        case NotChangeable():
            return Problem(Kind.not_changeable, str(error), timer_status=error.state.value)
        case NotReplayable():
            return Problem(Kind.not_replayable, str(error), timer_status=error.state.value)
        case NameInUse():
            wrong = FieldError("name", "another timer has it, which has not ended")
            return Problem(Kind.name_taken, str(error), errors=[wrong], holder=str(error.holder))
        case NameTaken():
            wrong = FieldError("name", "a timer with this name and other content exists")
            return Problem(Kind.name_taken, str(error), errors=[wrong], holder=str(error.holder))
        case KeyReused():
            wrong = FieldError("Idempotency-Key", "it came with another request before")
            return Problem(Kind.idempotency_key_reused, str(error), errors=[wrong])
        case Away():
            return Problem(Kind.database_unavailable, str(error))
        case DatabaseUnavailable():
            # The error's own text may name servers; it is for the log.
            return Problem(Kind.database_unavailable, "the database cannot be reached; try again soon")
        case DatabaseError():
            return Problem(Kind.database_unavailable, "the database is not fit for use; see /health/ready")
        case _:
            return internal(error)


def internal(error: Exception) -> Problem:
    """500. The error goes to the log, under a reference that the answer gives."""
    reference = str(uuid.uuid4())
    log.error("error %s", reference, exc_info=error)
    return Problem(Kind.internal_error, f"the log has more under {reference}", reference=reference)


def from_http(error: HTTPException, request: Request) -> Problem:
    """What the framework refuses by itself."""
    if error.status_code == 404:
        return not_served(request.method, ())
    if error.status_code == 405:
        # Of what is in no document: the page that shows it, and its files.
        return not_served(request.method, ("GET",))
    return Problem(Kind.bad_request, str(error.detail), headers=error.headers)


def not_served(method: str, allowed: Collection[str]) -> Problem:
    """404 for a path without any methods, 405 for one that has others."""
    if not allowed:
        return Problem(Kind.no_such_path, "there is nothing at this path; /docs lists every call")
    listed = ", ".join(sorted(allowed))
    return Problem(Kind.method_not_allowed, f"this path has {listed}, not {method}", headers={"Allow": listed})


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    async def on_problem(request: Request, error: Exception) -> Response:
        match error:
            case Problem():
                problem = error
            case TimerError():
                problem = from_error(error)
            case RequestValidationError():
                # The first part says where the value stood: in the path, the query or the body.
                problem = from_validation(error.errors(), skip=1)
            case HTTPException():
                problem = from_http(error, request)
            case _:
                raise error
        return problem.response(request.url.path)

    for kind in (Problem, TimerError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, on_problem)
    app.add_middleware(_LastResort)


class _LastResort:
    """Answers 500 for what nobody expected.

    Not a handler for Exception: the framework would raise the error once more after that, for the server to
    log it twice.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            await internal(error).response(scope["path"])(scope, receive, send)
