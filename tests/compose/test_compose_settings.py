"""The compose file hands on every setting of both services, secrets as files, and gives no container more than it
needs. What it leaves out, a user of it could not set."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from timer_api.settings import ApiSettings
from timer_controller.settings import ControllerSettings
from timer_db.configuration import read_or_exit, secrets_of
from timer_db.settings import DatabaseSettings

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"

# The images set these: health check, EXPOSE and published port all name them.
SET_BY_IMAGE = {"TIMER_API_HOST", "TIMER_API_PORT", "TIMER_CONTROLLER_HOST", "TIMER_CONTROLLER_PORT"}


SERVICES = ["timer-api", "timer-controller", "timer-migrate", "timer-db"]
HARDENING = {
    "read_only": "true",
    "cap_drop": "[ALL]",
    "security_opt": '["no-new-privileges:true"]',
    "init": "true",
}
TRIAL_SECRETS = COMPOSE_FILE.parent / ".cicd/trial_secrets"


def block(name: str) -> str:
    """The lines under this key, which is one of the whole file or a service."""
    text = COMPOSE_FILE.read_text()
    found = re.search(rf"^((?:  )?){name}:.*\n((?:\1 +.*\n|\n| *#.*\n)*)", text, re.MULTILINE)
    assert found, f"no {name} in the compose file"
    return found[2]


def own_lines(service: str) -> dict[str, str]:
    """The keys of a service with what stands behind them, those of the shared block included."""
    text = block(service)
    shared = block("x-service") if "*service" in text else ""
    return dict(re.findall(r"^ +([a-z_]+):(?: +(.+))?$", shared + text, re.MULTILINE))


@pytest.mark.parametrize(
    ("service", "settings"), [("timer-api", ApiSettings), ("timer-controller", ControllerSettings)]
)
def test_every_setting_is_handed_on(service: str, settings: type[BaseSettings]) -> None:
    handed_on = set(
        re.findall(
            r"^ +(TIMER_\w+):",
            block("x-database-settings") + block("x-traces-settings") + block(service),
            re.MULTILINE,
        )
    )
    known = {f"TIMER_{field.upper()}" for field in settings.model_fields}
    as_files = {f"{name}_FILE" for name in secrets_of(settings).values()}
    # The database's URL comes as a file alone: its default would stand in the environment otherwise.
    assert (known - SET_BY_IMAGE - {"TIMER_DB_URL"}) | as_files <= handed_on
    assert "TIMER_DB_URL" not in handed_on


@pytest.mark.parametrize(
    ("service", "settings"),
    [("timer-api", ApiSettings), ("timer-controller", ControllerSettings), ("timer-migrate", DatabaseSettings)],
)
def test_each_secret_is_mounted_where_it_is_read(service: str, settings: type[BaseSettings]) -> None:
    mounted = set(re.findall(r"\w+", own_lines(service)["secrets"]))
    # A migration opens nothing that is sealed.
    assert mounted == set(secrets_of(settings)) - ({"encryption_keys"} if service == "timer-migrate" else set())
    assert all((TRIAL_SECRETS / name).is_file() for name in mounted)


@pytest.mark.parametrize("service", SERVICES)
def test_no_container_may_do_more_than_it_needs(service: str) -> None:
    lines = own_lines(service)
    # MySQL's own entrypoint is made to be process 1.
    wanted = HARDENING if service != "timer-db" else {k: v for k, v in HARDENING.items() if k != "init"}
    assert {name: lines.get(name) for name in wanted} == wanted
    assert re.fullmatch(r'"[1-9]\d*:[1-9]\d*"', lines["user"]), "a fixed user that is not root"
    assert int(lines["pids_limit"]) > 0
    assert ("mem_limit" in lines) is (service != "timer-db")
    assert "cap_add" not in lines
    assert "privileged" not in lines


def test_no_password_stands_in_the_compose_file() -> None:
    assert re.findall(r"(?i)^.*password.*: +(?!/run/secrets/)\S.*$", _settings(), re.MULTILINE) == [
        '      MYSQL_RANDOM_ROOT_PASSWORD: "yes"',
    ]
    assert "mysql://" not in _settings()


def _settings() -> str:
    """The file without its comments, and without the list of secrets and the test for health."""
    text = re.sub(r"^secrets:\n(?: .*\n)*", "", COMPOSE_FILE.read_text(), flags=re.MULTILINE)
    return re.sub(r"^.*(?:#|test: ).*\n", "", text, flags=re.MULTILINE)


def test_the_secrets_for_a_trial_fit_each_other() -> None:
    password = (TRIAL_SECRETS / "db_password").read_text().strip()
    assert (TRIAL_SECRETS / "db_url").read_text().strip() == f"mysql://timer:{password}@timer-db:3306/timer"


def test_own_secrets_are_made_once_and_fit(tmp_path: Path) -> None:
    script, folder = COMPOSE_FILE.parent / ".cicd/secrets.sh", tmp_path / "secrets"
    said = subprocess.run(["sh", script, folder], capture_output=True, text=True, check=True).stdout
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir()} == {path.name for path in TRIAL_SECRETS.iterdir()}
    # Another user reads them inside the containers.
    assert {path.stat().st_mode & 0o444 for path in folder.iterdir()} == {0o444}
    environment = {
        "TIMER_DB_URL_FILE": str(folder / "db_url"),
        **{
            name: value.replace("/run/secrets", str(folder))
            for name, value in re.findall(r"^(TIMER_\w+_FILE)=(.+)$", said, re.MULTILINE)
        },
    }
    assert len(environment) == 4
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        password = (folder / "db_password").read_text().strip()
        assert read_or_exit(ApiSettings).db_url == f"mysql://timer:{password}@timer-db:3306/timer"
        assert read_or_exit(ApiSettings).api_keys_given
        assert read_or_exit(ControllerSettings).keyring
        assert read_or_exit(ControllerSettings).signing_secrets
    assert subprocess.run(["sh", script, folder], capture_output=True, check=False).returncode == 1
