"""docs/settings.md has every setting of every program, with the default and the range of the code; no other."""

from __future__ import annotations

import pkgutil
import re
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from tests.docs.pages import README, ROOT, SETTINGS, rows, section
from timer_db.configuration import secrets_of

PACKAGES = ("timer_db", "timer_api", "timer_controller", "timer_local")
COMPOSE_FILE = ROOT / "docker-compose.yml"


def _settings_classes() -> dict[str, type[BaseSettings]]:
    """Each package's class, found by itself, so that a new one cannot be forgotten."""
    found: dict[str, type[BaseSettings]] = {}
    for package in PACKAGES:
        path = [str(Path(str(import_module(package).__file__)).parent)]
        for module in pkgutil.walk_packages(path, f"{package}."):
            if module.name.endswith(".settings"):
                for kind in _classes_in(module.name):
                    assert package not in found, f"{package} has two classes of settings"
                    found[package] = kind
    return found


def _classes_in(module: str) -> list[type[BaseSettings]]:
    values = [value for value in vars(import_module(module)).values() if isinstance(value, type)]
    return [value for value in values if issubclass(value, BaseSettings) and value.__module__ == module]


CLASSES = _settings_classes()


def _own_fields(kind: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Without those of the class it extends, which are documented there."""
    inherited = {name for base in kind.__mro__[1:] for name in getattr(base, "model_fields", {})}
    prefix = str(kind.model_config["env_prefix"])
    return {f"{prefix}{name}".upper(): field for name, field in kind.model_fields.items() if name not in inherited}


def _documented(package: str) -> dict[str, list[str]]:
    return {cells[0].strip("`"): cells[1:] for cells in rows(section(SETTINGS.read_text(), package))}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default()
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _range(field: FieldInfo) -> str:
    """In our words; empty for any text."""
    bounds: dict[type, Any] = {type(rule): rule for rule in field.metadata}
    at_least, above, at_most = bounds.get(Ge), bounds.get(Gt), bounds.get(Le)
    assert Lt not in bounds, "how to say this is not settled yet"
    pattern = next((rule.pattern for rule in field.metadata if getattr(rule, "pattern", None)), None)
    choices = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
    if pattern:
        return ", ".join(f"`{word}`" for word in re.findall(r"\w+", pattern))
    for kind in choices:
        if issubclass(kind, Enum):
            return ", ".join(f"`{member.value}`" for member in kind)
    if bool in choices:
        return "true or false"
    if MinLen in bounds:
        return f"at least {bounds[MinLen].min_length} character"
    if at_least:
        return f"{at_least.ge:g} to {at_most.le:.10g}" if at_most else f"{at_least.ge:.10g} or more"
    if above:
        return f"above {above.gt:g}, at most {at_most.le:g}" if at_most else f"above {above.gt:g}"
    return ""


def test_every_package_has_its_class() -> None:
    assert set(CLASSES) == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_setting_is_documented_and_no_other(package: str) -> None:
    assert set(_documented(package)) == set(_own_fields(CLASSES[package]))


@pytest.mark.parametrize("package", PACKAGES)
def test_defaults_and_ranges_are_those_of_the_code(package: str) -> None:
    documented = {name: (cells[0], cells[1]) for name, cells in _documented(package).items()}
    assert documented == {
        name: (_default(field), _range(field)) for name, field in _own_fields(CLASSES[package]).items()
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_setting_says_what_it_means(package: str) -> None:
    assert [name for name, cells in _documented(package).items() if not cells[2]] == []


def test_every_secret_can_be_a_file_and_is_listed() -> None:
    table = rows(section(SETTINGS.read_text(), "Secrets in files"))
    listed = {cells[0].strip("`"): cells[1].strip("`") for cells in table}
    secrets = {name for kind in CLASSES.values() for name in secrets_of(kind).values()}
    assert listed == {name: f"{name}_FILE" for name in secrets}


def test_the_readme_tells_the_same_defaults() -> None:
    everywhere: dict[str, str] = {}
    for package in PACKAGES:
        everywhere |= {name: cells[0] for name, cells in _documented(package).items()}
    shown = {cells[0].strip("`"): cells[1] for cells in rows(section(README.read_text(), "Settings"))}
    assert shown
    assert {name: everywhere.get(name) for name in shown} == shown


def test_what_the_compose_file_puts_in_is_documented() -> None:
    texts = COMPOSE_FILE.read_text() + (COMPOSE_FILE.parent / "deploy/compose/balanced.yml").read_text()
    used = dict(re.findall(r"\$\{(\w+):?-([^}]*)\}", texts))
    shown = rows(section(SETTINGS.read_text(), "docker compose"))
    assert {cells[0].strip("`"): cells[1].strip("`") for cells in shown} == used
