"""How answers are read."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httptools


def new_parser(listener: object) -> Any:
    """A parser that tells `listener`.

    It forgives what RFC 9112 lets a client forgive (2.2: bare line feeds; 5.2: folded headers; 6.3: a length
    beside chunks): the receiver took the call, and to read its 2xx as no answer would call it again.
    """
    parser = httptools.HttpResponseParser(listener)
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_chunked_length=True, lenient_optional_cr_before_lf=True
    )
    return parser


def headers_of(answer: bytes | bytearray) -> dict[bytes, str]:
    """The headers that an answer begins with, by lower-case name; the first of each, none of interim answers.

    Of `transfer-encoding` it is the last, which says how the body ends.
    """
    reader = _Reader()
    with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        reader.parser.feed_data(answer)
    return reader.headers


class _Reader:
    def __init__(self) -> None:
        self.headers: dict[bytes, str] = {}
        self.parser = new_parser(self)
        self._whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._whole:
            return  # a trailer
        name = name.lower()
        if name == b"transfer-encoding":
            self.headers.pop(name, None)
        self.headers.setdefault(name, value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self._whole = self._whole or self.parser.get_status_code() >= 200

    def on_message_complete(self) -> None:
        if not self._whole:
            self.headers.clear()
