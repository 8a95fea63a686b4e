"""The header `traceparent`, as W3C Trace Context has it."""

from __future__ import annotations

import pytest

from timer_db.domain.traceparent import traceparent_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WHOLE = f"00-{TRACE}-{SPAN}-01"


def test_it_is_found_among_other_headers() -> None:
    headers = [(b"host", b"x"), (b"traceparent", WHOLE.encode()), (b"tracestate", b"a=b")]
    assert traceparent_of(headers) == WHOLE
    assert traceparent_of(headers[:1]) is None


@pytest.mark.parametrize("text", [f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-comes-later"])
def test_a_later_version_is_read_as_far_as_it_is_known(text: str) -> None:
    assert traceparent_of([(b"traceparent", text.encode())]) == WHOLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        TRACE,
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01 ",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        "x" * 10_000,
    ],
)
def test_what_cannot_be_read_is_no_trace(text: str) -> None:
    assert traceparent_of([(b"traceparent", text.encode())]) is None
