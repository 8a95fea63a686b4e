"""Settings: read once, frozen, and every fault is told at once."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from timer_controller.settings import ControllerSettings
from timer_db.configuration import EXIT_CODE, read_or_exit
from timer_db.settings import DatabaseSettings

URL = "mysql://timer:secret@db.example:3306/timer"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("TIMER_")]:
        monkeypatch.delenv(name)


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = {
        "TIMER_DB_URL": "postgres://db/timer",
        "TIMER_DB_POOL_SIZE": "1",
        "TIMER_DB_CONNECT_WAIT_SECONDS": "0",
        "TIMER_POLL_SECONDS": "soon",
        "TIMER_LEASE_SECONDS": "0.5",
        "TIMER_HANDS_MAX": "0",
        "TIMER_CONTROLLER_PORT": "65536",
        "TIMER_LOG_LEVEL": "LOUD",
    }
    for name, value in faulty.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as exit_info:
        read_or_exit(ControllerSettings)

    lines = capsys.readouterr().err.splitlines()
    assert exit_info.value.code == EXIT_CODE
    assert len(lines) == len(faulty)
    for name in faulty:
        assert any(line.startswith(f"setting {name}: ") for line in lines), name


def test_a_fault_does_not_tell_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIMER_DB_URL", "mysql://timer:s3cr3t@db.example")
    with pytest.raises(SystemExit):
        read_or_exit(DatabaseSettings)
    written = capsys.readouterr().err
    assert "TIMER_DB_URL" in written
    assert "s3cr3t" not in written


def test_the_database_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_or_exit(DatabaseSettings)
    assert capsys.readouterr().err.splitlines() == ["setting TIMER_DB_URL: Field required"]


def test_several_urls_are_shards_in_their_order() -> None:
    settings = DatabaseSettings(db_url=f"{URL}, mariadb://b/timer ,mysql://c:1/timer")
    assert settings.db_urls == [URL, "mariadb://b/timer", "mysql://c:1/timer"]


def test_a_wrong_url_is_named_by_its_place() -> None:
    with pytest.raises(ValidationError, match=r"database 1: it must name a host and a database"):
        DatabaseSettings(db_url=f"{URL},mysql://onlyhost")


def test_settings_are_frozen() -> None:
    settings = ControllerSettings(db_url=URL)
    with pytest.raises(ValidationError, match="frozen"):
        settings.poll_seconds = 1.0  # type: ignore[misc]


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMER_DB_URL", URL)
    monkeypatch.setenv("TIMER_POLL_SECONDS", "0.1")
    settings = read_or_exit(ControllerSettings)
    assert (settings.db_url, settings.poll_seconds, settings.lease_seconds) == (URL, 0.1, 5.0)


@pytest.mark.parametrize("kind", [DatabaseSettings, ControllerSettings])
def test_every_setting_says_what_it_is(kind: type[DatabaseSettings]) -> None:
    for name, field in kind.model_fields.items():
        assert field.description, name
