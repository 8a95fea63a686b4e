"""Which service is spoken to, and with which key: a key goes to the URL that it stands beside, and to no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.scripted import scripted_server
from timer_api.timers.examples import ANSWERS
from timer_client.client import DEFAULT_URL
from timer_client.ctl.config import target_of

from .conftest import Ran

CONFIG = """
profile = "usual"
[profiles.usual]
url = "http://usual"
key = "usual-key"
[profiles.other]
url = "http://other/"
key = "other-key"
[profiles.bare]
url = "http://bare"
[profiles.here]
key = "here-key"
"""
URL, KEY = "TIMER_URL", "TIMER_API_KEY"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    file = tmp_path / "config/timerctl/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "around", "url", "key"),
    [
        # url, key and profile of the command line
        ((None, None, None), {}, "http://usual", "usual-key"),
        ((None, None, None), {"TIMERCTL_PROFILE": "other"}, "http://other/", "other-key"),
        ((None, None, None), {URL: "http://env", KEY: "env-key"}, "http://env", "env-key"),
        ((None, None, None), {URL: "http://env"}, "http://env", None),
        ((None, None, None), {URL: "http://usual/"}, "http://usual/", "usual-key"),
        ((None, None, None), {KEY: "env-key"}, "http://usual", "env-key"),
        ((None, None, "other"), {URL: "http://env", KEY: "env-key"}, "http://other/", "other-key"),
        ((None, None, "other"), {KEY: "env-key"}, "http://other/", "other-key"),
        ((None, None, "bare"), {KEY: "env-key"}, "http://bare", None),
        ((None, None, "here"), {URL: "http://env"}, DEFAULT_URL, "here-key"),
        ((None, "said", "other"), {KEY: "env-key"}, "http://other/", "said"),
        (("http://flag", None, None), {}, "http://flag", None),
        (("http://flag", None, None), {KEY: "env-key"}, "http://flag", "env-key"),
        (("http://flag", None, None), {URL: "http://env", KEY: "env-key"}, "http://flag", None),
        (("http://env", None, None), {URL: "http://env/", KEY: "env-key"}, "http://env", "env-key"),
        (("http://flag", None, "other"), {URL: "http://env", KEY: "env-key"}, "http://flag", None),
        (("http://other", None, "other"), {}, "http://other", "other-key"),
        (("http://flag", "said", "other"), {}, "http://flag", "said"),
    ],
)
def test_a_key_goes_to_its_own_url(
    home: Path,
    flags: tuple[str | None, str | None, str | None],
    around: dict[str, str],
    url: str,
    key: str | None,
) -> None:
    target = target_of(*flags, {"XDG_CONFIG_HOME": str(home / "config"), **around})
    assert (target.url, target.key) == (url, key)


def test_no_other_key_is_sent_on_the_way(alone: Callable[..., Ran], home: Path) -> None:
    """The client takes TIMER_API_KEY by itself when it is given none."""
    with scripted_server() as scripted:
        for _ in range(2):
            scripted.say(200, ANSWERS["page"] | {"next_cursor": None})
        around = {URL: "http://env", KEY: "env-key"}
        assert alone("--url", scripted.url, "timer", "list", **around).code == 0
        assert alone("--url", scripted.url, "--key", "mine", "timer", "list", **around).code == 0
        assert [asked.headers.get("authorization") for asked in scripted.asked] == [None, "Bearer mine"]
