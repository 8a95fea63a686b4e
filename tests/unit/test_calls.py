"""The request that a timer makes."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.makers import DUE_US, in_hand, make_claim, make_timer
from timer_controller.calls import body_of, call_of, with_id
from timer_controller.sender.protocol import Call
from timer_controller.version import USER_AGENT
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.representation import represent, represent_firing, rfc3339
from timer_db.domain.states import OnUnknown
from timer_db.domain.timer import Json, Timer


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("https://a.test", "https://a.test/ID"),
        ("https://a.test/", "https://a.test/ID"),
        ("https://a.test/hook", "https://a.test/hook/ID"),
        ("https://a.test/hook/", "https://a.test/hook/ID"),
        ("https://a.test/hook//", "https://a.test/hook//ID"),
        ("https://a.test/hook?x=1&y=2", "https://a.test/hook/ID?x=1&y=2"),
        ("https://a.test/hook/?x=1", "https://a.test/hook/ID?x=1"),
        ("https://a.test?x=1", "https://a.test/ID?x=1"),
        ("https://a.test/hook?", "https://a.test/hook/ID?"),
        ("https://a.test/hook?next=/a/?b", "https://a.test/hook/ID?next=/a/?b"),
    ],
)
def test_the_id_joins_the_path(url: str, called: str) -> None:
    assert with_id(url, "ID") == called
    assert call_of(make_claim(url=url, append_id=False), DUE_US).url == url


def headers_of(call: Call) -> list[tuple[str, str]]:
    """Every header of the call, whichever way it is held."""
    lines = [line.partition(": ") for line in call.lines.split("\r\n")[:-1]]
    return [*((name, value) for name, _, value in lines), *call.headers]


def test_headers_say_which_timer_and_which_attempt() -> None:
    claim = make_claim(DUE_US, attempt=3)
    call = call_of(claim, DUE_US + 1_999_999)
    assert dict(headers_of(call)) == {
        "User-Agent": USER_AGENT,
        "webhook-id": str(claim.timer.id),
        "webhook-timestamp": "1800000001",
        "Idempotency-Key": str(claim.timer.id),
        "Timer-Attempt": "3",
        "Timer-Due-At": "2027-01-15T08:00:00.000000Z",
        "Content-Type": "application/json",
    }
    assert (call.method, call.timeout_seconds) == ("POST", 10.0)
    assert call.url == f"https://example.com/hook/{claim.timer.id}"


def test_a_possible_duplicate_says_so() -> None:
    headers = dict(headers_of(call_of(make_claim(possible_duplicate=True), DUE_US)))
    assert headers["Timer-Possible-Duplicate"] == "true"


def test_the_owners_headers_replace_ours_whatever_their_capitals() -> None:
    claim = make_claim(headers={"user-agent": "shop/1", "content-type": "text/plain", "X-Shop": "berlin"})
    headers = headers_of(call_of(claim, DUE_US))
    names = [name.lower() for name, _ in headers]
    assert len(names) == len(set(names))
    assert ("user-agent", "shop/1") in headers
    assert ("content-type", "text/plain") in headers
    assert ("X-Shop", "berlin") in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_without_a_body_the_call_carries_the_timer(method: str) -> None:
    timer = make_timer(method=method, meta={"order": 17}, name="n")
    body, line = body_of(in_hand(timer), method, rfc3339(DUE_US))
    assert line == "Content-Type: application/json\r\n"
    assert body == orjson.dumps(represent(timer, DUE_US))
    assert json.loads(body)["meta"] == {"order": 17}


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "QUERY"])
def test_methods_without_content_carry_none(method: str) -> None:
    claim = make_claim(method=method)
    assert body_of(claim.timer, method, DUE) == (b"", "")
    assert "Content-Type" not in dict(call_of(claim, DUE_US).headers)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_body_of_its_own_is_sent_as_it_is(method: str) -> None:
    own = make_claim(method=method, body=b'{"a":1}')
    assert body_of(own.timer, method, DUE) == (b'{"a":1}', "Content-Type: application/json\r\n")
    as_bytes = make_claim(method=method, body=b"\xff", body_is_json=False)
    assert body_of(as_bytes.timer, method, DUE) == (b"\xff", "Content-Type: application/octet-stream\r\n")
    assert body_of(make_claim(body=b"").timer, method, DUE)[0] == b""


DUE = rfc3339(DUE_US)
TEXT = st.characters(exclude_categories=["Cs"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_any_meta_arrives(meta: Json) -> None:
    try:
        json.dumps(meta, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate, which no JSON in UTF-8 can hold
        return
    if "Infinity" in json.dumps(meta):  # no JSON either
        return
    assert json.loads(body_of(make_claim(meta=meta).timer, "POST", DUE)[0])["meta"] == meta


@given(
    st.builds(
        make_timer,
        meta=st.none() | st.booleans() | st.text(TEXT),
        name=st.none() | st.text(TEXT, min_size=1),
        url=st.text(TEXT).map("https://example.com/".__add__),
        labels=st.dictionaries(st.text(TEXT), st.text(TEXT), max_size=3),
        headers=st.dictionaries(st.text(TEXT), st.text(TEXT), max_size=3),
        priority=st.integers(0, 32_767),
        append_id=st.booleans(),
        retry=st.builds(
            RetryPolicy,
            st.integers(1, 100),
            st.floats(0, 86_400),
            st.floats(1, 100),
            st.floats(0, 1e6),
            st.floats(0, 1),
        ),
        timeout_seconds=st.integers(1, 3_600_000).map(lambda ms: ms / 1000),
        on_unknown=st.sampled_from(OnUnknown),
        attempts=st.integers(0, 100),
    )
)
def test_the_text_that_is_put_together_is_the_representation(timer: Timer) -> None:
    """To the byte, whatever a timer holds."""
    assert represent_firing(in_hand(timer), rfc3339(timer.due_at_us)).encode() == orjson.dumps(
        represent(timer, DUE_US)
    )
