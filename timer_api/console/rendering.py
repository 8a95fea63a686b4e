"""From a page to HTML. Whatever a template shows is escaped, unless it is HTML of another template."""

from __future__ import annotations

from http import HTTPStatus
from importlib import metadata
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from timer_api.console.visit import PREFIX, Page, Visit
from timer_api.console.words import FILTERS

_MAIN = "main"


class Renderer:
    """The templates, read once."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("timer_api.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(FILTERS)
        self._templates.globals.update(version=metadata.version("timer-system"), prefix=PREFIX)
        # A part of a page is made without the lines of its template that would import them.
        self._templates.globals["parts"] = self._templates.get_template("parts.html").module

    def page(self, visit: Visit | None, page: Page) -> str:
        """The whole page."""
        return self._templates.get_template(page.template).render(_context(visit, page))

    def part(self, visit: Visit, page: Page) -> str:
        """Its main part alone, which is what changes while a page is watched."""
        template = self._templates.get_template(page.template)
        return "".join(template.blocks[_MAIN](template.new_context(_context(visit, page))))


def _context(visit: Visit | None, page: Page) -> dict[str, Any]:
    return {
        "visit": visit,
        "path": visit.request.url.path.removeprefix(PREFIX) if visit else "",
        "form_token": visit.session.form_token if visit and visit.session else "",
        "live_seconds": page.live_seconds,
        # What is away comes back; a form is never sent again by itself.
        "again": page.status == HTTPStatus.SERVICE_UNAVAILABLE and not (visit and visit.request.method == "POST"),
        **page.context,
    }
