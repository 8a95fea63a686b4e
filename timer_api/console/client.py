"""How the console reaches what it shows: by the API's own calls, with the key of whoever is logged in.

So each page and action is checked, bound and answered as the API does it. The calls stay within the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, urlencode

import orjson
from starlette.types import ASGIApp, Message

from timer_api.errors import Problem

Document = dict[str, Any]


class Refused(Exception):
    """The API answered with a problem (RFC 9457)."""

    def __init__(self, status: int, problem: Document) -> None:
        super().__init__(problem.get("detail", ""))
        self.status, self.problem = status, problem

    @classmethod
    def by(cls, problem: Problem) -> Self:
        """What was found wrong before the API was asked."""
        return cls(problem.kind.status, problem.document(""))


class Client:
    """Calls the API for one visitor; `key` is None while no keys are checked."""

    def __init__(self, api: ASGIApp, key: str | None) -> None:
        self._api = api
        self._headers = [(b"content-type", b"application/json")]
        if key is not None:
            self._headers.append((b"authorization", b"Bearer " + key.encode()))

    async def get(self, *path: str, **query: object) -> Document:
        """GET of the path that the parts make; empty and missing values are left out of the query."""
        return await self._call("GET", path, query=query)

    async def post(
        self, *path: str, document: Document | None = None, headers: Mapping[str, str] | None = None
    ) -> Document:
        """POST; without a document, of an empty body."""
        return await self._call("POST", path, document=document, headers=headers)

    async def put(self, *path: str, document: Document) -> Document:
        """PUT."""
        return await self._call("PUT", path, document=document)

    async def patch(self, *path: str, document: Document) -> Document:
        """PATCH."""
        return await self._call("PATCH", path, document=document)

    async def delete(self, *path: str) -> Document:
        """DELETE; the empty document for 204."""
        return await self._call("DELETE", path)

    async def _call(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, object] | None = None,
        document: Document | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Document:
        body = b"" if document is None else orjson.dumps(document)
        given = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": "/" + "/".join(path),
            "raw_path": "/".join(["", *(quote(part, safe="") for part in path)]).encode(),
            "root_path": "",
            "query_string": urlencode(given).encode(),
            "headers": [
                *(self._headers if document is not None else self._headers[1:]),
                *((name.lower().encode(), value.encode()) for name, value in (headers or {}).items()),
                (b"content-length", b"%d" % len(body)),
            ],
            "client": None,
            "server": None,
        }
        status, answered = await _called(self._api, scope, body)
        found: Document = orjson.loads(answered) if answered else {}
        if status >= 400:
            raise Refused(status, found)
        return found


async def _called(api: ASGIApp, scope: Document, body: bytes) -> tuple[int, bytes]:
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    status, pieces = 500, []

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            pieces.append(message.get("body", b""))

    await api(scope, receive, send)
    return status, b"".join(pieces)
