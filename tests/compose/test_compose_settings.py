"""The compose file hands on every setting of both services; what it leaves out, a user of it could not set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from timer_api.settings import ApiSettings
from timer_controller.settings import ControllerSettings

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"

# The images set these: health check, EXPOSE and published port all name them.
SET_BY_IMAGE = {"TIMER_API_HOST", "TIMER_API_PORT", "TIMER_CONTROLLER_HOST", "TIMER_CONTROLLER_PORT"}


def block(name: str) -> str:
    """The lines under this key, however deep it stands."""
    text = COMPOSE_FILE.read_text()
    found = re.search(rf"^( *){name}:.*\n((?:\1 +.*\n|\n| *#.*\n)*)", text, re.MULTILINE)
    assert found, f"no {name} in the compose file"
    return found[2]


@pytest.mark.parametrize(
    ("service", "settings"), [("timer-api", ApiSettings), ("timer-controller", ControllerSettings)]
)
def test_every_setting_is_handed_on(service: str, settings: type[BaseSettings]) -> None:
    handed_on = set(re.findall(r"^ +(TIMER_\w+):", block("x-database-settings") + block(service), re.MULTILINE))
    known = {f"TIMER_{field.upper()}" for field in settings.model_fields}
    assert known - SET_BY_IMAGE <= handed_on
