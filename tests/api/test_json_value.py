"""JSON without surprises: the quick way of reading it takes nothing that the strict one refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from timer_api import json_value
from timer_api.errors import Problem
from timer_api.json_value import DEPTH_MAX, flaws, parse, parse_plain


class _Pairs(list[tuple[str, Any]]):
    """An object in which keys may come twice."""


KEYS = st.sampled_from(["a", "b", "a:b", ":", '"', "url", "[", "}{", "\u00e4", "\\", "", "\\u003a"]) | st.text()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(KEYS, inner), max_size=4).map(_Pairs),
    max_leaves=12,
)


def text_of(value: object, ascii_only: bool) -> str:
    if isinstance(value, _Pairs):
        members = [f"{text_of(key, ascii_only)}: {text_of(member, ascii_only)}" for key, member in value]
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(text_of(member, ascii_only) for member in value)}]"
    return json.dumps(value, ensure_ascii=ascii_only)


def strictly(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Any]] | str:
    with monkeypatch.context() as patch:
        patch.setattr(json_value, "parse_plain", lambda _: None)
        try:
            value, is_suspect = parse(raw)
        except Problem as problem:
            return problem.detail
    return value, flaws(value) if is_suspect else []


@given(value=VALUES, ascii_only=st.booleans())
@example(value=_Pairs([("a", 1), ("a", 2)]), ascii_only=False)
@example(value=_Pairs([("a", ":"), ("a", "b:c")]), ascii_only=False)
@example(value=[2**63], ascii_only=True)
@example(value=[-(2**63), 2**63 - 1, 10**30, 1e300, -0.0], ascii_only=True)
@example(value="\0", ascii_only=True)
def test_what_is_read_quickly_is_read_alike(value: object, ascii_only: bool) -> None:
    raw = text_of(value, ascii_only).encode(errors="surrogatepass")
    plain = parse_plain(raw)
    if plain is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        strict = strictly(raw, patch)
    assert not isinstance(strict, str), strict
    assert repr(plain[0]) == repr(strict[0])
    assert (flaws(plain[0]) if plain[1] else []) == strict[1]


NESTED = [b"[" * depth + b"]" * depth for depth in (DEPTH_MAX, DEPTH_MAX + 1, 200, 300)]
HIDING = [
    # Brackets in strings, which would cancel those outside if they were taken for some.
    b'["]",' * 100 + b"1" + b',"["]' * 100,
    b'{"}":' * 100 + b"1" + b"}" * 100,
    b'["","]",' * 100 + b"1" + b',"[",""]' * 100,
    b'["\\"]",' * 100 + b"1" + b',"[\\""]' * 100,
]


@pytest.mark.parametrize("raw", [*NESTED, *HIDING], ids=lambda raw: f"{raw[:20]!r}…{len(raw)}")
def test_depth_is_found_whichever_way_it_is_read(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, strict = parse_plain(raw), strictly(raw, monkeypatch)
    assert not isinstance(strict, str)
    assert bool(strict[1]) == (raw != NESTED[0])
    if plain is not None:
        assert (flaws(plain[0]) if plain[1] else []) == strict[1]


@pytest.mark.parametrize(
    "raw",
    [b"{}", b"17", b'{"a": {"b": [1, 2.5, "x:y", null]}}', '{"ü": "\\u00fc"}'.encode(), b"[" * 64 + b"]" * 64],
)
def test_usual_json_is_read_quickly(raw: bytes) -> None:
    assert parse_plain(raw) == (json.loads(raw), False)


@pytest.mark.parametrize(
    "raw",
    [b'{"a":1,"a":1}', b'{"a":1,"\\u0061":1}', b'{"a":"x\\u003ay","a":1}', b"1e999", b"9223372036854775808",
     b'"\\u0000"', b'"\\ud800"', b"[1,]", b"NaN", b"\xff"],
)  # fmt: skip
def test_what_is_unusual_is_not(raw: bytes) -> None:
    assert parse_plain(raw) is None
