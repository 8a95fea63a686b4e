"""Which calls there are, and which scopes each needs: what the OpenAPI document says. Nothing else is served."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.routing import compile_path

from timer_api.openapi import KEY_SCHEME
from timer_db.domain.api_key import Scope

_WHOLE_REST = ("/timers/{name}", "/timers/{name:path}")
"""Timers may have slashes in their names, which the document cannot say."""
_Operations = dict[str, frozenset[Scope]]


class Served:
    """The calls of a document. RuntimeError for a route that does not say who may call it (`openapi.needs`)."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._paths: list[tuple[str, re.Pattern[str], _Operations]] = [
            (
                template,
                compile_path(template.replace(*_WHOLE_REST))[0],
                {
                    method.upper(): _scopes(f"{method.upper()} {template}", operation)
                    for method, operation in operations.items()
                },
            )
            for template, operations in document["paths"].items()
        ]
        self._plain = {path: list(map(str.upper, operations)) for path, operations in document["paths"].items()}

    def at(self, path: str) -> _Operations:
        """The methods of a path, each with the scopes that it needs; without any, it is open to all.

        A path that is in the document as it stands is that one (OpenAPI, 4.8.8.1: before any template). It needs
        what every route needs that could be meant.
        """
        found: _Operations = {}
        for _, pattern, operations in self._paths:
            # Not `match`: its `$` passes over a newline at the end.
            if pattern.fullmatch(path):
                for method, scopes in operations.items():
                    found[method] = found.get(method, frozenset()) | scopes
        return {method: found[method] for method in self._plain.get(path, found)}

    def template_of(self, path: str) -> str | None:
        """The path as the document has it; None for one that is not there."""
        if path in self._plain:
            return path
        return next((template for template, pattern, _ in self._paths if pattern.fullmatch(path)), None)


def _scopes(name: str, operation: Mapping[str, Any]) -> frozenset[Scope]:
    required: list[dict[str, list[str]]] | None = operation.get("security")
    if required is None or not all(each.get(KEY_SCHEME) for each in required):
        raise RuntimeError(f"{name} must say who may call it: openapi_extra=needs(Scope.…), or OPEN_TO_ALL")
    return frozenset(Scope(scope) for each in required for scope in each[KEY_SCHEME])
