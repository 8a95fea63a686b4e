"""JSON without surprises.

Surprises are what two programs would read differently, or what could not be handed on as it came: keys given
twice, numbers that do not fit 64 bits, characters that no database or receiver takes, and endless nesting.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

import orjson

from timer_api.errors import ERRORS_MAX, FieldError, Kind, Problem, invalid

DEPTH_MAX = 64
_TOO_DEEP = f"it is nested deeper than {DEPTH_MAX} levels"
_INT64 = range(-(2**63), 2**63)
_LONG_NUMBER = b"0" * 19
"""Shorter ones fit 64 bits."""
_NO_MARKS = bytes(byte for byte in range(256) if chr(byte) not in '"[]{}')
_DIGITS = bytes(ord("0") if chr(byte) in "0123456789" else ord(".") for byte in range(256))


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object. 400 with line and column for what is no JSON, 422 with the fields for surprises."""
    value, is_suspect = parse(raw)
    if not isinstance(value, dict):
        raise invalid([FieldError("", "the body must be a JSON object")])
    if is_suspect and (found := flaws(value)):
        raise invalid(found)
    return value


def parse(raw: bytes) -> tuple[Any, bool]:
    """A JSON value, and whether `flaws` may find something in it. 400 with line and column for what is none."""
    plain = parse_plain(raw)
    if plain is not None:
        return plain
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Problem(Kind.malformed_json, f"byte {error.start} is no UTF-8; JSON always is") from None
    try:
        value = _decode(_STRICT, text)
    except _Surprise:
        return _decode(_MARKING, text), True
    return value, _is_suspect(text, value)


def parse_plain(raw: bytes) -> tuple[Any, bool] | None:
    """What `parse` gives, in a third of the time; None for what needs a closer look.

    orjson takes the last of two equal keys, makes a float of a large integer, and lets NUL pass. The first shows
    in the number of colons: at least one is missing from the value for each key that was dropped.
    """
    # An escaped colon would spoil the count.
    if b"\\u003" in raw or b"\\u0000" in raw or _LONG_NUMBER in raw.translate(_DIGITS):
        return None
    try:
        value = orjson.loads(raw)
        if raw.count(b":") != orjson.dumps(value).count(b":"):
            return None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return value, raw.count(b"[") + raw.count(b"{") > DEPTH_MAX and not _is_flat(raw) and _is_deep(value)


def _is_flat(raw: bytes) -> bool:
    """Whether the brackets of good JSON show that it is not deep; when strings have brackets too, they do not."""
    if b"\\" in raw:
        return False
    # What is left of a string without brackets is its two quotes.
    left = raw.translate(None, _NO_MARKS).replace(b'""', b"")
    if b'"' in left:
        return False
    # Each round takes one level off, or two.
    for _ in range(DEPTH_MAX // 2):
        left = left.replace(b"{}", b"").replace(b"[]", b"")
        if not left:
            return True
    return False


def _decode(decoder: json.JSONDecoder, text: str) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Problem(Kind.malformed_json, f"{error.msg}: {where}" if text else "the body is empty") from None
    except _NotJson as error:
        raise Problem(Kind.malformed_json, str(error)) from None
    except RecursionError:
        raise invalid([FieldError("", _TOO_DEEP)]) from None


def _is_suspect(text: str, value: object) -> bool:
    """Whether some value is to be refused; `flaws` finds out which, slowly."""
    # Only brackets nest, and only escapes bring in NUL or half a surrogate pair: most bodies end here.
    if text.count("[") + text.count("{") > DEPTH_MAX and _is_deep(value):
        return True
    if "\\u" not in text:
        return False
    try:
        # A backslash of the text itself is doubled in the output; then the slow look finds nothing.
        return b"\\u0000" in orjson.dumps(value) and any(True for _ in _flaws_in(value))
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


def flaws(document: object) -> list[FieldError]:
    """What is to be refused in a document, by the path of its field; of very much, the first."""
    return list(itertools.islice(_flaws_in(document), ERRORS_MAX + 1))


def _flaws_in(document: object) -> Iterator[FieldError]:
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
                    yield FieldError(path.partition(".")[0], _TOO_DEEP)
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
