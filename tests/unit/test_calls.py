"""The request that a timer makes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.makers import DUE_US, in_hand, make_claim, make_timer
from timer_controller.calls import body_of, call_of, with_id
from timer_controller.sender.protocol import Call
from timer_controller.signing import Signer
from timer_controller.version import USER_AGENT
from timer_db.domain.address_ranges import parse_range
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.claim import Claim
from timer_db.domain.collection import Collection, CollectionSettings
from timer_db.domain.directory import ONLY_DEFAULT, Directory
from timer_db.domain.errors import ContentUnreadable
from timer_db.domain.owner import Owner
from timer_db.domain.representation import represent, represent_firing, rfc3339
from timer_db.domain.route import Route, RouteSettings, Secret
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


# What a route says

ROUTE = RouteSettings(
    url="https://route.test/r?x=1",
    method="PUT",
    headers={"X-Shop": "route", "Authorization": "Bearer r", "webhook-id": "forged"},
    timeout_seconds=3.0,
)
SECRETS = (Secret(b"n" * 32), Secret(b"o" * 32, until_us=DUE_US + 10))


def directory(settings: RouteSettings = ROUTE, **fields: Any) -> Directory:
    """One with this route, number 3."""
    return Directory(ONLY_DEFAULT.collections, {3: Route(3, "r", settings, **fields)})


def routed(**fields: Any) -> Claim:
    asked = {"url": None, "method": None, "timeout_seconds": None, "retry": None, "owner": Owner(1, 3)}
    return make_claim(**{**asked, **fields})


def test_a_route_says_what_its_timer_does_not() -> None:
    claim = routed(headers={"x-shop": "own", "X-Own": "1"})
    call = call_of(claim, DUE_US, directory=directory())
    assert (call.method, call.timeout_seconds) == ("PUT", 3.0)
    assert call.url == f"https://route.test/r/{claim.timer.id}?x=1"
    headers = headers_of(call)
    assert [value for name, value in headers if name.lower() == "x-shop"] == ["own"]
    assert {("Authorization", "Bearer r"), ("X-Own", "1"), ("webhook-id", str(claim.timer.id))} <= set(headers)
    shown = json.loads(call.body)
    assert (shown["route"], shown["url"], shown["method"], shown["retry"]) == ("r", None, None, None)
    own = call_of(routed(method="DELETE", timeout_seconds=9.0), DUE_US, directory=directory())
    assert (own.method, own.timeout_seconds, own.body) == ("DELETE", 9.0, b"")


@pytest.mark.parametrize(("of_route", "of_timer"), [(True, False), (False, True), (False, False)])
def test_either_of_them_leaves_the_url_as_it_is(of_route: bool, of_timer: bool) -> None:
    settings = replace(ROUTE, append_id=of_route)
    assert call_of(routed(append_id=of_timer), DUE_US, directory=directory(settings)).url == ROUTE.url


def signatures_of(call: Call) -> list[str]:
    return dict(headers_of(call)).get("webhook-signature", "").split()


def test_secrets_of_a_route_sign_in_the_place_of_the_services_and_end_at_their_time() -> None:
    service = Signer([b"s" * 32])
    claim = routed(body=b"{}")
    for at_us, keys in ((DUE_US, [b"n" * 32, b"o" * 32]), (DUE_US + 10, [b"n" * 32])):
        call = call_of(claim, at_us, service, directory=directory(secrets=SECRETS))
        wanted = Signer(keys).signatures(str(claim.timer.id), at_us // 1_000_000, b"{}")
        assert signatures_of(call) == wanted.split()
    for others in ((), (Secret(b"o" * 32, until_us=DUE_US - 1),)):
        call = call_of(claim, DUE_US, service, directory=directory(secrets=others))
        assert signatures_of(call) == service.signatures(str(claim.timer.id), DUE_US // 1_000_000, b"{}").split()


def test_a_route_that_cannot_be_read_is_not_called() -> None:
    with pytest.raises(ContentUnreadable, match="of its route, the key is missing"):
        call_of(routed(), DUE_US, directory=directory(unreadable="the key is missing"))


def test_a_collection_with_ranges_holds_its_calls_to_them() -> None:
    ranges = (parse_range("10.0.0.0/8"),)
    narrow = Collection(2, "narrow", CollectionSettings(egress_allow=ranges))
    known = Directory({**ONLY_DEFAULT.collections, 2: narrow})
    assert call_of(make_claim(owner=Owner(2)), DUE_US, directory=known).within == ranges
    assert call_of(make_claim(), DUE_US, directory=known).within is None
