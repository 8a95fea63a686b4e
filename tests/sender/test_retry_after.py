"""`Retry-After`, in both of its forms (RFC 9110, 10.2.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timer_controller.sender.answer import retry_after_seconds

NOW = 784_111_700.0
"""77 seconds before the date in the RFC's examples."""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 77.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 77.0),
        ("Sun Nov  6 08:49:37 1994", 77.0),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 77.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Sun, 06 Nov 9994 08:49:37 GMT", 252_455_616_077.0),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("1.5", None),
        ("+5", None),
        ("٣", None),
        ("", None),
        ("tomorrow", None),
        ("12345678901", None),
        ("Sun, 06 Nov 1994 08:49:37 +9999", None),
        ("1 Jan 99999999999 10:00:00 GMT", None),
        ("Fri, 01 Jan 2027 00:00:00 +99999999999999999999", None),
    ],
)
def test_seconds_from_now(value: str, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@given(st.one_of(st.text(), st.text("SunNov 0123456789:,GMT+-")))
def test_nothing_that_a_receiver_writes_fails(value: str) -> None:
    seconds = retry_after_seconds(value, NOW)
    assert seconds is None or seconds >= 0
