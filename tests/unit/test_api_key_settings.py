"""TIMER_API_KEYS: what can be a key, and that a fault never shows one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from timer_api.settings import ApiSettings

URL = "mysql://timer:x@127.0.0.1:1/timer"
GOOD = "s3cret-S3cret_s3cret~S3cret=s3cr!"
OTHER = "o" * 32


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ("", []),
        (GOOD, [GOOD]),
        (f"{GOOD},{OTHER}", [GOOD, OTHER]),
        (f" {GOOD} , {OTHER}\n", [GOOD, OTHER]),
    ],
)
def test_keys_are_separated_by_commas(given: str, keys: list[str]) -> None:
    assert ApiSettings(db_url=URL, api_keys=given).api_keys_given == keys


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (GOOD[:31], "key 1 has 31 characters"),
        (f"{GOOD},{GOOD[:31]}", "key 2 has 31 characters"),
        (f"{GOOD},", "key 2 has 0 characters"),
        (" ", "key 1 has 0 characters"),
        (f"{GOOD[:16]} {GOOD[16:]}", "key 1 must be of printable ASCII"),
        (f"{GOOD}\x7f{GOOD}", "key 1 must be of printable ASCII"),
        (f"{OTHER},{GOOD}é", "key 2 must be of printable ASCII"),
    ],
)
def test_what_is_no_key_is_a_fault_that_does_not_show_it(given: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ApiSettings(db_url=URL, api_keys=given)
    [fault] = caught.value.errors(include_input=False, include_url=False)
    assert fault["loc"] == ("api_keys",)
    assert words in fault["msg"]
    assert GOOD[:10] not in str(fault)


def test_settings_do_not_show_keys() -> None:
    assert GOOD not in repr(ApiSettings(db_url=URL, api_keys=GOOD))
