"""Which calls go to one receiver, and how long it is remembered."""

from __future__ import annotations

import pytest

from tests.unit.receivers import Rig, refused
from tests.unit.virtual_time import in_virtual_time
from timer_controller.breaker import COOL_DOWN_MAX_SECONDS, BreakerRules
from timer_controller.destinations import KNOWN_MAX, OPEN_KEPT_SECONDS, Destinations

RULES = BreakerRules(failures_max=1, cool_down_seconds=1.0, patience_seconds=600.0)


@pytest.mark.parametrize(
    "urls",
    [
        [
            "https://a.test/x",
            "https://a.test",
            "https://a.test?x=/1",
            "https://A.Test:443/y?z",
            "HTTPS://a.test#/f",
        ],
        ["http://a.test:8080/x", "http://u:p@a.test:8080/y", "http://a.test:8080", "http://a.test:8080?q=/"],
        ["http://[::1]:9/x", "http://[0::1]:9"],
        ["https://bücher.test/x", "https://xn--bcher-kva.test/"],
        ["no url", "https:///x", "https://a.test:99999/x", "ftp://a.test/x", "https://a b/", ""],
    ],
    ids=lambda urls: urls[0],
)
def test_these_go_to_one_receiver(urls: list[str]) -> None:
    for order in (urls, urls[::-1]):
        destinations = Destinations(RULES)
        assert len({destinations.of(url).key for url in (*order, *order)}) == 1
        assert len({id(destinations.of(url)) for url in order}) == 1


def test_these_go_to_different_ones() -> None:
    """Also where one is the beginning of another."""
    urls = [
        "https://a.test/x",
        "http://a.test/x",
        "https://a.test:8443/x",
        "https://b.test/x",
        "http://a.test:80801",
        "http://a.test:8080",
        "http://a.test:808",
        "http://a.tes",
        "nothing",
    ]
    destinations = Destinations(RULES)
    for _ in range(2):
        assert len({destinations.of(url).name for url in urls} - {"no receiver"}) == len(urls) - 2


def test_names_hold_no_password() -> None:
    destinations = Destinations(RULES)
    assert destinations.of("https://user:secret@a.test/x").name == "https://a.test:443"
    assert destinations.of("http://[::1]:8080/x").name == "http://[::1]:8080"


def test_what_is_known_is_found_by_its_key() -> None:
    destinations = Destinations(RULES)
    found = destinations.of("https://a.test/x")
    assert destinations.known(found.key) is found
    assert destinations.known(b"x" * 16) is None


def _many(destinations: Destinations, count: int, tag: str = "") -> None:
    for n in range(count):
        destinations.of(f"https://h{tag}{n}.test/")


def test_idle_ones_are_forgotten_when_there_are_many() -> None:
    destinations = Destinations(RULES)
    busy, lined, backed_up, broken, calm = [
        destinations.of(f"https://{name}.test/") for name in ("busy", "lined", "backed", "broken", "calm")
    ]
    busy.calls = 1
    lined.line.append((0, b"", None, lined))  # type: ignore[arg-type]
    backed_up.is_backed_up = True
    broken.breaker.note_failure(0.0, 100.0, "refused")
    everyone = (busy, lined, backed_up, broken, calm)

    destinations.forget_idle(100.0)
    assert all(destinations.known(d.key) is d for d in everyone), "there are few"
    _many(destinations, KNOWN_MAX)
    destinations.forget_idle(100.0)
    assert [destinations.known(d.key) is d for d in everyone] == [True, True, True, True, False]

    _many(destinations, KNOWN_MAX)
    destinations.forget_idle(100.0 + OPEN_KEPT_SECONDS)
    assert destinations.known(broken.key) is None, "nobody has called it for long"
    assert destinations.known(busy.key) is busy


def test_memory_is_bounded_whatever_is_called() -> None:
    destinations = Destinations(RULES)
    for tag in "abcdef":
        _many(destinations, KNOWN_MAX // 2, tag)
        destinations.forget_idle(0.0)
        assert len(destinations._by_key) <= KNOWN_MAX + KNOWN_MAX // 2
        assert len(destinations._by_prefix) <= KNOWN_MAX + KNOWN_MAX // 2


def test_a_receiver_is_in_trouble_as_long_as_something_waits_for_it() -> None:
    destinations = Destinations(RULES)
    lined, backed_up, probed, done = [
        destinations.of(f"https://{name}.test/") for name in ("lined", "backed", "probed", "done")
    ]
    for each in (lined, backed_up, probed, done):
        each.breaker.note_failure(0.0, 100.0, "refused")
    lined.line.append((0, b"", None, lined))  # type: ignore[arg-type]
    backed_up.is_backed_up = True
    destinations.forget_idle(100.0)
    assert destinations.in_trouble == 4

    # What waits for a route is not seen here, but it makes the probes.
    probed.breaker.note_probe_failure(100.0 + COOL_DOWN_MAX_SECONDS, "refused")
    destinations.forget_idle(100.0 + 2 * COOL_DOWN_MAX_SECONDS)
    assert destinations.in_trouble == 3
    lined.line.clear()
    backed_up.is_backed_up = False
    destinations.forget_idle(100.0 + 3 * COOL_DOWN_MAX_SECONDS)
    assert destinations.in_trouble == 0


@in_virtual_time
async def test_one_timer_with_a_mistyped_host_is_no_trouble_for_ever() -> None:
    """Its attempts open the breaker, and then nothing is left that could close it."""
    rig = Rig()
    rig.receivers.answers["mistyped.test"] = lambda: (0.01, refused())
    rig.put(rig.rules.failures_max, "mistyped.test")
    await rig.pass_seconds(1)
    assert not rig.at("mistyped.test").breaker.is_closed
    assert rig.destinations.in_trouble == 1
    await rig.pass_seconds(2 * COOL_DOWN_MAX_SECONDS)
    assert rig.destinations.in_trouble == 0
    assert not rig.at("mistyped.test").breaker.is_closed, "whoever comes next is a probe all the same"
