"""Secrets come from variables or from files; faults name the variable, and nothing shows a secret."""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from tests.unit.makers import make_claim, make_timer
from timer_api.settings import ApiSettings
from timer_controller.calls import call_of
from timer_controller.settings import ControllerSettings
from timer_db.configuration import EXIT_CODE, read_or_exit, secrets_of
from timer_db.domain.errors import UnexpectedCount
from timer_db.settings import DatabaseSettings
from timer_local.__main__ import _programs
from timer_local.settings import LocalSettings

URL = "mysql://timer:hush@db.example:3306/timer"
KEYS = f"k1:{b64encode(bytes(32)).decode()}"
PROXY = "http://user:hush@proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("TIMER_")]:
        monkeypatch.delenv(name)


Put = Callable[[str, str], Path]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Put:
    """Hand a secret out as a file."""

    def in_file(name: str, text: str) -> Path:
        path = tmp_path / name.lower()
        path.write_text(text)
        monkeypatch.setenv(f"{name}_FILE", str(path))
        return path

    return in_file


def test_these_settings_are_secrets() -> None:
    assert set(secrets_of(DatabaseSettings).values()) == {"TIMER_DB_URL", "TIMER_ENCRYPTION_KEYS"}
    both = set(secrets_of(DatabaseSettings).values())
    assert set(secrets_of(ApiSettings).values()) == both | {"TIMER_API_KEYS"}
    assert set(secrets_of(ControllerSettings).values()) == both | {"TIMER_SIGNING_SECRETS", "TIMER_EGRESS_PROXY"}
    assert set(secrets_of(LocalSettings).values()) == {"TIMER_DB_URL"}


def test_secrets_are_read_from_files_without_the_last_lines_end(put: Put) -> None:
    for name, text in [("DB_URL", f"{URL}\n"), ("ENCRYPTION_KEYS", f"{KEYS}\r\n"), ("EGRESS_PROXY", PROXY)]:
        put(f"TIMER_{name}", text)
    settings = read_or_exit(ControllerSettings)
    assert (settings.db_url, settings.encryption_keys, settings.egress_proxy) == (URL, KEYS, PROXY)
    assert read_or_exit(LocalSettings).db_url == URL


def test_the_parts_of_make_run_read_the_same_file(put: Put) -> None:
    """Beside TIMER_DB_URL_FILE, which they inherit, a TIMER_DB_URL would be a fault."""
    put("TIMER_DB_URL", URL)
    assert all("TIMER_DB_URL" not in part._environment for part in _programs(read_or_exit(LocalSettings), URL))
    assert all(part._environment["TIMER_DB_URL"] == URL for part in _programs(LocalSettings(), URL))


