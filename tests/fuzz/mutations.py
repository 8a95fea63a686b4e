"""Bytes that were good, and are so no more. The same dice make the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b"\xff\xfe", b" ", b"\t", b":", b";", b",", b"\r\n\r\n", b"0\r\n\r\n", b"%00",
    b"%", b"\x80",
    b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n",
    b"HTTP/1.1", b"HTTP/1.0",
    b"HTTP/9.9", b"18446744073709551616", b"-1", b"0x10", b"ffffffffffffffff\r\n", b"\xc3\x28", b"\xed\xa0\x80",
    b'"', b"{", b"[",
    b"\\u0000", b"\\ud800", b"1e999", b"null",
]  # fmt: skip
LONG_MAX = 4000

_Change = Callable[[Random, bytearray], None]


def _place(dice: Random, data: Sequence[int]) -> int:
    return dice.randrange(len(data) + 1)


def _flip(dice: Random, data: bytearray) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _random_byte(dice: Random, data: bytearray) -> None:
    if data:
        data[dice.randrange(len(data))] = dice.randrange(256)


def _insert_token(dice: Random, data: bytearray) -> None:
    at = _place(dice, data)
    data[at:at] = dice.choice(TOKENS)


def _insert_long(dice: Random, data: bytearray) -> None:
    at = _place(dice, data)
    data[at:at] = dice.randbytes(1) * dice.randrange(LONG_MAX)


def _delete(dice: Random, data: bytearray) -> None:
    at = _place(dice, data)
    del data[at : at + 1 + dice.randrange(20)]


def _repeat(dice: Random, data: bytearray) -> None:
    at, length = _place(dice, data), 1 + dice.randrange(60)
    data[at:at] = data[at : at + length] * (1 + dice.randrange(3))


def _cut(dice: Random, data: bytearray) -> None:
    del data[_place(dice, data) :]


def _number(dice: Random, data: bytearray) -> None:
    numbers = list(re.finditer(rb"[0-9]+", data))
    if numbers:
        start, end = dice.choice(numbers).span()
        changed = int(data[start:end][:18]) + dice.choice([-1, 1, 7, 1000, 2**31, 2**63])
        data[start:end] = b"%d" % changed


def _line(dice: Random, data: bytearray) -> None:
    """One line more than once, or at another place, or not at all."""
    lines = bytes(data).split(b"\r\n")
    line = lines.pop(dice.randrange(len(lines)))
    for _ in range(dice.randrange(3)):
        lines.insert(dice.randrange(len(lines) + 1), line)
    data[:] = b"\r\n".join(lines)


_CHANGES: list[_Change] = [
    _flip, _flip, _random_byte, _insert_token, _insert_token, _insert_long, _delete, _repeat, _cut, _number,
    _number, _line,
]  # fmt: skip


def mutated(dice: Random, data: bytes) -> bytes:
    """With one to four changes."""
    changed = bytearray(data)
    for _ in range(1 + dice.randrange(4)):
        dice.choice(_CHANGES)(dice, changed)
    return bytes(changed)


def pieces(dice: Random, data: bytes, most: int = 4) -> list[bytes]:
    """The same bytes, as they may arrive."""
    cuts = sorted(_place(dice, data) for _ in range(dice.randrange(most)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]
