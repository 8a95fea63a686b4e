"""Routes, and how every destination has been doing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from timer_api.console.client import Document
from timer_api.console.pages.groups import GroupPages
from timer_api.console.pages.reading import Reader, fraction, json_of, pairs, whole
from timer_api.console.pulse import percentile
from timer_api.console.visit import Answer, Moved, Visit
from timer_db.domain.states import Outcome
from timer_db.operations.overview import Made

_DESTINATIONS_MAX = 50
_LIMITS = ("calls_max", "burst", "disable_after_seconds")


class RoutePages(GroupPages):
    """The pages of routes."""

    path = "routes"
    one = "route"
    fields = ("url", "append_id", "method", "headers", "timeout_seconds", "retry", "rate_per_second", *_LIMITS)
    blank = {"append_id": "on"}  # noqa: RUF012 - the base says that it is the class's

    def asked_for(self, visit: Visit) -> Document:
        form = Reader(visit)
        form.put("url")
        form.document["append_id"] = bool(visit.field("append_id"))
        form.put("method")
        form.put("headers", lambda text: pairs(text, ":"))
        form.put("timeout_seconds", fraction)
        form.put("retry", json_of)
        form.put("rate_per_second", fraction)
        for name in _LIMITS:
            form.put(name, whole)
        return form.done()

    def given(self, found: Document) -> Mapping[str, object]:
        return {
            **{name: found[name] for name in ("url", "method", "timeout_seconds", "rate_per_second", *_LIMITS)},
            "append_id": "on" if found["append_id"] else None,
            "headers": "\n".join(f"{name}: {value}" for name, value in found["headers"].items()),
            "retry": orjson.dumps(found["retry"]).decode(),
        }

    async def beside_list(self, visit: Visit) -> Mapping[str, Any]:
        """The destinations that were called lately."""
        pulse = visit.pulse_of(visit.caller)
        await pulse.look()
        names = {number: route.name for number, route in visit.service.directory.current.routes.items()}
        return {"destinations": _destinations(pulse.recent, names)}

    async def beside_one(self, visit: Visit, found: Document) -> Mapping[str, Any]:
        return {"secret": None}

    async def do(self, visit: Visit, action: str) -> Answer:
        """A new secret, which is shown this once, or none any more."""
        name = visit.place["name"]
        match action:
            case "sign":
                secret = await visit.api.post("routes", name, "secret", document={})
                return await self.page_of_one(visit, None, None, secret=secret)
            case "unsign":
                await visit.api.delete("routes", name, "secret")
                return Moved(f"/routes/{name}", "saved")
            case _:
                return await super().do(visit, action)


def _destinations(recent: Iterable[Made], routes: Mapping[int, str]) -> list[dict[str, Any]]:
    """By receiver or route: how many of the attempts seen were delivered, and how fast; the worst first."""
    grouped: defaultdict[str, list[Made]] = defaultdict(list)
    for made in recent:
        grouped[_name_of(made, routes)].append(made)
    rows: list[dict[str, Any]] = []
    for name, calls in grouped.items():
        delivered = sum(made.outcome is Outcome.delivered for made in calls)
        latencies = sorted(made.latency_us for made in calls if made.latency_us is not None)
        share = delivered / len(calls)
        rows.append({"name": name, "calls": len(calls), "share": share, "latency_ms": percentile(latencies, 0.5)})
    return sorted(rows, key=lambda row: (row["share"], -row["calls"]))[:_DESTINATIONS_MAX]


def _name_of(made: Made, routes: Mapping[int, str]) -> str:
    if made.route_id:
        return f"route {routes.get(made.route_id, made.route_id)}"
    parts = urlsplit(made.url or "")
    return f"{parts.scheme}://{parts.netloc}"
