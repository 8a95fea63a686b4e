"""What can be told of a command without running it: what it names is there, and it takes its options."""

from __future__ import annotations

import io
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from opentelemetry.sdk import environment_variables
from typer.testing import CliRunner

from tests.client_tools import PROGRAMS
from tests.deploy.test_kubernetes import LIST, OBJECTS
from tests.docs.pages import ROOT
from tests.docs.shell import Command
from tests.docs.test_settings import CLASSES
from timer_client.ctl.main import app

_MAKEFILE = (ROOT / "Makefile").read_text()
_COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
_SERVICES = {"timer_api", "timer_controller", "timer_local"}
"""They take settings, and no arguments."""


def check(command: Command) -> None:
    """An assertion fails where the command could not work."""
    for name, value in command.variables.items():
        _check_variable(name, value)
    if command.words:
        program, *arguments = command.words
        assert program in CHECKS, f"no test knows {program}"
        CHECKS[program](arguments)


def _check_variable(name: str, value: str) -> None:
    """Ours is a setting that can have this value; OpenTelemetry's is one that its SDK reads."""
    if name.startswith("OTEL_"):
        assert hasattr(environment_variables, name), name
    elif name.isupper():
        field = name.removeprefix("TIMER_").lower()
        kinds = [kind for kind in CLASSES.values() if field in kind.model_fields]
        assert name.startswith("TIMER_"), name
        assert kinds, name
        if "$" not in value:
            given: dict[str, Any] = {"db_url": "mysql://u:p@h/d", field: value}
            for kind in kinds:
                kind(**given)


def _make(arguments: Sequence[str]) -> None:
    target, *variables = arguments
    assert re.search(rf"^{re.escape(target)}:", _MAKEFILE, re.MULTILINE), target
    for name, _, value in (each.partition("=") for each in variables):
        assert name == "FAULTS", "who reads this?"
        _module("tests.faults", shlex.split(value))


def _python(arguments: Sequence[str]) -> None:
    option, named, *rest = arguments
    if option == "-c":
        compile(named, "a page", "exec")
    else:
        assert option == "-m"
        _module(named, rest)


def _module(name: str, arguments: Sequence[str]) -> None:
    """Ours explains itself when it is called so with `--help` at the end, and has every option."""
    found = find_spec(name)
    assert found, name
    if name in _SERVICES:
        assert not arguments
    elif name.partition(".")[0] in ("timer_db", "benchmarks", "tests"):
        program = import_module(f"{name}.__main__" if found.submodule_search_locations else name)
        said = io.StringIO()
        with (
            patch.object(sys, "argv", [name, *arguments, "--help"]),
            redirect_stdout(said),
            pytest.raises(SystemExit) as ended,
        ):
            program.main()
        assert not ended.value.code, f"{name} takes no {shlex.join(arguments)}"
        for option in (each for each in arguments if each.startswith("--")):
            assert re.search(rf"{re.escape(option)}\b", said.getvalue()), f"{name} has no {option}"


def _timerctl(arguments: Sequence[str]) -> None:
    # Whoever runs the tests may have a configuration of their own.
    environment = {"XDG_CONFIG_HOME": "/nowhere", "TIMERCTL_PROFILE": None}
    ran = CliRunner().invoke(app, [*arguments, "--help"], env=environment)
    assert ran.exit_code == 0, ran.output


def _docker(arguments: Sequence[str]) -> None:
    verb, *rest = arguments
    if verb == "run":
        for network in _values(rest, "--network"):
            assert network.removeprefix("timer-system_") in _COMPOSE["networks"]
        for volume in _values(rest, "-v"):
            assert (ROOT / volume.partition(":")[0].removeprefix("$PWD/")).is_dir(), volume
        return
    assert verb == "compose"
    action, *rest = rest
    named = [word for word in rest if not word.startswith("-")]
    if action == "up":
        assert set(named) <= _COMPOSE["services"].keys()
    else:
        assert action in ("exec", "run")
        assert named[0] in _COMPOSE["services"]
        check(Command({}, list(rest[rest.index(named[0]) + 1 :])))


def _values(arguments: Sequence[str], option: str) -> list[str]:
    return [value for name, value in pairwise(arguments) if name == option]


def _kubectl(arguments: Sequence[str]) -> None:
    """The namespace, the folder and the objects are those of the manifests, or are made by the page itself."""
    match [word for word in arguments if word not in ("-n", LIST["namespace"])]:
        case ["create", "namespace"] | ["apply", "-f", "-"]:
            pass
        case ["create", "secret", "generic", _, *literals]:
            assert all(re.match(r"--from-literal=\w+=.", literal) for literal in literals)
        case ["apply", "-k", folder]:
            assert (ROOT / folder / "kustomization.yaml").is_file()
        case ["wait", "--for=condition=complete", named, timeout]:
            assert re.fullmatch(r"--timeout=\d+[smh]", timeout)
            assert _object(named)
        case ["port-forward", named, port]:
            assert int(port) in [each["port"] for each in _object(named)["spec"]["ports"]]
        case ["get", kind, name, "-o", shown]:
            assert _object(f"{kind}/{name}")
            assert shown.startswith("jsonpath={")
        case ["delete", kind, name]:
            assert _object(f"{kind}/{name}")
        case ["exec", named, "--", *inside]:
            assert _object(named)
            check(Command({}, inside))
        case other:
            raise AssertionError(f"who knows kubectl {shlex.join(other)}?")


def _object(named: str) -> Any:
    kind, _, name = named.partition("/")
    kind = {"deploy": "deployment"}.get(kind, kind)
    [found] = [each for each in OBJECTS if (each["kind"].lower(), each["metadata"]["name"]) == (kind, name)]
    return found


def _pip(arguments: Sequence[str]) -> None:
    verb, source = arguments
    folder, _, extra = source.rstrip("]").partition("[")
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    assert verb == "install"
    assert not extra or extra in project["optional-dependencies"]


def _script(arguments: Sequence[str]) -> None:
    assert (ROOT / arguments[0]).is_file(), arguments[0]


def _anything(_: Sequence[str]) -> None:
    """Others' programs: whether they are called rightly is seen where they are run."""


CHECKS: dict[str, Callable[[Sequence[str]], None]] = {
    "make": _make, "timerctl": _timerctl, "docker": _docker, "kubectl": _kubectl, "pip": _pip, "sh": _script,
    **dict.fromkeys((".venv/bin/python", "python", "python3"), _python),
    **dict.fromkeys(("curl", "date", "openssl", "printf", "sed"), _anything),
    **dict.fromkeys((program for programs in PROGRAMS.values() for program in programs), _anything),
}  # fmt: skip
"""By program. One that is not here may stand in no page before a test knows it."""
