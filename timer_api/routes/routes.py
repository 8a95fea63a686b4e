"""The calls about routes."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from timer_api import groups, json_body
from timer_api.answers import json_answer
from timer_api.api_keys.caller import Caller, caller_of
from timer_api.errors import Kind, Problem
from timer_api.groups import ListQuery, checked_name, counted, counts_shown, name_in_path, who
from timer_api.openapi import NO_BODY, UNAVAILABLE, Parts, answer, invalid_example, needs, problems
from timer_api.routes import schemas
from timer_api.routes.schemas import RouteShown
from timer_api.service import Service
from timer_db.domain.api_key import Scope
from timer_db.domain.representation import rfc3339
from timer_db.domain.route import Route
from timer_db.operations.counts import by_route
from timer_db.operations.routes import (
    delete_route,
    drop_secrets,
    get_route,
    list_routes,
    pause_route,
    put_route,
    rotate_secret,
)

router = APIRouter(tags=["routes"])

PATH = "/routes"
_NAME = "billing"
_ONE = f"{PATH}/{_NAME}"
_SHOWN: dict[str, Any] = {
    "name": _NAME,
    "url": "https://billing.example.com/events",
    "append_id": True,
    "method": "POST",
    "headers": {"X-Shop": "berlin"},
    "timeout_seconds": 10.0,
    "retry": {"max_attempts": 5, "initial_seconds": 5.0, "factor": 3.0, "max_seconds": 3600.0, "jitter": 0.1},
    "calls_max": 20,
    "rate_per_second": 50.0,
    "burst": 100,
    "disable_after_seconds": 3600,
    "paused": False,
    "disabled_at": None,
    "disabled_because": None,
    "has_secret": True,
    "counts": {"scheduled": 310, "firing": 2, "delivered": 5120, "failed": 1, "unknown": 0, "cancelled": 0},
    "created_at": "2026-11-20T10:09:56.123456Z",
}
_LIMITS = ("calls_max", "rate_per_second", "burst", "disable_after_seconds")
_ASKED: dict[str, dict[str, Any]] = {
    "plain": {"summary": "A URL by a name", "value": {"url": _SHOWN["url"]}},
    "everything": {
        "summary": "With headers, limits and a policy",
        "value": {
            "url": _SHOWN["url"],
            "headers": {"X-Shop": "berlin"},
            "timeout_seconds": 5,
            "retry": {"max_attempts": 8},
            **{name: _SHOWN[name] for name in _LIMITS},
        },
    },
}
_OVERLAPS: dict[str, dict[str, Any]] = {
    "day": {"summary": "Both for a day", "value": {"overlap_seconds": 86_400}},
    "at once": {"summary": "The new one alone", "value": {"overlap_seconds": 0}},
}
_NOT_FOUND = Problem(Kind.route_not_found, f"there is no route {_NAME!r}")
_IN_USE = Problem(Kind.route_in_use, f"the route {_NAME!r} cannot be deleted: 312 timers of it wait")
_BOUND = Problem(Kind.forbidden, "the key is bound to collections; a route serves all of them")
_UNREADABLE = Problem(
    Kind.content_unreadable,
    f"the route {_NAME!r} cannot be read: its headers and secrets are encrypted with the key 'k1', which is not in"
    " TIMER_ENCRYPTION_KEYS",
)
_NAME_INVALID = invalid_example("route", groups.NAME_IN_WORDS)
_BY_NAME = {
    name: {"route": "name"}
    for name in ("get_route", "pause_route", "resume_route", "rotate_route_secret", "delete_route")
}

DOCUMENTED = Parts(
    models={
        "RouteAsked": schemas.RouteAsked,
        "RouteShown": RouteShown,
        "RoutePageShown": schemas.RoutePageShown,
        "SecretAsked": schemas.SecretAsked,
        "SecretShown": schemas.SecretShown,
    },
    examples={
        "route": _SHOWN,
        "paused route": {**_SHOWN, "paused": True},
        "routes": {"routes": [_SHOWN], "next_cursor": None},
        "new secret": {
            "secret": "whsec_bmV2ZXIgdXNlIHRoaXMgb25lOiBtYWtlIHlvdXIgb3du",
            "old_valid_until": "2026-11-21T10:09:56.123456Z",
        },
    },
    refinements={
        "RouteAsked": {
            "if": {"required": ["burst"], "properties": {"burst": {"type": "integer"}}},
            "then": {"required": ["rate_per_second"], "properties": {"rate_per_second": {"type": "number"}}},
        }
    },
)

Name = Annotated[str, name_in_path(_NAME)]


@router.put(
    PATH + "/{route}",
    summary="Make or change a route",
    operation_id="put_route",
    openapi_extra=needs(Scope.admin) | groups.body("RouteAsked", _ASKED),
    responses={
        201: answer("It is made.", "RouteShown", "route", leads_to=_BY_NAME),
        200: answer("It was there, and has these settings now.", "RouteShown", "route", leads_to=_BY_NAME),
        **problems(
            _ONE,
            *groups.BODY_PROBLEMS,
            invalid_example("burst", "it goes with rate_per_second only"),
            _UNREADABLE,
            UNAVAILABLE,
        ),
    },
)
async def put(request: Request, route: Name) -> Response:
    """All its settings are chosen anew; what is left out is as usual. Its secrets stay, and so does a pause.

    Timers of it that wait are called as it says then: a change holds for them too, within two seconds.
    """
    service = _service(request)
    name = checked_name("route", route)
    settings = schemas.check(await json_body.object_of(request, groups.BODY_BYTES))
    made = await put_route(service.shards, name, settings)
    await service.directory.refresh()
    return json_answer(await _shown(service, caller_of(request), made.route), 201 if made.created else 200)


@router.get(
    PATH,
    summary="List routes",
    operation_id="list_routes",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer("By name.", "RoutePageShown", "routes", leads_to={"list_routes": {"cursor": "next_cursor"}}),
        **problems(
            PATH, NO_BODY, invalid_example("limit", "it should be less than or equal to 1000"), UNAVAILABLE
        ),
    },
)
async def show_page(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """A page; `next_cursor` leads to the next one. A key that is bound to collections sees every route, since its
    timers may take any; `counts` are those of its collections."""
    service, caller = _service(request), caller_of(request)
    page = await list_routes(service.shards, query.limit, query.cursor)
    return json_answer({"routes": await _all_shown(service, caller, page.routes), "next_cursor": page.next_cursor})


@router.get(
    PATH + "/{route}",
    summary="Look at a route",
    operation_id="get_route",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer("Its settings, and how many timers it has.", "RouteShown", "route"),
        **problems(_ONE, NO_BODY, _NOT_FOUND, _NAME_INVALID, UNAVAILABLE),
    },
)
async def show(request: Request, route: Name) -> Response:
    """`counts` cost what is in the hands of controllers, however many timers wait or have ended."""
    service = _service(request)
    found = await get_route(service.shards, checked_name("route", route))
    return json_answer(await _shown(service, caller_of(request), found))


@router.delete(
    PATH + "/{route}",
    summary="Delete a route",
    operation_id="delete_route",
    status_code=204,
    response_class=Response,
    openapi_extra=needs(Scope.admin),
    responses={
        204: {"description": "It is gone."},
        **problems(_ONE, NO_BODY, _NOT_FOUND, _IN_USE, _NAME_INVALID, UNAVAILABLE),
    },
)
async def delete(request: Request, route: Name) -> Response:
    """Only one for which no timer waits."""
    service = _service(request)
    await delete_route(service.shards, checked_name("route", route))
    await service.directory.refresh()
    return Response(status_code=204)


@router.post(
    PATH + "/{route}/pause",
    summary="Let a route's timers wait",
    operation_id="pause_route",
    openapi_extra=needs(Scope.timers_write),
    responses={
        200: answer("No call begins later than two seconds from now.", "RouteShown", "paused route"),
        **problems(f"{_ONE}/pause", _NOT_FOUND, _BOUND, _NAME_INVALID, UNAVAILABLE),
    },
)
async def pause(request: Request, route: Name) -> Response:
    """Timers that fall due wait until it is resumed, without using up attempts. Calls under way end as usual."""
    return await _pause(request, route, is_paused=True)


@router.post(
    PATH + "/{route}/resume",
    summary="Let a route's timers be called again",
    operation_id="resume_route",
    openapi_extra=needs(Scope.timers_write),
    responses={
        200: answer("They are called from now on.", "RouteShown", "route"),
        **problems(f"{_ONE}/resume", _NOT_FOUND, _BOUND, _NAME_INVALID, UNAVAILABLE),
    },
)
async def resume(request: Request, route: Name) -> Response:
    """Also when it was disabled. What has waited is called, highest priority and oldest first."""
    return await _pause(request, route, is_paused=False)


@router.post(
    PATH + "/{route}/secret",
    summary="Give a route a new secret",
    operation_id="rotate_route_secret",
    openapi_extra=needs(Scope.admin) | groups.body("SecretAsked", _OVERLAPS),
    responses={
        200: answer("Calls are signed with it within two seconds.", "SecretShown", "new secret"),
        **problems(
            f"{_ONE}/secret",
            *groups.BODY_PROBLEMS,
            _NOT_FOUND,
            invalid_example("overlap_seconds", "it should be greater than or equal to 0"),
            _UNREADABLE,
            UNAVAILABLE,
        ),
    },
)
async def rotate(request: Request, route: Name) -> Response:
    """Calls of a route with a secret are signed with that, and not with those of the service. For a while the
    secrets before it sign as well, so that receivers can change theirs when they like."""
    service = _service(request)
    name = checked_name("route", route)
    overlap_seconds = schemas.check_overlap(await json_body.object_of(request, groups.BODY_BYTES))
    made = await rotate_secret(service.shards, name, overlap_seconds * 1_000_000)
    await service.directory.refresh()
    shown: schemas.SecretShown = {
        "secret": f"whsec_{b64encode(made.key).decode()}",
        "old_valid_until": None if made.old_until_us is None else rfc3339(made.old_until_us),
    }
    return json_answer(shown, 200, {"Cache-Control": "no-store"})


@router.delete(
    PATH + "/{route}/secret",
    summary="Take a route's secrets away",
    operation_id="delete_route_secret",
    status_code=204,
    response_class=Response,
    openapi_extra=needs(Scope.admin),
    responses={
        204: {"description": "Calls are signed with the secrets of the service, if it has any."},
        **problems(f"{_ONE}/secret", NO_BODY, _NOT_FOUND, _NAME_INVALID, UNAVAILABLE),
    },
)
async def delete_secret(request: Request, route: Name) -> Response:
    """At once, those of an overlap among them. To take away what is not there changes nothing."""
    service = _service(request)
    await drop_secrets(service.shards, checked_name("route", route))
    await service.directory.refresh()
    return Response(status_code=204)


async def _pause(request: Request, route: str, *, is_paused: bool) -> Response:
    service, caller = _service(request), caller_of(request)
    name = checked_name("route", route)
    if caller.collections is not None:
        raise Problem(Kind.forbidden, _BOUND.detail)
    paused = await pause_route(service.shards, name, is_paused, who(caller))
    await service.directory.refresh()
    return json_answer(await _shown(service, caller, paused))


async def _shown(service: Service, caller: Caller, route: Route) -> RouteShown:
    [shown] = await _all_shown(service, caller, [route])
    return shown


async def _all_shown(service: Service, caller: Caller, routes: list[Route]) -> list[RouteShown]:
    counts = await counted(service, route_ids=[route.id for route in routes])
    if caller.collections is not None:
        seen = {found.id for found in map(service.directory.current.collection_named, caller.collections) if found}
        counts = {group: states for group, states in counts.items() if group[0] in seen}
    by_number = by_route(counts)
    return [
        schemas.shown(route, counts_shown(by_number.get(route.id, {})), with_headers=Scope.admin in caller.scopes)
        for route in routes
    ]


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
