"""Collections: how many timers each has, its switch, its limits."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from timer_api.console.client import Document
from timer_api.console.pages.groups import GroupPages
from timer_api.console.pages.reading import Reader, fraction, json_of, lines, whole
from timer_api.console.visit import Visit

_DEFAULTS = ("retry", "timeout_seconds", "priority", "on_unknown")


class CollectionPages(GroupPages):
    """The pages of collections."""

    path = "collections"
    one = "collection"
    fields = ("retention_days", "waiting_max", "egress_allow", *_DEFAULTS)
    places = {f"defaults.{name}": name for name in _DEFAULTS}  # noqa: RUF012 - the base says that it is the class's

    def asked_for(self, visit: Visit) -> Document:
        form = Reader(visit)
        form.put("retention_days", whole)
        form.put("waiting_max", whole)
        form.put("egress_allow", lines)
        form.put("retry", json_of, into="defaults")
        form.put("timeout_seconds", fraction, into="defaults")
        form.put("priority", whole, into="defaults")
        form.put("on_unknown", into="defaults")
        return form.done()

    def given(self, found: Document) -> Mapping[str, object]:
        defaults = found["defaults"]
        return {
            **{name: found[name] for name in ("retention_days", "waiting_max")},
            **{name: defaults[name] for name in _DEFAULTS},
            "egress_allow": "\n".join(found["egress_allow"] or ()),
            "retry": orjson.dumps(defaults["retry"]).decode() if defaults["retry"] else None,
        }
