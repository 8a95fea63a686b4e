"""Request bodies: JSON by their headers, and bounded while they arrive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.types import Receive

from timer_api import json_value
from timer_api.errors import Kind, Problem

# A body that is too large is read on this far before it is refused: a client that is still sending when the
# connection closes may never see the answer.
_DRAIN_BYTES = 8 * 1024 * 1024

_ASK_FOR_JSON = "send JSON with the header Content-Type: application/json"


class ClientGone(Exception):
    """The connection was closed before the request was whole; there is nobody to answer."""


def check_media_type(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """415 unless the headers promise plain JSON.

    A missing Content-Type is refused as well: a page in a browser can send such a request across origins.
    """
    media_type = b""
    for name, value in headers:
        if name == b"content-type":
            media_type = value
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise Problem(Kind.unsupported_media_type, "a compressed body is not supported")
    if media_type == b"application/json":
        return
    essence, _, parameters = media_type.decode("latin-1").lower().partition(";")
    if essence.strip() != "application/json":
        said = f"{essence.strip()} is not supported" if media_type else "the Content-Type is missing"
        raise Problem(Kind.unsupported_media_type, f"{said}: {_ASK_FOR_JSON}")
    if "charset" in parameters and "utf-8" not in parameters:
        raise Problem(Kind.unsupported_media_type, "JSON is always UTF-8")


def announced_bytes(headers: Iterable[tuple[bytes, bytes]], otherwise: int) -> int:
    """How long the body is going to be, or `otherwise` when the client does not say."""
    return next((int(value) for name, value in headers if name == b"content-length"), otherwise)


async def read(headers: Iterable[tuple[bytes, bytes]], receive: Receive, limit_bytes: int) -> bytes:
    """The whole body; 413 past the limit, whether its length was announced or not."""
    if announced_bytes(headers, 0) > limit_bytes + _DRAIN_BYTES:
        raise _too_large(limit_bytes, close=True)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size <= limit_bytes:
            chunks.append(chunk)
        elif size > limit_bytes + _DRAIN_BYTES:
            raise _too_large(limit_bytes, close=more)
    if size > limit_bytes:
        raise _too_large(limit_bytes, close=False)
    return b"".join(chunks)


async def object_of(request: Request, limit_bytes: int) -> dict[str, Any]:
    """The JSON object that a request carries."""
    headers = request.headers.raw
    check_media_type(headers)
    try:
        raw = await read(headers, request.receive, limit_bytes)
    except ClientGone:
        # Nobody is left to read this.
        raise Problem(Kind.bad_request, "the request ended before its body") from None
    return json_value.parse_object(raw)


def _too_large(limit_bytes: int, *, close: bool) -> Problem:
    headers = {"Connection": "close"} if close else {}
    return Problem(Kind.body_too_large, f"a body has at most {limit_bytes:,} bytes", headers=headers)
