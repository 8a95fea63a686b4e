"""The first page: is all well, and if not, why and what to do."""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson

from timer_api.console.findings import findings
from timer_api.console.pulse import COLUMNS
from timer_api.console.visit import Page, Visit
from timer_db.domain.states import ENDED
from timer_db.operations.overview import ALL, Glance

LIVE_SECONDS = 1.0


async def show(visit: Visit) -> Page:
    """Figures, charts, and receivers in trouble. A key that is bound to collections sees none of what tells about
    others."""
    pulse = visit.pulse_of(visit.caller)
    seen = await pulse.look()
    sample = pulse.samples[-1]
    totals = seen.totals
    living = totals.get(ALL, 0) - sum(totals.get(state, 0) for state in ENDED)
    in_hand = sum(member.claims_in_hand for member in seen.members)
    # A page that is watched has the others already.
    past = list(pulse.samples)[-3:] if visit.is_watched else pulse.samples
    return Page(
        "overview.html",
        {
            "seen": seen,
            "sample": sample,
            "findings": findings(seen, sample, sees_all=visit.sees_all),
            "totals": totals,
            "living": max(0, living),
            "in_hand": in_hand,
            "troubles": _troubles(visit, seen) if visit.sees_all else [],
            "columns": ",".join(COLUMNS),
            "samples": orjson.dumps([sample.shown() for sample in past]).decode(),
        },
        live_seconds=LIVE_SECONDS,
    )


def _troubles(visit: Visit, seen: Glance) -> list[dict[str, object]]:
    routes = visit.service.directory.current.routes
    found = []
    for trouble in sorted(seen.troubles, key=lambda trouble: trouble.due_at_us):
        route = routes.get(trouble.route_id)
        name = f"route {route.name}" if route else "its route"
        if trouble.url is not None:
            parts = urlsplit(trouble.url)
            name = f"{parts.scheme}://{parts.netloc}"
        found.append({"name": name, "timer_id": trouble.timer_id, "due_at_us": trouble.due_at_us})
    return found
