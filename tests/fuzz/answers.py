"""Answers of receivers, and what a second, slow reader makes of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STATUS = re.compile(rb"HTTP/[0-9]\.[0-9] ([1-9][0-9]{2})(?: .*)?", re.DOTALL)


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailers + b"\r\n"


def with_head(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([*lines, b"", body])


WHOLE = {
    "length": with_head(b"HTTP/1.1 200 OK", b"Content-Length: 5", body=b"hello"),
    "no body": with_head(b"HTTP/1.1 204 No Content", b"Server: x"),
    "empty": with_head(b"HTTP/1.1 200 OK", b"Content-Length: 0"),
    "no phrase": with_head(b"HTTP/1.1 202", b"Content-Length: 2", body=b"ok"),
    "chunks": with_head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", body=chunked(b"hel", b"lo")),
    "trailers": with_head(
        b"HTTP/1.1 201 Created", b"Transfer-Encoding: chunked", body=chunked(b"hello", trailers=b"X-Sum: 5\r\n")
    ),
    "interim": with_head(b"HTTP/1.1 103 Early Hints", b"Link: </a>")
    + with_head(b"HTTP/1.1 200 OK", b"Content-Length: 2", body=b"ok"),
    "closing": with_head(b"HTTP/1.1 200 OK", b"Connection: close", b"Content-Length: 2", body=b"ok"),
    "old": with_head(b"HTTP/1.0 200 OK", b"Content-Length: 2", body=b"ok"),
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "rejected": with_head(b"HTTP/1.1 503 Busy", b"Retry-After: 7", b"Content-Length: 4", body=b"busy"),
    "redirect": with_head(b"HTTP/1.1 302 Found", b"Location: /elsewhere", b"Content-Length: 0"),
}
UNTIL_CLOSE = {
    "new": with_head(b"HTTP/1.1 200 OK", b"Server: x", body=b"until the end"),
    "old": with_head(b"HTTP/1.0 200 OK", b"Server: x", body=b"until the end"),
}
"""These are whole when the receiver closes; behind their heads, each byte is one of the body."""


@dataclass(frozen=True)
class Reading:
    """What bytes begin with. `is_whole` when nothing of it is missing, should the connection end here."""

    status: int
    is_whole: bool


def read_slowly(data: bytes) -> Reading | None:
    """The first final answer, read line by line; None when there is no whole head of one.

    It forgives everything, so whoever is strict finds no more whole answers than this.
    """
    while True:
        head = re.match(rb"[\r\n]*(.*?\n)[ \t]*\r?\n", data, re.DOTALL)
        if head is None:
            return None
        line, *lines = re.split(rb"\r?\n(?![ \t])", head[1])
        match = _STATUS.match(line.strip())
        if match is None:
            return None
        status, data = int(match[1]), data[head.end() :]
        if status >= 200:
            break
        # An interim answer has no body. What stands there all the same is passed over.
        data = data[max(0, data.find(b"HTTP/")) :]
    headers = [line.partition(b":") for line in lines]
    named = [(name.strip().lower(), value.strip().lower()) for name, _, value in headers]
    if status in (204, 304):
        return Reading(status, True)
    codings = [value for name, value in named if name == b"transfer-encoding"]
    if codings:
        # The last one ends the body, or the connection does.
        return Reading(status, not codings[-1].endswith(b"chunked") or _chunks_end(data))
    lengths = [int(value) for name, value in named if name == b"content-length" and value.isdigit()]
    return Reading(status, len(data) >= min(lengths, default=0))


def _chunks_end(data: bytes) -> bool:
    match = re.match(rb"([0-9A-Fa-f]+)[^\n]*\n", data)
    if match is None:
        return False
    size, rest = int(match[1], 16), data[match.end() :]
    if size == 0:
        return re.match(rb"([^\n]*[^\r\n][^\n]*\n)*\r?\n", rest) is not None
    # The sender's parser takes two line feeds for the end of a line here.
    starts = [0, 1] if rest.startswith(b"\n") else [0]
    return any(_chunks_end(re.sub(rb"\A\r?\n", b"", rest[start + size :])) for start in starts)
