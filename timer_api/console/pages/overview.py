"""The first page: is all well, and if not, why and what to do."""

from __future__ import annotations

import orjson

from timer_api.console.findings import findings
from timer_api.console.held import holder
from timer_api.console.pulse import COLUMNS
from timer_api.console.visit import Page, Visit
from timer_db.domain.states import ENDED
from timer_db.operations.overview import ALL

LIVE_SECONDS = 1.0
_OF_ALL = frozenset({"overdue", "in_hand", "late_seconds"})
"""Columns that tell about every collection."""


async def show(visit: Visit) -> Page:
    """Figures, charts, and receivers in trouble. A key that is bound to collections sees none of what tells about
    others."""
    pulse = visit.pulse_of(visit.caller)
    now = await pulse.look()
    sample = pulse.samples[-1]
    directory = visit.service.directory.current
    holders = sorted((holder(held, directory) for held in now.held), key=lambda found: found.due_at_us)
    totals = now.totals
    living = totals[ALL] - sum(totals[state] for state in ENDED)
    columns = [name for name in COLUMNS if visit.sees_all or name not in _OF_ALL]
    # A page that is watched has the others already.
    past = list(pulse.samples)[-3:] if visit.is_watched else pulse.samples
    return Page(
        "overview.html",
        {
            "now": now,
            "sample": sample,
            "findings": findings(now, sample, holders, sees_all=visit.sees_all),
            "totals": totals,
            "living": max(0, living),
            "holders": holders if visit.sees_all else [],
            "columns": ",".join(columns),
            "samples": orjson.dumps([sample.shown(columns) for sample in past]).decode(),
        },
        live_seconds=LIVE_SECONDS,
    )
