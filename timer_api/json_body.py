"""Request bodies: bounded while they arrive, JSON without surprises once they are whole.

Surprises are what two programs would read differently, or what could not be handed on as it came: keys given
twice, numbers that do not fit 64 bits, characters that no database or receiver takes, and endless nesting.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import orjson
from starlette.types import Receive

from timer_api.errors import FieldError, Kind, Problem, invalid

DEPTH_MAX = 64
_INT64 = range(-(2**63), 2**63)
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


async def read(headers: Iterable[tuple[bytes, bytes]], receive: Receive, limit_bytes: int) -> bytes:
    """The whole body; 413 past the limit, whether its length was announced or not."""
    for name, value in headers:
        if name == b"content-length" and int(value) > limit_bytes + _DRAIN_BYTES:
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


def _too_large(limit_bytes: int, *, close: bool) -> Problem:
    headers = {"Connection": "close"} if close else {}
    return Problem(Kind.body_too_large, f"a body has at most {limit_bytes:,} bytes", headers=headers)


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object. 400 with line and column for what is no JSON, 422 with the fields for surprises."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Problem(Kind.malformed_json, f"byte {error.start} is no UTF-8; JSON always is") from None
    try:
        value = _STRICT.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Problem(Kind.malformed_json, f"{error.msg}: {where}" if text else "the body is empty") from None
    except _NotJson as error:
        raise Problem(Kind.malformed_json, str(error)) from None
    except _Surprise:
        raise _explained(text) from None
    except RecursionError:
        raise _too_deep("") from None
    if not isinstance(value, dict):
        raise invalid([FieldError("", "the body must be a JSON object")])
    if _is_suspect(text, value):
        raise invalid(_flaws(value))
    return value


def _is_suspect(text: str, value: object) -> bool:
    """Whether some value is to be refused; `_flaws` finds out which, slowly."""
    # Only brackets nest, and only escapes bring in NUL or half a surrogate pair: most bodies end here.
    if text.count("[") + text.count("{") > DEPTH_MAX and _is_deep(value):
        return True
    if "\\u" not in text:
        return False
    try:
        # A backslash of the text itself is doubled in the output; then the slow look finds nothing.
        return b"\\u0000" in orjson.dumps(value) and any(True for _ in _flaws(value))
    except orjson.JSONEncodeError:
        return True


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            item
            for parent in level
            for item in (
                parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ()
            )
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


class _Surprise(Exception):
    """There is something to refuse; the slow reading finds out where."""


class _NotJson(Exception):
    """A word that only some JSON readers know."""


class _Flaw:
    """Stands for a value that is refused, in the slow reading."""

    def __init__(self, why: str) -> None:
        self.why = why


_TWICE = "it is given twice"
_NUMBER = "the number does not fit 64 bits; send it as a string"


def _no_constant(word: str) -> NoReturn:
    raise _NotJson(f"{word} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Surprise
    return made


def _int64(digits: str) -> int:
    # Longer ones are not even converted: that takes time quadratic in their length.
    if len(digits) > 20 or (number := int(digits)) not in _INT64:
        raise _Surprise
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _Surprise
    return number


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_int64, parse_float=_finite, parse_constant=_no_constant
)


def _marked_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        made[key] = _Flaw(_TWICE) if key in made else value
    return made


def _marked_int(digits: str) -> int | _Flaw:
    try:
        return _int64(digits)
    except _Surprise:
        return _Flaw(_NUMBER)


def _marked_float(digits: str) -> float | _Flaw:
    try:
        return _finite(digits)
    except _Surprise:
        return _Flaw(_NUMBER)


_MARKING = json.JSONDecoder(
    object_pairs_hook=_marked_pairs, parse_int=_marked_int, parse_float=_marked_float, parse_constant=_no_constant
)


def _explained(text: str) -> Problem:
    """What `_STRICT` gave up on, field by field. What follows it may be no JSON after all."""
    try:
        value = _MARKING.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        return Problem(Kind.malformed_json, f"{error.msg}: {where}")
    except _NotJson as error:
        return Problem(Kind.malformed_json, str(error))
    except RecursionError:
        return _too_deep("")
    return invalid(_flaws(value))


def _too_deep(path: str) -> Problem:
    return invalid([FieldError(path, f"it is nested deeper than {DEPTH_MAX} levels")])


def _flaws(document: object) -> Iterator[FieldError]:
    """Everything to refuse in a document, by the path of its field."""
    waiting: list[tuple[str, object, int]] = [("", document, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        match value:
            case _Flaw():
                yield FieldError(path, value.why)
            case str():
                if why := _unstorable(value):
                    yield FieldError(path, why)
            case dict() | list():
                if depth >= DEPTH_MAX:
                    # The top field says enough; the whole path would be as long as the nesting.
                    yield FieldError(path.partition(".")[0], f"it is nested deeper than {DEPTH_MAX} levels")
                    continue
                if isinstance(value, dict):
                    for key in value:
                        if why := _unstorable(key):
                            yield FieldError(path, f"a key in it: {why}")
                members = value.items() if isinstance(value, dict) else enumerate(value)
                waiting.extend(
                    (f"{path}.{name}" if path else str(name), item, depth + 1) for name, item in members
                )


def _unstorable(text: str) -> str | None:
    if "\0" in text:
        return "it holds the character NUL (\\u0000); binary data goes into body_base64"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it holds half of a surrogate pair (\\ud800 to \\udfff)"
    return None
