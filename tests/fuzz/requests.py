"""Requests that no client should make, and good ones among them."""

from __future__ import annotations

import json
from random import Random

from tests.fuzz.mutations import mutated

_HEAD = b"Host: timer.test\r\n"
_JSON = b"Content-Type: application/json\r\n"
_ID = b"019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071"
_CREATE = {
    "delay": 3600,
    "url": "https://example.com/hook",
    "labels": {"env": "prod"},
    "retry": {"max_attempts": 3},
}
_WITHOUT_BODY = [
    b"GET /timers?limit=3&status=scheduled", b"GET /timers?cursor=AAA", b"GET /timers/" + _ID,
    b"DELETE /timers/" + _ID,
    b"GET /timers/" + _ID + b"/attempts", b"GET /health/ready", b"GET /docs", b"OPTIONS /timers",
    b"GET /api-keys?limit=2", b"DELETE /api-keys/0b7e8f6c", b"PUT /timers/" + _ID, b"GET http://timer.test/timers",
    b"CONNECT timer.test:80", b"OPTIONS *", b"GET //timers", b"TRACE /timers",
]  # fmt: skip


def good_create(name: str) -> bytes:
    """One that is answered 201."""
    return with_body(b"POST /timers", json.dumps({**_CREATE, "name": name}).encode())


def with_body(call: bytes, body: bytes, extra: bytes = b"") -> bytes:
    """A request that is well-formed around its body."""
    length = b"Content-Length: %d\r\n" % len(body)
    return call + b" HTTP/1.1\r\n" + _HEAD + _JSON + length + extra + b"\r\n" + body


def chunked(dice: Random, call: bytes, body: bytes) -> bytes:
    """The same in chunks, some of them with extensions, and with trailers."""
    request = call + b" HTTP/1.1\r\n" + _HEAD + _JSON + b"Transfer-Encoding: chunked\r\n\r\n"
    while body:
        size = 1 + dice.randrange(200)
        request += b"%x%s\r\n%s\r\n" % (len(body[:size]), dice.choice([b"", b";a=b"]), body[:size])
        body = body[size:]
    return request + b"0\r\n" + dice.choice([b"", b"X-Trailer: 1\r\n"]) + b"\r\n"


def any_request(dice: Random) -> bytes:
    """The next request."""
    base = _base(dice)
    match dice.randrange(10):
        case 0:
            return base
        case 1:
            return base * (2 + dice.randrange(30))
        case 2:
            return _with_many_headers(dice, base)
        case 3:
            return dice.randbytes(dice.randrange(300))
        case 4:
            return mutated(dice, base + _base(dice))
        case _:
            return mutated(dice, base)


def _base(dice: Random) -> bytes:
    match dice.randrange(6):
        case 0:
            return dice.choice(_WITHOUT_BODY) + b" HTTP/1.1\r\n" + _HEAD + b"\r\n"
        case 1:
            # The first key would have to be one for everything, so this makes none.
            return with_body(b"POST /api-keys", b'{"name": "fuzz", "scopes": ["timers:read"], "burst": 3}')
        case 2:
            timers = [_CREATE] * dice.randrange(5)
            return with_body(b"POST /timers/batch", json.dumps({"timers": timers}).encode())
        case 3:
            return chunked(dice, b"POST /timers", json.dumps(_CREATE).encode())
        case 4:
            return with_body(b"POST /timers", _odd_json(dice))
        case _:
            return with_body(b"POST /timers", mutated(dice, json.dumps(_CREATE).encode()))


def _odd_json(dice: Random) -> bytes:
    value = dice.choice([
        b"[" * dice.randrange(3000), b'{"a":' * dice.randrange(3000), b"[" * 70 + b"]" * 70,
        b"9" * dice.randrange(5000), b"1e999",
        b"-0.0", b"1E-400", b'{"k": 1, "k": 2}', b'"\\ud800"', b'"\\u0000"', b'"\xff"', b"NaN",
        b"18446744073709551616", b"null",
        b'"%s"' % (b"x" * dice.randrange(20_000)), b"[%s1]" % (b"1," * dice.randrange(5000)), b"{}", b"true",
        b"\xef\xbb\xbf{}",
    ])  # fmt: skip
    field = dice.choice(
        [b"meta", b"body", b"delay", b"seconds", b"labels", b"headers", b"retry", b"url", b"due_at", b"name"]
    )
    return b'{"url": "https://example.com/hook", "hours": 1, "%s": %s}' % (field, value)


def _with_many_headers(dice: Random, base: bytes) -> bytes:
    line, mark, rest = base.partition(b"\r\n")
    size = dice.choice([10, 100, 1000, 9000])
    extra = b"".join(b"X-%d: %s\r\n" % (n, b"v" * dice.randrange(size)) for n in range(dice.randrange(60)))
    return line + mark + extra + rest
