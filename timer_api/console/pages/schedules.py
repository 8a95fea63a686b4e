"""Schedules: when each runs next, and what its runs are like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from timer_api.console.client import Document, Refused
from timer_api.console.pages.groups import GroupPages
from timer_api.console.pages.reading import Reader, fraction, json_of
from timer_api.console.pages.when import duration
from timer_api.console.visit import Answer, Moved, Visit
from timer_api.errors import Problem

_RUNS_SHOWN = 10
_TEXTS = ("cron", "timezone", "start_at", "end_at", "overlap", "catch_up")


class SchedulePages(GroupPages):
    """The pages of schedules."""

    path = "schedules"
    one = "schedule"
    fields = (*_TEXTS, "every", "jitter_seconds", "timer")
    blank = {"timezone": "UTC", "timer": '{"url": "https://example.com/hook"}'}  # noqa: RUF012 - as the base says

    def asked_for(self, visit: Visit) -> Document:
        form = Reader(visit)
        for name in _TEXTS:
            form.put(name)
        form.put("every", duration)
        form.put("jitter_seconds", fraction)
        form.put("timer", json_of)
        return form.done()

    def given(self, found: Document) -> Mapping[str, object]:
        return {
            **{name: found[name] for name in (*_TEXTS, "every", "jitter_seconds")},
            "timer": orjson.dumps(found["timer"], option=orjson.OPT_INDENT_2).decode(),
        }

    async def act(self, visit: Visit) -> Answer:
        """As of every kind; or look first at when a new one would run."""
        if visit.field("action") != "preview":
            return await super().act(visit)
        try:
            found = await visit.api.post("schedules", "next", document=self.asked_for(visit))
        except Problem as problem:
            return await self.page_of_list(visit, self.filled_in(visit), Refused.by(problem))
        except Refused as refused:
            return await self.page_of_list(visit, self.filled_in(visit), refused)
        return await self.page_of_list(visit, self.filled_in(visit), None, preview=found["runs"])

    async def beside_list(self, visit: Visit) -> Mapping[str, Any]:
        return {"preview": None}

    async def beside_one(self, visit: Visit, found: Document) -> Mapping[str, Any]:
        """Its next runs; of one that is paused, those that there would be."""
        answer = await visit.api.get("schedules", found["name"], "next", count=_RUNS_SHOWN)
        return {"runs": answer["runs"]}

    async def do(self, visit: Visit, action: str) -> Answer:
        """Make runs of the past."""
        if action != "backfill":
            return await super().do(visit, action)
        name = visit.place["name"]
        span = {"from": visit.field("from"), "to": visit.field("to")}
        answer = await visit.api.post("schedules", name, "backfill", document=span)
        return Moved(f"/schedules/{name}", "backfilled", {"changed": answer["made"]})
