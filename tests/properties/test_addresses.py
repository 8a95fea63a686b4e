"""Where calls go: the URL with the id in it, the key of its receiver, and when to ask a receiver again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.profiles import look_at
from timer_api.timers.target import check_url
from timer_controller.breaker import BreakerRules
from timer_controller.calls import with_id
from timer_controller.destinations import Destinations
from timer_controller.sender.answer import retry_after_seconds
from timer_controller.sender.target import parse_destination, split_url
from timer_db.domain.destination import KEY_BYTES, key_of

RULES = BreakerRules(failures_max=1, cool_down_seconds=1.0, patience_seconds=600.0)
PLAIN = "ABCXYZabcxyz019-._~!$&'()*+,;=:@|[]"
HOSTS = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?(\.[a-z]{2,6}){1,2}\Z") | st.sampled_from(
    ["127.0.0.1", "[::1]", "[2001:db8::1]"]
)
PORTS = st.none() | st.integers(1, 65_535)
PATHS = st.lists(st.text(PLAIN, max_size=5) | st.just("%20"), max_size=4).map("/".join)
QUERIES = st.none() | st.text(PLAIN + "/?", max_size=12)


@st.composite
def urls(draw: st.DrawFn) -> str:
    """Any that the API takes."""
    host, port, path, query = draw(HOSTS), draw(PORTS), draw(PATHS), draw(QUERIES)
    rest = f"/{path}" if path or draw(st.booleans()) else ""
    return (
        f"{draw(st.sampled_from(['http', 'https']))}://{host}{'' if port is None else f':{port}'}{rest}"
        f"{'' if query is None else f'?{query}'}"
    )


@look_at(400)
@given(urls())
def test_the_id_is_the_last_part_of_the_path_and_nothing_else_changes(url: str) -> None:
    assert check_url(url) == url
    timer_id = "01a3185c-5000-7000-8000-000000000002"
    called = with_id(url, timer_id)
    before, after = urlsplit(url), urlsplit(called)
    assert (after.scheme, after.netloc, after.query) == (before.scheme, before.netloc, before.query)
    assert after.path == f"{before.path.removesuffix('/')}/{timer_id}"
    assert ("?" in called) == ("?" in url)
    # What goes on the wire is the same, whichever part of the program splits it.
    prefix, target = split_url(called)
    assert f"{prefix}{target}".replace("%7C", "|") == called
    # A second id would join behind the first: nothing of a URL swallows it.
    assert with_id(called, "ID").count(timer_id) == 1 + url.count(timer_id)


@look_at(300)
@given(urls(), urls(), st.booleans())
def test_one_key_per_scheme_host_and_port(one: str, other: str, is_shouted: bool) -> None:
    def place(url: str) -> tuple[bool, str, int]:
        target = parse_destination(split_url(url)[0])
        return target.secure, target.host, target.port

    destinations = Destinations(RULES)
    first = destinations.of(one)
    assert len(first.key) == KEY_BYTES
    assert first.key == key_of(first.name)
    assert (first.key == destinations.of(other).key) == (place(one) == place(other))
    parts = urlsplit(one)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    same = f"{parts.scheme}://{host.upper() if is_shouted else host}:{port}/elsewhere?{parts.query}"
    assert Destinations(RULES).of(same).key == first.key
    assume(port < 65_535)
    assert destinations.of(f"{parts.scheme}://{host}:{port + 1}/").key != first.key


@look_at(300)
@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)), st.integers(0, 4_000_000_000))
def test_a_date_in_retry_after_is_read_to_the_second(moment: datetime, now: int) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    wait = max(0.0, (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1) - now)
    assert retry_after_seconds(format_datetime(moment, usegmt=True), now) == wait
    assert retry_after_seconds(f" {format_datetime(moment)}\t", now) == wait


@look_at(200)
@given(st.integers(0, 9_999_999_999), st.floats(0, 4e9))
def test_seconds_in_retry_after_are_read_as_they_are(seconds: int, now: float) -> None:
    assert retry_after_seconds(f"{seconds}", now) == seconds