def test_an_empty_variable_is_not_set(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("TIMER_DB_URL", URL)
    monkeypatch.setenv("TIMER_DB_URL", "")
    monkeypatch.setenv("TIMER_ENCRYPTION_KEYS", KEYS)
    monkeypatch.setenv("TIMER_ENCRYPTION_KEYS_FILE", "")
    settings = read_or_exit(DatabaseSettings)
    assert (settings.db_url, settings.encryption_keys) == (URL, KEYS)


def _faults(kind: type[BaseSettings], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as exit_info:
        read_or_exit(kind)
    assert exit_info.value.code == EXIT_CODE
    written = capsys.readouterr().err
    assert "hush" not in written
    return written.splitlines()


def test_a_secret_that_is_given_twice_is_a_fault(
    put: Put, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put("TIMER_DB_URL", URL)
    monkeypatch.setenv("TIMER_DB_URL", URL)
    assert _faults(DatabaseSettings, capsys) == [
        "setting TIMER_DB_URL: TIMER_DB_URL and TIMER_DB_URL_FILE are both set; take one of them away"
    ]


def test_a_file_that_cannot_be_used_is_named_beside_all_other_faults(
    put: Put, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TIMER_DB_URL_FILE", f"{tmp_path}/nowhere")
    monkeypatch.setenv("TIMER_EGRESS_PROXY_FILE", str(tmp_path))
    empty = put("TIMER_ENCRYPTION_KEYS", "\n")
    put("TIMER_SIGNING_SECRETS", "whsec_hush")
    monkeypatch.setenv("TIMER_POLL_SECONDS", "soon")
    start = "which cannot be used:"
    assert sorted(line.removeprefix("setting ") for line in _faults(ControllerSettings, capsys)) == [
        f"TIMER_DB_URL: TIMER_DB_URL_FILE names {tmp_path}/nowhere, {start} No such file or directory",
        f"TIMER_EGRESS_PROXY: TIMER_EGRESS_PROXY_FILE names {tmp_path}, {start} Is a directory",
        f"TIMER_ENCRYPTION_KEYS: TIMER_ENCRYPTION_KEYS_FILE names {empty}, {start} it is empty",
        "TIMER_POLL_SECONDS: Input should be a valid number, unable to parse string as a number",
        "TIMER_SIGNING_SECRETS: Value error, secret 1 has 3 bytes; 24 to 64 are possible",
    ]


@pytest.mark.parametrize(("content", "why"), [(b"\xff", "it is no text"), (b"x" * 70_000, "more than 65,536")])
def test_a_file_that_holds_no_secret_is_refused(
    put: Put, capsys: pytest.CaptureFixture[str], content: bytes, why: str
) -> None:
    put("TIMER_DB_URL", "").write_bytes(content)
    [line] = _faults(DatabaseSettings, capsys)
    assert why in line


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hush,hush@h/d",
        "mysql://u@h:hush/d",
        "mysql://u:p@hush?hush@h/d",
        "mysql://u:p@h/d?hush=1",
        "hush hush",
    ],
)
def test_a_password_that_is_not_encoded_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("TIMER_DB_URL", url)
    [line] = _faults(DatabaseSettings, capsys)
    assert line.startswith("setting TIMER_DB_URL: ")


def test_nothing_shows_what_clients_send() -> None:
    fields = {"headers": {"Authorization": "hush"}, "body": b"hush", "meta": "hush"}
    claim = make_claim(**fields)
    assert claim.timer.meta_json == '"hush"'
    assert "hush" not in repr((make_timer(**fields), claim, call_of(claim, 0)))


@pytest.mark.parametrize(
    "proxy", ["proxy.example:3128", "http://user:hush@x@proxy:8080", "http://user:hush@proxy:x"]
)
def test_a_proxy_that_is_no_url_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], proxy: str
) -> None:
    monkeypatch.setenv("TIMER_DB_URL", URL)
    monkeypatch.setenv("TIMER_EGRESS_PROXY", proxy)
    [line] = _faults(ControllerSettings, capsys)
    assert line.startswith("setting TIMER_EGRESS_PROXY: ")
    assert line.endswith("it must read http://user:password@host:port")


def test_a_settings_object_shows_no_secret() -> None:
    settings = ControllerSettings(db_url=URL, encryption_keys=KEYS, egress_proxy=PROXY)
    assert "hush" not in repr(settings)
    assert KEYS not in repr(settings)


def test_an_unexpected_count_shows_the_statement_without_values() -> None:
    error = UnexpectedCount(
        f"INSERT INTO timers (id, body) VALUES (x'{b'hush'.hex()}', _utf8mb4 x'{'7' * 999}", 1, 2
    )
    assert str(error) == "1 rows instead of 2 matched: INSERT INTO timers (id, body) VALUES (x…, _utf8mb4 x…"


_QUOTES = """
import logging
from pymysql.err import ProgrammingError
from timer_db.logs import log_to_stderr

log_to_stderr("INFO", "timer_api")
error = ProgrammingError(1064, "error in your SQL syntax near 'x'SECRET',1,x'SECRET' at line 1")
logging.getLogger("timer_api").error("error 1", exc_info=error)
raise error
"""


def test_the_log_shows_no_values_that_a_driver_quotes() -> None:
    """Neither where an error is logged, nor where nobody catches it."""
    secret = b"hush hush".hex()
    ended = subprocess.run(
        [sys.executable, "-c", _QUOTES.replace("SECRET", secret)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.count("near '…' at line 1") == 2
    assert secret not in ended.stderr
