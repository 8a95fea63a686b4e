"""What the pages of collections, routes and schedules have in common: a list with a form for a new one, and a page
for each with its settings, its switch, and its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from timer_api.console.client import Document, Refused
from timer_api.console.pages.reading import faults
from timer_api.console.pages.timers import pages
from timer_api.console.visit import Answer, Moved, Page, Visit
from timer_api.errors import FieldError, Kind, Problem, invalid

LIVE_SECONDS = 3.0
PAGE = 100
_SWITCHED = {"pause": "paused", "resume": "resumed"}


class GroupPages(ABC):
    """The pages of one kind. `path` is where they stand, in the API and in the console."""

    path: ClassVar[str]
    one: ClassVar[str]
    """The template of one of them, and what it is called there."""
    fields: ClassVar[tuple[str, ...]]
    """Of its form, besides its name."""
    places: ClassVar[Mapping[str, str]] = {}
    """The form's fields for those of the API that are called otherwise."""
    blank: ClassVar[Mapping[str, str]] = {}
    """What the form for a new one begins with."""

    @abstractmethod
    def asked_for(self, visit: Visit) -> Document:
        """The form as the API takes it. Raises Problem."""

    @abstractmethod
    def given(self, found: Document) -> Mapping[str, object]:
        """One that the API shows, as the form has it; None where a field is empty."""

    async def beside_list(self, visit: Visit) -> Mapping[str, Any]:
        """What else the list shows."""
        return {}

    async def beside_one(self, visit: Visit, found: Document) -> Mapping[str, Any]:
        """What else the page of one shows."""
        return {}

    async def do(self, visit: Visit, action: str) -> Answer:
        """An action that only this kind has."""
        raise Problem(Kind.bad_request, "the form does not say what is to be done")

    async def show(self, visit: Visit) -> Answer:
        """The list."""
        return await self.page_of_list(visit, self.blank, None)

    async def act(self, visit: Visit) -> Answer:
        """Pause or resume one of the list, or make one."""
        action, name = visit.field("action"), visit.field("name")
        try:
            if action in _SWITCHED:
                await visit.api.post(self.path, name, action)
                return Moved(f"/{self.path}", _SWITCHED[action])
            if not name:
                raise invalid([FieldError("name", "it is required")])
            await visit.api.put(self.path, name, document=self.asked_for(visit))
        except Problem as problem:
            refused = Refused.by(problem)
        except Refused as answered:
            refused = answered
        else:
            return Moved(f"/{self.path}/{name}", "saved")
        return await self.page_of_list(visit, self.filled_in(visit), refused)

    async def show_one(self, visit: Visit) -> Answer:
        """One of them."""
        return await self.page_of_one(visit, None, None)

    async def act_on_one(self, visit: Visit) -> Answer:
        """Change, pause, resume or delete it, or what else can be done with it."""
        action, name = visit.field("action"), visit.place["name"]
        try:
            match action:
                case "pause" | "resume":
                    await visit.api.post(self.path, name, action)
                    return Moved(f"/{self.path}/{name}", _SWITCHED[action])
                case "delete":
                    await visit.api.delete(self.path, name)
                    return Moved(f"/{self.path}", "deleted")
                case "save":
                    await visit.api.put(self.path, name, document=self.asked_for(visit))
                    return Moved(f"/{self.path}/{name}", "saved")
                case _:
                    return await self.do(visit, action)
        except Problem as problem:
            refused = Refused.by(problem)
        except Refused as answered:
            refused = answered
        return await self.page_of_one(visit, self.filled_in(visit) if action == "save" else None, refused)

    async def page_of_one(
        self, visit: Visit, filled_in: Mapping[str, str] | None, refused: Refused | None, **more: Any
    ) -> Page:
        """The page of one of them, with what was filled in, or its settings as they are."""
        found = await visit.api.get(self.path, visit.place["name"])
        given = {name: "" if value is None else str(value) for name, value in self.given(found).items()}
        context = {self.one: found, **await self.beside_one(visit, found), **more}
        return _page(visit, f"{self.one}.html", context, filled_in or given, refused, self.places)

    async def page_of_list(
        self, visit: Visit, given: Mapping[str, str], refused: Refused | None, **more: Any
    ) -> Page:
        """The list, with a form for a new one."""
        found = await visit.api.get(self.path, limit=PAGE, cursor=visit.query.get("cursor", ""))
        context = {
            self.path: found[self.path],
            **pages(visit, {}, found["next_cursor"]),
            **await self.beside_list(visit),
            **more,
        }
        return _page(visit, f"{self.path}.html", context, given, refused, self.places)

    def filled_in(self, visit: Visit) -> dict[str, str]:
        """The form as it was sent."""
        return {name: visit.field(name) for name in ("name", *self.fields)}


def _page(
    visit: Visit,
    template: str,
    context: Mapping[str, Any],
    given: Mapping[str, str],
    refused: Refused | None,
    places: Mapping[str, str],
) -> Page:
    problem = refused.problem if refused else None
    shown = {"given": given, "problem": problem, "faults": faults(problem, places)}
    status = refused.status if refused else 200
    return Page(template, {"now_us": visit.service.now_us(), **shown, **context}, status, LIVE_SECONDS)
